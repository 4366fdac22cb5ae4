//! The benchmarks: crate and binary `load`.
//!
//! `cargo run --release -p load -- CASE` starts what the case needs, runs the peer and ours in turn, and prints one table.
//! docs/performance.md says what each case does and how to read it.

pub mod bare;
pub mod bench;
pub mod cases;
pub mod cpu;
pub mod database;
pub mod drive;
pub mod opening;
pub mod page;
pub mod peer;
mod ports;
pub mod program;
pub mod table;
pub mod town;
pub mod verify;
pub mod work;
pub mod world;
mod zipf;
