//! The program itself, as a process: killed at random instants and told to go on, told to end, with counties of any kind,
//! and as a new user meets it.

mod child;
mod feed;
mod kill;
mod refused;
mod resume;
mod secrets;
mod seeds;
mod shutdown;
mod up;
