//! The mirror of the roster: teachers, organisations, roles.

use std::collections::{BTreeMap, BTreeSet};

use chassis::{
    Failure,
    db::{Queries, Row, Rows, Tx, args, insert, keyed, row},
};
use jiff::civil::Date;
use prost::Message as _;
use proto::roster::v1::{AccountFacts, OrganizationFacts, TeacherFacts, account};

use super::{count, day, dialect, facts};
use crate::domain::{Teacher, teacher::Status};

/// The organisations and teachers of a list that stand under one of another list, or are one.
pub const STANDING: &str = "SELECT organization AS name FROM organization_under
     WHERE organization IN (SELECT value ->> 0 FROM json_each($1)) AND ancestor IN (SELECT value ->> 0 FROM json_each($2))
     UNION ALL
     SELECT t.name AS name FROM teacher t JOIN organization_under u ON u.organization = t.school
     WHERE t.name IN (SELECT value ->> 0 FROM json_each($1)) AND u.ancestor IN (SELECT value ->> 0 FROM json_each($2))";

fn read(row: &Row) -> Result<Teacher, Failure> {
    let facts = row.get::<Vec<u8>>("facts")?;
    facts::teacher(TeacherFacts::decode(facts.as_slice()).map_err(Failure::internal)?)
}

/// The teacher of this name.
pub async fn teacher(db: &mut impl Queries, name: &str) -> Result<Option<Teacher>, Failure> {
    db.one("SELECT facts FROM teacher WHERE name = $1", args![name]).await?.as_ref().map(read).transpose()
}

/// The teachers of these names, by name.
pub async fn teachers(db: &mut impl Queries, names: &BTreeSet<String>) -> Result<BTreeMap<String, Teacher>, Failure> {
    let sql = keyed!("SELECT facts FROM teacher WHERE ", "name", "$1", "");
    let rows = db.all(sql, args![Rows::texts(names)]).await?;
    rows.iter().map(|row| read(row).map(|teacher| (teacher.name.clone(), teacher))).collect()
}

/// What is held of the teachers of these names, as the roster told it.
pub async fn facts(db: &mut impl Queries, names: &BTreeSet<String>) -> Result<BTreeMap<String, TeacherFacts>, Failure> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = keyed!("SELECT name, facts FROM teacher WHERE ", "name", "$1", "");
    let rows = db.all(sql, args![Rows::texts(names)]).await?;
    let held = rows.iter().map(|row| {
        let facts = row.get::<Vec<u8>>("facts")?;
        Ok((row.get("name")?, TeacherFacts::decode(facts.as_slice()).map_err(Failure::internal)?))
    });
    held.collect()
}

/// Condition on a teacher `t`: in service on the day in a parameter, not on leave, and not gone by then.
macro_rules! active_on {
    ($today:literal) => {
        concat!(
            "t.status = 'active' AND (t.away = '[]' OR NOT EXISTS (
                SELECT 1 FROM json_each(t.away) AS away WHERE away.value ->> 0 <= ",
            $today,
            " AND (away.value ->> 1 = '' OR away.value ->> 1 >= ",
            $today,
            ")))"
        )
    };
}
pub(super) use active_on;

