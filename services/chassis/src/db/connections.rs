//! A pool, and beside it those of its connections that were used a moment ago. Given back to a pool, each is asked whether it is still
//! there, while whoever comes next waits; lent from here it is used as it is, with its plans and pages at hand.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::{Connection as _, Database};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use super::{RESTED, lent::Lent, renewal::Renewal};

/// How long one stays here that nobody uses: the pool then ends it when it has been idle for long.
const UNUSED: Duration = Duration::from_secs(10);

/// One of the hot path's ways to PostgreSQL, which do not wait for each other's statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Where everyone goes.
    Main,
    /// Where who does not wait for the others goes.
    Aside,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Connections<DB: Database> {
    pool: sqlx::Pool<DB>,
    /// As many as the pool may have connections: who has a place finds one here, or in the pool.
    places: Arc<Semaphore>,
    /// Those that are ready, used last at the end.
    ready: Mutex<Vec<Ready<DB>>>,
    renewal: Renewal,
}

#[derive(Debug)]
struct Ready<DB: Database> {
    lent: Lent<DB>,
    used: Instant,
}

impl<DB: Database> Connections<DB> {
    pub fn of(pool: sqlx::Pool<DB>, renewal: Renewal) -> Self {
        let most = usize::try_from(pool.options().get_max_connections()).unwrap_or(Semaphore::MAX_PERMITS);
        Self { pool, places: Arc::new(Semaphore::new(most)), ready: Mutex::default(), renewal }
    }

    fn ready(&self) -> MutexGuard<'_, Vec<Ready<DB>>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One on which nothing is under way.
    ///
    /// # Errors
    /// If there is none in the time that the pool has for it, or none can be opened.
    pub async fn lend(&self) -> Result<Lent<DB>, sqlx::Error> {
        let place = Arc::clone(&self.places).acquire_owned();
        let place = timeout(self.pool.options().get_acquire_timeout(), place).await;
        let place = place.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|_| sqlx::Error::PoolClosed)?;
        let lent = match self.take().await {
            Some(lent) => lent,
            None => Lent::new(self.pool.acquire().await?),
        };
        Ok(lent.at(Some(place)))
    }

    /// Of those that are ready the one that was used last. Those that are no longer good go back to the pool.
    async fn take(&self) -> Option<Lent<DB>> {
        loop {
            let Ready { mut lent, used } = self.ready().pop()?;
            let age = lent.since.elapsed();
            if !self.renewal.keeps(age) || self.pool.options().get_max_lifetime().is_some_and(|most| most < age) {
                continue;
            }
            // One that a network has forgotten about never answers; nor will those that have rested for longer.
            if used.elapsed() < RESTED || matches!(timeout(RESTED, lent.ping()).await, Ok(Ok(()))) {
                return Some(lent);
            }
            self.ready().clear();
        }
    }

    /// Takes back one on which nothing is under way.
    pub fn keep(&self, lent: Lent<DB>) {
        let mut ready = self.ready();
        ready.push(Ready { lent: lent.at(None), used: Instant::now() });
        let unused = ready.first().is_some_and(|first| first.used.elapsed() > UNUSED).then(|| ready.remove(0));
        let left = if self.pool.is_closed() { std::mem::take(&mut *ready) } else { Vec::new() };
        drop(ready);
        drop((unused, left));
    }

    /// How another connection is opened.
    pub fn options(&self) -> Arc<<DB::Connection as sqlx::Connection>::Options> {
        self.pool.connect_options()
    }

    pub async fn close(&self) {
        let closed = self.pool.close();
        let left = std::mem::take(&mut *self.ready());
        drop(left);
        closed.await;
    }

    /// How many there may be, how many there are, and how many of those are idle.
    pub fn counts(&self) -> (u32, u32, usize) {
        let idle = self.pool.num_idle().saturating_add(self.ready().len());
        (self.pool.options().get_max_connections(), self.pool.size(), idle)
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{Row as _, Sqlite, sqlite::SqlitePoolOptions};

    use super::*;

    async fn one(lives: Duration) -> Connections<Sqlite> {
        let pool = SqlitePoolOptions::new().max_connections(1).max_lifetime(lives);
        Connections::of(pool.connect("sqlite::memory:").await.unwrap(), Renewal::default())
    }

    async fn count(lent: &mut Lent<Sqlite>, of: &'static str) -> i64 {
        sqlx::query(of).fetch_one(&mut **lent).await.unwrap().get(0)
    }

    const TABLES: &str = "SELECT count(*) FROM temp.sqlite_master";

    #[tokio::test]
    async fn what_was_used_a_moment_ago_is_lent_to_the_next_one() {
        let connections = one(Duration::MAX).await;
        let mut lent = connections.lend().await.unwrap();
        sqlx::query("CREATE TEMP TABLE seen (n)").execute(&mut *lent).await.unwrap();
        // There is no other.
        let (second, ()) = tokio::join!(connections.lend(), async { connections.keep(lent) });
        let mut second = second.unwrap();
        assert_eq!(count(&mut second, TABLES).await, 1, "the same one");
        assert_eq!(connections.counts(), (1, 1, 0));
        connections.keep(second);
        assert_eq!(connections.counts(), (1, 1, 1));
        connections.close().await;
        assert_eq!(connections.counts(), (1, 0, 0));
        assert!(connections.lend().await.is_err());
    }

    #[tokio::test]
    async fn what_was_left_in_the_middle_is_rolled_back_first() {
        let connections = one(Duration::MAX).await;
        let mut lent = connections.lend().await.unwrap().begin(None).await.unwrap();
        sqlx::query("CREATE TEMP TABLE half (n)").execute(&mut *lent).await.unwrap();
        drop(lent);
        let mut next = connections.lend().await.unwrap();
        assert_eq!(count(&mut next, TABLES).await, 0);
        let lent = next.begin(None).await.unwrap();
        connections.keep(lent.commit().await.unwrap());
    }

    #[tokio::test]
    async fn what_is_too_old_is_not_lent_again() {
        let connections = one(Duration::ZERO).await;
        let mut lent = connections.lend().await.unwrap();
        sqlx::query("CREATE TEMP TABLE seen (n)").execute(&mut *lent).await.unwrap();
        connections.keep(lent);
        let mut next = connections.lend().await.unwrap();
        assert_eq!(count(&mut next, TABLES).await, 0, "another one");
    }
}
