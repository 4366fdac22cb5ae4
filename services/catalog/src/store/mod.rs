//! The catalog's SQL: one text for both engines.

pub mod decision;
pub mod expansion;
pub mod person;
pub mod project;
pub mod review;
pub mod roster;

use chassis::{Failure, db::Row};
use serde::{Serialize, de::DeserializeOwned};

/// A value that a column keeps as JSON.
fn json<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(Failure::internal)
}

/// The value of a JSON column.
fn from_json<T: DeserializeOwned>(row: &Row, column: &'static str) -> Result<T, Failure> {
    serde_json::from_str(&row.get::<String>(column)?).map_err(Failure::internal)
}

/// A count or percentage, which the contract keeps in 32 bits.
fn narrow(row: &Row, column: &'static str) -> Result<i32, Failure> {
    i32::try_from(row.get::<i64>(column)?).map_err(Failure::internal)
}

/// What a word of ours must not be: one that the schema has and the code does not.
fn unknown(column: &str, word: &str) -> Failure {
    Failure::internal(format!("column {column}: unknown word {word:?}"))
}
