//! The sequencer: turns the edges of a calendar into durable, ordered, idempotent steps, and has them carried out.

mod api;
mod plan;
mod recognition;
mod run;
mod task;

pub use api::StepApi;
pub use plan::{Planned, calendar_steps, plan, recognition_steps};
pub use recognition::ClassResultsMirror;
pub use run::Sequencer;
pub use task::Task;
