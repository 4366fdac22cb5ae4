//! Configuration of a process: a TOML file, overridden by environment variables `SHIXUN_…` (`__` between levels).

mod faults;
mod format;
mod read;
mod schema;
mod trial;

use std::{collections::BTreeMap, fmt, path::PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use crate::contract;

pub use read::{read, read_of};
pub use schema::{Key, keys, schema_of};
pub use trial::try_out;

/// What every service is configured with.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where `serve` listens, e.g. "0.0.0.0:7701".
    #[serde(default = "default_listen")]
    #[schemars(extend("format" = "host:port"))]
    pub listen: String,
    /// The service's own database.
    pub database: DatabaseConfig,
    /// The process's key, and those that it trusts.
    pub keys: KeysConfig,
    /// Addresses of the neighbours, by service.
    #[serde(default)]
    #[schemars(schema_with = "peers")]
    pub peers: BTreeMap<String, String>,
    /// Mutual TLS with the neighbours; absent: in the clear.
    pub tls: Option<TlsConfig>,
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
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// "sqlite:/data/roster.db" or "postgres://…".
    #[schemars(extend("format" = "database URL"))]
    pub url: String,
    /// Bring the schema up to date when serving begins. Otherwise `migrate` must have run.
    #[serde(default = "yes")]
    pub migrate: bool,
    /// Connections to PostgreSQL.
    #[serde(default = "default_connections")]
    #[schemars(range(min = 1, max = 1000))]
    pub connections: u32,
    /// Reading connections to SQLite.
    #[serde(default = "default_readers")]
    #[schemars(range(min = 1, max = 1000))]
    pub readers: u32,
    /// How long a statement on PostgreSQL may take. It is ended there then; whoever has no answer five seconds later either waits on a
    /// connection that leads nowhere any more, and it is given up.
    #[serde(default = "default_statement_seconds")]
    #[schemars(range(min = 1, max = 3600))]
    pub statement_seconds: u64,
    /// Wait for the disk at each commit. Only tests that do not test durability turn it off.
    #[serde(default = "yes")]
    pub durable: bool,
}

impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("DatabaseConfig").field("migrate", &self.migrate).finish_non_exhaustive()
    }
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
            statement_seconds: default_statement_seconds(),
            durable: true,
        }
    }
}

/// Keys of a process.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeysConfig {
    /// The private key: Ed25519 in PKCS #8.
    pub own: PathBuf,
    /// Folder of `*.pub` files.
    pub trusted: PathBuf,
    /// Seconds between two looks at the key and the folder.
    #[serde(default = "default_reload_seconds")]
    #[schemars(range(min = 1))]
    pub reload_seconds: u64,
}

/// Mutual TLS. The files are read again while the process runs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The process's certificate and those between it and an authority (PEM). Its DNS names hold the service's, e.g. "roster".
    pub certificate: PathBuf,
    /// The certificate's private key (PEM).
    pub key: PathBuf,
    /// Certificates of the authorities whose certificates are believed (PEM).
    pub authorities: PathBuf,
    /// Lists of what authorities have revoked (PEM), one of each authority and of each between. Absent: a certificate is good until it
    /// ends.
    #[serde(default)]
    pub revocations: Option<PathBuf>,
    /// Seconds between two looks at the files.
    #[serde(default = "default_reload_seconds")]
    #[schemars(range(min = 1))]
    pub reload_seconds: u64,
}

/// Where business time comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClockConfig {
    /// The machine's clock.
    #[default]
    System,
    /// A virtual clock, moved by `Advance`.
    Rehearsal,
}

/// Bounds of a server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Seconds that calls in flight get after SIGTERM.
    pub drain_seconds: u64,
    /// Seconds after which a connection is closed in good order, so that load spreads over new replicas.
    #[schemars(range(min = 1))]
    pub max_connection_age_seconds: u64,
    /// Largest message, in bytes.
    #[schemars(range(min = 65536, max = 1073741824))]
    pub max_message_bytes: usize,
    /// Connections at a time; one more is closed at once.
    #[schemars(range(min = 1))]
    pub max_connections: usize,
    /// Calls that one connection may have in flight.
    #[schemars(range(min = 1))]
    pub max_concurrent_streams: u32,
    /// Take and make calls beyond this machine also without `tls`: for a network that nobody else is on.
    pub plaintext: bool,
    /// Where health alone is served, in the clear, e.g. "0.0.0.0:7709": orchestrators' probes speak no TLS. Absent: with the
    /// calls only.
    #[schemars(extend("format" = "host:port"))]
    pub probes: Option<String>,
    /// Milliseconds by which a neighbour's clock may differ from this service's before that is told.
    pub clock_tolerance_ms: u32,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            drain_seconds: 3,
            max_connection_age_seconds: 1800,
            max_message_bytes: 4 << 20,
            max_connections: 4096,
            max_concurrent_streams: 1024,
            plaintext: false,
            probes: None,
            clock_tolerance_ms: 1000,
        }
    }
}

/// OpenTelemetry.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// OTLP over gRPC, e.g. "http://collector:4317"; absent: quiet.
    #[schemars(extend("format" = "URL"))]
    pub otlp_endpoint: Option<String>,
    /// Where `serve` shows its metrics to Prometheus (`GET /metrics`), e.g. "0.0.0.0:9464"; absent: nowhere.
    #[schemars(extend("format" = "host:port"))]
    pub prometheus: Option<String>,
}

fn default_listen() -> String {
    "127.0.0.1:0".to_owned()
}

const fn yes() -> bool {
    true
}

const fn default_reload_seconds() -> u64 {
    10
}

const fn default_connections() -> u32 {
    16
}

const fn default_readers() -> u32 {
    4
}

const fn default_statement_seconds() -> u64 {
    60
}

/// Each service of the house may be a peer.
fn peers(_: &mut SchemaGenerator) -> Schema {
    let about = json!({
        "type": "string",
        "format": "peer",
        "description": "Where it is: \"http://host:7701\" (with `tls` \"https://…\"), several replicas separated by commas, or \
                        \"dns:///host:7701\" for all that the name has, looked up every five seconds.",
    });
    let peers: Map<_, _> = services().map(|service| (service.to_owned(), about.clone())).collect();
    json_schema!({ "type": "object", "properties": peers, "additionalProperties": false })
}

/// The services of the house.
fn services() -> impl Iterator<Item = &'static str> {
    let packages = contract::methods().filter_map(|method| method.service.strip_prefix("shixun.")?.split('.').next());
    packages.filter(|package| *package != "common")
}
