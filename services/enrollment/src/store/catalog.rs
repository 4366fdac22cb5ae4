//! The mirror of the catalog: projects and their places.

use std::collections::BTreeSet;

use chassis::{
    Failure,
    db::{Queries, Row, Rows, Tx, args, keyed},
};
use prost::Message as _;
use proto::catalog::v1::{ProjectFacts, project::State};

use super::{count, dialect, facts};
use crate::domain::{Project, Projects};

fn read(row: &Row) -> Result<Project, Failure> {
    let facts = row.get::<Vec<u8>>("facts")?;
    facts::project(ProjectFacts::decode(facts.as_slice()).map_err(Failure::internal)?)
}

/// The project of this name.
pub async fn project(db: &mut impl Queries, name: &str) -> Result<Option<Project>, Failure> {
    db.one("SELECT facts FROM project WHERE name = $1", args![name]).await?.as_ref().map(read).transpose()
}

/// The projects of these names.
pub async fn projects(db: &mut impl Queries, names: &BTreeSet<String>) -> Result<Projects, Failure> {
    let sql = keyed!("SELECT facts FROM project WHERE ", "name", "$1", "");
    let rows = db.all(sql, args![Rows::texts(names)]).await?;
    rows.iter().map(|row| read(row).map(|project| (project.name.clone(), project))).collect()
}

/// The `page`-th run of `limit` published projects of a term, by name.
pub async fn published_page(
    db: &mut impl Queries,
    term: &str,
    page: i32,
    limit: usize,
) -> Result<Vec<Project>, Failure> {
    let offset = i64::from(page).saturating_mul(count(limit));
    let rows = db
        .all(
            "SELECT facts FROM project WHERE term = $1 AND open ORDER BY name LIMIT $2 OFFSET $3",
            args![term, count(limit), offset],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// The projects of these names, kept as they are until the transaction ends: the catalog's mirror waits.
pub async fn share(tx: &mut Tx, names: &BTreeSet<String>) -> Result<Projects, Failure> {
    let rows = tx.all(dialect::SHARE_PROJECTS, args![Rows::texts(names)]).await?;
    rows.iter().map(|row| read(row).map(|project| (project.name.clone(), project))).collect()
}

/// Takes a project's facts.
pub async fn put(tx: &mut Tx, wire: &ProjectFacts, project: &Project) -> Result<(), Failure> {
    // On the menu now or before: its seats are everyone's to see.
    let listed = matches!(wire.state(), State::Published | State::Running | State::Completed | State::Cancelled);
    tx.execute(
        "INSERT INTO project (name, term, provider, accepting_bureau, open, listed, facts)
         VALUES ($1, $2, $3, $4, CAST($5 AS BIGINT) = 1, CAST($6 AS BIGINT) = 1, $7)
         ON CONFLICT (name) DO UPDATE SET provider = excluded.provider, accepting_bureau = excluded.accepting_bureau,
            open = excluded.open, listed = excluded.listed, facts = excluded.facts",
        args![
            &project.name,
            &project.term,
            &project.provider,
            &project.accepting_bureau,
            i64::from(project.open),
            i64::from(listed),
            wire.encode_to_vec()
        ],
    )
    .await?;
    Ok(())
}
