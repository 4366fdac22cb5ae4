//! The SQL, and nothing but SQL.

pub mod catalog;
pub mod credit;
pub mod desk;
pub mod dialect;
pub mod facts;
pub mod needs;
pub mod notices;
pub mod notifications;
pub mod people;
pub mod persons;
pub mod roster;
pub mod rounds;
pub mod seats;
pub mod selections;
pub mod tasks;
pub mod training;
pub mod wire;

use std::collections::BTreeMap;

use chassis::{Failure, db::Row};
use jiff::civil::Date;

/// A column of ours that fits 32 bits: rounds, counts, percentages.
pub(crate) fn narrow(row: &Row, column: &'static str) -> Result<i32, Failure> {
    i32::try_from(row.get::<i64>(column)?).map_err(Failure::internal)
}

/// A day; the empty text is none.
pub(crate) fn day(row: &Row, column: &'static str) -> Result<Option<Date>, Failure> {
    let text = row.get::<String>(column)?;
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(Failure::internal) }
}

/// A number of ours as JSON and SQL take it.
pub(crate) fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn unknown(what: &str, word: &str) -> Failure {
    Failure::internal(format!("unknown {what} {word:?} in the database"))
}

pub(crate) fn json_map(text: &str) -> Result<BTreeMap<String, String>, Failure> {
    serde_json::from_str(text).map_err(Failure::internal)
}
