//! The store suite of the roster: each scenario on a fresh database of both engines, through the handlers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    reason = "a test says what it expects by failing"
)]

mod accounts;
mod import;
mod migrations;
mod organizations;
mod persons;
mod plans;
mod status_events;
mod teachers;
mod wire;
mod world;
