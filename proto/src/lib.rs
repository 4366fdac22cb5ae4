//! The contracts: the one crate that compiles `shixun/**/*.proto`, and the few plain types that domains share.

mod civil;
mod plain;
pub mod words;

pub use civil::{CivilDateError, date_from_text, date_text, instant, jiff_instant, timestamp};
pub use plain::{Actor, Credit, Held};

/// The encoded `FileDescriptorSet` of all contracts, custom options included.
pub const DESCRIPTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));

/// The same with comments: for pages that are made of them. Every process has the other one in memory, several times over.
pub const COMMENTED_DESCRIPTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/commented.bin"));

/// A request of one of our methods.
pub trait AnyRequest: prost::Name {
    /// The caller's id of this request; `None` where its kind has none.
    fn request_id(&self) -> Option<&str>;
}

/// A mutation's request: it can be repeated under its id.
pub trait RequestId: AnyRequest {
    /// Takes the id out, so that what is left is the body.
    fn take_request_id(&mut self) -> String;
}

include!(concat!(env!("OUT_DIR"), "/request_id.rs"));

macro_rules! packages {
    ($($name:ident),*) => {
        // Generated code reaches other packages by their full path, so the nesting is the packages'.
        #[allow(missing_docs, clippy::all, clippy::pedantic)]
        pub mod shixun {$(
            pub mod $name {
                pub mod v1 {
                    include!(concat!(env!("OUT_DIR"), "/shixun.", stringify!($name), ".v1.rs"));
                }
            }
        )*}
        pub use shixun::{$($name),*};
    };
}
packages!(common, roster, catalog, enrollment, credit, gateway);

/// Third-party contracts that ours use.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod google {
    pub mod r#type {
        include!(concat!(env!("OUT_DIR"), "/google.r#type.rs"));
    }
    pub mod api {
        include!(concat!(env!("OUT_DIR"), "/google.api.rs"));
    }
}
