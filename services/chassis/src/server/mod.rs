//! A server of the house: one way to start it, for every service, in production and in tests.

mod clock_api;
pub(crate) mod gate_api;
pub mod health;
mod host;
mod rules;
mod severable;
mod step_api;

use std::{
    future::{self, Future},
    time::Duration,
};

use anyhow::Context as _;
use futures::TryStreamExt as _;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Server, server::TcpIncoming};

pub use gate_api::WindowCheck;
pub use host::Host;
use severable::Severable;
pub use step_api::{StepOutcome, Steps};

use crate::{
    config::{ClockConfig, Config},
    db::{Db, Migrations},
    env::{Clock, Env},
    places::{self, Places},
    telemetry::{KeyValue, TraceLayer},
};

/// What the tasks of a service and its database get to end, once its connections are gone.
const GRACE: Duration = Duration::from_millis(500);

const CONNECTIONS: places::Kind = places::Kind {
    name: "shixun.server.connections",
    unit: "{connection}",
    what: "Connections to a server",
    key: "server.max_connections",
};

/// A service of the house.
pub trait Program: 'static {
    /// Its name: of the binary, of its keys, in changes.
    const NAME: &'static str;
    /// The neighbours that it calls or mirrors; its configuration must have their addresses.
    const PEERS: &'static [&'static str] = &[];
    /// Its configuration, chassis's part included.
    type Config: DeserializeOwned + JsonSchema + AsRef<Config> + Clone + Send + Sync + 'static;
    /// Its schema.
    fn migrations() -> Migrations;
    /// Adds its gRPC services, mirrors, steps and policy to the host.
    fn build(host: &mut Host, config: &Self::Config) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Serves until `shutdown`, then drains for at most as long as configured.
///
/// # Errors
/// If the database cannot be opened, a method has no rule, or the server fails.
pub async fn serve<P: Program>(
    config: P::Config,
    listener: TcpListener,
    env: Env,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let common = config.as_ref();
    let db = Db::open(P::NAME, &common.database, env.clone()).await?;
    if common.database.migrate {
        db.migrate(&P::migrations()).await.context("migrating the database")?;
    } else {
        db.check_schema(&P::migrations()).await?;
    }
    if let Clock::Rehearsal(clock) = &env.clock {
        clock_api::restore(&db, clock).await?;
    }
    // Everything that the service runs beside its server ends with it.
    let ending = shutdown.child_token();
    let _ends_with_us = ending.clone().drop_guard();
    let mut host = Host::new(P::NAME, P::PEERS, db.clone(), common, ending.clone())?;
    P::build(&mut host, &config).await?;
    if common.clock == ClockConfig::Rehearsal {
        host.add_clock();
    }
    let drain = Duration::from_secs(common.server.drain_seconds);
    let bounds = common.server.clone();
    let identity = host.identity();
    let (routes, tasks) = host.finish()?;

    let cut = CancellationToken::new();
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let connections = Places::new(CONNECTIONS, bounds.max_connections, KeyValue::new("service", P::NAME));
    let incoming = incoming.try_filter_map({
        let cut = cut.clone();
        // One that finds no place is closed at once: whoever called tries elsewhere, or later.
        move |connection| future::ready(Ok(connections.take().map(|place| Severable::new(connection, &cut, place))))
    });
    let mut server = tokio::spawn(
        Server::builder()
            .max_connection_age(Duration::from_secs(bounds.max_connection_age_seconds))
            .max_concurrent_streams(bounds.max_concurrent_streams)
            .http2_keepalive_interval(Some(Duration::from_secs(20)))
            .layer(TraceLayer)
            .layer(rules::RuleLayer::new(identity, env))
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned()),
    );
    let limit = async {
        shutdown.cancelled().await;
        tokio::time::sleep(drain).await;
    };
    let outcome = tokio::select! {
        outcome = &mut server => outcome,
        () = limit => {
            // An idle or half-open peer would hold the graceful end for ever.
            tracing::info!(service = P::NAME, "drain limit reached; connections are cut");
            cut.cancel();
            server.await
        }
    };
    ending.cancel();
    let grace = tokio::time::Instant::now() + GRACE;
    for mut task in tasks {
        if tokio::time::timeout_at(grace, &mut task).await.is_err() {
            task.abort();
        }
    }
    // A statement that the database does not answer must not hold the process.
    let _ = tokio::time::timeout_at(grace, db.close()).await;
    outcome.context("the server's task")?.context("serving")
}
