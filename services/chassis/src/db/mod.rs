//! The database of a service: SQLite or PostgreSQL behind one SQL text.
//!
//! `Db::begin` is the only door to a writing transaction; `Db::read` the door to reading on a caller's behalf.

pub(crate) mod archive;
mod backup;
mod connections;
mod doors;
mod later;
mod lent;
mod lock;
mod meters;
mod queries;
mod record;
pub(crate) mod renewal;
pub(crate) mod request;
mod rows;
mod schema;
mod scope;
mod tx;
mod value;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use anyhow::Context as _;
use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, Postgres, Sqlite,
    postgres::{PgConnectOptions, PgConnection, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::watch;

pub use archive::Archive;
pub use backup::backup;
pub use connections::Lane;
pub use queries::{Queries, Reader};
pub use record::Record;
pub use request::{Claim, Claimed, forget, purge, recall, tell_apart};
pub(crate) use rows::Column;
pub use rows::{Cell, Rows};
pub use schema::Migrations;
pub use scope::Scope;
pub use tx::Tx;
pub use value::{Row, Sql, Value};

use connections::Connections;
use lent::Lent;
use renewal::Renewal;

use crate::{config::DatabaseConfig, env::Env, failure::Failure, gates::TermGates, pulse::Pulse};

/// Arguments of a statement: `args![name, 5_i64, Some("x")]`.
#[macro_export]
macro_rules! args {
    () => { Vec::<$crate::db::Value>::new() };
    ($($value:expr),+ $(,)?) => { vec![$($crate::db::Value::from($value)),+] };
}
pub use crate::{args, insert, keyed, row};

/// The database of a service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub pool: Pool,
    pub service: &'static str,
    pub env: Env,
    /// Gates as last seen; the fence's revision tells whether they still hold.
    pub gates: RwLock<BTreeMap<String, Arc<TermGates>>>,
    /// How far each mirror of this process was seen to have come.
    pub positions: Mutex<BTreeMap<String, i64>>,
    /// The newest feed position committed by this process: wakes watchers.
    pub head: watch::Sender<i64>,
    /// Rises when a mirror of this process has moved.
    pub mirrored: watch::Sender<u64>,
    /// Whether PostgreSQL answers; an embedded database always does.
    pub pulse: Option<Pulse>,
    /// How long is waited for what a connection to PostgreSQL was asked.
    patience: Duration,
    /// Which of PostgreSQL's connections are no longer good.
    renewal: Renewal,
    /// Neighbours whose clocks differ from ours by more than is tolerated: by how many microseconds they are ahead.
    pub skews: Mutex<BTreeMap<&'static str, i64>>,
    /// Sources whose feeds do not hold what this process's mirrors took from them.
    pub halted: Mutex<BTreeSet<&'static str>>,
    lock: Mutex<Option<lock::FileLock>>,
}

#[derive(Debug)]
pub(crate) enum Pool {
    Sqlite { writer: Arc<Connections<Sqlite>>, readers: Arc<Connections<Sqlite>> },
    Postgres { pool: Arc<Connections<Postgres>>, main: Arc<Connections<Postgres>>, aside: Arc<Connections<Postgres>> },
}

/// What every session has. A lost client must not hold the fence or the feed's head until TCP notices. And a plan made while a
/// table was empty must not scan it when it has filled: what can walk an index does. Where nothing can, the price of that would
/// have each statement compiled, which takes longer than the statement; or given to workers, whose start takes longer, too.
const SESSION: &str = "SET idle_in_transaction_session_timeout = '60s';
     SET enable_seqscan = off; SET jit = off; SET max_parallel_workers_per_gather = 0";
/// How long after PostgreSQL has ended a statement its answer may still be on the way. What has none by then waits on a connection that
/// leads nowhere, while others answer: one that a network has forgotten, or to a primary that another one has replaced. TCP would find
/// that out in a quarter of an hour, or never.
const ON_THE_WAY: Duration = Duration::from_secs(5);
/// Connections of a lane: one, and one more for whoever comes while that one is under way.
const OF_A_LANE: u32 = 2;
/// How long a connection may have been idle without being asked whether it is still there.
const RESTED: Duration = Duration::from_secs(1);

