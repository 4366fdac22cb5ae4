//! Many rows as one argument of a statement: typed arrays on PostgreSQL, one JSON text on SQLite.

use serde::ser::{Serialize, SerializeSeq as _, Serializer};

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// BIGINT
    Int(i64),
    /// BOOLEAN
    Bool(bool),
    /// TEXT
    Text(String),
    /// BYTEA
    Bytes(Vec<u8>),
}

macro_rules! cell_from {
    ($($from:ty => $variant:ident $convert:expr;)*) => {$(
        impl From<$from> for Cell {
            fn from(value: $from) -> Self {
                let convert: fn($from) -> _ = $convert;
                Self::$variant(convert(value))
            }
        }
    )*};
}
cell_from! {
    i64 => Int |value| value;
    i16 => Int i64::from;
    i32 => Int i64::from;
    u32 => Int i64::from;
    usize => Int |value| i64::try_from(value).unwrap_or(i64::MAX);
    bool => Bool |value| value;
    &str => Text str::to_owned;
    String => Text |value| value;
    &String => Text String::clone;
    Vec<u8> => Bytes |value| value;
}

/// The values of one place of every row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    /// BIGINT[]
    Int(Vec<i64>),
    /// BOOLEAN[]
    Bool(Vec<bool>),
    /// TEXT[]
    Text(Vec<String>),
    /// BYTEA[]
    Bytes(Vec<Vec<u8>>),
}

impl Column {
    fn beginning_with(cell: Cell) -> Self {
        match cell {
            Cell::Int(value) => Self::Int(vec![value]),
            Cell::Bool(value) => Self::Bool(vec![value]),
            Cell::Text(value) => Self::Text(vec![value]),
            Cell::Bytes(value) => Self::Bytes(vec![value]),
        }
    }

    /// A cell of another type than the column's is a fault of the code that made it: the column stays short, and the database
    /// refuses the statement.
    fn push(&mut self, cell: Cell) {
        match (self, cell) {
            (Self::Int(values), Cell::Int(value)) => values.push(value),
            (Self::Bool(values), Cell::Bool(value)) => values.push(value),
            (Self::Text(values), Cell::Text(value)) => values.push(value),
            (Self::Bytes(values), Cell::Bytes(value)) => values.push(value),
            (column, cell) => tracing::error!(?column, ?cell, "a row's value is not of its column's type"),
        }
    }
}

/// Many rows as one argument. Made with [`insert!`](crate::db::insert), [`keyed!`](crate::db::keyed) or by hand, the statement
/// takes them apart: on SQLite with `json_each($n)`, `value ->> 0`, `value ->> 1`, …; on PostgreSQL each column is an array, and
/// an argument, of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    columns: Vec<Column>,
    count: usize,
}

impl Rows {
    /// No rows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One column of texts: the keys of [`keyed!`](crate::db::keyed), or for `IN (SELECT value ->> 0 FROM json_each($n))`.
    pub fn texts<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        let texts: Vec<_> = texts.into_iter().map(|text| text.as_ref().to_owned()).collect();
        Self { count: texts.len(), columns: vec![Column::Text(texts)] }
    }

    /// Adds a row, of as many values and of the same types as the others: `rows.push(row![name, 5])`.
    pub fn push(&mut self, row: Vec<Cell>) {
        if self.count == 0 {
            self.columns = row.into_iter().map(Column::beginning_with).collect();
        } else {
            for (column, cell) in self.columns.iter_mut().zip(row) {
                column.push(cell);
            }
        }
        self.count += 1;
    }

    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The argument of PostgreSQL.
    pub(super) fn into_columns(self) -> Vec<Column> {
        self.columns
    }

    /// The argument as one JSON text, for a statement that both engines take apart with `json_each`. Booleans are 1 and 0,
    /// bytes hexadecimal.
    #[must_use]
    pub fn json(&self) -> String {
        // Values are plain JSON, for which writing to a text does not fail.
        serde_json::to_string(self).unwrap_or_else(|_| "[]".to_owned())
    }
}

impl Serialize for Rows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.count))?;
        for index in 0..self.count {
            rows.serialize_element(&RowAt { columns: &self.columns, index })?;
        }
        rows.end()
    }
}

struct RowAt<'a> {
    columns: &'a [Column],
    index: usize,
}

impl Serialize for RowAt<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_seq(Some(self.columns.len()))?;
        for column in self.columns {
            match column {
                Column::Int(values) => row.serialize_element(&values.get(self.index))?,
                Column::Bool(values) => row.serialize_element(&values.get(self.index).map(|value| u8::from(*value)))?,
                Column::Text(values) => row.serialize_element(&values.get(self.index))?,
                Column::Bytes(values) => row.serialize_element(&values.get(self.index).map(hex::encode))?,
            }
        }
        row.end()
    }
}

