//! Health by gRPC's standard service, as an orchestrator asks for it.
//!
//! "liveness" says that the process answers: nothing else, so that no neighbour's fault has anybody restarted. "readiness" says
//! that what it would answer is sound: after the first look at the gates, and once each mirror has come to where its source
//! stood. It then stays, whatever becomes of the neighbours, but for as long as the service's own database does not answer this
//! process: another replica's way to it may be whole. The empty name and those of the gRPC services say that calls are taken.

use std::time::Duration;

use futures::future::join_all;
use proto::common::v1::{GetStatusRequest, gate_service_client::GateServiceClient};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic_health::{
    ServingStatus::{NotServing, Serving},
    server::HealthReporter,
};

use crate::{
    db::{Db, Scope},
    gates,
    peer::{Peer, within},
    pulse::Pulse,
    server::gate_api::halted,
};

/// Asks whether the process answers.
pub const LIVENESS: &str = "liveness";
/// Asks whether it should be given calls.
pub const READINESS: &str = "readiness";

/// A source that has been silent for so long is away: whoever holds facts of it does not wait for more.
const AWAY: Duration = Duration::from_secs(3);
/// Between two looks at what has not come yet.
const AGAIN: Duration = Duration::from_millis(100);

/// What a server that serves `served` says of itself from the first moment.
pub(super) async fn begin(health: &HealthReporter, served: &[&'static str]) {
    health.set_service_status(LIVENESS, Serving).await;
    health.set_service_status(READINESS, NotServing).await;
    for service in served.iter().chain([&""]) {
        health.set_service_status(*service, Serving).await;
    }
}

/// Keeps the health of a server that serves `served` and mirrors `sources`, until it ends. `needed` is what it can serve nobody
/// without.
pub(super) async fn report(
    health: HealthReporter,
    served: Vec<&'static str>,
    db: Db,
    sources: Vec<(&'static str, Peer)>,
    needed: Option<Pulse>,
    ending: CancellationToken,
) {
    let keep = async {
        ready(&db, &sources).await;
        tracing::debug!(service = db.service(), "ready");
        health.set_service_status(READINESS, Serving).await;
        let Some(needed) = needed else { return };
        // It is asked also while nobody waits: who is not given calls would have nobody who does.
        let _waits = needed.wait();
        loop {
            needed.gone().await;
            health.set_service_status(READINESS, NotServing).await;
            needed.back().await;
            health.set_service_status(READINESS, Serving).await;
        }
    };
    // Whether it was ready or not: it ends.
    let _ = ending.run_until_cancelled(keep).await;
    ending.cancelled().await;
    for service in served.iter().chain([&"", &READINESS]) {
        health.set_service_status(*service, NotServing).await;
    }
}

async fn ready(db: &Db, sources: &[(&'static str, Peer)]) {
    while let Err(error) = gates::load_for_reading(&mut db.reader(), db, Scope::AnyTerm).await {
        tracing::warn!(service = db.service(), %error, "the gates cannot be read yet");
        tokio::time::sleep(AGAIN).await;
    }
    join_all(sources.iter().map(|(source, peer)| caught_up(db, source, peer))).await;
}

/// Waits until the mirror has what the source had at the first answer; if none comes, or it is not what was followed, whatever it held
/// before will do.
async fn caught_up(db: &Db, source: &'static str, peer: &Peer) {
    let began = Instant::now();
    let mut moved = db.inner().mirrored.subscribe();
    let mut goal = None;
    loop {
        moved.mark_unchanged();
        if goal.is_none() {
            let mut source = GateServiceClient::new(peer.clone());
            let status = source.get_status(within(AWAY, GetStatusRequest {})).await;
            goal = status.ok().map(|status| status.into_inner().position);
        }
        if let Ok(held) = gates::all_positions(&mut db.reader()).await {
            let held = held.get(source).copied().unwrap_or_default();
            match goal {
                Some(goal) if held >= goal => return,
                None if held > 0 && began.elapsed() >= AWAY => {
                    tracing::warn!(source, "the source is away; what was mirrored before is served");
                    return;
                }
                _ if held > 0 && halted(db).contains(source) => {
                    tracing::warn!(source, "the mirror is halted; what was mirrored before is served");
                    return;
                }
                _ => {}
            }
        }
        // Another replica may be the one that mirrors: the database is looked at now and then.
        let _ = tokio::time::timeout(AGAIN, moved.changed()).await;
    }
}
