//! The SQL, and nothing but SQL.

pub mod accounts;
pub mod erasure;
pub mod history;
pub mod organizations;
pub mod sessions;
pub mod steps;
pub mod teachers;

use chassis::Failure;
use jiff::civil::Date;

/// Rows of one statement: bounds the size of its argument.
const CHUNK: usize = 500;

/// A day as SQL keeps it; none is the empty text.
fn day_text(day: Option<Date>) -> String {
    day.map(|day| day.to_string()).unwrap_or_default()
}

/// SQL's day; the empty text is none.
fn day(text: &str) -> Result<Option<Date>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(Failure::internal)
}
