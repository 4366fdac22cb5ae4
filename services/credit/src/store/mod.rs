//! The SQL of credit, and nothing but SQL.

pub mod approvals;
pub mod compliance;
mod dialect;
pub mod entries;
pub mod organizations;
pub mod policies;
pub mod projects;
pub mod results;
pub mod standings;
pub mod teachers;

use chassis::{Failure, db::Row};
use jiff::civil::Date;

/// A day as SQL keeps it; an absent one as the empty text.
fn text(day: Option<Date>) -> String {
    day.map(|day| day.to_string()).unwrap_or_default()
}

/// The day of SQL's text, absent if empty.
fn day(row: &Row, column: &'static str) -> Result<Option<Date>, Failure> {
    let text = row.get::<String>(column)?;
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(Failure::internal) }
}

/// The day of a column that has one.
fn known_day(row: &Row, column: &'static str) -> Result<Date, Failure> {
    day(row, column)?.ok_or_else(|| Failure::internal(format!("column {column} is empty")))
}

/// A list as SQL keeps it.
fn list(texts: &[String]) -> Result<String, Failure> {
    serde_json::to_string(texts).map_err(Failure::internal)
}

/// A list out of SQL.
fn from_list(row: &Row, column: &'static str) -> Result<Vec<String>, Failure> {
    serde_json::from_str(&row.get::<String>(column)?).map_err(Failure::internal)
}

/// Flags are 0 and 1 in SQL, so that they can be summed up.
fn flag(row: &Row, column: &'static str) -> Result<bool, Failure> {
    Ok(row.get::<i64>(column)? != 0)
}