/// Which engine a database runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Embedded: one process, one writer.
    Sqlite,
    /// Production.
    Postgres,
}

impl Db {
    /// Opens the database of `service`, without migrating it. A `sqlite:` file is created where there is none, and locked
    /// against a second process.
    ///
    /// # Errors
    /// If the URL is of neither engine, the file is held by another process, or the server cannot be reached.
    pub async fn open(service: &'static str, config: &DatabaseConfig, env: Env) -> anyhow::Result<Self> {
        let renewal = Renewal::default();
        let (pool, pulse, lock) = if config.url.starts_with("sqlite:") {
            let path = config.url.trim_start_matches("sqlite:").trim_start_matches("//");
            let lock = lock::FileLock::take(Path::new(path))?;
            (open_sqlite(config, &renewal).await?, None, Some(lock))
        } else if config.url.starts_with("postgres:") || config.url.starts_with("postgresql:") {
            let (pool, pulse) = open_postgres(service, config, &renewal).await?;
            (pool, Some(pulse), None)
        } else {
            anyhow::bail!("database.url must begin with sqlite: or postgres:");
        };
        let inner = Arc::new(Inner {
            pool,
            service,
            env,
            gates: RwLock::default(),
            positions: Mutex::default(),
            head: watch::Sender::new(0),
            mirrored: watch::Sender::new(0),
            pulse,
            patience: Duration::from_secs(config.statement_seconds).saturating_add(ON_THE_WAY),
            renewal,
            skews: Mutex::default(),
            halted: Mutex::default(),
            lock: Mutex::new(lock),
        });
        meters::observe(&inner);
        Ok(Self(inner))
    }

