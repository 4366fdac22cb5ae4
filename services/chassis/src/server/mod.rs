//! A server of the house: one way to start it, for every service, in production and in tests.

mod audit_api;
mod clock_api;
mod due;
pub(crate) mod gate_api;
pub mod guard;
pub mod health;
mod host;
mod observe;
mod rules;
pub(crate) mod severable;
mod skew;
mod step_api;

use std::{
    future::{self, Future},
    io,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Server, server::TcpIncoming};

pub use due::Due;
pub use gate_api::CalendarCheck;
pub use guard::Guard;
pub use host::Host;
use host::Parts;
pub(crate) use host::WITHOUT_TLS;
use severable::Severable;
pub use step_api::{StepOutcome, Steps};

use crate::{
    config::{ClockConfig, Config},
    db::{Db, Migrations, archive},
    env::{Clock, Env},
    places::{self, Places},
    telemetry::{KeyValue, TraceLayer, meter},
    tls::{self, Line, Tls},
    trail::Trail,
};

/// What the tasks of a service and its database get to end, once its connections are gone.
const GRACE: Duration = Duration::from_millis(500);
/// What those get who are being greeted when the end begins. They may take themselves for connected and have sent a call by then: they are
/// let in, and told of the end in good order, as everyone is. Dropped, they could not know whether the call was carried out.
const GREETED: Duration = Duration::from_secs(1);

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
    /// Whether persons connect to it, who have no certificate; to others only services do.
    const FACES_PEOPLE: bool = false;
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
    let tls = common.tls.as_ref().map(|tls| Tls::load(P::NAME, P::FACES_PEOPLE, tls, env.clone())).transpose()?;
    let here = listener.local_addr()?;
    anyhow::ensure!(
        tls.is_some() || common.server.plaintext || here.ip().is_loopback(),
        "{here} is open to a network: {}",
        WITHOUT_TLS
    );
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
    let mut host = Host::new(P::NAME, P::PEERS, db.clone(), common, tls.clone(), ending.clone())?;
    let every = Duration::from_secs(common.keys.reload_seconds);
    host.spawn(host.identity().follow(every, ending.clone()));
    if let Some(tls) = tls.clone() {
        host.spawn(tls.follow(ending.clone()));
    }
    host.spawn(archive::watch(db.clone(), ending.clone()));
    P::build(&mut host, &config).await?;
    if common.clock == ClockConfig::Rehearsal {
        host.add_clock();
    }
    let drain = Duration::from_secs(common.server.drain_seconds);
    let bounds = common.server.clone();
    let identity = host.identity();
    let guard = host.guarded();
    let (trail, keeping) = Trail::new(db.clone());
    // It ends with the last call that may still read, within the drain's limit.
    host.spawn(keeping);
    let Parts { routes, health, mut tasks } = host.finish().await?;

    let cut = CancellationToken::new();
    let connections = Arc::new(Places::new(CONNECTIONS, bounds.max_connections, KeyValue::new("service", P::NAME)));
    if let Some(address) = &bounds.probes {
        let listener = TcpListener::bind(address).await.with_context(|| format!("server.probes {address}"))?;
        let incoming = severable(listener, &connections, &cut, &ending);
        let probes = Server::builder().add_routes(health);
        let probes = probes.serve_with_incoming_shutdown(incoming, ending.clone().cancelled_owned());
        tasks.push(tokio::spawn(async move {
            if let Err(error) = probes.await {
                tracing::error!(%error, "probes are no longer answered");
            }
        }));
    }
    let incoming = severable(listener, &connections, &cut, &shutdown);
    let incoming = greeted(P::NAME, incoming, tls, bounds.max_connections);
    let end = shutdown.clone();
    let nobody_more = async move {
        end.cancelled().await;
        tokio::time::sleep(GREETED).await;
    };
    let mut server = tokio::spawn(
        Server::builder()
            .max_connection_age(Duration::from_secs(bounds.max_connection_age_seconds))
            .max_concurrent_streams(bounds.max_concurrent_streams)
            .http2_keepalive_interval(Some(Duration::from_secs(20)))
            .layer(TraceLayer)
            .layer(rules::RuleLayer::new(identity, env, guard, trail))
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming, nobody_more),
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

/// Connections of a listener that found a place, until its end begins. One that finds none is closed at once: whoever called tries
/// elsewhere, or later.
fn severable(
    listener: TcpListener,
    connections: &Arc<Places>,
    cut: &CancellationToken,
    end: &CancellationToken,
) -> impl Stream<Item = io::Result<Severable>> + Send + use<> {
    let (connections, cut, end) = (Arc::clone(connections), cut.clone(), end.clone());
    // Not `take_until`: it would hold the listener as long as others are greeted, and who connects to it meanwhile waits for nobody.
    let taken = stream::unfold(TcpIncoming::from(listener).with_nodelay(Some(true)), move |mut incoming| {
        let end = end.clone();
        async move {
            let connection = end.run_until_cancelled(incoming.next()).await.flatten()?;
            Some((connection, incoming))
        }
    });
    taken.try_filter_map(move |connection| {
        future::ready(Ok(connections.take().map(|place| Severable::new(connection, &cut, place))))
    })
}

/// Connections once they are greeted, each in its own time; without TLS at once.
fn greeted(
    service: &'static str,
    incoming: impl Stream<Item = io::Result<Severable>> + Send,
    tls: Option<Tls>,
    at_once: usize,
) -> impl Stream<Item = io::Result<Line>> + Send {
    let refused = meter()
        .u64_counter("shixun.server.handshakes.refused")
        .with_unit("{connection}")
        .with_description(
            "Connections that were not let in: not greeted in time, or without a certificate that will do",
        )
        .build();
    let label = [KeyValue::new("service", service)];
    refused.add(0, &label);
    incoming
        .map(move |connection| {
            let (tls, refused, label) = (tls.clone(), refused.clone(), label.clone());
            async move {
                let (connection, tls) = match (connection, tls) {
                    (Err(error), _) => return Some(Err(error)),
                    (Ok(connection), None) => return Some(Ok(Line::Clear(connection))),
                    (Ok(connection), Some(tls)) => (connection, tls),
                };
                // On any of the processors, not on the one that listens.
                let greeting = tokio::spawn(async move { tls::accept(&tls, connection).await });
                match greeting.await {
                    Ok(Ok(line)) => return Some(Ok(line)),
                    Ok(Err(error)) => tracing::debug!(service, error = format!("{error:#}"), "not let in"),
                    Err(error) => tracing::error!(service, %error, "a handshake ended"),
                }
                refused.add(1, &label);
                None
            }
        })
        .buffer_unordered(at_once.max(1))
        .filter_map(future::ready)
}
