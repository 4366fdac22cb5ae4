//! Seats: the ledger, and the counts that the database itself checks.

use std::collections::{BTreeMap, BTreeSet};

use chassis::{
    Failure,
    db::{Queries, Row, Rows, Tx, args, insert, keyed, row},
};
use proto::enrollment::v1::Seats;

use super::{count, dialect, narrow};
use crate::domain::{Project, seats::Book};

/// Places held and places granted, by project.
pub type Sums = BTreeMap<String, (i32, i32)>;

fn read_sums(rows: &[Row]) -> Result<Sums, Failure> {
    rows.iter().map(|row| Ok((row.get("project")?, (narrow(row, "held")?, narrow(row, "granted")?)))).collect()
}

/// What the places of projects add up to, none of them locked.
pub async fn sums(db: &mut impl Queries, projects: &BTreeSet<String>) -> Result<Sums, Failure> {
    let sql = keyed!(dialect::read_seats!(), "project", "$1", "");
    read_sums(&db.all(sql, args![Rows::texts(projects)]).await?)
}

/// Locks the seats of projects: what they add up to stands until the transaction ends.
pub async fn lock(tx: &mut Tx, projects: &BTreeSet<String>) -> Result<Sums, Failure> {
    if projects.is_empty() {
        return Ok(Sums::new());
    }
    read_sums(&tx.all(dialect::LOCK_SEATS, args![Rows::texts(projects)]).await?)
}

/// The counts of projects: held, and granted by class.
pub async fn counts(
    db: &mut impl Queries,
    projects: &BTreeSet<String>,
) -> Result<BTreeMap<String, (i32, BTreeMap<String, i32>)>, Failure> {
    let names = Rows::texts(projects);
    let mut counts = BTreeMap::new();
    let held = keyed!("SELECT project, held FROM seat_count WHERE ", "project", "$1", "");
    for row in db.all(held, args![names.clone()]).await? {
        counts.insert(row.get::<String>("project")?, (narrow(&row, "held")?, BTreeMap::new()));
    }
    let granted = keyed!("SELECT project, class, granted FROM class_count WHERE ", "project", "$1", "");
    for row in db.all(granted, args![names]).await? {
        if let Some((_, classes)) = counts.get_mut(&row.get::<String>("project")?) {
            classes.insert(row.get("class")?, narrow(&row, "granted")?);
        }
    }
    Ok(counts)
}

/// What the places of a term's projects add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// All there are.
    pub capacity: i64,
    /// Held for submissions.
    pub held: i64,
    /// Granted to participants.
    pub granted: i64,
}

impl Totals {
    /// Neither held nor granted.
    #[must_use]
    pub const fn free(&self) -> i64 {
        self.capacity.saturating_sub(self.held).saturating_sub(self.granted)
    }
}

/// The totals of each term.
pub async fn totals(db: &mut impl Queries) -> Result<Vec<(String, Totals)>, Failure> {
    let rows = db
        .all(
            "SELECT term, CAST(SUM(capacity) AS BIGINT) AS capacity, CAST(SUM(held) AS BIGINT) AS held,
                    CAST(SUM(granted) AS BIGINT) AS granted
             FROM seat_count GROUP BY term ORDER BY term",
            args![],
        )
        .await?;
    let read = |row: &Row| {
        let (capacity, held) = (row.get("capacity")?, row.get("held")?);
        Ok((row.get("term")?, Totals { capacity, held, granted: row.get("granted")? }))
    };
    rows.iter().map(read).collect()
}

/// Free places of projects: capacity less held and granted.
pub async fn free(db: &mut impl Queries, projects: &BTreeSet<String>) -> Result<BTreeMap<String, i32>, Failure> {
    let rows = db
        .all(
            "SELECT project, capacity - held - granted AS free FROM seat_count
             WHERE project IN (SELECT value ->> 0 FROM json_each($1))",
            args![Rows::texts(projects).json()],
        )
        .await?;
    rows.iter().map(|row| Ok((row.get("project")?, narrow(row, "free")?))).collect()
}

/// Free places of every project of a term that is or was on the menu, by name.
pub async fn free_of_term(db: &mut impl Queries, term: &str) -> Result<Vec<(String, i32)>, Failure> {
    let rows = db
        .all(
            "SELECT c.project AS project, c.capacity - c.held - c.granted AS free FROM seat_count c
             WHERE c.term = $1 AND c.project IN (SELECT p.name FROM project p WHERE p.listed) ORDER BY c.project",
            args![term],
        )
        .await?;
    rows.iter().map(|row| Ok((row.get("project")?, narrow(row, "free")?))).collect()
}

