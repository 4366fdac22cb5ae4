//! The mirror of credit: where teachers stand in their cycles, now and as fixed when a round opened.

use std::collections::{BTreeMap, BTreeSet};

use chassis::{
    Failure,
    db::{Queries, Row, Rows, Tx, args, insert, keyed, row},
};
use jiff::civil::Date;
use proto::{Credit, credit::v1::CreditPosition};

use super::{count, day};

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
            position.has_intensive
        ]);
    }
    let insert = insert!(
        "credit_position",
        [teacher TEXT, cycle_ends_on TEXT, cycle_awarded BIGINT, has_intensive BOOLEAN],
        "ON CONFLICT (teacher) DO UPDATE SET cycle_ends_on = excluded.cycle_ends_on,
            cycle_awarded = excluded.cycle_awarded, has_intensive = excluded.has_intensive"
    );
    tx.insert(insert, rows).await?;
    Ok(())
}

/// A teacher's position now.
pub async fn current(db: &mut impl Queries, teacher: &str) -> Result<Option<Position>, Failure> {
    let sql = "SELECT cycle_ends_on, cycle_awarded, has_intensive FROM credit_position WHERE teacher = $1";
    db.one(sql, args![teacher]).await?.as_ref().map(read).transpose()
}

/// The ends of these teachers' cycles, where they are known.
pub async fn cycle_ends(db: &mut impl Queries, teachers: &BTreeSet<String>) -> Result<BTreeMap<String, Date>, Failure> {
    let sql = keyed!("SELECT teacher, cycle_ends_on FROM credit_position WHERE ", "teacher", "$1", "");
    let rows = db.all(sql, args![Rows::texts(teachers)]).await?;
    let mut ends = BTreeMap::new();
    for row in &rows {
        if let Some(end) = day(row, "cycle_ends_on")? {
            ends.insert(row.get("teacher")?, end);
        }
    }
    Ok(ends)
}

macro_rules! fix {
    ($which:literal) => {
        concat!(
            "INSERT INTO credit_position_fixed (term, round, teacher, cycle_ends_on, cycle_awarded, has_intensive)
             SELECT $1, CAST($2 AS BIGINT), p.teacher, p.cycle_ends_on, p.cycle_awarded, p.has_intensive
             FROM credit_position p WHERE ",
            $which,
            " ORDER BY p.teacher LIMIT $3
             ON CONFLICT DO NOTHING RETURNING teacher, cycle_ends_on, cycle_awarded, has_intensive"
        )
    };
}

/// Those behind the last one fixed: a page costs the same wherever it lies.
const BEHIND: &str = fix!(
    "p.teacher > COALESCE((SELECT MAX(f.teacher) FROM credit_position_fixed f
                           WHERE f.term = $1 AND f.round = CAST($2 AS BIGINT)), '')"
);
/// Those before it who were told of since. Not as an anti-join: PostgreSQL, which may think the table empty, would go through
/// the whole round for each of them.
const MISSED: &str = fix!(
    "COALESCE((SELECT 1 FROM credit_position_fixed f
               WHERE f.term = $1 AND f.round = CAST($2 AS BIGINT) AND f.teacher = p.teacher LIMIT 1), 0) = 0"
);

/// Fixes positions for a round, at most `limit` of those not fixed yet. Returns them by teacher; none: all are fixed.
pub async fn fix(tx: &mut Tx, term: &str, round: i32, limit: i64) -> Result<BTreeMap<String, Position>, Failure> {
    let mut rows = tx.all(BEHIND, args![term, round, limit]).await?;
    let left = limit.saturating_sub(count(rows.len()));
    if left > 0 {
        rows.extend(tx.all(MISSED, args![term, round, left]).await?);
    }
    rows.iter().map(|row| Ok((row.get("teacher")?, read(row)?))).collect()
}

/// Positions as fixed for a round.
pub async fn fixed(
    db: &mut impl Queries,
    term: &str,
    round: i32,
    teachers: &BTreeSet<String>,
) -> Result<BTreeMap<String, Position>, Failure> {
    let sql = keyed!(
        "SELECT teacher, cycle_ends_on, cycle_awarded, has_intensive FROM credit_position_fixed
         WHERE term = $1 AND round = CAST($2 AS BIGINT) AND ",
        "teacher",
        "$3",
        ""
    );
    let rows = db.all(sql, args![term, round, Rows::texts(teachers)]).await?;
    rows.iter().map(|row| Ok((row.get("teacher")?, read(row)?))).collect()
}
