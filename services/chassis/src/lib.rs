//! What every service stands on: servers and channels, rules, gates and fence, clock, database, changes and mirrors,
//! request ids, errors, telemetry, health, shutdown. No business rule is in it.
//!
//! A service implements [`Program`]; [`serve`] is the one way to start it. Its handlers go through [`answer`], write
//! through [`db::Db::begin`], read through [`db::Db::read`], and fail with a [`Failure`].

pub mod audit;
pub mod call;
pub mod changes;
pub mod cli;
pub mod config;
pub mod contract;
pub mod db;
pub mod env;
pub mod export;
pub mod failure;
pub mod gates;
pub mod identity;
mod names;
pub mod page;
pub mod peer;
pub mod places;
pub mod policy;
pub mod pulse;
mod reload;
pub mod replicas;
pub mod server;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod texts;
mod tls;
mod trail;

/// Calls allocate on one thread and free on another all the time, which this allocator is made for. How it gives memory back is in
/// `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

use tikv_jemallocator::Jemalloc;

pub use call::{Admission, Call, admission, answer, answer_stream, replayed};
pub use changes::Mirror;
pub use cli::run as cli;
pub use config::Config;
pub use env::Env;
pub use failure::{Failure, Faults, Metadata};
pub use page::Page;
pub use policy::{Policy, PolicyFault};
pub use server::{CalendarCheck, Due, Guard, Host, Program, StepOutcome, Steps, serve};
pub use tokio_util::sync::CancellationToken;

/// Installs the one crypto provider of the house: first thing in `main`.
pub fn install_crypto() {
    // A second call finds it installed.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
