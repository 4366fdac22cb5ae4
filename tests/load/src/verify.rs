//! The independent reader: plain SQL on the services' databases after a case, with nothing of the services' own code. What was
//! acknowledged is there, no place is given twice, and what is mirrored equals its source.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use proto::roster::v1::Teacher;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use sqlx::{FromRow, PgPool, SqlitePool, postgres::PgRow, sqlite::SqliteRow};

use crate::world::World;

/// Position, id, count, digest and chain of a batch of changes.
type Batch = (i64, String, i64, Vec<u8>, Vec<u8>);

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Selections that the databases hold.
    pub selections: usize,
    /// Of those acknowledged, how many are there.
    pub kept: usize,
    /// Everything that is wrong; empty if all is well.
    pub faults: Vec<String>,
}

impl Found {
    /// Whether all is well.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.faults.is_empty()
    }

    fn fault(&mut self, found: usize, what: &str) {
        if found > 0 {
            self.faults.push(format!("{found} × {what}"));
        }
    }
}

/// Reads everything and compares. `acknowledged`: names of the selections whose submission was answered well.
///
/// # Errors
/// If a database cannot be read.
pub async fn verify(world: &World, acknowledged: &[String]) -> anyhow::Result<Found> {
    let open = async |service: &str| Reader::open(&world.databases().url(service)).await;
    let enrollment = open("enrollment").await?;
    let mut found = Found::default();
    selections(&enrollment, acknowledged, &mut found).await?;
    seats(&enrollment, &mut found).await?;
    mirrors(&enrollment, &open("roster").await?, &open("catalog").await?, &mut found).await?;
    chain(&enrollment, &mut found).await?;
    Ok(found)
}

/// The roster after an import: every teacher with his school and number, with a change, and what is mirrored equals it.
///
/// # Errors
/// If a database cannot be read.
pub async fn roster(world: &World, imported: &[&Teacher]) -> anyhow::Result<Found> {
    let open = async |service: &str| Reader::open(&world.databases().url(service)).await;
    let roster = open("roster").await?;
    let mut found = Found::default();
    let rows: Vec<(String, String, String)> = roster.all("SELECT name, school, teacher_number FROM teacher").await?;
    let rows: BTreeSet<(String, String, String)> = rows.into_iter().collect();
    let is_there = |teacher: &&&Teacher| {
        rows.contains(&(teacher.name.clone(), teacher.school.clone(), teacher.teacher_number.clone()))
    };
    found.kept = imported.iter().filter(is_there).count();
    found.fault(imported.len() - found.kept, "imported teachers who are not there");
    found.fault(rows.len() - found.kept, "teachers who were not imported");
    let changes: Vec<(String,)> =
        roster.all("SELECT DISTINCT resource FROM change WHERE resource LIKE 'teachers/%'").await?;
    found.fault(imported.len().abs_diff(changes.len()), "teachers without a change");
    chain(&roster, &mut found).await?;
    mirrors(&open("enrollment").await?, &roster, &open("catalog").await?, &mut found).await?;
    Ok(found)
}

/// Each acknowledged selection once, with its change; no live pair twice.
async fn selections(enrollment: &Reader, acknowledged: &[String], found: &mut Found) -> anyhow::Result<()> {
    let rows: Vec<(String, String, String, String)> =
        enrollment.all("SELECT name, teacher, project, state FROM selection").await?;
    let changes: Vec<(String,)> = enrollment.all("SELECT DISTINCT resource FROM change").await?;
    let names: BTreeSet<&str> = rows.iter().map(|(name, ..)| name.as_str()).collect();
    let changed: BTreeSet<&str> = changes.iter().map(|(resource,)| resource.as_str()).collect();
    found.selections = rows.len();
    found.kept = acknowledged.iter().filter(|name| names.contains(name.as_str())).count();
    found.fault(acknowledged.len() - found.kept, "acknowledged selections that are not there");
    let distinct: BTreeSet<&String> = acknowledged.iter().collect();
    found.fault(acknowledged.len() - distinct.len(), "selections acknowledged twice under different requests");
    found.fault(names.iter().filter(|name| !changed.contains(*name)).count(), "selections without a change");
    let live = |state: &str| ["submitted", "school_approved", "waitlisted", "confirmed", "attended"].contains(&state);
    let mut pairs = BTreeSet::new();
    let twice = rows.iter().filter(|(_, teacher, project, state)| live(state) && !pairs.insert((teacher, project)));
    found.fault(twice.count(), "teachers who hold a project twice");
    Ok(())
}

/// Counts, ledger and selections agree, and stay within the capacity.
async fn seats(enrollment: &Reader, found: &mut Found) -> anyhow::Result<()> {
    let counts: Vec<(String, i64, i64, i64)> =
        enrollment.all("SELECT project, capacity, held, granted FROM seat_count").await?;
    let over = counts.iter().filter(|(_, capacity, held, granted)| held + granted > *capacity || *held < 0);
    found.fault(over.count(), "projects with more seats than places");
    let by_project = |rows: Vec<(String, i64, i64)>| -> BTreeMap<String, (i64, i64)> {
        rows.into_iter().map(|(project, held, granted)| (project, (held, granted))).collect()
    };
    let ledger = enrollment
        .all(
            "SELECT project, CAST(SUM(held) AS BIGINT), CAST(SUM(granted) AS BIGINT)
             FROM seat_ledger GROUP BY project",
        )
        .await?;
    let seated = enrollment
        .all(
            "SELECT project, CAST(SUM(CASE seat WHEN 'held' THEN 1 ELSE 0 END) AS BIGINT),
                CAST(SUM(CASE seat WHEN 'granted' THEN 1 ELSE 0 END) AS BIGINT)
             FROM selection GROUP BY project",
        )
        .await?;
    let (ledger, seated) = (by_project(ledger), by_project(seated));
    let differs = |books: &BTreeMap<String, (i64, i64)>| {
        let told = |project: &String| books.get(project).copied().unwrap_or_default();
        counts.iter().filter(|(project, _, held, granted)| told(project) != (*held, *granted)).count()
    };
    found.fault(differs(&ledger), "projects whose ledger does not sum to their count");
    found.fault(differs(&seated), "projects whose selections do not sum to their count");
    let counted: BTreeSet<&String> = counts.iter().map(|(project, ..)| project).collect();
    let uncounted = ledger.keys().filter(|project| !counted.contains(project)).count();
    found.fault(uncounted, "projects with seats and without a count");
    Ok(())
}

