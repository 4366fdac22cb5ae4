//! Results of classes, as enrollment tells them.

use chassis::{
    Failure,
    db::{Queries, Rows, Tx, args, row},
};
use proto::{Credit, enrollment::v1::ClassResults};

use super::{flag, known_day, text};
use crate::domain::recognition::{Earned, Outcome};

/// A result and the class that it belongs to; its revision is the database's business.
#[derive(Debug, Clone)]
pub struct Told {
    /// "terms/…/selections/…"
    pub selection: String,
    /// "teachers/…"
    pub teacher: String,
    /// "terms/…/projects/…"
    pub project: String,
    /// "terms/…/projects/…/classes/…"
    pub class: String,
    /// What it earns; none for a failure or no-show.
    pub earned: Option<Earned>,
}

/// Keeps results, no selection twice. A revision rises only when what is earned changes.
pub async fn put(tx: &mut Tx, results: &[Told]) -> Result<(), Failure> {
    let mut rows = Rows::new();
    for told in results {
        let earned = told.earned.as_ref();
        rows.push(row![
            told.selection.as_str(),
            told.teacher.as_str(),
            told.project.as_str(),
            told.class.as_str(),
            i64::from(earned.is_some()),
            earned.map_or(0, |earned| earned.base.0),
            earned.map_or(0, |earned| earned.awarded.0),
            text(earned.map(|earned| earned.effective_on))
        ]);
    }
    tx.execute(
        "INSERT INTO result (selection, teacher, project, class, passed, base, awarded, effective_on, revision)
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, CAST(value ->> 4 AS BIGINT),
                CAST(value ->> 5 AS BIGINT), CAST(value ->> 6 AS BIGINT), value ->> 7, 1
         FROM json_each($1) WHERE TRUE
         ON CONFLICT (selection) DO UPDATE SET
            revision = result.revision + CASE WHEN result.passed <> excluded.passed OR result.base <> excluded.base
                OR result.awarded <> excluded.awarded OR result.effective_on <> excluded.effective_on THEN 1 ELSE 0 END,
            teacher = excluded.teacher, project = excluded.project, class = excluded.class, passed = excluded.passed,
            base = excluded.base, awarded = excluded.awarded, effective_on = excluded.effective_on",
        args![rows.json()],
    )
    .await?;
    Ok(())
}

/// Keeps that a class's results are confirmed.
pub async fn confirm(tx: &mut Tx, class: &ClassResults) -> Result<(), Failure> {
    let confirmed_at = class.confirmed_at.as_ref().map(proto::instant).unwrap_or_default();
    tx.execute(
        "INSERT INTO class_result (class, revision, confirmed_at) VALUES ($1, $2, $3)
         ON CONFLICT (class) DO UPDATE SET revision = excluded.revision, confirmed_at = excluded.confirmed_at",
        args![&class.class, class.revision, confirmed_at],
    )
    .await?;
    Ok(())
}

/// Whether a class's results are confirmed.
pub async fn is_confirmed(db: &mut impl Queries, class: &str) -> Result<bool, Failure> {
    Ok(db.one("SELECT revision FROM class_result WHERE class = $1", args![class]).await?.is_some())
}

/// A class's results by selection: at most `limit`, after the first `offset`.
pub async fn of_class(
    db: &mut impl Queries,
    class: &str,
    limit: usize,
    offset: usize,
) -> Result<Vec<Outcome>, Failure> {
    let rows = db
        .all(
            "SELECT selection, teacher, project, passed, base, awarded, effective_on, revision FROM result
             WHERE class = $1 ORDER BY selection LIMIT $2 OFFSET $3",
            args![class, limit, offset],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let earned = if flag(row, "passed")? {
                Some(Earned {
                    base: Credit(row.get("base")?),
                    awarded: Credit(row.get("awarded")?),
                    effective_on: known_day(row, "effective_on")?,
                })
            } else {
                None
            };
            Ok(Outcome {
                selection: row.get("selection")?,
                teacher: row.get("teacher")?,
                project: row.get("project")?,
                revision: row.get("revision")?,
                earned,
            })
        })
        .collect()
}
