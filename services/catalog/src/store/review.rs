//! Experts and their scores.

use std::collections::BTreeMap;

use chassis::{
    Failure,
    db::{Queries, Row, Rows, Tx, args},
};

use super::{from_json, json};
use crate::domain::{
    Project,
    review::{Assignment, Scored},
};

/// The experts of each of these projects with the score that counts, by expert.
pub async fn of_projects<'a>(
    db: &mut impl Queries,
    projects: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeMap<String, Vec<Assignment>>, Failure> {
    let rows = db
        .all(
            "SELECT a.project, a.expert, a.recused, s.criteria, s.total_hundredths, s.comment
             FROM assignment a
             LEFT JOIN score s ON s.project = a.project AND s.expert = a.expert AND s.revision = (
                 SELECT MAX(l.revision) FROM score l WHERE l.project = a.project AND l.expert = a.expert)
             WHERE a.project IN (SELECT value ->> 0 FROM json_each($1))
             ORDER BY a.project, a.expert",
            args![Rows::texts(projects).json()],
        )
        .await?;
    let mut all: BTreeMap<String, Vec<Assignment>> = BTreeMap::new();
    for row in &rows {
        all.entry(row.get("project")?).or_default().push(read(row)?);
    }
    Ok(all)
}

fn read(row: &Row) -> Result<Assignment, Failure> {
    let score = match row.get::<Option<i64>>("total_hundredths")? {
        Some(total_hundredths) => {
            Some(Scored { criteria: from_json(row, "criteria")?, total_hundredths, comment: row.get("comment")? })
        }
        None => None,
    };
    Ok(Assignment { expert: row.get("expert")?, recused: row.get("recused")?, score })
}

/// Puts an expert on a locked project.
pub async fn assign(tx: &mut Tx, project: &Project, expert: &str) -> Result<(), Failure> {
    let at = tx.at();
    tx.execute(
        "INSERT INTO assignment (project, expert, assigned_at, recused, recusal_reason) VALUES ($1, $2, $3, $4, '')",
        args![&project.name, expert, at, false],
    )
    .await?;
    Ok(())
}

/// Takes an expert off a locked project; what he scored stays, and counts no more.
pub async fn recuse(tx: &mut Tx, project: &Project, expert: &str, reason: &str) -> Result<(), Failure> {
    tx.execute(
        "UPDATE assignment SET recused = $3, recusal_reason = $4 WHERE project = $1 AND expert = $2",
        args![&project.name, expert, true, reason],
    )
    .await?;
    Ok(())
}

/// Keeps an expert's score of a locked project.
pub async fn score(
    tx: &mut Tx,
    project: &Project,
    expert: &str,
    score: &Scored,
    policy_version: i64,
) -> Result<(), Failure> {
    let at = tx.at();
    tx.execute(
        "INSERT INTO score (project, expert, revision, criteria, total_hundredths, comment, policy_version, at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        args![
            &project.name,
            expert,
            project.revision,
            json(&score.criteria)?,
            score.total_hundredths,
            &score.comment,
            policy_version,
            at,
        ],
    )
    .await?;
    Ok(())
}
