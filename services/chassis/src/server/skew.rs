//! The neighbours' clocks beside ours. Each service opens and closes windows by its own; where they differ, a window is open here and
//! closed there. Of what is seen, the time that the question was under way is taken off: what is told is certain.

use std::{
    sync::{LazyLock, PoisonError},
    time::Duration,
};

use opentelemetry::{KeyValue, metrics::Gauge};
use proto::common::v1::{GetStatusRequest, gate_service_client::GateServiceClient};
use tokio_util::sync::CancellationToken;

use crate::{
    db::Db,
    peer::{Peer, within},
    telemetry::meter,
};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(10);
/// How long a neighbour may take to say what time it is.
const PATIENCE: Duration = Duration::from_secs(3);
/// Before what looks wrong is looked at once more: a rehearsal's clocks are set one after the other.
const AGAIN: Duration = Duration::from_secs(1);

static SKEW: LazyLock<Gauge<f64>> = LazyLock::new(|| {
    meter()
        .f64_gauge("shixun.clock.skew")
        .with_unit("s")
        .with_description("By how much a neighbour's clock is ahead of a service's at least; negative: behind")
        .build()
});

/// Compares clocks until the end.
pub(super) async fn watch(
    db: Db,
    neighbours: Vec<(&'static str, Peer)>,
    tolerance: Duration,
    ending: CancellationToken,
) {
    let tolerance = i64::try_from(tolerance.as_micros()).unwrap_or(i64::MAX);
    loop {
        for (neighbour, peer) in &neighbours {
            if let Some(ahead) = certain(&db, peer, tolerance).await {
                show(&db, neighbour, ahead, tolerance);
            }
        }
        tokio::select! {
            () = ending.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// By how many microseconds the neighbour is ahead, on two looks if the first one is past the tolerance; `None`: it does not say, or
/// time stands still.
async fn certain(db: &Db, peer: &Peer, tolerance: i64) -> Option<i64> {
    let first = ahead(db, peer).await?;
    if first.abs() <= tolerance {
        return Some(first);
    }
    tokio::time::sleep(AGAIN).await;
    let second = ahead(db, peer).await?;
    Some(if second.abs() < first.abs() { second } else { first })
}

async fn ahead(db: &Db, peer: &Peer) -> Option<i64> {
    let clock = &db.env().clock;
    if !clock.runs() {
        return None;
    }
    let before = clock.now();
    let status = GateServiceClient::new(peer.clone()).get_status(within(PATIENCE, GetStatusRequest {})).await;
    let told = proto::instant(&status.ok()?.into_inner().now?);
    Some(least(before, told, clock.now()))
}

/// The least by which a clock that told `told` at some moment between `before` and `after` is ahead of the one that these are by.
const fn least(before: i64, told: i64, after: i64) -> i64 {
    if told > after {
        told - after
    } else if told < before {
        told - before
    } else {
        0
    }
}

fn show(db: &Db, neighbour: &'static str, ahead: i64, tolerance: i64) {
    let labels = [KeyValue::new("service", db.service()), KeyValue::new("neighbour", neighbour)];
    SKEW.record(Duration::from_micros(ahead.unsigned_abs()).as_secs_f64().copysign(ahead as f64), &labels);
    let mut skews = db.inner().skews.lock().unwrap_or_else(PoisonError::into_inner);
    if ahead.abs() > tolerance {
        let ahead_ms = ahead / 1000;
        tracing::warn!(service = db.service(), neighbour, ahead_ms, "the neighbour's clock differs from ours");
        skews.insert(neighbour, ahead);
    } else if skews.remove(neighbour).is_some() {
        tracing::info!(service = db.service(), neighbour, "the neighbour's clock agrees with ours again");
    }
}

#[cfg(test)]
mod tests {
    use super::least;

    #[test]
    fn only_what_is_certain_is_told() {
        assert_eq!(least(100, 150, 200), 0);
        assert_eq!(least(100, 100, 200), 0);
        assert_eq!(least(100, 260, 200), 60);
        assert_eq!(least(100, 40, 200), -60);
    }
}
