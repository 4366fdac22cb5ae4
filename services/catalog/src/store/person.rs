//! What is held of one person, who was an expert: read for his export, dropped at his erasure.

use chassis::{
    Failure,
    db::{Queries, Row, Tx, args},
};
use proto::catalog::v1::{AssignmentRecord, Criterion, Score, ScoreRecord};

use super::from_json;

/// Projects that he was to judge, by name from after `after`.
pub async fn assignments(
    db: &mut impl Queries,
    expert: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<(String, AssignmentRecord)>, Failure> {
    let sql = "SELECT * FROM assignment WHERE expert = $1 AND project > $2 ORDER BY project LIMIT $3";
    let read = |row: &Row| {
        let told = AssignmentRecord {
            project: row.get("project")?,
            assigned_at: Some(proto::timestamp(row.get("assigned_at")?)),
            recused: row.get("recused")?,
            recusal_reason: row.get("recusal_reason")?,
        };
        Ok((told.project.clone(), told))
    };
    db.all(sql, args![expert, after, limit]).await?.iter().map(read).collect()
}

/// His scores, by a key from after `after`.
pub async fn scores(
    db: &mut impl Queries,
    expert: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<(String, ScoreRecord)>, Failure> {
    let sql = "SELECT * FROM (SELECT s.*, project || ' ' || CAST(revision AS TEXT) AS key FROM score s WHERE expert = $1) AS of
               WHERE key > $2 ORDER BY key LIMIT $3";
    let read = |row: &Row| {
        let criteria: Vec<(String, i32)> = from_json(row, "criteria")?;
        let score = Score {
            expert: row.get("expert")?,
            criteria: criteria.into_iter().map(|(key, points)| Criterion { key, points }).collect(),
            total_hundredths: row.get("total_hundredths")?,
            comment: row.get("comment")?,
            recused: false,
        };
        let told = ScoreRecord {
            project: row.get("project")?,
            score: Some(score),
            policy_version: row.get("policy_version")?,
            at: Some(proto::timestamp(row.get("at")?)),
        };
        Ok((row.get("key")?, told))
    };
    db.all(sql, args![expert, after, limit]).await?.iter().map(read).collect()
}

/// Empties what he said in words, and why he, or another for him, stepped back.
pub async fn erase(tx: &mut Tx, expert: &str) -> Result<(), Failure> {
    tx.execute("UPDATE assignment SET recusal_reason = '' WHERE expert = $1", args![expert]).await?;
    tx.execute("UPDATE score SET comment = '' WHERE expert || '' = $1 AND comment <> ''", args![expert]).await?;
    Ok(())
}
