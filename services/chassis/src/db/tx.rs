//! A writing transaction: admitted at the fence, recorded as changes, safe to repeat.

use std::{collections::BTreeMap, sync::Arc};

use futures::future::BoxFuture;
use prost::Message;
use proto::{
    Actor,
    common::v1::{Change, Phase, Reason, Window},
};
use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, Postgres, SqlSafeStr as _, Sqlite};

use super::{
    Claim, Db, Lane, Pool, Queries, Record, Row, Rows, Scope, Sql, Value, connections::Connections, later::Later,
    lent::Lent, queries,
};
use crate::{
    call::Admission,
    changes::feed,
    failure::Failure,
    gates::{self, Admitted, TermGates},
    policy::Policy,
    telemetry::statement,
};

/// A connection, and whom it is of.
#[derive(Debug)]
enum Engine {
    Sqlite(Lent<Sqlite>, Arc<Connections<Sqlite>>),
    Postgres(Lent<Postgres>, Arc<Connections<Postgres>>),
}

/// A writing transaction. Dropped without `commit` or `finish` it leaves nothing behind.
#[derive(Debug)]
pub struct Tx {
    engine: Engine,
    db: Db,
    pub(super) at: i64,
    pub(super) admitted: Admitted,
    /// Gates of the terms that this transaction stands under; the scope's own first.
    pub(super) gates: Vec<Arc<TermGates>>,
    scoped: bool,
    pub(super) claim: Option<Claim>,
    /// Why it will not be committed.
    pub(super) doomed: Option<Failure>,
    seed: [u8; 32],
    counter: u64,
    changes: Vec<Change>,
    pub(super) replies: Vec<(Claim, Vec<u8>)>,
    /// What is to be written before the next statement.
    pub(super) waiting: Vec<Later>,
    positions: Option<BTreeMap<String, i64>>,
}

impl Tx {
    /// Begins, without having looked at any gate.
    pub(super) async fn open(
        db: &Db,
        scope: Scope<'_>,
        at: i64,
        claim: Option<Claim>,
        lane: Option<Lane>,
    ) -> Result<Self, Failure> {
        let engine = match &db.inner().pool {
            Pool::Sqlite { writer, .. } => {
                let lent = db.lent(writer).await?.begin(Some("BEGIN IMMEDIATE".into_sql_str())).await?;
                Engine::Sqlite(lent, Arc::clone(writer))
            }
            Pool::Postgres { pool, main, aside } => {
                let of = match lane {
                    None => pool,
                    Some(Lane::Main) => main,
                    Some(Lane::Aside) => aside,
                };
                let lent = db.lent(of).await?;
                Engine::Postgres(db.answered(lent.begin(None)).await?, Arc::clone(of))
            }
        };
        let seed = claim.as_ref().map_or([0; 32], |claim| {
            Sha256::digest(format!("{}\n{}\n{}", claim.caller, claim.method, claim.request_id)).into()
        });
        let actor = Actor { service: db.service().to_owned(), ..Actor::default() };
        Ok(Self {
            engine,
            db: db.clone(),
            at,
            admitted: Admitted { actor: Arc::new(actor), windows: Vec::new() },
            gates: Vec::new(),
            scoped: scope != Scope::AnyTerm,
            claim,
            doomed: None,
            seed,
            counter: 0,
            changes: Vec::new(),
            replies: Vec::new(),
            waiting: Vec::new(),
            positions: None,
        })
    }

