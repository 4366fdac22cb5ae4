//! Many rows as one argument of a statement: typed arrays on PostgreSQL, one JSON text on SQLite.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeSeq as _, Serializer};

/// A value of a row; it is copied into its column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell<'a> {
    /// BIGINT
    Int(i64),
    /// BOOLEAN
    Bool(bool),
    /// TEXT
    Text(Cow<'a, str>),
    /// BYTEA
    Bytes(Cow<'a, [u8]>),
}

macro_rules! cell_from {
    ($($from:ty => $variant:ident $convert:expr;)*) => {$(
        impl<'a> From<$from> for Cell<'a> {
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
    &'a str => Text Cow::Borrowed;
    String => Text Cow::Owned;
    &'a String => Text |value| Cow::Borrowed(value.as_str());
    Vec<u8> => Bytes Cow::Owned;
    &'a [u8] => Bytes Cow::Borrowed;
}

/// Texts or bytes, one after the other in one piece of memory: a rush writes thousands a second.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pieces {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Pieces {
    fn push(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
        self.ends.push(self.bytes.len());
    }

    fn get(&self, index: usize) -> Option<&[u8]> {
        let begin = index.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.bytes.get(begin..*self.ends.get(index)?)
    }

    /// Each of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len()).filter_map(|index| self.get(index))
    }

    /// Each of them; only texts were put in.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|piece| str::from_utf8(piece).unwrap_or_default())
    }
}

/// The values of one place of every row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    /// BIGINT[]
    Int(Vec<i64>),
    /// BOOLEAN[]
    Bool(Vec<bool>),
    /// TEXT[]
    Text(Pieces),
    /// BYTEA[]
    Bytes(Pieces),
}

impl Column {
    fn like(cell: &Cell<'_>) -> Self {
        match cell {
            Cell::Int(_) => Self::Int(Vec::new()),
            Cell::Bool(_) => Self::Bool(Vec::new()),
            Cell::Text(_) => Self::Text(Pieces::default()),
            Cell::Bytes(_) => Self::Bytes(Pieces::default()),
        }
    }

    /// A cell of another type than the column's is a fault of the code that made it: the column stays short, and the database
    /// refuses the statement.
    fn push(&mut self, cell: &Cell<'_>) {
        match (self, cell) {
            (Self::Int(values), Cell::Int(value)) => values.push(*value),
            (Self::Bool(values), Cell::Bool(value)) => values.push(*value),
            (Self::Text(values), Cell::Text(value)) => values.push(value.as_bytes()),
            (Self::Bytes(values), Cell::Bytes(value)) => values.push(value),
            _ => tracing::error!("a row's value is not of its column's type"),
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
        let mut column = Pieces::default();
        texts.into_iter().for_each(|text| column.push(text.as_ref().as_bytes()));
        Self { count: column.ends.len(), columns: vec![Column::Text(column)] }
    }

    /// Adds a row, of as many values and of the same types as the others: `rows.push(row![name, 5])`.
    pub fn push<const N: usize>(&mut self, row: [Cell<'_>; N]) {
        if self.count == 0 {
            self.columns = row.iter().map(Column::like).collect();
        }
        for (column, cell) in self.columns.iter_mut().zip(&row) {
            column.push(cell);
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

    /// How many columns.
    pub(super) fn columns(&self) -> usize {
        self.columns.len()
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
                Column::Text(values) => {
                    row.serialize_element(&values.get(self.index).and_then(|text| str::from_utf8(text).ok()))?;
                }
                Column::Bytes(values) => row.serialize_element(&values.get(self.index).map(hex::encode))?,
            }
        }
        row.end()
    }
}

/// A row for [`Rows`](crate::db::Rows): `row![name, 5, "x"]`.
#[macro_export]
macro_rules! row {
    ($($value:expr),+ $(,)?) => { [$($crate::db::Cell::from($value)),+] };
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
        let Some(Column::Text(texts)) = columns.first() else { panic!("texts") };
        assert_eq!(texts.texts().collect::<Vec<_>>(), ["一", "\""]);
        let Some(Column::Bytes(bytes)) = columns.last() else { panic!("bytes") };
        assert_eq!(bytes.iter().collect::<Vec<_>>(), [&[0, 255][..], &[]]);
        assert_eq!(Rows::texts(Vec::<String>::new()).into_columns(), [Column::Text(Pieces::default())]);
    }
}
