//! The whole system in one process: start it, play a term, and the people who live in it.

pub mod backup;
pub mod client;
pub mod data_folder;
pub mod export;
pub mod people;
pub mod progress;
pub mod rehearse;
pub mod service;
pub mod told;
pub mod up;
