//! What belongs to a round: overrides of its bar, who selected nothing, who was urged.

use std::collections::{BTreeMap, BTreeSet};

use chassis::{
    Failure,
    db::{Queries, Rows, Tx, args, keyed},
};

use super::{count, narrow, roster::active_on};

/// An override of a round's bar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// "terms/…/overrides/…"
    pub name: String,
    /// "teachers/…"
    pub teacher: String,
    /// The round.
    pub round: i32,
    /// What the bureau wrote.
    pub reason: String,
    /// Microseconds since the epoch.
    pub granted_at: i64,
}

/// Grants an override, unless there is one; returns the one that stands.
pub async fn grant(tx: &mut Tx, term: &str, granted: &Override) -> Result<Override, Failure> {
    tx.execute(
        "INSERT INTO bar_override (name, term, teacher, round, reason, granted_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (term, teacher, round) DO NOTHING",
        args![&granted.name, term, &granted.teacher, granted.round, &granted.reason, granted.granted_at],
    )
    .await?;
    let row = tx
        .one(
            "SELECT name, teacher, round, reason, granted_at FROM bar_override
             WHERE term = $1 AND teacher = $2 AND round = $3",
            args![term, &granted.teacher, granted.round],
        )
        .await?
        .ok_or_else(|| Failure::internal("an override that was just written is gone"))?;
    Ok(Override {
        name: row.get("name")?,
        teacher: row.get("teacher")?,
        round: narrow(&row, "round")?,
        reason: row.get("reason")?,
        granted_at: row.get("granted_at")?,
    })
}

/// (teacher, round) of the overrides of these teachers.
pub async fn overridden(
    db: &mut impl Queries,
    term: &str,
    teachers: &BTreeSet<String>,
) -> Result<BTreeSet<(String, i32)>, Failure> {
    let rows = db
        .all(
            keyed!("SELECT teacher, round FROM bar_override WHERE term = $1 AND ", "teacher", "$2", ""),
            args![term, Rows::texts(teachers)],
        )
        .await?;
    rows.iter().map(|row| Ok((row.get("teacher")?, narrow(row, "round")?))).collect()
}

/// Whether the round's non-selectors are final.
pub async fn is_final(db: &mut impl Queries, term: &str, round: i32) -> Result<bool, Failure> {
    let sql = "SELECT 1 AS found FROM round_final WHERE term = $1 AND round = $2";
    Ok(db.one(sql, args![term, round]).await?.is_some())
}

/// What fixing a round's non-selectors did.
#[derive(Debug, Default)]
pub struct Fixed {
    /// Those fixed now, by school.
    pub by_school: BTreeMap<String, Vec<String>>,
    /// Whether the round was not final before.
    pub closed: bool,
}

/// Fixes who has selected nothing in the round, of schools under `organizations` (empty: of all).
pub async fn fix_non_selectors(
    tx: &mut Tx,
    term: &str,
    round: i32,
    organizations: &[String],
) -> Result<Fixed, Failure> {
    let at = tx.at();
    let today = tx.gates()?.day(at).to_string();
    let rows = tx
        .all(
            concat!(
                "INSERT INTO non_selector (term, round, teacher, school, fixed_at)
             SELECT $1, CAST($2 AS BIGINT), t.name, t.school, CAST($4 AS BIGINT) FROM teacher t
             WHERE ",
                active_on!("$5"),
                "
               AND NOT EXISTS (SELECT 1 FROM selection s WHERE s.teacher = t.name AND s.term || '' = $1
                               AND s.round = CAST($2 AS BIGINT) AND s.state <> 'withdrawn')
               AND ($3 = '[]' OR t.school IN (SELECT u.organization FROM organization_under u
                                              WHERE u.ancestor IN (SELECT value ->> 0 FROM json_each($3))))
             ON CONFLICT DO NOTHING RETURNING school, teacher"
            ),
            args![term, round, Rows::texts(organizations).json(), at, today],
        )
        .await?;
    let mut fixed = Fixed::default();
    for row in &rows {
        fixed.by_school.entry(row.get("school")?).or_default().push(row.get("teacher")?);
    }
    // In whatever order the database has written them.
    fixed.by_school.values_mut().for_each(|teachers| teachers.sort_unstable());
    let sql = "INSERT INTO round_final (term, round) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    fixed.closed = tx.execute(sql, args![term, round]).await? == 1;
    Ok(fixed)
}

/// A page of who has selected nothing in the round, of schools under `organization`, and how many in all: as fixed when the
/// round closed (but for who selected in a supplementary window after it), else live, as of `today`.
pub async fn non_selectors(
    db: &mut impl Queries,
    (term, round): (&str, i32),
    organization: &str,
    fixed: bool,
    today: &str,
    after: &str,
    limit: usize,
) -> Result<(Vec<String>, i64), Failure> {
    macro_rules! both {
        ($from:expr) => {
            (
                concat!("SELECT t.teacher AS teacher ", $from, " AND t.teacher > $5 ORDER BY t.teacher LIMIT $6"),
                concat!("SELECT COUNT(*) AS total ", $from),
            )
        };
    }
    let (page, total) = if fixed {
        both!(
            "FROM non_selector t WHERE t.term = $1 AND t.round = CAST($2 AS BIGINT) AND $4 <> ''
             AND t.school IN (SELECT organization FROM organization_under WHERE ancestor = $3)
             AND NOT EXISTS (SELECT 1 FROM selection s WHERE s.teacher = t.teacher AND s.term || '' = $1
                             AND s.round = CAST($2 AS BIGINT) AND s.submitted_at >= t.fixed_at)"
        )
    } else {
        both!(concat!(
            "FROM (SELECT name AS teacher, school, status, away FROM teacher) t WHERE ",
            active_on!("$4"),
            "
             AND t.school IN (SELECT organization FROM organization_under WHERE ancestor = $3)
             AND NOT EXISTS (SELECT 1 FROM selection s WHERE s.teacher = t.teacher AND s.term || '' = $1
                             AND s.round = CAST($2 AS BIGINT) AND s.state <> 'withdrawn')"
        ))
    };
    let args = args![term, round, organization, today];
    let mut page_args = args.clone();
    page_args.extend(args![after, count(limit)]);
    let rows = db.all(page, page_args).await?;
    let teachers = rows.iter().map(|row| row.get("teacher")).collect::<Result<_, Failure>>()?;
    let total = db.one(total, args).await?.map_or(Ok(0), |row| row.get("total"))?;
    Ok((teachers, total))
}

/// Records that teachers were urged.
pub async fn urge(
    tx: &mut Tx,
    term: &str,
    round: i32,
    teachers: &BTreeSet<String>,
    account: &str,
) -> Result<(), Failure> {
    let at = tx.at();
    tx.execute(
        "INSERT INTO urge (term, round, teacher, at, account)
         SELECT $2, CAST($3 AS BIGINT), value ->> 0, CAST($4 AS BIGINT), $5 FROM json_each($1) WHERE TRUE
         ON CONFLICT DO NOTHING",
        args![Rows::texts(teachers).json(), term, round, at, account],
    )
    .await?;
    Ok(())
}
