//! Selections: read by what they belong to, written many at a time.

use std::collections::{BTreeMap, BTreeSet};

use chassis::{
    Failure,
    db::{Queries, Row, Rows, Tx, args, insert, keyed, row},
};

use super::{count, narrow, unknown};
use crate::domain::{Selection, State, seats::Seat};

macro_rules! select {
    ($rest:expr) => {
        concat!(
            "SELECT s.name AS name, s.teacher AS teacher, s.project AS project, s.class AS class, s.round AS round,
                    s.preference AS preference, s.state AS state, s.seat AS seat, s.school AS school,
                    s.submitted_at AS submitted_at, s.submitted_by AS submitted_by, s.reason AS reason,
                    s.reason_text AS reason_text, s.matched AS matched, s.approved AS approved,
                    s.waiting_position AS waiting_position, s.roster_position AS roster_position,
                    s.policy_version AS policy_version, s.revision AS revision,
                    s.sessions_attended AS sessions_attended, s.passed AS passed,
                    s.coefficient_percent AS coefficient_percent, s.entry AS entry
             FROM selection s ",
            $rest
        )
    };
}

fn read(row: &Row) -> Result<Selection, Failure> {
    let (state, seat) = (row.get::<String>("state")?, row.get::<String>("seat")?);
    Ok(Selection {
        name: row.get("name")?,
        teacher: row.get("teacher")?,
        project: row.get("project")?,
        class: row.get("class")?,
        round: narrow(row, "round")?,
        preference: narrow(row, "preference")?,
        state: State::from_word(&state).ok_or_else(|| unknown("state", &state))?,
        seat: Seat::ALL.iter().copied().find(|one| one.word() == seat).ok_or_else(|| unknown("seat", &seat))?,
        school: row.get("school")?,
        submitted_at: row.get("submitted_at")?,
        submitted_by: row.get("submitted_by")?,
        reason: row.get("reason")?,
        reason_text: row.get("reason_text")?,
        matched: row.get("matched")?,
        approved: row.get("approved")?,
        waiting_position: narrow(row, "waiting_position")?,
        roster_position: row.get("roster_position")?,
        policy_version: row.get("policy_version")?,
        revision: row.get("revision")?,
        sessions_attended: narrow(row, "sessions_attended")?,
        passed: match row.get::<i64>("passed")? {
            -1 => None,
            verdict => Some(verdict == 1),
        },
        coefficient_percent: narrow(row, "coefficient_percent")?,
        entry: row.get("entry")?,
    })
}

fn read_all(rows: Vec<Row>) -> Result<Vec<Selection>, Failure> {
    rows.iter().map(read).collect()
}