/// The chain of changes from its beginning to its head: nothing altered, removed, cut or added.
async fn chain(service: &Reader, found: &mut Found) -> anyhow::Result<()> {
    let batches: Vec<Batch> =
        service.all("SELECT position, batch, count, digest, chain FROM change_batch ORDER BY position").await?;
    let changes: Vec<(String, i64, Vec<u8>)> =
        service.all("SELECT batch, idx, body FROM change ORDER BY batch, idx").await?;
    let heads: Vec<(i64, Vec<u8>)> = service.all("SELECT position, chain FROM feed").await?;
    let mut bodies: BTreeMap<&str, Vec<(i64, &[u8])>> = BTreeMap::new();
    for (batch, index, body) in &changes {
        bodies.entry(batch).or_default().push((*index, body));
    }
    let (mut broken, mut before, mut link) = (0, 0, vec![0_u8; 32]);
    for (position, batch, count, digest, chain) in &batches {
        let changes = bodies.remove(batch.as_str()).unwrap_or_default();
        let whole = (0..*count).eq(changes.iter().map(|(index, _)| *index));
        let sum = changes.iter().fold(vec![0_u8; 32], |sum, (_, body)| sha256(&[&sum, body]));
        link = sha256(&[&link, &position.to_be_bytes(), &sum]);
        broken += usize::from(!whole || *position != before + 1 || sum != *digest || link != *chain);
        before = *position;
    }
    found.fault(broken, "links of the chain of changes that are broken");
    found.fault(bodies.len(), "batches of changes outside the chain");
    found.fault(usize::from(heads != [(before, link)]), "head that is not the end of the chain");
    Ok(())
}

fn sha256(parts: &[&[u8]]) -> Vec<u8> {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().to_vec()
}

/// A class, as the catalog keeps it.
#[derive(Debug, Deserialize)]
struct Class {
    places: i64,
    state: String,
}

/// What enrollment knows of teachers and projects is what roster and catalog say.
async fn mirrors(enrollment: &Reader, roster: &Reader, catalog: &Reader, found: &mut Found) -> anyhow::Result<()> {
    let sql = "SELECT name, school, account FROM teacher";
    let source: BTreeSet<(String, String, String)> = roster.all(sql).await?.into_iter().collect();
    let mirror: BTreeSet<(String, String, String)> = enrollment.all(sql).await?.into_iter().collect();
    found.fault(source.symmetric_difference(&mirror).count(), "teachers who differ from the roster");

    let sql = "SELECT name, term, provider, accepting_bureau FROM project";
    type Project = (String, String, String, String);
    let source: BTreeSet<Project> = catalog.all(sql).await?.into_iter().collect();
    let mirror: BTreeSet<Project> = enrollment.all(sql).await?.into_iter().collect();
    found.fault(source.symmetric_difference(&mirror).count(), "projects that differ from the catalog");

    let classes: Vec<(String, String)> = catalog.all("SELECT name, classes FROM project").await?;
    let capacities: Vec<(String, i64)> = enrollment.all("SELECT project, capacity FROM seat_count").await?;
    let capacities: BTreeMap<String, i64> = capacities.into_iter().collect();
    let mut differing = 0;
    for (project, classes) in classes {
        let classes: Vec<Class> = serde_json::from_str(&classes).with_context(|| format!("classes of {project}"))?;
        let places: i64 = classes.iter().filter(|class| class.state == "active").map(|class| class.places).sum();
        differing += usize::from(capacities.get(&project).copied().unwrap_or_default() != places);
    }
    found.fault(differing, "projects whose capacity is not that of their classes");
    Ok(())
}

/// A database, read only.
#[derive(Debug)]
pub enum Reader {
    /// A file.
    Sqlite(SqlitePool),
    /// A database of the cluster.
    Postgres(PgPool),
}

impl Reader {
    /// Opens the database at a URL.
    ///
    /// # Errors
    /// If it is not there.
    pub async fn open(url: &str) -> anyhow::Result<Self> {
        Ok(match url.strip_prefix("sqlite:") {
            Some(path) => {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).read_only(true);
                Self::Sqlite(SqlitePool::connect_with(options).await?)
            }
            None => Self::Postgres(PgPool::connect(url).await?),
        })
    }

    /// All rows of a query.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn all<T>(&self, sql: &'static str) -> anyhow::Result<Vec<T>>
    where
        T: Send + Unpin + for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow>,
    {
        Ok(match self {
            Self::Sqlite(pool) => sqlx::query_as(sql).fetch_all(pool).await?,
            Self::Postgres(pool) => sqlx::query_as(sql).fetch_all(pool).await?,
        })
    }
}
