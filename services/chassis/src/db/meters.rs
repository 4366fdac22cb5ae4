//! What a database's pools measure of themselves, named as OpenTelemetry's conventions name it.

use std::sync::{Arc, Weak};

use opentelemetry::KeyValue;

use super::{Inner, Pool, connections::Connections};
use crate::{failure::STORAGE_FULL, telemetry::meter};

/// Connections of a pool: its name, most, open, idle of them.
type Counts = (&'static str, u32, u32, usize);

fn connections(inner: &Inner) -> Vec<Counts> {
    match &inner.pool {
        Pool::Sqlite { writer, readers } => [("writer", writer), ("readers", readers)].map(counts).into(),
        Pool::Postgres { pool, main, aside } => {
            [("postgres", pool), ("batches", main), ("aside", aside)].map(counts).into()
        }
    }
}

fn counts<DB: sqlx::Database>((name, of): (&'static str, &Arc<Connections<DB>>)) -> Counts {
    let (most, open, idle) = of.counts();
    (name, most, open, idle)
}

fn label(inner: &Inner, pool: &str) -> KeyValue {
    KeyValue::new("db.client.connection.pool.name", format!("{}-{pool}", inner.service))
}

/// Shows the pools for as long as the database is open.
pub(super) fn observe(inner: &Arc<Inner>) {
    // What begins with the first one cannot be seen to have risen by it.
    STORAGE_FULL.add(0, &[]);
    let weak: Weak<Inner> = Arc::downgrade(inner);
    meter()
        .i64_observable_up_down_counter("db.client.connection.count")
        .with_unit("{connection}")
        .with_description("Connections, used and idle")
        .with_callback({
            let weak = weak.clone();
            move |observer| {
                let Some(inner) = weak.upgrade() else { return };
                for (name, _, open, idle) in connections(&inner) {
                    let idle = i64::try_from(idle).unwrap_or(i64::MAX);
                    let used = i64::from(open).saturating_sub(idle).max(0);
                    for (state, number) in [("used", used), ("idle", idle)] {
                        let state = KeyValue::new("db.client.connection.state", state);
                        observer.observe(number, &[label(&inner, name), state]);
                    }
                }
            }
        })
        .build();
    meter()
        .i64_observable_up_down_counter("db.client.connection.max")
        .with_unit("{connection}")
        .with_description("Connections that a pool may have (database.connections, database.readers)")
        .with_callback(move |observer| {
            let Some(inner) = weak.upgrade() else { return };
            for (name, most, _, _) in connections(&inner) {
                observer.observe(i64::from(most), &[label(&inner, name)]);
            }
        })
        .build();
}
