//! Connections to a server that writes no more. A primary that has become a standby, or a standby that somebody was led to during a
//! failover, keeps its connections and refuses every write on them. So none that was there at such a refusal is used again: what
//! is opened in its place finds the server that writes.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// `read_only_sql_transaction`, by which a standby refuses.
pub(crate) const READ_ONLY: &str = "25006";

/// When a write was refused so for the last time. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Demoted(Arc<Mutex<Option<Instant>>>);

impl Demoted {
    /// Looks what a statement came to.
    pub(super) fn look<T>(&self, done: &Result<T, sqlx::Error>) {
        let refusal = done.as_ref().err().and_then(sqlx::Error::as_database_error);
        if refusal.and_then(|error| error.code()).as_deref() == Some(READ_ONLY) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }

    /// Whether a connection of this age was there at such a refusal.
    pub(super) fn met(&self, age: Duration) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|refused| age >= refused.elapsed())
    }
}
