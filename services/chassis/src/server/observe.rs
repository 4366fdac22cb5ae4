//! What can only be seen in the database is looked at every so often, and shown as a metric; not at all where nobody reads metrics.

use std::{future::Future, sync::LazyLock, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    db::{Db, Queries, args},
    failure::Failure,
    telemetry::{Gauge, KeyValue, meter},
};

/// As often as Prometheus comes by with its defaults.
const EVERY: Duration = Duration::from_secs(15);

/// Version of the gates that a service's database holds, by service and term.
static GATES: LazyLock<Gauge<i64>> = LazyLock::new(|| {
    let meter = meter();
    let gauge = meter.i64_gauge("shixun.gate.version");
    gauge.with_description("Version of the calendar that the service obeys").build()
});

/// Has `look` look until shutdown.
pub(super) async fn run<F: Future<Output = Result<(), Failure>> + Send>(
    db: Db,
    look: impl Fn(Db) -> F + Send,
    shutdown: CancellationToken,
) {
    let mut looks = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = looks.tick() => {
                if let Err(failure) = look(db.clone()).await {
                    tracing::debug!(%failure, "the database could not be looked at");
                }
            }
        }
    }
}

/// Looks at the gates.
pub(super) async fn gates(db: Db) -> Result<(), Failure> {
    for row in db.reader().all("SELECT term, gate_version FROM fence", args![]).await? {
        let labels = [KeyValue::new("service", db.service()), KeyValue::new("term", row.get::<String>("term")?)];
        GATES.record(row.get("gate_version")?, &labels);
    }
    Ok(())
}
