//! Statements, arguments and rows, the same for both engines.

use sqlx::{ColumnIndex, Decode, Postgres, Row as _, Sqlite, Type, postgres::PgRow, sqlite::SqliteRow};

use super::{Engine, Rows};
use crate::failure::Failure;

/// A statement: one text for both engines, or a pair where they differ.
#[derive(Debug, Clone, Copy)]
pub struct Sql {
    /// For SQLite.
    pub sqlite: &'static str,
    /// For PostgreSQL.
    pub postgres: &'static str,
}

impl Sql {
    /// The text for an engine.
    pub(crate) const fn of(self, engine: Engine) -> &'static str {
        match engine {
            Engine::Sqlite => self.sqlite,
            Engine::Postgres => self.postgres,
        }
    }
}

impl From<&'static str> for Sql {
    fn from(both: &'static str) -> Self {
        Self { sqlite: both, postgres: both }
    }
}

/// An argument of a statement.
#[derive(Debug, Clone)]
pub enum Value {
    /// BIGINT
    Int(Option<i64>),
    /// TEXT
    Text(Option<String>),
    /// BOOLEAN
    Bool(Option<bool>),
    /// BYTEA
    Bytes(Option<Vec<u8>>),
    /// One argument on SQLite, one for each column on PostgreSQL.
    Rows(Rows),
}

impl Value {
    /// How many arguments of PostgreSQL it is.
    pub(super) fn places(&self) -> usize {
        if let Self::Rows(rows) = self { rows.columns() } else { 1 }
    }
}

macro_rules! value_from {
    ($($from:ty => $variant:ident $convert:expr;)*) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                let convert: fn($from) -> _ = $convert;
                Self::$variant(Some(convert(value)))
            }
        }
        impl From<Option<$from>> for Value {
            fn from(value: Option<$from>) -> Self {
                let convert: fn($from) -> _ = $convert;
                Self::$variant(value.map(convert))
            }
        }
    )*};
}
value_from! {
    i64 => Int |value| value;
    i32 => Int i64::from;
    u32 => Int i64::from;
    usize => Int |value| i64::try_from(value).unwrap_or(i64::MAX);
    bool => Bool |value| value;
    &str => Text str::to_owned;
    String => Text |value| value;
    &String => Text String::clone;
    Vec<u8> => Bytes |value| value;
    &[u8] => Bytes <[u8]>::to_vec;
}

impl From<Rows> for Value {
    fn from(rows: Rows) -> Self {
        Self::Rows(rows)
    }
}

/// A row of a result.
#[derive(Debug)]
pub enum Row {
    /// From SQLite.
    Sqlite(SqliteRow),
    /// From PostgreSQL.
    Postgres(PgRow),
}

impl Row {
    /// The value of `column`.
    ///
    /// # Errors
    /// Internal, if the statement has no such column or it is of another type: a fault of the SQL text.
    pub fn get<T>(&self, column: &'static str) -> Result<T, Failure>
    where
        T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>,
        &'static str: ColumnIndex<SqliteRow> + ColumnIndex<PgRow>,
    {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
        .map_err(|error| Failure::internal(format!("column {column}: {error}")))
    }
}
