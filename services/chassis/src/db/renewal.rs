//! Connections that a migration has overtaken: what they have prepared tells of tables as they were, and PostgreSQL refuses it when a
//! statement's columns are no longer the same ("cached plan must not change result type"). Each is replaced when it is next taken.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use sqlx::postgres::PgDatabaseError;
use tokio::time::Instant;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Renewal(Mutex<Option<Instant>>);

impl Renewal {
    /// What was opened before now is no longer good.
    pub fn renew(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a connection of this age still is.
    pub fn keeps(&self, age: Duration) -> bool {
        let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_none_or(|since| age < since.elapsed())
    }
}

/// Whether a prepared statement was overtaken. Nothing was done: running the transaction again resolves it.
pub(crate) fn is_overtaken(error: &sqlx::Error) -> bool {
    let error = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    // The code says only that something is not supported; the message may be in any language.
    error.is_some_and(|error| error.code() == "0A000" && error.routine() == Some("RevalidateCachedQuery"))
}
