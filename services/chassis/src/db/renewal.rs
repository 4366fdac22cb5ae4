//! Connections that are no longer good for what they were opened for, though they still answer: none that was there when it was
//! noticed is used again, and what is opened in its place is.
//!
//! - A migration has overtaken them: what they have prepared tells of tables as they were, and PostgreSQL refuses it when a
//!   statement's columns are no longer the same ("cached plan must not change result type").
//! - Their server writes no more. A primary that has become a standby, or a standby that somebody was led to during a failover, keeps
//!   its connections and refuses every write on them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::postgres::PgDatabaseError;
use tokio::time::Instant;

/// `read_only_sql_transaction`, by which a standby refuses.
pub(crate) const READ_ONLY: &str = "25006";

/// When it was noticed for the last time. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Renewal(Arc<Mutex<Option<Instant>>>);

impl Renewal {
    /// Looks what a statement came to.
    pub fn look<T>(&self, outcome: &Result<T, sqlx::Error>) {
        if outcome.as_ref().is_err_and(|error| is_overtaken(error) || is_read_only(error)) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }

    /// Whether a connection of this age is still good.
    pub fn keeps(&self, age: Duration) -> bool {
        let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_none_or(|since| age < since.elapsed())
    }
}

fn is_read_only(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some(READ_ONLY)
}

/// Whether a prepared statement was overtaken. Nothing was done: running the transaction again resolves it.
pub(crate) fn is_overtaken(error: &sqlx::Error) -> bool {
    let error = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    // The code says only that something is not supported; the message may be in any language.
    error.is_some_and(|error| error.code() == "0A000" && error.routine() == Some("RevalidateCachedQuery"))
}
