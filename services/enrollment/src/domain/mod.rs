//! The rules of enrollment: pure, total functions over plain values. No I/O, no clock, no SQL, no chance.

pub mod allocation;
pub mod audience;
pub mod calendar;
pub mod class_size;
pub mod desk;
pub mod eligibility;
pub mod ground;
pub mod notification;
pub mod policy;
pub mod project;
pub mod ranking;
pub mod results;
pub mod review;
pub mod round2;
pub mod seats;
pub mod selection;
pub mod selections;
pub mod settlement;
pub mod state;
pub mod structure;
pub mod teacher;

pub use desk::Desk;
pub use ground::Ground;
pub use policy::Policy;
pub use project::{Class, Project};
pub use selection::Selection;
pub use selections::Selections;
pub use state::{Event, State};
pub use teacher::Teacher;

/// Projects by name.
pub type Projects = std::collections::BTreeMap<String, Project>;
