//! The chassis, on both engines and over the wire. One program, so that it is linked once.

mod fixture;

mod archive;
mod audit;
mod clock;
mod config;
mod contract;
mod demotion;
mod failure;
mod feed;
mod fence;
mod gates;
mod given_up;
mod later;
mod mirror;
mod page;
mod plans;
mod requests;
mod rotation;
mod schema;
mod server;
mod shutdown;
mod silence;
mod telemetry;
mod tls;
mod verify;
mod watch;