/// Teachers of schools under `organization` who are active on `today`, by name from after `after`.
pub async fn active_under(
    db: &mut impl Queries,
    organization: &str,
    today: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<Teacher>, Failure> {
    let rows = db
        .all(
            concat!(
                "SELECT t.facts AS facts FROM teacher t
                 WHERE t.school IN (SELECT organization FROM organization_under WHERE ancestor = $1)
                   AND t.name > $2 AND ",
                active_on!("$4"),
                " ORDER BY t.name LIMIT $3"
            ),
            args![organization, after, count(limit), today],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// At most `limit` teachers who are active on `today`, by name, from after `after`.
pub async fn active_page(db: &mut impl Queries, today: &str, after: &str, limit: i64) -> Result<Vec<Teacher>, Failure> {
    let rows = db
        .all(
            concat!(
                "SELECT t.facts AS facts FROM teacher t WHERE ",
                active_on!("$1"),
                " AND t.name > $2 ORDER BY t.name LIMIT $3"
            ),
            args![today, after, limit],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Teachers as they are under their locks.
#[derive(Debug, Default)]
pub struct Roster {
    /// By name.
    pub teachers: BTreeMap<String, Teacher>,
    /// The ends of their cycles, where credit has told them.
    pub cycle_ends: BTreeMap<String, Date>,
    /// How far the roster is mirrored.
    pub position: i64,
}

/// Locks teachers and reads them: what else is read of them after it stands until the transaction ends.
pub async fn lock_and_read(tx: &mut Tx, names: &BTreeSet<String>) -> Result<Roster, Failure> {
    let mut roster = Roster::default();
    for row in tx.all(dialect::LOCK_AND_READ_TEACHERS, args![Rows::texts(names)]).await? {
        let teacher = read(&row)?;
        roster.position = row.get::<Option<i64>>("position")?.unwrap_or_default();
        if let Some(end) = day(&row, "cycle_ends_on")? {
            roster.cycle_ends.insert(teacher.name.clone(), end);
        }
        roster.teachers.insert(teacher.name.clone(), teacher);
    }
    Ok(roster)
}

/// Locks teachers: what is read of them after it stands until the transaction ends.
pub async fn lock(tx: &mut Tx, names: &BTreeSet<String>) -> Result<(), Failure> {
    if !names.is_empty() {
        tx.all(dialect::LOCK_TEACHERS, args![Rows::texts(names)]).await?;
    }
    Ok(())
}

/// Accounts of these teachers; those without one are missing.
pub async fn accounts(db: &mut impl Queries, names: &BTreeSet<String>) -> Result<BTreeMap<String, String>, Failure> {
    let rows = db
        .all(
            "SELECT name, account FROM teacher
             WHERE name IN (SELECT value ->> 0 FROM json_each($1)) AND account <> ''",
            args![Rows::texts(names).json()],
        )
        .await?;
    rows.iter().map(|row| Ok((row.get("name")?, row.get("account")?))).collect()
}

/// Takes the facts of teachers, each named once.
pub async fn put_teachers(tx: &mut Tx, facts: impl IntoIterator<Item = &TeacherFacts>) -> Result<(), Failure> {
    let mut rows = Rows::new();
    for wire in facts {
        let teacher = facts::teacher(wire.clone())?;
        let joined_on = proto::date_text(wire.joined_on.as_ref());
        let bytes = wire.encode_to_vec();
        // Whether a leave lasts is asked of its days.
        let status = if teacher.status == Status::OnLeave { Status::Active } else { teacher.status };
        let mut away = Rows::new();
        for (first, last) in &teacher.leaves {
            away.push(row![first.to_string(), last.map(|last| last.to_string()).unwrap_or_default()]);
        }
        for absence in &teacher.gone {
            away.push(row![
                absence.first_on.to_string(),
                absence.last_on.map(|last| last.to_string()).unwrap_or_default()
            ]);
        }
        let away = away.json();
        rows.push(row![teacher.name, teacher.school, teacher.account, status.word(), joined_on, bytes, away]);
    }
    let insert = insert!(
        "teacher",
        [name TEXT, school TEXT, account TEXT, status TEXT, joined_on TEXT, facts BYTEA, away TEXT],
        "ON CONFLICT (name) DO UPDATE SET school = excluded.school, account = excluded.account,
            status = excluded.status, joined_on = excluded.joined_on, facts = excluded.facts, away = excluded.away"
    );
    tx.insert(insert, rows).await?;
    Ok(())
}

/// Those of these teachers who have live selections.
pub async fn selecting(db: &mut impl Queries, names: &BTreeSet<String>) -> Result<BTreeSet<String>, Failure> {
    let rows = db
        .all(
            "SELECT DISTINCT teacher FROM selection
             WHERE teacher IN (SELECT value ->> 0 FROM json_each($1))
               AND state IN ('submitted', 'school_approved', 'waitlisted', 'confirmed', 'attended')",
            args![Rows::texts(names).json()],
        )
        .await?;
    rows.iter().map(|row| row.get("teacher")).collect()
}

/// Takes an organisation's facts.
pub async fn put_organization(tx: &mut Tx, facts: &OrganizationFacts) -> Result<(), Failure> {
    let path = serde_json::to_string(&facts.path).map_err(Failure::internal)?;
    tx.execute(
        "INSERT INTO organization (name, path) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET path = excluded.path",
        args![&facts.name, path],
    )
    .await?;
    tx.execute("DELETE FROM organization_under WHERE organization = $1", args![&facts.name]).await?;
    tx.execute(
        "INSERT INTO organization_under (ancestor, organization) SELECT value ->> 0, $2 FROM json_each($1) WHERE TRUE
         ON CONFLICT DO NOTHING",
        args![Rows::texts(facts.path.iter().chain([&facts.name])).json(), &facts.name],
    )
    .await?;
    Ok(())
}

/// An organisation's ancestors and itself, root first; of an unknown one, itself alone.
pub async fn path(db: &mut impl Queries, organization: &str) -> Result<Vec<String>, Failure> {
    match db.one("SELECT path FROM organization WHERE name = $1", args![organization]).await? {
        Some(row) => serde_json::from_str(&row.get::<String>("path")?).map_err(Failure::internal),
        None => Ok(vec![organization.to_owned()]),
    }
}

/// Takes the roles of accounts, each named once.
pub async fn put_accounts(tx: &mut Tx, facts: impl IntoIterator<Item = &AccountFacts>) -> Result<(), Failure> {
    let (mut names, mut rows) = (Vec::new(), Rows::new());
    for facts in facts {
        names.push(facts.name.as_str());
        let active = facts.state() != account::State::Suspended;
        for held in &facts.roles {
            let Some(grant) = &held.grant else { continue };
            let (from, until) = (proto::date_text(held.from.as_ref()), proto::date_text(held.until.as_ref()));
            rows.push(row![
                facts.name.as_str(),
                grant.role,
                grant.organization.as_str(),
                facts.teacher.as_str(),
                i64::from(active),
                from,
                until
            ]);
        }
    }
    if names.is_empty() {
        return Ok(());
    }
    tx.execute(
        "DELETE FROM account_role WHERE account IN (SELECT value ->> 0 FROM json_each($1))",
        args![Rows::texts(names).json()],
    )
    .await?;
    tx.execute(
        "INSERT INTO account_role (account, role, organization, teacher, active, from_on, until_on)
         SELECT value ->> 0, CAST(value ->> 1 AS BIGINT), value ->> 2, value ->> 3, CAST(value ->> 4 AS BIGINT) = 1,
                value ->> 5, value ->> 6
         FROM json_each($1) WHERE TRUE ON CONFLICT DO NOTHING",
        args![rows.json()],
    )
    .await?;
    Ok(())
}

/// How far the roster is mirrored.
pub async fn position(db: &mut impl Queries) -> Result<i64, Failure> {
    let row = db.one("SELECT position FROM mirror_cursor WHERE source = 'roster'", args![]).await?;
    row.map_or(Ok(0), |row| row.get("position"))
}

/// Roles that take part in a phase, as an argument.
pub(super) fn roles(roles: &[proto::common::v1::Role]) -> String {
    let mut rows = Rows::new();
    for role in roles {
        rows.push(row![*role as i32]);
    }
    rows.json()
}
