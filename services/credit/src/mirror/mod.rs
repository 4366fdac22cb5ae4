//! What credit keeps of its neighbours' facts.

mod catalog;
mod enrollment;
mod roster;

pub use catalog::CatalogMirror;
pub use enrollment::EnrollmentMirror;
pub use roster::RosterMirror;
