//! What is shown of the places of a term.

use std::sync::LazyLock;

use chassis::{
    Failure,
    db::Db,
    telemetry::{Gauge, KeyValue, meter},
};

use crate::store::seats;

static SEATS: LazyLock<Gauge<i64>> = LazyLock::new(|| {
    let meter = meter();
    let gauge = meter.i64_gauge("shixun.seats").with_unit("{seat}");
    gauge.with_description("Places of a term's projects: held for submissions, granted, free").build()
});

/// Looks at the places of every term.
pub async fn seats(db: Db) -> Result<(), Failure> {
    for (term, totals) in seats::totals(&mut db.reader()).await? {
        let states = [("held", totals.held), ("granted", totals.granted), ("free", totals.free())];
        for (state, number) in states {
            SEATS.record(number, &[KeyValue::new("term", term.clone()), KeyValue::new("state", state)]);
        }
    }
    Ok(())
}
