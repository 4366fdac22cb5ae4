//! The load: requests made beforehand, sent over few HTTP/2 connections. It shares the machine with what it measures, so it
//! speaks HTTP/2 itself: a gRPC client would cost as much again.

mod apart;
mod client;
mod flood;
mod insist;
mod listen;
mod shot;

pub use apart::apart;
pub use client::{Client, Volley, histogram};
pub use flood::Kinds;
pub use insist::{insist, until_serving};
pub use listen::Listeners;
pub use shot::{Answer, Shot};
