//! The sequencer: turns the edges of a calendar into durable, ordered, idempotent steps, and has them carried out.

mod api;
mod gated;
mod meters;
mod plan;
mod recognition;
mod refused;
mod run;
mod task;
#[cfg(test)]
mod tests;

pub use api::{StepApi, record};
pub use gated::Gated;
pub use meters::observe;
pub use plan::{OF_CLASSES, Planned, calendar_steps, plan, recognition_steps};
pub use recognition::ClassResultsMirror;
pub use run::Sequencer;
pub use task::Task;
