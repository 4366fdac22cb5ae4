//! A connection that a pool lends, and gets back within a time. The pool itself waits without one until what was begun on a connection
//! has ended: on one to a server that has fallen silent, for ever, and its place is never another's.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use sqlx::{Database, SqlStr, pool::PoolConnection};
use sqlx_core::transaction::TransactionManager as _;
use tokio::{runtime::Handle, sync::OwnedSemaphorePermit, time::Instant};

/// How long what a caller has given up may take to end, and a transaction that he left open to be rolled back. After it the connection
/// is dropped, and another one may be opened in its place. A server that is there and slower than this goes on for itself, and rolls
/// back when it finds nobody.
const GIVEN_BACK: Duration = Duration::from_secs(5);

/// See the module. Dropped in a transaction it rolls back.
#[derive(Debug)]
pub(crate) struct Lent<DB: Database> {
    connection: PoolConnection<DB>,
    /// When the pool lent it.
    pub since: Instant,
    /// Held while it is used.
    place: Option<OwnedSemaphorePermit>,
    /// It was asked to begin a transaction, and has not answered.
    begins: bool,
}

impl<DB: Database> Lent<DB> {
    pub fn new(connection: PoolConnection<DB>) -> Self {
        Self { connection, since: Instant::now(), place: None, begins: false }
    }

    /// With the place of who uses it; with none while nobody does.
    pub fn at(mut self, place: Option<OwnedSemaphorePermit>) -> Self {
        self.place = place;
        self
    }

    /// Begins a transaction on it, by this statement if there is one.
    pub async fn begin(mut self, by: Option<SqlStr>) -> Result<Self, sqlx::Error> {
        self.begins = true;
        DB::TransactionManager::begin(&mut self, by).await?;
        self.begins = false;
        Ok(self)
    }

    pub async fn commit(mut self) -> Result<Self, sqlx::Error> {
        DB::TransactionManager::commit(&mut self).await?;
        Ok(self)
    }

    pub async fn rollback(mut self) -> Result<Self, sqlx::Error> {
        DB::TransactionManager::rollback(&mut self).await?;
        Ok(self)
    }
}

impl<DB: Database> Deref for Lent<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        &self.connection
    }
}

impl<DB: Database> DerefMut for Lent<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        &mut self.connection
    }
}

impl<DB: Database> Drop for Lent<DB> {
    fn drop(&mut self) {
        // Sent with what follows; nothing outside of a transaction.
        DB::TransactionManager::start_rollback(&mut self.connection);
        // What its own drop would do, and in time: given up, it drops the connection and frees the place.
        let given_back = self.connection.return_to_pool();
        // Where no runtime is left, it is given up at once; and where a transaction may have begun of which sqlx does not know: it would
        // lend that to the next caller.
        if !self.begins
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async { drop(tokio::time::timeout(GIVEN_BACK, given_back).await) });
        }
    }
}
