//! Terms and their calendars.

mod amend;
mod api;
mod contact;
mod contact_book;
mod document;
mod fault;
mod policy;
pub mod scope;
#[cfg(test)]
mod tests;
mod today;
mod validate;

use proto::common::v1::{Window, precondition::Condition};

pub use amend::moved_edges;
pub use api::CalendarApi;
pub use contact::{Contact, contacts};
pub use contact_book::ContactBook;
pub use document::{Calendar, Day, parse, survey};
pub use fault::{Fault, check};
pub use policy::Reminder;
pub use validate::validate;

/// An edge of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edge {
    /// The window begins.
    Opens,
    /// It ends.
    Closes,
}

impl Edge {
    /// As in the names of steps.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Opens => "opens",
            Self::Closes => "closes",
        }
    }

    /// As in the ids of marks: what a window is once the edge's business is done.
    #[must_use]
    pub const fn done(self) -> &'static str {
        match self {
            Self::Opens => "ready",
            Self::Closes => "done",
        }
    }
}

/// The id of the mark that an edge of a window leaves once its business is done: what waits for the edge waits for it.
#[must_use]
pub fn mark(window: &str, edge: Edge) -> String {
    format!("{window}-{}", edge.done())
}

/// The edge whose mark this is; `None` for a window.
#[must_use]
pub fn marked(mark: &str) -> Option<(&str, Edge)> {
    let (window, done) = mark.rsplit_once('-')?;
    [Edge::Opens, Edge::Closes].into_iter().find(|edge| edge.done() == done).map(|edge| (window, edge))
}

/// The marks that a window waits for, by its preconditions.
pub fn marks_of(window: &Window) -> impl Iterator<Item = &str> {
    window.preconditions.iter().filter_map(|precondition| match &precondition.condition {
        Some(Condition::SettledWindow(mark)) => Some(mark.as_str()),
        _ => None,
    })
}

/// The edges whose business a window waits for: of other windows, and its own opening.
pub fn waits_for(window: &Window) -> impl Iterator<Item = (&str, Edge)> {
    marks_of(window).filter_map(marked)
}

/// The instants of a window; `None` where one is missing.
#[must_use]
pub fn edges(window: &Window) -> Option<(i64, i64)> {
    Some((proto::instant(window.opens.as_ref()?), proto::instant(window.closes.as_ref()?)))
}
