//! What the catalog keeps of its neighbours' facts.

mod roster;

pub use roster::RosterMirror;
