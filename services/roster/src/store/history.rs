//! What happened to teachers: their status events, and what was decided on their corrections.

use std::collections::BTreeMap;

use chassis::{
    Failure,
    db::{Queries, Row, Tx, args},
};
use jiff::civil::Date;
use proto::roster::v1::status_event::{Kind, State};

use super::{day, day_text, teachers::pending_text};
use crate::domain::{career::Event, teacher::Teacher};

/// A status event as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusEvent {
    /// "teachers/…/statusEvents/…"
    pub name: String,
    /// "teachers/…"
    pub teacher: String,
    /// What happened.
    pub kind: Kind,
    /// Its day.
    pub effective_on: Option<Date>,
    /// Leave: its last day.
    pub until: Option<Date>,
    /// Transfer: the new school.
    pub school: String,
    /// Coded.
    pub reason: String,
    /// When it was recorded, in microseconds.
    pub recorded_at: i64,
    /// Who recorded it: "accounts/…".
    pub recorded_by: String,
    /// Whether it is in force, waits, or was taken back.
    pub state: State,
}

/// Records a status event.
///
/// # Errors
/// Those of the database.
pub async fn insert_event(tx: &mut Tx, event: &StatusEvent) -> Result<(), Failure> {
    tx.execute(
        "INSERT INTO status_event (name, teacher, kind, effective_on, until_on, school, reason, recorded_at, recorded_by,
            state)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        args![
            &event.name,
            &event.teacher,
            event.kind.as_str_name(),
            day_text(event.effective_on),
            day_text(event.until),
            &event.school,
            &event.reason,
            event.recorded_at,
            &event.recorded_by,
            event.state.as_str_name()
        ],
    )
    .await?;
    Ok(())
}

/// An event that waited is in force, or withdrawn.
///
/// # Errors
/// Those of the database.
pub async fn settle_event(tx: &mut Tx, name: &str, state: State, by: &str) -> Result<(), Failure> {
    let at = tx.at();
    tx.execute(
        "UPDATE status_event SET state = $2, settled_at = $3, settled_by = $4 WHERE name = $1",
        args![name, state.as_str_name(), at, by],
    )
    .await?;
    Ok(())
}

/// What waits, of some teachers (a JSON list of rows), each with its teacher; in order of days.
///
/// # Errors
/// Those of the database.
pub async fn coming(db: &mut impl Queries, teachers: &str) -> Result<Vec<(String, Event)>, Failure> {
    let rows = db
        .all(
            "SELECT * FROM status_event
             WHERE state = 'STATE_COMING' AND teacher IN (SELECT value ->> 0 FROM json_each($1))
             ORDER BY effective_on, recorded_at, name",
            args![teachers],
        )
        .await?;
    let mut coming = Vec::with_capacity(rows.len());
    for row in &rows {
        let StatusEvent { name, teacher, kind, effective_on, until, school, .. } = read(row)?;
        let effective_on = effective_on.ok_or_else(|| Failure::internal("an event without its day"))?;
        coming.push((teacher, Event { name, kind, effective_on, until, school }));
    }
    Ok(coming)
}

/// A teacher for whom something waits whose day has come, the earliest first; and what it is.
///
/// # Errors
/// Those of the database.
pub async fn due(db: &mut impl Queries, today: Date) -> Result<Option<(String, String)>, Failure> {
    let row = db
        .one(
            "SELECT teacher, name FROM status_event WHERE state = 'STATE_COMING' AND effective_on <= $1
             ORDER BY effective_on, recorded_at, name LIMIT 1",
            args![today.to_string()],
        )
        .await?;
    row.map(|row| Ok((row.get("teacher")?, row.get("name")?))).transpose()
}

/// A status event by name.
///
/// # Errors
/// Those of the database.
pub async fn event(db: &mut impl Queries, name: &str) -> Result<Option<StatusEvent>, Failure> {
    db.one("SELECT * FROM status_event WHERE name = $1", args![name]).await?.as_ref().map(read).transpose()
}

/// A teacher's status events, by their day.
///
/// # Errors
/// Those of the database.
pub async fn events(db: &mut impl Queries, teacher: &str) -> Result<Vec<StatusEvent>, Failure> {
    let sql = "SELECT * FROM status_event WHERE teacher = $1 ORDER BY effective_on, recorded_at, name";
    let rows = db.all(sql, args![teacher]).await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<StatusEvent, Failure> {
    Ok(StatusEvent {
        name: row.get("name")?,
        teacher: row.get("teacher")?,
        kind: Kind::from_str_name(&row.get::<String>("kind")?).unwrap_or_default(),
        effective_on: day(&row.get::<String>("effective_on")?)?,
        until: day(&row.get::<String>("until_on")?)?,
        school: row.get("school")?,
        reason: row.get("reason")?,
        recorded_at: row.get("recorded_at")?,
        recorded_by: row.get("recorded_by")?,
        state: State::from_str_name(&row.get::<String>("state")?).unwrap_or_default(),
    })
}

/// What was decided on a teacher's corrections.
#[derive(Debug, Clone, Copy)]
pub struct Decision<'a> {
    /// Applied, or dropped.
    pub accepted: bool,
    /// Why.
    pub reason: &'a str,
    /// The policy under which it was decided; 0 while there is none.
    pub policy_version: i64,
    /// Who decided: "accounts/…".
    pub by: &'a str,
}

/// Records the decision on what `before` had pending.
///
/// # Errors
/// Those of the database.
pub async fn insert_decision(tx: &mut Tx, before: &Teacher, decision: Decision<'_>) -> Result<(), Failure> {
    let at = tx.at();
    tx.execute(
        "INSERT INTO correction_decision (teacher, version, fields, accepted, reason, policy_version, decided_at, decided_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        args![
            &before.name,
            before.version.saturating_add(1),
            pending_text(&before.pending)?,
            i64::from(decision.accepted),
            decision.reason,
            decision.policy_version,
            at,
            decision.by
        ],
    )
    .await?;
    Ok(())
}

/// A decision on a correction as recorded.
#[derive(Clone, PartialEq, Eq)]
pub struct Decided {
    /// The teacher's version that it made.
    pub version: i64,
    /// Field and value, as the teacher had entered them.
    pub fields: BTreeMap<String, String>,
    /// Applied, or dropped.
    pub accepted: bool,
    /// Why.
    pub reason: String,
    /// The policy under which it was decided; 0: there was none.
    pub policy_version: i64,
    /// When, in microseconds.
    pub at: i64,
    /// Who decided: "accounts/…".
    pub by: String,
}

/// What was decided on a teacher's corrections, in order.
///
/// # Errors
/// Those of the database.
pub async fn decisions(db: &mut impl Queries, teacher: &str) -> Result<Vec<Decided>, Failure> {
    let sql = "SELECT * FROM correction_decision WHERE teacher = $1 ORDER BY version";
    let rows = db.all(sql, args![teacher]).await?;
    rows.iter()
        .map(|row| {
            Ok(Decided {
                version: row.get("version")?,
                fields: serde_json::from_str(&row.get::<String>("fields")?).map_err(Failure::internal)?,
                accepted: row.get::<i64>("accepted")? == 1,
                reason: row.get("reason")?,
                policy_version: row.get("policy_version")?,
                at: row.get("decided_at")?,
                by: row.get("decided_by")?,
            })
        })
        .collect()
}
