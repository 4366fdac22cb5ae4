//! What a user would pick instead: hand-written SQL that writes the same facts a request.

mod embedded;
mod pgbench;

pub use embedded::Embedded;
pub use pgbench::{Best, Pgbench, Style, bare};

/// What the peer's requests are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// All for the first project.
    One,
    /// Zipf 1.1 over all.
    Spread,
    /// The same, with no place to take: only the selection and the change are written.
    Uncapped,
    /// All for a project that is full.
    Full,
}
