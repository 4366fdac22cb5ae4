//! The rules of credit, as pure functions: no I/O, no clock, no SQL.

pub mod compliance;
pub mod cycle;
pub mod entry;
pub mod ledger;
pub mod matching;
pub mod policy;
pub mod recognition;
pub mod requirement;
pub mod shortfall;
pub mod standing;
pub mod statement;
pub mod teacher;
#[cfg(test)]
mod tests;
