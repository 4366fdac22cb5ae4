//! Terms and their calendars.

mod amend;
mod api;
mod document;
mod fault;
#[cfg(test)]
mod tests;
mod today;
mod validate;

use proto::common::v1::{Window, precondition::Condition};

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

/// The window whose mark this is; `None` for a window.
#[must_use]
pub fn marked(mark: &str) -> Option<&str> {
    mark.strip_suffix("-done")
}

/// Ids of the windows whose business a window waits for, by its preconditions.
pub fn waits_for(window: &Window) -> impl Iterator<Item = &str> {
    window.preconditions.iter().filter_map(|precondition| match &precondition.condition {
        Some(Condition::SettledWindow(mark)) => marked(mark),
        _ => None,
    })
}

/// The instants of a window; `None` where one is missing.
#[must_use]
pub fn edges(window: &Window) -> Option<(i64, i64)> {
    Some((proto::instant(window.opens.as_ref()?), proto::instant(window.closes.as_ref()?)))
}
