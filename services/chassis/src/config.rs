//! Configuration of a process: a TOML file, overridden by environment variables `SHIXUN_…` (`__` between levels).

mod read;

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

pub use read::read;

/// What every service is configured with.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where `serve` listens, e.g. "0.0.0.0:7701".
    #[serde(default = "default_listen")]
    pub listen: String,
    /// The service's own database.
    pub database: DatabaseConfig,
    /// The process's key, and those that it trusts.
    pub keys: KeysConfig,
    /// Addresses of the neighbours, by service; several replicas separated by commas.
    #[serde(default)]
    pub peers: BTreeMap<String, String>,
    /// Business time.
    #[serde(default)]
    pub clock: ClockConfig,
    /// Bounds of the server.
    #[serde(default)]
    pub server: ServerConfig,
    /// Where traces, metrics and logs go.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
}

/// The database of a service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// "sqlite:/data/roster.db" or "postgres://…".
    pub url: String,
    /// Bring the schema up to date when serving begins. Otherwise `migrate` must have run.
    #[serde(default = "yes")]
    pub migrate: bool,
    /// Connections to PostgreSQL.
    #[serde(default = "default_connections")]
    pub connections: u32,
    /// Reading connections to SQLite.
    #[serde(default = "default_readers")]
    pub readers: u32,
    /// Wait for the disk at each commit. Only tests that do not test durability turn it off.
    #[serde(default = "yes")]
    pub durable: bool,
}

impl DatabaseConfig {
    /// The default configuration for a database at `url`.
    #[must_use]
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            migrate: true,
            connections: default_connections(),
            readers: default_readers(),
            durable: true,
        }
    }
}

/// Keys of a process.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysConfig {
    /// The private key: Ed25519 in PKCS #8.
    pub own: PathBuf,
    /// Folder of `*.pub` files.
    pub trusted: PathBuf,
}

/// Where business time comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockConfig {
    /// The machine's clock.
    #[default]
    System,
    /// A virtual clock, moved by `Advance`.
    Rehearsal,
}

/// Bounds of a server.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Seconds that calls in flight get after SIGTERM.
    pub drain_seconds: u64,
    /// Seconds after which a connection is closed in good order, so that load spreads over new replicas.
    pub max_connection_age_seconds: u64,
    /// Largest message, in bytes.
    pub max_message_bytes: usize,
    /// Connections at a time; one more is closed at once.
    pub max_connections: usize,
    /// Calls that one connection may have in flight.
    pub max_concurrent_streams: u32,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            drain_seconds: 3,
            max_connection_age_seconds: 1800,
            max_message_bytes: 4 << 20,
            max_connections: 4096,
            max_concurrent_streams: 1024,
        }
    }
}

/// OpenTelemetry.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// OTLP over gRPC, e.g. "http://collector:4317"; absent: quiet.
    pub otlp_endpoint: Option<String>,
}

fn default_listen() -> String {
    "127.0.0.1:0".to_owned()
}

const fn yes() -> bool {
    true
}

const fn default_connections() -> u32 {
    16
}

const fn default_readers() -> u32 {
    4
}