    /// The engine that it runs on.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match &self.0.pool {
            Pool::Sqlite { .. } => Engine::Sqlite,
            Pool::Postgres { .. } => Engine::Postgres,
        }
    }

    /// The world that this database's service lives in.
    #[must_use]
    pub fn env(&self) -> &Env {
        &self.0.env
    }

    /// The service that owns this database.
    #[must_use]
    pub fn service(&self) -> &'static str {
        self.0.service
    }

    /// Waits for what is asked of the database on a connection, for as long as it may take.
    ///
    /// # Errors
    /// Its own, and `UNAVAILABLE` as soon as it is found not to answer.
    pub(crate) async fn answered<T>(
        &self,
        asked: impl Future<Output = Result<T, sqlx::Error>> + Send,
    ) -> Result<T, Failure> {
        let patience = self.0.patience;
        let asked = async { tokio::time::timeout(patience, asked).await.unwrap_or(Err(sqlx::Error::PoolTimedOut)) };
        let outcome = self.there(asked).await?;
        self.0.renewal.look(&outcome);
        Ok(outcome?)
    }

    /// A connection of one of the pools, which bound the wait for one.
    ///
    /// # Errors
    /// `UNAVAILABLE` if there is none in time, or the server is found not to answer.
    pub(crate) async fn lent<DB: sqlx::Database>(&self, of: &Connections<DB>) -> Result<Lent<DB>, Failure> {
        Ok(self.there(of.lend()).await??)
    }

    /// Waits, for as long as the database is there.
    async fn there<T>(&self, work: impl Future<Output = T> + Send) -> Result<T, Failure> {
        match &self.0.pulse {
            None => Ok(work.await),
            Some(pulse) => pulse.during(work).await.ok_or_else(|| Failure::away("database")),
        }
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    /// Closes all connections, and frees an embedded file for another process.
    pub async fn close(&self) {
        match &self.0.pool {
            Pool::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Pool::Postgres { pool, main, aside } => {
                main.close().await;
                aside.close().await;
                pool.close().await;
            }
        }
        self.0.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

async fn open_sqlite(config: &DatabaseConfig, renewal: &Renewal) -> anyhow::Result<Pool> {
    let options = SqliteConnectOptions::from_str(&config.url)
        .context("database.url")?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // An acknowledged selection is a promise: it is on the disk before the answer.
        .synchronous(if config.durable { SqliteSynchronous::Full } else { SqliteSynchronous::Off })
        .busy_timeout(Duration::from_secs(10))
        .statement_cache_capacity(500)
        // A page's rows at once: a full channel has two threads wake each other row by row.
        .row_buffer_size(1024)
        .pragma("cache_size", "-16000")
        .foreign_keys(true);
    // A file does not go away: nothing is asked before a connection is used.
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .test_before_acquire(false)
        .acquire_timeout(Duration::from_secs(60))
        .after_release(|connection, _| {
            Box::pin(async move {
                // Behind the rollback. What SQLite itself has rolled back, because the disk was full, sqlx takes to be under way
                // for ever: such a connection would begin nothing any more.
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        })
        .connect_with(options.clone())
        .await
        .context("opening the SQLite file for writing")?;
    let readers = SqlitePoolOptions::new()
        .max_connections(config.readers)
        .test_before_acquire(false)
        .connect_with(options.read_only(true).pragma("query_only", "1"))
        .await
        .context("opening the SQLite file for reading")?;
    let [writer, readers] = [writer, readers].map(|pool| Arc::new(Connections::of(pool, renewal.clone())));
    Ok(Pool::Sqlite { writer, readers })
}

async fn open_postgres(
    service: &'static str,
    config: &DatabaseConfig,
    renewal: &Renewal,
) -> anyhow::Result<(Pool, Pulse)> {
    let options = PgConnectOptions::from_str(&config.url)
        .context("database.url")?
        .application_name(&format!("shixun-{service}"))
        .statement_cache_capacity(500);
    let session = format!("SET statement_timeout = '{}s'; {SESSION}", config.statement_seconds);
    let pool = |connections| {
        let (renewal, session) = (renewal.clone(), session.clone());
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(30))
            // Whether it is still there is asked of a connection that has rested: of a busy one it would double the way of each
            // statement.
            .test_before_acquire(false)
            .before_acquire(move |connection, last| {
                let is_kept = renewal.keeps(last.age);
                Box::pin(async move {
                    if is_kept && last.idle_for > RESTED {
                        // One that a network has forgotten about never answers; another one is opened in its place.
                        let asked = tokio::time::timeout(RESTED, connection.ping()).await;
                        asked.map_err(|_| sqlx::Error::PoolTimedOut)??;
                    }
                    Ok(is_kept)
                })
            })
            .after_connect(move |connection, _| {
                // A number, and constants.
                let session = AssertSqlSafe(session.clone());
                Box::pin(async move { connection.execute(sqlx::raw_sql(session)).await.map(drop) })
            })
    };
    let pulse = pulse(service, options.clone());
    // Opened when the first batch comes: most services have none.
    let lane = || pool(OF_A_LANE).connect_lazy_with(options.clone());
    let (main, aside) = (lane(), lane());
    let pool = pool(config.connections).connect_with(options).await.context("connecting to PostgreSQL")?;
    let [pool, main, aside] = [pool, main, aside].map(|pool| Arc::new(Connections::of(pool, renewal.clone())));
    Ok((Pool::Postgres { pool, main, aside }, pulse))
}

/// Asks on a connection of its own, which is opened when somebody has waited for the first time.
fn pulse(service: &'static str, options: PgConnectOptions) -> Pulse {
    let kept = Arc::new(tokio::sync::Mutex::new(None::<PgConnection>));
    Pulse::new(service, "database", move || {
        let (kept, options) = (Arc::clone(&kept), options.clone());
        Box::pin(async move {
            let mut kept = kept.lock().await;
            // Taken: a question that is given up in the middle leaves nothing to ask the next one on.
            let asked = match kept.take() {
                Some(mut connection) => connection.ping().await.map(|()| connection),
                None => Err(sqlx::Error::PoolTimedOut),
            };
            let answered = match asked {
                Ok(connection) => Ok(connection),
                // It may have been ended by a server that is there again.
                Err(_) => PgConnection::connect_with(&options).await,
            };
            *kept = answered.inspect_err(|error| tracing::debug!(%error, "asking the database")).ok();
            kept.is_some()
        })
    })
}