/// Writes what was entered in the books: the ledger's lines, and the counts they add up to. The statement fails where a
/// count would be oversold.
pub async fn write(tx: &mut Tx, books: &BTreeMap<String, Book>) -> Result<(), Failure> {
    let at = tx.at();
    let (mut lines, mut projects, mut classes) = (Rows::new(), Rows::new(), Rows::new());
    for (project, book) in books {
        let (mut held, mut granted, mut by_class) = (0_i64, 0_i64, BTreeMap::<&str, i64>::new());
        for line in book.lines() {
            let (selection, class) = (line.selection.as_str(), line.class.as_str());
            lines.push(row![project.as_str(), selection, line.kind.word(), class, line.held, line.granted, at]);
            held = held.saturating_add(line.held.into());
            granted = granted.saturating_add(line.granted.into());
            if line.granted != 0 {
                let sum = by_class.entry(class).or_default();
                *sum = sum.saturating_add(line.granted.into());
            }
        }
        if !book.lines().is_empty() {
            projects.push(row![project.as_str(), held, granted]);
        }
        for (class, granted) in by_class {
            classes.push(row![class, granted]);
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    let insert = insert!(
        "seat_ledger",
        [project TEXT, selection TEXT, kind TEXT, class TEXT, held BIGINT, granted BIGINT, at BIGINT],
        ""
    );
    tx.insert_later(insert, lines).await?;
    tx.later(
        "UPDATE seat_count SET held = seat_count.held + moved.held, granted = seat_count.granted + moved.granted
         FROM (SELECT value ->> 0 AS project, CAST(value ->> 1 AS BIGINT) AS held, CAST(value ->> 2 AS BIGINT) AS granted
               FROM json_each($1)) AS moved
         WHERE seat_count.project = moved.project",
        args![projects.json()],
    )
    .await?;
    if !classes.is_empty() {
        tx.later(
            "UPDATE class_count SET granted = class_count.granted + moved.granted
             FROM (SELECT value ->> 0 AS class, CAST(value ->> 1 AS BIGINT) AS granted FROM json_each($1)) AS moved
             WHERE class_count.class = moved.class",
            args![classes.json()],
        )
        .await?;
    }
    Ok(())
}

/// Raises the places to at least what the catalog says now, before places are given out.
pub async fn raise(tx: &mut Tx, project: &Project) -> Result<(), Failure> {
    let classes = classes(project);
    tx.execute(
        "INSERT INTO class_count (class, project, places, granted)
         SELECT value ->> 0, $2, CAST(value ->> 1 AS BIGINT), 0 FROM json_each($1) WHERE TRUE
         ON CONFLICT (class) DO UPDATE SET places =
            CASE WHEN excluded.places > class_count.places THEN excluded.places ELSE class_count.places END",
        args![classes.json(), &project.name],
    )
    .await?;
    tx.execute(
        "INSERT INTO seat_count (project, term, capacity, held, granted) VALUES ($1, $2, $3, 0, 0)
         ON CONFLICT (project) DO UPDATE SET capacity =
            CASE WHEN excluded.capacity > seat_count.capacity THEN excluded.capacity ELSE seat_count.capacity END",
        args![&project.name, &project.term, project.capacity()],
    )
    .await?;
    Ok(())
}

/// Lowers the places to what the catalog says now, but never below what is given: who has had his training keeps his place in
/// a class that is cancelled after it.
pub async fn lower(tx: &mut Tx, project: &Project) -> Result<(), Failure> {
    let classes = classes(project);
    tx.execute(
        "UPDATE class_count SET places = CASE WHEN now.places > granted THEN now.places ELSE granted END
         FROM (SELECT value ->> 0 AS class, CAST(value ->> 1 AS BIGINT) AS places FROM json_each($1)) AS now
         WHERE class_count.class = now.class",
        args![classes.json()],
    )
    .await?;
    tx.execute(
        "UPDATE seat_count SET capacity =
            CASE WHEN CAST($2 AS BIGINT) > held + granted THEN CAST($2 AS BIGINT) ELSE held + granted END
         WHERE project = $1",
        args![&project.name, project.capacity()],
    )
    .await?;
    Ok(())
}

fn classes(project: &Project) -> Rows {
    let mut rows = Rows::new();
    for class in project.classes.values() {
        let places = if class.active && !project.cancelled { class.places.max(0) } else { 0 };
        rows.push(row![class.name.as_str(), places]);
    }
    rows
}

/// The seats of a term's projects (of all, or those named), by name from after `after`.
pub async fn list(
    db: &mut impl Queries,
    term: &str,
    projects: &[String],
    after: &str,
    limit: usize,
) -> Result<Vec<Seats>, Failure> {
    let rows = db
        .all(
            "SELECT c.project AS project, c.capacity AS capacity, c.held AS held, c.granted AS granted,
                (SELECT COUNT(*) FROM selection s WHERE s.project = c.project AND s.state = 'waitlisted') AS waiting,
                (SELECT COUNT(*) FROM selection s WHERE s.project = c.project
                    AND s.state IN ('submitted', 'school_approved', 'waitlisted', 'confirmed', 'attended')) AS live
             FROM seat_count c
             WHERE c.term = $1 AND c.project IN (SELECT p.name FROM project p WHERE p.listed) AND ($2 = '[]' OR c.project IN (SELECT value ->> 0 FROM json_each($2))) AND c.project > $3
             ORDER BY c.project LIMIT $4",
            args![term, Rows::texts(projects).json(), after, count(limit)],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Seats {
                project: row.get("project")?,
                capacity: narrow(row, "capacity")?,
                held: narrow(row, "held")?,
                granted: narrow(row, "granted")?,
                waiting: narrow(row, "waiting")?,
                live_selections: narrow(row, "live")?,
            })
        })
        .collect()
}