/// A row for [`Rows`](crate::db::Rows): `row![name, 5, "x"]`.
#[macro_export]
macro_rules! row {
    ($($value:expr),+ $(,)?) => { vec![$($crate::db::Cell::from($value)),+] };
}

/// A statement about the rows of one table whose key is among many: `keyed!("SELECT … WHERE ", "name", "$1", " ORDER BY …")`,
/// the keys as [`Rows::texts`](crate::db::Rows::texts).
///
/// PostgreSQL gets them as an array: a plan that joins the keys with the table, and was made while that was still empty, scans
/// all of it for each key when it has filled, and a rush fills it faster than it is analyzed.
#[macro_export]
macro_rules! keyed {
    ($head:expr, $column:literal, $keys:literal, $tail:expr) => {
        $crate::db::Sql {
            sqlite: concat!($head, $column, " IN (SELECT value ->> 0 FROM json_each(", $keys, "))", $tail),
            postgres: concat!($head, $column, " = ANY(", $keys, ")", $tail),
        }
    };
}

/// A statement that inserts many rows, its one argument [`Rows`](crate::db::Rows) of these columns:
/// `insert!("note", [name TEXT, size BIGINT, sealed BYTEA], "ON CONFLICT DO NOTHING")`. At most 30 columns.
#[macro_export]
macro_rules! insert {
    ($table:literal, [$($column:ident $type:ident),+ $(,)?], $tail:expr) => {
        $crate::db::Sql {
            sqlite: concat!(
                "INSERT INTO ", $table, " (", $crate::__listed!($($column),+), ") SELECT ",
                $crate::__taken_apart!(
                    json [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29] $($type),+
                ),
                " FROM json_each($1) WHERE TRUE ", $tail
            ),
            postgres: concat!(
                "INSERT INTO ", $table, " (", $crate::__listed!($($column),+), ") SELECT * FROM UNNEST(",
                $crate::__taken_apart!(
                    array [1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30] $($type),+
                ),
                ") ", $tail
            ),
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __listed {
    ($first:ident $(, $rest:ident)*) => { concat!(stringify!($first) $(, ", ", stringify!($rest))*) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __taken_apart {
    ($how:ident [$place:literal $($places:literal)*] $type:ident) => { $crate::__cell!($how $place $type) };
    ($how:ident [$place:literal $($places:literal)*] $type:ident, $($rest:ident),+) => {
        concat!($crate::__cell!($how $place $type), ", ", $crate::__taken_apart!($how [$($places)*] $($rest),+))
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __cell {
    (json $place:literal TEXT) => {
        concat!("value ->> ", $place)
    };
    (json $place:literal BIGINT) => {
        concat!("CAST(value ->> ", $place, " AS BIGINT)")
    };
    (json $place:literal BOOLEAN) => {
        concat!("CAST(value ->> ", $place, " AS BIGINT) = 1")
    };
    (json $place:literal BYTEA) => {
        concat!("unhex(value ->> ", $place, ")")
    };
    (array $place:literal $type:ident) => {
        concat!("$", $place, "::", stringify!($type), "[]")
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Sql;

    #[test]
    fn one_list_of_columns_makes_both_texts() {
        let sql: Sql =
            crate::insert!("note", [name TEXT, size BIGINT, open BOOLEAN, sealed BYTEA], "ON CONFLICT DO NOTHING");
        assert_eq!(
            sql.sqlite,
            "INSERT INTO note (name, size, open, sealed) SELECT value ->> 0, CAST(value ->> 1 AS BIGINT), \
             CAST(value ->> 2 AS BIGINT) = 1, unhex(value ->> 3) FROM json_each($1) WHERE TRUE ON CONFLICT DO NOTHING"
        );
        assert_eq!(
            sql.postgres,
            "INSERT INTO note (name, size, open, sealed) SELECT * FROM \
             UNNEST($1::TEXT[], $2::BIGINT[], $3::BOOLEAN[], $4::BYTEA[]) ON CONFLICT DO NOTHING"
        );
    }

    #[test]
    fn rows_are_columns_for_one_engine_and_json_for_the_other() {
        let mut rows = Rows::new();
        rows.push(row!["一", 1, true, vec![0_u8, 255]]);
        rows.push(row!["\"", -2_i64, false, Vec::new()]);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows.json(), r#"[["一",1,1,"00ff"],["\"",-2,0,""]]"#);
        let columns = rows.into_columns();
        assert_eq!(columns.first(), Some(&Column::Text(vec!["一".to_owned(), "\"".to_owned()])));
        assert_eq!(columns.last(), Some(&Column::Bytes(vec![vec![0, 255], Vec::new()])));
        assert_eq!(Rows::texts(Vec::<String>::new()).into_columns(), [Column::Text(Vec::new())]);
    }
}
