//! What the system tests stand on: the real servers on ports of their own, through the production `serve`, on either
//! engine, and clients that speak over the wire.

pub mod raw;
mod world;

pub use world::{World, engines};
