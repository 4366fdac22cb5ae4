//! Confirmed results of classes, and classes that are too small.

use std::collections::{BTreeMap, BTreeSet};

use chassis::{
    Failure,
    db::{Queries, Record, Row, Rows, Tx, args},
};
use proto::enrollment::v1::{ClassResults, ProposedCancellation};

use super::{count, narrow};
use crate::domain::class_size::TooSmall;

/// Classes of a project that are proposed for cancelling.
#[derive(Debug, Clone, Copy)]
pub struct Proposed<'a> {
    /// "terms/…/projects/…"
    pub project: &'a str,
    /// The round whose review has just closed.
    pub round: i32,
    /// The classes; none: whatever stood was decided, or is no longer so.
    pub small: &'a [TooSmall],
}

fn read(row: &Row) -> Result<ClassResults, Failure> {
    Ok(ClassResults {
        class: row.get("class")?,
        passed: narrow(row, "passed")?,
        failed: narrow(row, "failed")?,
        no_show: narrow(row, "no_show")?,
        confirmed_at: Some(proto::timestamp(row.get("confirmed_at")?)),
        revision: narrow(row, "revision")?,
    })
}

/// The confirmed results of a class.
pub async fn results(db: &mut impl Queries, class: &str) -> Result<Option<ClassResults>, Failure> {
    let sql = "SELECT class, passed, failed, no_show, confirmed_at, revision FROM class_results WHERE class = $1";
    db.one(sql, args![class]).await?.as_ref().map(read).transpose()
}

/// Those of the classes whose results are confirmed.
pub async fn confirmed(db: &mut impl Queries, classes: &BTreeSet<String>) -> Result<Vec<String>, Failure> {
    let sql = "SELECT class FROM class_results WHERE class IN (SELECT value ->> 0 FROM json_each($1)) ORDER BY class";
    let rows = db.all(sql, args![Rows::texts(classes).json()]).await?;
    rows.iter().map(|row| row.get("class")).collect()
}

/// Writes the results of a class.
pub async fn write_results(tx: &mut Tx, term: &str, project: &str, results: &ClassResults) -> Result<(), Failure> {
    let confirmed_at = results.confirmed_at.as_ref().map(proto::instant).unwrap_or_default();
    tx.execute(
        "INSERT INTO class_results (class, project, term, passed, failed, no_show, confirmed_at, revision)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (class) DO UPDATE SET passed = excluded.passed, failed = excluded.failed,
            no_show = excluded.no_show, revision = excluded.revision",
        args![
            &results.class,
            project,
            term,
            results.passed,
            results.failed,
            results.no_show,
            confirmed_at,
            results.revision
        ],
    )
    .await?;
    Ok(())
}

/// Classes with participants whose results are not confirmed: (class, provider), by name.
pub async fn due(db: &mut impl Queries, term: &str) -> Result<Vec<(String, String)>, Failure> {
    let rows = db
        .all(
            "SELECT c.class AS class, p.provider AS provider FROM class_count c JOIN project p ON p.name = c.project
             WHERE p.term = $1 AND c.granted > 0
               AND NOT EXISTS (SELECT 1 FROM class_results r WHERE r.class = c.class)
             ORDER BY c.class",
            args![term],
        )
        .await?;
    rows.iter().map(|row| Ok((row.get("class")?, row.get("provider")?))).collect()
}

fn read_proposal(row: &Row) -> Result<ProposedCancellation, Failure> {
    Ok(ProposedCancellation {
        class: row.get("class")?,
        project: row.get("project")?,
        participants: narrow(row, "participants")?,
        needed: narrow(row, "needed")?,
        round: narrow(row, "round")?,
    })
}

/// Puts proposals for cancelling classes of a project in the place of those that stood, and records what that changes.
pub async fn propose(tx: &mut Tx, term: &str, proposed: Proposed<'_>) -> Result<(), Failure> {
    let Proposed { project, round, small } = proposed;
    let rows = tx
        .all(
            "UPDATE proposed_cancellation SET standing = (CAST(0 AS BIGINT) = 1) WHERE project = $1 AND standing
             RETURNING class, project, participants, needed, round",
            args![project],
        )
        .await?;
    let stood = rows.iter().map(|row| read_proposal(row).map(|proposal| (proposal.class.clone(), proposal)));
    let mut stood = stood.collect::<Result<BTreeMap<_, _>, Failure>>()?;
    for TooSmall { class, participants, needed } in small {
        tx.execute(
            "INSERT INTO proposed_cancellation (class, project, term, round, participants, needed, standing)
             VALUES ($1, $2, $3, $4, $5, $6, CAST(1 AS BIGINT) = 1)
             ON CONFLICT (class) DO UPDATE SET round = excluded.round, participants = excluded.participants,
                needed = excluded.needed, standing = excluded.standing",
            args![class, project, term, round, *participants, *needed],
        )
        .await?;
        let (class, project) = (class.clone(), project.to_owned());
        let proposal = ProposedCancellation { class, project, participants: *participants, needed: *needed, round };
        if stood.remove(&proposal.class).as_ref() != Some(&proposal) {
            tx.record(Record::of(&proposal.class, "proposed_for_cancelling", &proposal).term(term));
        }
    }
    for proposal in stood.values() {
        tx.record(Record::of(&proposal.class, "proposal_withdrawn", proposal).term(term));
    }
    Ok(())
}

/// A page of standing proposals: of the provider, or of the bureaus over the accepting bureau (`organizations`).
pub async fn proposals(
    db: &mut impl Queries,
    term: &str,
    providers: &str,
    organizations: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<ProposedCancellation>, Failure> {
    let rows = db
        .all(
            "SELECT x.class AS class, x.project AS project, x.participants AS participants, x.needed AS needed,
                    x.round AS round
             FROM proposed_cancellation x JOIN project p ON p.name = x.project
             WHERE x.term = $1 AND x.standing AND x.class > $4
               AND (p.provider IN (SELECT value ->> 0 FROM json_each($2))
                    OR p.accepting_bureau IN (SELECT u.organization FROM organization_under u
                                              WHERE u.ancestor IN (SELECT value ->> 0 FROM json_each($3))))
             ORDER BY x.class LIMIT $5",
            args![term, providers, organizations, after, count(limit)],
        )
        .await?;
    rows.iter().map(read_proposal).collect()
}
