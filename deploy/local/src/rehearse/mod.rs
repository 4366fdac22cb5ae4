//! `shixun rehearse`: a whole term on the virtual clock, through the gateway's public API, as the people of each role
//! would play it, with their mistakes and with what happens to them.

mod appraise;
mod books;
mod caller;
mod cast;
mod confirm;
mod credit;
mod databases;
mod declare;
mod expand;
mod feeds;
mod journal;
mod mistakes;
mod notice;
mod options;
mod play;
mod programme;
pub mod report;
mod roster;
mod school;
mod script;
mod select;
mod stage;
mod tables;
mod temporary;
mod train;
mod windows;
mod world;

pub use journal::Journal;
pub use options::{EngineKind, RehearseOptions, run};
pub use play::{before_the_term, play, play_disturbed, play_on, play_until};
pub use report::Report;
pub use world::{EachChange, World};