/// A teacher's selections of all terms, by name from after `after`.
pub async fn of_teacher(
    db: &mut impl Queries,
    teacher: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<Selection>, Failure> {
    let sql = select!("WHERE s.teacher = $1 AND s.name || '' > $2 ORDER BY s.name || '' LIMIT $3");
    read_all(db.all(sql, args![teacher, after, limit]).await?)
}

/// The names of a teacher's selections of all terms.
pub async fn names_of_teacher(db: &mut impl Queries, teacher: &str) -> Result<BTreeSet<String>, Failure> {
    let rows = db.all("SELECT name FROM selection WHERE teacher = $1", args![teacher]).await?;
    rows.iter().map(|row| row.get("name")).collect()
}

/// The selection of this name.
pub async fn find(db: &mut impl Queries, name: &str) -> Result<Option<Selection>, Failure> {
    db.one(select!("WHERE s.name = $1"), args![name]).await?.as_ref().map(read).transpose()
}

/// The selections of these names; those that do not exist are missing.
pub async fn named(db: &mut impl Queries, names: &BTreeSet<String>) -> Result<Vec<Selection>, Failure> {
    let sql = keyed!(select!("WHERE "), "s.name", "$1", " ORDER BY s.name");
    read_all(db.all(sql, args![Rows::texts(names)]).await?)
}

/// Every selection of the term of these teachers.
pub async fn of_teachers(
    db: &mut impl Queries,
    term: &str,
    teachers: &BTreeSet<String>,
) -> Result<Vec<Selection>, Failure> {
    // `|| ''` keeps SQLite off the index of rounds, which begins with the term but has all of its selections; an ORDER BY would
    // have PostgreSQL walk the primary key.
    let sql = keyed!(select!("WHERE "), "s.teacher", "$2", " AND s.term || '' = $1");
    let mut selections = read_all(db.all(sql, args![term, Rows::texts(teachers)]).await?)?;
    selections.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(selections)
}

/// The selections of a project in one state (empty: in any).
pub async fn of_project(db: &mut impl Queries, project: &str, state: &str) -> Result<Vec<Selection>, Failure> {
    let sql = select!("WHERE s.project = $1 AND ($2 = '' OR s.state = $2) ORDER BY s.name");
    read_all(db.all(sql, args![project, state]).await?)
}

/// The selections with a place in a class, by name from after `after`.
pub async fn of_class(
    db: &mut impl Queries,
    project: &str,
    class: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Selection>, Failure> {
    let sql = select!(
        "WHERE s.project = $1 AND s.class = $2 AND s.seat = 'granted' AND s.name > $3 ORDER BY s.name LIMIT $4"
    );
    read_all(db.all(sql, args![project, class, after, limit]).await?)
}

/// The selection whose credit this ledger entry is.
pub async fn of_entry(db: &mut impl Queries, entry: &str) -> Result<Option<Selection>, Failure> {
    db.one(select!("WHERE s.entry = $1 AND s.entry <> ''"), args![entry]).await?.as_ref().map(read).transpose()
}

/// Live selections of one teacher in every term.
pub async fn live_of(db: &mut impl Queries, teacher: &str) -> Result<Vec<Selection>, Failure> {
    let sql = select!(
        "WHERE s.teacher = $1 AND s.state IN ('submitted', 'school_approved', 'waitlisted', 'confirmed', 'attended')
         ORDER BY s.name"
    );
    read_all(db.all(sql, args![teacher]).await?)
}

/// Who may be seen by a caller: rows of himself, of schools under his organisations, of his provider's projects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// "teachers/…"
    pub teacher: String,
    /// Schools, districts, bureaus.
    pub organizations: Vec<String>,
    /// Providers.
    pub providers: Vec<String>,
}

/// What a listing asks for; empty and zero: anything.
#[derive(Debug, Clone, Default)]
pub struct Filter<'a> {
    /// "terms/…"; never empty.
    pub term: &'a str,
    /// "teachers/…"
    pub teacher: &'a str,
    /// School, district or bureau.
    pub organization: &'a str,
    /// "terms/…/projects/…"
    pub project: &'a str,
    /// State's word.
    pub state: &'a str,
    /// Round.
    pub round: i32,
}

/// One text of a listing for each index that can drive it; `|| ''` leaves the choice to the driver.
macro_rules! listing {
    ($head:expr, $driver:literal, $tail:literal) => {
        concat!(
            $head,
            " WHERE ",
            $driver,
            " AND s.term || '' = $1 AND ($2 = '' OR s.teacher = $2)
              AND ($3 = '' OR s.school IN (SELECT organization FROM organization_under WHERE ancestor = $3))
              AND ($4 = '' OR s.project = $4) AND ($5 = '' OR s.state = $5) AND ($6 = 0 OR s.round = $6)
              AND (s.teacher = $7
                   OR s.school IN (SELECT u.organization FROM organization_under u
                                   WHERE u.ancestor IN (SELECT value ->> 0 FROM json_each($8)))
                   OR s.project IN (SELECT p.name FROM project p
                                    WHERE p.provider IN (SELECT value ->> 0 FROM json_each($9)))) ",
            $tail
        )
    };
}
macro_rules! listings {
    ($driver:literal) => {
        (
            listing!(select!(""), $driver, "AND s.name > $10 ORDER BY s.name LIMIT $11"),
            listing!("SELECT COUNT(*) AS total FROM selection s", $driver, ""),
        )
    };
}

/// A page of what `view` may see of `filter`, from after the name `after`, and how many there are in all.
pub async fn list(
    db: &mut impl Queries,
    filter: &Filter<'_>,
    view: &View,
    after: &str,
    limit: usize,
) -> Result<(Vec<Selection>, i64), Failure> {
    let (page, total) = if !filter.teacher.is_empty() {
        listings!("s.teacher = $2")
    } else if !filter.project.is_empty() {
        listings!("s.project = $4")
    } else if !filter.organization.is_empty() {
        listings!("s.school IN (SELECT organization FROM organization_under WHERE ancestor = $3)")
    } else {
        // A name begins with its term's and a slash, which '0' follows.
        listings!("s.name > $1 || '/' AND s.name < $1 || '0'")
    };
    let args = args![
        filter.term,
        filter.teacher,
        filter.organization,
        filter.project,
        filter.state,
        filter.round,
        &view.teacher,
        Rows::texts(&view.organizations).json(),
        Rows::texts(&view.providers).json(),
    ];
    let mut page_args = args.clone();
    page_args.extend(args![after, count(limit)]);
    let selections = read_all(db.all(page, page_args).await?)?;
    let total = db.one(total, args).await?.map_or(Ok(0), |row| row.get("total"))?;
    Ok((selections, total))
}