    /// Runs a statement; returns the number of rows it touched.
    ///
    /// # Errors
    /// Those of the database.
    pub fn execute(&mut self, sql: impl Into<Sql>, args: Vec<Value>) -> BoxFuture<'_, Result<u64, Failure>> {
        let sql = sql.into();
        Box::pin(async move {
            self.write_waiting().await?;
            let engine = self.db.engine();
            let asked = async {
                Ok(match &mut self.engine {
                    Engine::Sqlite(tx, _) => queries::sqlite(sql, args).execute(&mut **tx).await?.rows_affected(),
                    Engine::Postgres(tx, _) => self
                        .db
                        .answered(queries::postgres(sql.postgres, args).execute(&mut **tx))
                        .await?
                        .rows_affected(),
                })
            };
            statement(engine, sql.of(engine), asked).await
        })
    }

    /// Runs a statement of [`insert!`](crate::db::insert), unless there is nothing to insert; returns the number of rows that
    /// are new.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn insert(&mut self, sql: Sql, rows: Rows) -> Result<u64, Failure> {
        if rows.is_empty() { Ok(0) } else { self.execute(sql, vec![rows.into()]).await }
    }

    /// The first row of a statement that was put together for PostgreSQL, of texts that are constants.
    pub(super) async fn made(&mut self, text: String, args: Vec<Value>) -> Result<Option<Row>, Failure> {
        let text: Arc<str> = text.into();
        let asked = async {
            let Engine::Postgres(tx, _) = &mut self.engine else {
                return Err(Failure::internal("made for PostgreSQL"));
            };
            let query = queries::postgres(AssertSqlSafe(Arc::clone(&text)), args);
            Ok(self.db.answered(query.fetch_optional(&mut **tx)).await?.map(Row::Postgres))
        };
        statement(super::Engine::Postgres, &text, asked).await
    }

    /// Decides on one call of a batch: whether a window that its rule names is open for it.
    ///
    /// # Errors
    /// A closed or settled window, or one that still waits.
    pub async fn admit(&mut self, admission: &Admission) -> Result<Admitted, Failure> {
        let gates = self.gates.clone();
        // Once a transaction: who comes a moment later than a mirror's next step is asked to come again.
        if self.positions.is_none() {
            self.positions = Some(gates::mirror_positions(self, &self.db.clone(), &gates).await?);
        }
        gates::admit(admission, &gates, self.positions())
    }

    fn positions(&self) -> &BTreeMap<String, i64> {
        const NONE: &BTreeMap<String, i64> = &BTreeMap::new();
        self.positions.as_ref().unwrap_or(NONE)
    }

    /// The engine that it runs on.
    pub(crate) fn engine(&self) -> super::Engine {
        self.db.engine()
    }

    /// Who acts, with the roles that allow it now; the service itself in a transaction of its own.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.admitted.actor
    }

    /// The instant of admission (a step's: when it is due; a mirror's: of the change), in microseconds since the epoch.
    #[must_use]
    pub const fn at(&self) -> i64 {
        self.at
    }

    /// Sets the instant that what is written next carries: a mirror goes from change to change.
    pub const fn set_at(&mut self, at: i64) {
        self.at = at;
    }

    /// The term of the scope; empty for none.
    #[must_use]
    pub fn term(&self) -> &str {
        if self.scoped { self.gates.first().map_or("", |gates| gates.term()) } else { "" }
    }

    /// The gates of the scope's term; of no term, those with the newest policy.
    ///
    /// # Errors
    /// `TERM_UNKNOWN` if no gates were ever put.
    pub fn gates(&self) -> Result<Arc<TermGates>, Failure> {
        let gates = if self.scoped { self.gates.first() } else { gates::newest_policy(&self.gates) };
        gates.cloned().ok_or_else(|| Failure::new(Reason::TermUnknown).with("term", ""))
    }

    /// The gates of any term, e.g. in a mirror.
    ///
    /// # Errors
    /// `TERM_UNKNOWN` if there are none.
    pub async fn gates_of(&mut self, term: &str) -> Result<Arc<TermGates>, Failure> {
        if let Some(gates) = self.gates.iter().find(|gates| gates.term() == term) {
            return Ok(Arc::clone(gates));
        }
        let db = self.db.clone();
        let gates = gates::load_on_fence(self, &db, Scope::Term(term), false).await?.into_iter().next();
        let gates = gates.ok_or_else(|| Failure::new(Reason::TermUnknown).with("term", term))?;
        self.gates.push(Arc::clone(&gates));
        Ok(gates)
    }

    /// The policy of the scope's term, as this service reads it.
    ///
    /// # Errors
    /// `TERM_UNKNOWN` if no gates were ever put.
    pub fn policy<P: Policy>(&self) -> Result<Arc<P>, Failure> {
        self.gates()?.policy()
    }

    /// Every window that is open for this call.
    #[must_use]
    pub fn open_windows(&self) -> &[Arc<Window>] {
        &self.admitted.windows
    }

    /// The open window of `phase` and `round` that this call may use for something of these organisations.
    ///
    /// # Errors
    /// Why there is none: closed, settled, or not ready.
    pub fn window(&self, phase: Phase, round: i32, organizations: &[String]) -> Result<Arc<Window>, Failure> {
        self.admitted
            .window(phase, round, organizations)
            .cloned()
            .ok_or_else(|| gates::refusal(&self.gates, self.at, &[phase], Some(round), self.positions()))
    }

    /// A fresh id, the same whenever the same request is carried out: "«kind»/«id»".
    pub fn id(&mut self, kind: &str) -> String {
        self.counter += 1;
        let mut hash = Sha256::new();
        hash.update(self.seed);
        hash.update(kind);
        hash.update(self.counter.to_be_bytes());
        format!("{kind}/{}", hex::encode(hash.finalize().get(..10).unwrap_or_default()))
    }

    /// Makes the ids that follow depend on `seed`: for each change that a mirror takes, for each call of a batch.
    pub fn seed_ids(&mut self, seed: &str) {
        self.seed = Sha256::digest(seed).into();
        self.counter = 0;
    }

    /// Notes a change; it is appended to the feed with the commit.
    pub fn record(&mut self, record: Record) {
        let mut change = record.0;
        if change.actor.is_none() {
            change.actor = Some(self.admitted.actor.acting_as(None));
        }
        if change.at.is_none() {
            change.at = Some(proto::timestamp(self.at));
        }
        if change.term.is_empty() {
            self.term().clone_into(&mut change.term);
        }
        self.changes.push(change);
    }

    /// Stores the reply under the request id, appends the changes, and commits.
    ///
    /// # Errors
    /// Those of the database; then nothing was written.
    pub async fn commit<R: Message>(mut self, reply: R) -> Result<R, Failure> {
        if let Some(claim) = self.claim.clone() {
            self.reply(claim, &reply);
        }
        self.finish().await?;
        Ok(reply)
    }

    /// As `commit`, where the changes are appended already.
    pub(crate) async fn commit_at<R: Message>(mut self, reply: R, position: i64) -> Result<R, Failure> {
        if let Some(claim) = self.claim.clone() {
            self.reply(claim, &reply);
        }
        let db = self.db.clone();
        self.finish().await?;
        announce(&db, position);
        Ok(reply)
    }

    /// Appends the changes and commits. Returns the feed position of this batch; 0 if nothing changed.
    ///
    /// # Errors
    /// Those of the database; then nothing was written.
    pub async fn finish(mut self) -> Result<i64, Failure> {
        if let Some(failure) = self.doomed.take() {
            return Err(failure);
        }
        self.write_replies().await?;
        let position = self.write_changes().await?;
        self.write_waiting().await?;
        let db = self.db.clone();
        let commit = async {
            match self.engine {
                Engine::Sqlite(tx, of) => of.keep(tx.commit().await?),
                Engine::Postgres(tx, of) => of.keep(db.answered(tx.commit()).await?),
            }
            Ok::<_, Failure>(())
        };
        statement(db.engine(), "COMMIT", commit).await?;
        if let Some(position) = position {
            announce(&db, position);
        }
        Ok(position.unwrap_or_default())
    }

    /// Appends the noted changes now, so that their position is known before the commit.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn write_changes(&mut self) -> Result<Option<i64>, Failure> {
        let changes = std::mem::take(&mut self.changes);
        if changes.is_empty() {
            return Ok(None);
        }
        let batch = hex::encode(self.db.env().random::<16>().map_err(Failure::internal)?);
        feed::append(self, &batch, &changes).await.map(Some)
    }

    /// Rolls back, and frees the connection at once.
    pub async fn abandon(self) {
        let ended = async {
            match self.engine {
                Engine::Sqlite(tx, of) => of.keep(tx.rollback().await?),
                Engine::Postgres(tx, of) => of.keep(self.db.answered(tx.rollback()).await?),
            }
            Ok::<_, Failure>(())
        };
        if let Err(failure) = ended.await {
            tracing::debug!(%failure, "rolling back");
        }
    }
}

