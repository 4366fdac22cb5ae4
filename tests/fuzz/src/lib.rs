//! What comes from outside, and must get an answer whatever it is: a target for each parser. A target panics where a parser does,
//! or where its answer is none: a fault without a remedy, a forged token that is believed.
//!
//! `tests/targets.rs` runs each on mutations of its corpus: some thousands in `tests/run`, and as many as asked by hand
//! (CONTRIBUTING.md).

mod calendar;
mod import;
mod message;
mod policy;
mod query;
mod token;

pub use calendar::calendar;
pub use import::roster;
pub use message::message;
pub use policy::policy;
pub use query::{page_token, query};
pub use token::token;