/// Selections of the round that nobody has reviewed, of every school but those under `others`.
pub async fn unreviewed(
    db: &mut impl Queries,
    term: &str,
    round: i32,
    others: &[String],
    limit: i64,
) -> Result<Vec<Selection>, Failure> {
    let sql = select!(
        "WHERE s.term = $1 AND s.round = $2 AND s.state = 'submitted'
           AND s.school NOT IN (SELECT u.organization FROM organization_under u
                                WHERE u.ancestor IN (SELECT value ->> 0 FROM json_each($3)))
         ORDER BY s.name LIMIT $4"
    );
    read_all(db.all(sql, args![term, round, Rows::texts(others).json(), limit]).await?)
}

/// The teachers whose selections of the round wait for review, by school; of schools under `organizations` (empty: of all).
pub async fn pending_by_school(
    db: &mut impl Queries,
    term: &str,
    round: i32,
    organizations: &[String],
) -> Result<BTreeMap<String, BTreeSet<String>>, Failure> {
    let rows = db
        .all(
            "SELECT DISTINCT s.school AS school, s.teacher AS teacher FROM selection s
             WHERE s.term = $1 AND s.round = $2 AND s.state = 'submitted'
               AND ($3 = '[]' OR s.school IN (SELECT u.organization FROM organization_under u
                                              WHERE u.ancestor IN (SELECT value ->> 0 FROM json_each($3))))",
            args![term, round, Rows::texts(organizations).json()],
        )
        .await?;
    let mut pending: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in &rows {
        pending.entry(row.get("school")?).or_default().insert(row.get("teacher")?);
    }
    Ok(pending)
}

/// Selections of a round in a state, with a coded reason (empty: any), of teachers who are now at schools under `organizations`
/// (empty: of all).
pub async fn in_state_of_round(
    db: &mut impl Queries,
    term: &str,
    round: i32,
    state: &str,
    reason: &str,
    organizations: &[String],
    limit: i64,
) -> Result<Vec<Selection>, Failure> {
    let sql = select!(
        "WHERE s.term = $1 AND s.round = $2 AND s.state = $3 AND ($4 = '' OR s.reason = $4)
           AND ($5 = '[]' OR s.teacher IN (
               SELECT t.name FROM teacher t JOIN organization_under u ON u.organization = t.school
               WHERE u.ancestor IN (SELECT value ->> 0 FROM json_each($5))))
         ORDER BY s.name LIMIT $6"
    );
    let organizations = Rows::texts(organizations).json();
    read_all(db.all(sql, args![term, round, state, reason, organizations, limit]).await?)
}

/// Selections of a term that wait for a place, by name, of projects of all providers but `others`.
pub async fn waiting(
    db: &mut impl Queries,
    term: &str,
    others: &[String],
    limit: i64,
) -> Result<Vec<Selection>, Failure> {
    let sql = select!(
        "WHERE s.term = $1 AND s.state = 'waitlisted'
           AND s.project NOT IN (SELECT p.name FROM project p
                                 WHERE p.provider IN (SELECT value ->> 0 FROM json_each($2)))
         ORDER BY s.name LIMIT $3"
    );
    read_all(db.all(sql, args![term, Rows::texts(others).json(), limit]).await?)
}

/// Teachers who wait for a place of these projects.
pub async fn waiting_teachers(db: &mut impl Queries, projects: &BTreeSet<String>) -> Result<Vec<String>, Failure> {
    let rows = db
        .all(
            "SELECT DISTINCT teacher FROM selection
             WHERE project IN (SELECT value ->> 0 FROM json_each($1)) AND state = 'waitlisted' AND waiting_position > 0
             ORDER BY teacher",
            args![Rows::texts(projects).json()],
        )
        .await?;
    rows.iter().map(|row| row.get("teacher")).collect()
}

/// Projects with selections that a closing confirmation of `round` has to settle, with their number, by name; of all providers
/// but `others`.
pub async fn unsettled_projects(
    db: &mut impl Queries,
    term: &str,
    round: i32,
    others: &[String],
    limit: i64,
) -> Result<Vec<(String, i64)>, Failure> {
    let rows = db
        .all(
            "SELECT s.project AS project, COUNT(*) AS number FROM selection s JOIN project p ON p.name = s.project
             WHERE s.term = $1 AND s.round <= $2
               AND (s.state = 'school_approved' OR (s.state = 'waitlisted' AND s.waiting_position = 0))
               AND p.provider NOT IN (SELECT value ->> 0 FROM json_each($3))
             GROUP BY s.project ORDER BY s.project LIMIT $4",
            args![term, round, Rows::texts(others).json(), limit],
        )
        .await?;
    rows.iter().map(|row| Ok((row.get("project")?, row.get("number")?))).collect()
}