impl Queries for Tx {
    fn all(&mut self, sql: impl Into<Sql>, args: Vec<Value>) -> BoxFuture<'_, Result<Vec<Row>, Failure>> {
        let sql = sql.into();
        Box::pin(async move {
            self.write_waiting().await?;
            let engine = self.db.engine();
            let asked = async {
                Ok(match &mut self.engine {
                    Engine::Sqlite(tx, _) => {
                        queries::sqlite(sql, args).fetch_all(&mut **tx).await?.into_iter().map(Row::Sqlite).collect()
                    }
                    Engine::Postgres(tx, _) => {
                        let found =
                            self.db.answered(queries::postgres(sql.postgres, args).fetch_all(&mut **tx)).await?;
                        found.into_iter().map(Row::Postgres).collect()
                    }
                })
            };
            statement(engine, sql.of(engine), asked).await
        })
    }

    fn one(&mut self, sql: impl Into<Sql>, args: Vec<Value>) -> BoxFuture<'_, Result<Option<Row>, Failure>> {
        let sql = sql.into();
        Box::pin(async move {
            self.write_waiting().await?;
            let engine = self.db.engine();
            let asked = async {
                Ok(match &mut self.engine {
                    Engine::Sqlite(tx, _) => {
                        queries::sqlite(sql, args).fetch_optional(&mut **tx).await?.map(Row::Sqlite)
                    }
                    Engine::Postgres(tx, _) => {
                        let found =
                            self.db.answered(queries::postgres(sql.postgres, args).fetch_optional(&mut **tx)).await?;
                        found.map(Row::Postgres)
                    }
                })
            };
            statement(engine, sql.of(engine), asked).await
        })
    }
}

/// Wakes this process's watchers.
fn announce(db: &Db, position: i64) {
    db.inner().head.send_if_modified(|head| {
        let newer = *head < position;
        *head = position.max(*head);
        newer
    });
}
