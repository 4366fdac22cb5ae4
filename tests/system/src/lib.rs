//! What the system tests stand on: the real servers on ports of their own, through the production `serve`, on either
//! engine, and clients that speak over the wire.

pub mod feed;
pub mod losses;
pub mod model;
pub mod office;
pub mod plan;
pub mod raw;
pub mod replica;
pub mod sealed;
pub mod tables;
mod world;

pub use world::{World, engines};
