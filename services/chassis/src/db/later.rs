//! Writes that nobody looks at before the commit. On PostgreSQL all that nothing is asked between are one statement: of the time that a
//! small one takes, most is its way there and back.

use std::fmt::Write as _;

use futures::future::BoxFuture;

use super::{Engine, Row, Rows, Sql, Tx, Value};
use crate::failure::Failure;

/// A write that waits for others.
#[derive(Debug)]
pub(super) struct Later {
    sql: &'static str,
    args: Vec<Value>,
    /// How many rows it is to touch; any other number is a conflict.
    rows: Option<usize>,
}

impl Later {
    /// The table that it writes: a statement changes a row of PostgreSQL once, and passes over what would change it again.
    fn table(&self) -> &'static str {
        let mut words = self.sql.split_ascii_whitespace();
        match words.next() {
            Some("UPDATE") => words.next(),
            _ => words.nth(1),
        }
        .unwrap_or_default()
    }
}

/// Several statements of PostgreSQL as one, each a common table expression.
#[derive(Debug, Default)]
struct Joined {
    expressions: Vec<String>,
    /// That each has come to its end, in the order given: a part is carried out when it is looked at.
    conditions: String,
    /// Whether one of them is to touch a number of rows.
    exact: bool,
    args: Vec<Value>,
    places: usize,
}

impl Joined {
    fn of(writes: Vec<Later>) -> Self {
        let mut joined = Self::default();
        for (index, Later { sql, args, rows }) in writes.into_iter().enumerate() {
            let text = shifted(sql, joined.places);
            joined.bind(args);
            joined.expressions.push(format!("write_{index} AS ({text} RETURNING 1)"));
            // Writing to a text does not fail.
            let _ = write!(joined.conditions, " AND (SELECT COUNT(*) FROM write_{index}) ");
            let _ = match rows {
                None => write!(joined.conditions, ">= 0"),
                Some(rows) => {
                    joined.exact = true;
                    joined.bind(vec![rows.into()]);
                    write!(joined.conditions, "= ${}", joined.places)
                }
            };
        }
        joined
    }

    fn bind(&mut self, args: Vec<Value>) {
        self.places += args.iter().map(Value::places).sum::<usize>();
        self.args.extend(args);
    }
}

/// A statement's text with its arguments' numbers raised: none has a `$` that is not one's.
fn shifted(sql: &str, by: usize) -> String {
    let mut parts = sql.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let (number, rest) = part.split_at(digits);
        // Digits, and few.
        let number: usize = number.parse().unwrap_or_default();
        let _ = write!(text, "${}{rest}", number + by);
    }
    text
}

impl Tx {
    /// Writes before the next statement of this transaction, at the latest with its commit. `sql` is an INSERT or UPDATE of one
    /// table, without RETURNING and WITH.
    ///
    /// # Errors
    /// Those of the database, here or in what comes next.
    pub async fn later(&mut self, sql: impl Into<Sql>, args: Vec<Value>) -> Result<(), Failure> {
        self.postpone(sql.into(), args, None).await
    }

    /// As `later`, of a statement of [`insert!`](crate::db::insert), unless there is nothing to insert.
    ///
    /// # Errors
    /// As `later`.
    pub async fn insert_later(&mut self, sql: Sql, rows: Rows) -> Result<(), Failure> {
        if rows.is_empty() { Ok(()) } else { self.later(sql, vec![rows.into()]).await }
    }

    /// As `insert_later`, of rows that are to be new.
    ///
    /// # Errors
    /// As `later`; a conflict if one of them is there already.
    pub async fn insert_new_later(&mut self, sql: Sql, rows: Rows) -> Result<(), Failure> {
        let new = rows.len();
        if new == 0 { Ok(()) } else { self.postpone(sql, vec![rows.into()], Some(new)).await }
    }

    async fn postpone(&mut self, sql: Sql, args: Vec<Value>, rows: Option<usize>) -> Result<(), Failure> {
        if self.engine() == Engine::Sqlite {
            let touched = self.execute(sql, args).await?;
            return expected(touched, rows);
        }
        let write = Later { sql: sql.postgres, args, rows };
        if self.waiting.iter().any(|other| other.table() == write.table()) {
            self.write_waiting().await?;
        }
        self.waiting.push(write);
        Ok(())
    }

    /// Writes what waits.
    pub(super) fn write_waiting(&mut self) -> BoxFuture<'_, Result<(), Failure>> {
        let mut writes = std::mem::take(&mut self.waiting);
        Box::pin(async move {
            match (writes.pop(), writes.is_empty()) {
                (None, _) => Ok(()),
                (Some(Later { sql, args, rows }), true) => expected(self.execute(sql, args).await?, rows),
                (Some(last), false) => {
                    writes.push(last);
                    let Joined { expressions, conditions, args, .. } = Joined::of(writes);
                    let expressions = expressions.join(", ");
                    let text = format!("WITH {expressions} SELECT 1 AS done WHERE TRUE{conditions}");
                    self.made(text, args).await?.map(drop).ok_or_else(Failure::conflict)
                }
            }
        })
    }

    /// Writes what waits and, as the last part of the same statement of PostgreSQL, moves a row on. `step` is an UPDATE with its
    /// condition, `returning` what `then` reads of the row as `moved`. `None`: the row is not there.
    ///
    /// # Errors
    /// Those of the database, and of what waited.
    pub(crate) async fn write_and_move(
        &mut self,
        step: &'static str,
        returning: &'static str,
        then: &'static str,
        args: Vec<Value>,
    ) -> Result<Option<Row>, Failure> {
        let mut joined = Joined::of(std::mem::take(&mut self.waiting));
        let [step, then] = [step, then].map(|text| shifted(text, joined.places));
        joined.bind(args);
        let Joined { mut expressions, conditions, args, exact, .. } = joined;
        expressions.push(format!("moved AS ({step}{conditions} RETURNING {returning})"));
        let moved = self.made(format!("WITH {} {then}", expressions.join(", ")), args).await?;
        if moved.is_none() && exact { Err(Failure::conflict()) } else { Ok(moved) }
    }
}

fn expected(touched: u64, rows: Option<usize>) -> Result<(), Failure> {
    match rows {
        Some(rows) if usize::try_from(touched) != Ok(rows) => Err(Failure::conflict()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_one_statement_with_its_arguments_in_a_row() {
        let mut rows = Rows::new();
        rows.push(crate::row!["a", 1]);
        let insert = crate::insert!("note", [name TEXT, size BIGINT], "ON CONFLICT DO NOTHING");
        let update = "UPDATE seat SET held = held + $2 WHERE name = $1 AND held < $11";
        let args = crate::args!["x", 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
        let writes = vec![
            Later { sql: insert.postgres, args: vec![rows.into()], rows: Some(1) },
            Later { sql: update, args, rows: None },
        ];
        assert_eq!(writes.iter().map(Later::table).collect::<Vec<_>>(), ["note", "seat"]);
        let joined = Joined::of(writes);
        assert_eq!(
            joined.expressions,
            [
                "write_0 AS (INSERT INTO note (name, size) SELECT * FROM UNNEST($1::TEXT[], $2::BIGINT[]) \
                 ON CONFLICT DO NOTHING RETURNING 1)",
                "write_1 AS (UPDATE seat SET held = held + $5 WHERE name = $4 AND held < $14 RETURNING 1)",
            ]
        );
        let conditions = " AND (SELECT COUNT(*) FROM write_0) = $3 AND (SELECT COUNT(*) FROM write_1) >= 0";
        assert_eq!((joined.conditions.as_str(), joined.places, joined.args.len()), (conditions, 14, 13));
    }
}
