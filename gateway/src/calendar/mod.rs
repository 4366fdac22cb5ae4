//! Terms and their calendars.

mod amend;
mod api;
mod document;
mod fault;
mod today;
mod validate;

pub use amend::moved_edges;
pub use api::CalendarApi;
pub use document::{Calendar, Day, parse};
pub use fault::{Fault, check};
pub use validate::validate;

/// The id of the mark that a window's closing leaves once its business is done: what waits for the window waits for it.
#[must_use]
pub fn done_mark(window: &str) -> String {
    format!("{window}-done")
}
