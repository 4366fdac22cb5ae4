//! The hot path's connections: each lane keeps to one, so that the server has its plans and pages at hand, and does not give it back
//! between two batches: a pool asks each connection that comes back whether it is still there, while the next batch waits.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::{PgPool, Postgres};
use tokio::time::Instant;

use super::{Db, RESTED, lent::Lent, renewal::Renewal};
use crate::failure::Failure;

/// One of the hot path's ways to the database, which do not wait for each other's statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Where everyone goes.
    Main,
    /// Where who does not wait for the others goes.
    Aside,
}

/// The connection of a lane.
#[derive(Debug)]
pub(crate) struct Batches {
    /// Of one connection, and of one more for whoever comes while that one is under way.
    pub pool: PgPool,
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    lent: Lent<Postgres>,
    since: Instant,
    used: Instant,
}

impl Batches {
    /// Most connections of a lane.
    pub const CONNECTIONS: u32 = 2;

    pub fn new(pool: PgPool) -> Self {
        Self { pool, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was kept, if it is still good, else one of the pool; and since when it is lent.
    pub(super) async fn lent(&self, db: &Db, renewal: &Renewal) -> Result<(Lent<Postgres>, Instant), Failure> {
        let kept = self.kept().take();
        // One that has rested is given back, which asks whether it is still there.
        let good = |kept: &Kept| kept.used.elapsed() < RESTED && renewal.keeps(kept.since.elapsed());
        match kept.filter(good) {
            Some(Kept { lent, since, .. }) => Ok((lent, since)),
            None => Ok((db.lent(&self.pool).await?, Instant::now())),
        }
    }

    /// Keeps a connection on which nothing is under way for the next batch.
    pub fn keep(&self, lent: Lent<Postgres>, since: Instant) {
        *self.kept() = Some(Kept { lent, since, used: Instant::now() });
        if self.pool.is_closed() {
            self.kept().take();
        }
    }

    pub async fn close(&self) {
        let closed = self.pool.close();
        self.kept().take();
        closed.await;
    }
}
