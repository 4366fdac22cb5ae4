//! Running statements on either engine.

use std::{collections::BTreeMap, sync::Arc};

use futures::future::BoxFuture;
use proto::{
    Actor,
    common::v1::{Phase, Window},
};
use sqlx::{
    Postgres, SqlSafeStr, Sqlite,
    query::Query,
    {
        postgres::{PgArguments, PgBindIterExt as _},
        sqlite::SqliteArguments,
    },
};

use super::{Column, Db, Pool, Row, Sql, Value};
use crate::{
    call::Admission,
    failure::Failure,
    gates::{self, Admitted, TermGates},
    policy::Policy,
    telemetry::statement,
};

/// What can be asked, in a transaction and out of one.
pub trait Queries: Send {
    /// Every row.
    fn all(&mut self, sql: impl Into<Sql>, args: Vec<Value>) -> BoxFuture<'_, Result<Vec<Row>, Failure>>;

    /// The first row, if there is one.
    fn one(&mut self, sql: impl Into<Sql>, args: Vec<Value>) -> BoxFuture<'_, Result<Option<Row>, Failure>>;
}

pub(super) fn sqlite(sql: Sql, args: Vec<Value>) -> Query<'static, Sqlite, SqliteArguments> {
    args.into_iter().fold(sqlx::query(sql.sqlite), |query, value| match value {
        Value::Int(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
        Value::Bool(value) => query.bind(value),
        Value::Bytes(value) => query.bind(value),
        Value::Rows(rows) => query.bind(rows.json()),
    })
}

pub(super) fn postgres(text: impl SqlSafeStr, args: Vec<Value>) -> Query<'static, Postgres, PgArguments> {
    args.into_iter().fold(sqlx::query(text), |query, value| match value {
        Value::Int(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
        Value::Bool(value) => query.bind(value),
        Value::Bytes(value) => query.bind(value),
        Value::Rows(rows) => rows.into_columns().into_iter().fold(query, |query, column| match column {
            Column::Int(values) => query.bind(values),
            Column::Bool(values) => query.bind(values),
            Column::Text(values) => query.bind(values.texts().bind_iter()),
            Column::Bytes(values) => query.bind(values.iter().bind_iter()),
        }),
    })
}

/// Reading, without a lock and without touching the writer.
#[derive(Debug, Clone)]
pub struct Reader {
    pub(super) db: Db,
    pub(super) admitted: Admitted,
    pub(super) gates: Vec<Arc<TermGates>>,
    pub(super) scoped: bool,
    pub(super) at: i64,
    pub(super) positions: BTreeMap<String, i64>,
}

impl Reader {
    /// Decides on one call of a batch: whether a window that its rule names is open for it.
    ///
    /// # Errors
    /// A closed or settled window, or one that still waits.
    pub fn admit(&self, admission: &Admission) -> Result<Admitted, Failure> {
        gates::admit(admission, &self.gates, &self.positions)
    }

    /// Who reads, with the roles that allow it now.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.admitted.actor
    }

    /// The instant of admission, in microseconds since the epoch.
    #[must_use]
    pub fn at(&self) -> i64 {
        self.at
    }

    /// The gates of the scope's term; of no term, those with the newest policy.
    ///
    /// # Errors
    /// `TERM_UNKNOWN` if no gates were ever put.
    pub fn gates(&self) -> Result<Arc<TermGates>, Failure> {
        let gates = if self.scoped { self.gates.first() } else { gates::newest_policy(&self.gates) };
        gates.cloned().ok_or_else(|| Failure::new(proto::common::v1::Reason::TermUnknown).with("term", ""))
    }

    /// The gates of every term in scope.
    #[must_use]
    pub fn all_gates(&self) -> &[Arc<TermGates>] {
        &self.gates
    }

    /// The windows of the scope's term that let somebody in now, whoever asks.
    ///
    /// # Errors
    /// `TERM_UNKNOWN` if the scope is of no term.
    pub fn usable_windows(&self) -> Result<Vec<Arc<Window>>, Failure> {
        let gates = self.gates()?;
        let usable = |window: &&Arc<Window>| gates::usable(&gates, window, self.at, &self.positions);
        Ok(gates.windows().iter().filter(usable).cloned().collect())
    }

    /// Why no window of `phase` lets anybody in now.
    #[must_use]
    pub fn shut(&self, phase: Phase) -> Failure {
        gates::refusal(&self.gates, self.at, &[phase], None, &self.positions)
    }

    /// The policy of the scope's term, as this service reads it.
    ///
    /// # Errors
    /// `TERM_UNKNOWN` if the scope is of no term.
    pub fn policy<P: Policy>(&self) -> Result<Arc<P>, Failure> {
        self.gates()?.policy()
    }
}

impl Queries for Reader {
    fn all(&mut self, sql: impl Into<Sql>, args: Vec<Value>) -> BoxFuture<'_, Result<Vec<Row>, Failure>> {
        let sql = sql.into();
        Box::pin(async move {
            let engine = self.db.engine();
            let asked = async {
                Ok(match &self.db.inner().pool {
                    Pool::Sqlite { readers, .. } => {
                        let mut lent = self.db.lent(readers).await?;
                        let found = sqlite(sql, args).fetch_all(&mut *lent).await?;
                        readers.keep(lent);
                        found.into_iter().map(Row::Sqlite).collect()
                    }
                    Pool::Postgres { pool, .. } => {
                        let mut lent = self.db.lent(pool).await?;
                        let asked = postgres(sql.postgres, args).fetch_all(&mut *lent);
                        let found = self.db.answered(asked).await?;
                        pool.keep(lent);
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
            let engine = self.db.engine();
            let asked = async {
                Ok(match &self.db.inner().pool {
                    Pool::Sqlite { readers, .. } => {
                        let mut lent = self.db.lent(readers).await?;
                        let found = sqlite(sql, args).fetch_optional(&mut *lent).await?;
                        readers.keep(lent);
                        found.map(Row::Sqlite)
                    }
                    Pool::Postgres { pool, .. } => {
                        let mut lent = self.db.lent(pool).await?;
                        let asked = postgres(sql.postgres, args).fetch_optional(&mut *lent);
                        let found = self.db.answered(asked).await?;
                        pool.keep(lent);
                        found.map(Row::Postgres)
                    }
                })
            };
            statement(engine, sql.of(engine), asked).await
        })
    }
}
