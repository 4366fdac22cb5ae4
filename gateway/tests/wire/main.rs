//! The gateway over the wire, on both engines, between services that are played.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they expect by failing")]

mod calendar;
mod fakes;
mod forward;
mod sequencer;
mod sessions;
mod world;