/// Teachers of the selections of these projects that a closing confirmation of `round` has to settle.
pub async fn unsettled_teachers(
    db: &mut impl Queries,
    projects: &BTreeSet<String>,
    round: i32,
) -> Result<BTreeSet<String>, Failure> {
    let rows = db
        .all(
            "SELECT DISTINCT teacher FROM selection
             WHERE project IN (SELECT value ->> 0 FROM json_each($1)) AND round <= $2
               AND (state = 'school_approved' OR (state = 'waitlisted' AND waiting_position = 0))",
            args![Rows::texts(projects).json(), round],
        )
        .await?;
    rows.iter().map(|row| row.get("teacher")).collect()
}

/// How many approved selections of each of these projects wait for a place.
pub async fn approved_by_project(
    db: &mut impl Queries,
    projects: &BTreeSet<String>,
) -> Result<BTreeMap<String, i32>, Failure> {
    let rows = db
        .all(
            keyed!(
                "SELECT project, COUNT(*) AS number FROM selection WHERE ",
                "project",
                "$1",
                " AND state IN ('school_approved', 'waitlisted') GROUP BY project"
            ),
            args![Rows::texts(projects)],
        )
        .await?;
    rows.iter().map(|row| Ok((row.get("project")?, narrow(row, "number")?))).collect()
}

/// The rows of selections, in the order of [`insert_selections`]'s columns.
fn rows<'a>(term: &str, selections: impl IntoIterator<Item = &'a Selection>) -> Rows {
    let mut rows = Rows::new();
    for selection in selections {
        rows.push(row![
            selection.name.as_str(),
            term,
            selection.teacher.as_str(),
            selection.project.as_str(),
            selection.class.as_str(),
            selection.round,
            selection.preference,
            selection.state.word(),
            selection.seat.word(),
            selection.school.as_str(),
            selection.submitted_at,
            selection.submitted_by.as_str(),
            selection.reason.as_str(),
            selection.reason_text.as_str(),
            selection.matched,
            selection.approved,
            selection.waiting_position,
            selection.roster_position,
            selection.policy_version,
            selection.revision,
            selection.sessions_attended,
            selection.passed.map_or(-1, i64::from),
            selection.coefficient_percent,
            selection.entry.as_str()
        ]);
    }
    rows
}

macro_rules! insert_selections {
    ($tail:expr) => {
        insert!(
            "selection",
            [
                name TEXT, term TEXT, teacher TEXT, project TEXT, class TEXT, round BIGINT, preference BIGINT,
                state TEXT, seat TEXT, school TEXT, submitted_at BIGINT, submitted_by TEXT, reason TEXT,
                reason_text TEXT, matched BOOLEAN, approved BOOLEAN, waiting_position BIGINT, roster_position BIGINT,
                policy_version BIGINT, revision BIGINT, sessions_attended BIGINT, passed BIGINT,
                coefficient_percent BIGINT, entry TEXT
            ],
            $tail
        )
    };
}

/// Writes selections that are to be new.
///
/// # Errors
/// Those of the database; a conflict if one is there already: its request was carried out before.
pub async fn add<'a>(
    tx: &mut Tx,
    term: &str,
    selections: impl IntoIterator<Item = &'a Selection>,
) -> Result<(), Failure> {
    tx.insert_new_later(insert_selections!("ON CONFLICT (name) DO NOTHING"), rows(term, selections)).await
}

/// Writes selections as they are, new ones too.
pub async fn write<'a>(
    tx: &mut Tx,
    term: &str,
    selections: impl IntoIterator<Item = &'a Selection>,
) -> Result<(), Failure> {
    let insert = insert_selections!(
        "ON CONFLICT (name) DO UPDATE SET class = excluded.class, preference = excluded.preference,
            state = excluded.state, seat = excluded.seat, school = excluded.school, reason = excluded.reason,
            reason_text = excluded.reason_text, matched = excluded.matched, approved = excluded.approved,
            waiting_position = excluded.waiting_position, roster_position = excluded.roster_position,
            policy_version = excluded.policy_version, revision = excluded.revision,
            sessions_attended = excluded.sessions_attended, passed = excluded.passed,
            coefficient_percent = excluded.coefficient_percent, entry = excluded.entry"
    );
    tx.insert_later(insert, rows(term, selections)).await
}
