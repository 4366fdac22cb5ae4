//! The mirror of credit: where teachers stand in their cycles, now and as fixed when a round opened.

use std::collections::{BTreeMap, BTreeSet};

use chassis::{
    Failure,
    db::{Queries, Row, Rows, Tx, args, row},
};
use jiff::civil::Date;
use proto::{Credit, credit::v1::CreditPosition};

use super::day;

/// Where a teacher stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// End of the five-year cycle, if known.
    pub cycle_ends_on: Option<Date>,
    /// Credit in it.
    pub cycle_awarded: Credit,
    /// Whether an intensive training is among it.
    pub has_intensive: bool,
}

fn read(row: &Row) -> Result<Position, Failure> {
    Ok(Position {
        cycle_ends_on: day(row, "cycle_ends_on")?,
        cycle_awarded: Credit(row.get("cycle_awarded")?),
        has_intensive: row.get("has_intensive")?,
    })
}

/// Takes positions, each teacher's once.
pub async fn put(tx: &mut Tx, positions: impl IntoIterator<Item = &CreditPosition>) -> Result<(), Failure> {
    let mut rows = Rows::new();
    for position in positions {
        rows.push(row![
            position.teacher.as_str(),
            proto::date_text(position.cycle_ends_on.as_ref()),
            position.cycle_awarded.unwrap_or_default().hundredths,
            i64::from(position.has_intensive)
        ]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO credit_position (teacher, cycle_ends_on, cycle_awarded, has_intensive)
         SELECT value ->> 0, value ->> 1, CAST(value ->> 2 AS BIGINT), CAST(value ->> 3 AS BIGINT) = 1
         FROM json_each($1) WHERE TRUE
         ON CONFLICT (teacher) DO UPDATE SET cycle_ends_on = excluded.cycle_ends_on,
            cycle_awarded = excluded.cycle_awarded, has_intensive = excluded.has_intensive",
        args![rows.json()],
    )
    .await?;
    Ok(())
}

/// A teacher's position now.
pub async fn current(db: &mut impl Queries, teacher: &str) -> Result<Option<Position>, Failure> {
    let sql = "SELECT cycle_ends_on, cycle_awarded, has_intensive FROM credit_position WHERE teacher = $1";
    db.one(sql, args![teacher]).await?.as_ref().map(read).transpose()
}

/// Fixes positions for a round, at most `limit` of those not fixed yet, by name. Returns them by teacher.
pub async fn fix(tx: &mut Tx, term: &str, round: i32, limit: i64) -> Result<BTreeMap<String, Position>, Failure> {
    let rows = tx
        .all(
            "INSERT INTO credit_position_fixed (term, round, teacher, cycle_ends_on, cycle_awarded, has_intensive)
         SELECT $1, CAST($2 AS BIGINT), p.teacher, p.cycle_ends_on, p.cycle_awarded, p.has_intensive
         FROM credit_position p
         WHERE NOT EXISTS (SELECT 1 FROM credit_position_fixed f
                           WHERE f.term = $1 AND f.round = CAST($2 AS BIGINT) AND f.teacher = p.teacher)
         ORDER BY p.teacher LIMIT $3
         ON CONFLICT DO NOTHING RETURNING teacher, cycle_ends_on, cycle_awarded, has_intensive",
            args![term, round, limit],
        )
        .await?;
    rows.iter().map(|row| Ok((row.get("teacher")?, read(row)?))).collect()
}

/// Positions as fixed for a round.
pub async fn fixed(
    db: &mut impl Queries,
    term: &str,
    round: i32,
    teachers: &BTreeSet<String>,
) -> Result<BTreeMap<String, Position>, Failure> {
    let rows = db
        .all(
            "SELECT teacher, cycle_ends_on, cycle_awarded, has_intensive FROM credit_position_fixed
             WHERE term = $1 AND round = CAST($2 AS BIGINT) AND teacher IN (SELECT value ->> 0 FROM json_each($3))",
            args![term, round, Rows::texts(teachers).json()],
        )
        .await?;
    rows.iter().map(|row| Ok((row.get("teacher")?, read(row)?))).collect()
}
