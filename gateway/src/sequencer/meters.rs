//! What the sequencer measures of itself: steps that failed, and how late those were that were done.

use std::sync::LazyLock;

use chassis::{
    Failure,
    db::Db,
    telemetry::{Counter, Gauge, Histogram, KeyValue, SECONDS, meter},
};

use super::run::worker;
use crate::store::steps::{self, Step};

static STATES: LazyLock<Gauge<i64>> = LazyLock::new(|| {
    let meter = meter();
    let gauge = meter.i64_gauge("shixun.step.states").with_unit("{step}");
    gauge.with_description("Steps of a term by their state; due: pending, and its time has come").build()
});

static FAILURES: LazyLock<Counter<u64>> = LazyLock::new(|| {
    meter()
        .u64_counter("shixun.step.failures")
        .with_unit("{attempt}")
        .with_description("Attempts at a step that failed; it is tried again")
        .build()
});

static LATENESS: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    let bounds = SECONDS.into_iter().chain([30.0, 60.0, 300.0, 1800.0]).collect();
    meter()
        .f64_histogram("shixun.step.lateness")
        .with_unit("s")
        .with_description("From when a step was due to when it was done, in business time")
        .with_boundaries(bounds)
        .build()
});

fn service(step: &Step) -> [KeyValue; 1] {
    [KeyValue::new("service", worker(step))]
}

/// Looks at the steps of every term.
pub async fn observe(db: Db) -> Result<(), Failure> {
    let now = db.env().clock.now();
    for (term, state, number) in steps::states(&mut db.reader(), now).await? {
        STATES.record(number, &[KeyValue::new("term", term), KeyValue::new("state", state)]);
    }
    Ok(())
}

/// None has failed yet: what begins with the first one cannot be seen to have risen by it.
pub(super) fn begin<'a>(services: impl Iterator<Item = &'a String>) {
    for service in services {
        FAILURES.add(0, &[KeyValue::new("service", service.clone())]);
    }
}

/// An attempt failed.
pub(super) fn failed(step: &Step) {
    FAILURES.add(1, &service(step));
}

/// A step was done, at this instant of business time.
pub(super) fn done(step: &Step, at: i64) {
    let late = std::time::Duration::from_micros(at.saturating_sub(step.planned.due).max(0).unsigned_abs());
    LATENESS.record(late.as_secs_f64(), &service(step));
}
