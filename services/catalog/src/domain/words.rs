//! Enumerations that are the same word in proto, SQL and Rust.

/// An enum with its word for SQL and messages, and its twin on the wire (where it has an `Unspecified` besides).
macro_rules! words {
    ($(#[$meta:meta])* $name:ident ~ $wire:path { $($(#[$note:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$note])* #[serde(rename = $word)] $variant),*
        }

        impl $name {
            /// Every value, in the contract's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As in SQL and in messages.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// The value of a word; `None` for the empty text and for what is no word of ours.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }

            /// The value on the wire; `None` where it is unspecified.
            #[must_use]
            pub fn from_wire(wire: i32) -> Option<Self> {
                use $wire as Wire;
                match Wire::try_from(wire) { $(Ok(Wire::$variant) => Some(Self::$variant),)* _ => None }
            }

            /// As on the wire.
            #[must_use]
            pub const fn wire(self) -> i32 {
                use $wire as Wire;
                match self { $(Self::$variant => Wire::$variant as i32),* }
            }
        }
    };
}
pub(super) use words;

#[cfg(test)]
mod tests {
    use crate::domain::{AllocationPolicy, ClassState, Form, Level, expansion, lifecycle};

    macro_rules! round_trips {
        ($($name:ty),*) => {$(
            for value in <$name>::ALL {
                assert_eq!(<$name>::from_word(value.word()), Some(*value));
                assert_eq!(<$name>::from_wire(value.wire()), Some(*value));
            }
            assert_eq!(<$name>::from_word(""), None);
            assert_eq!(<$name>::from_wire(0), None);
            assert_eq!(<$name>::from_wire(-1), None);
        )*};
    }

    #[test]
    fn words_and_wire_values_round_trip() {
        round_trips!(Level, Form, ClassState, AllocationPolicy, lifecycle::State, expansion::State);
    }
}
