//! What happened to teachers: their status events, and what was decided on their corrections.

use chassis::{
    Failure,
    db::{Queries, Tx, args},
};
use jiff::civil::Date;
use proto::roster::v1::status_event::Kind;

use super::{day, day_text, teachers::pending_text};
use crate::domain::teacher::Teacher;

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
}

/// Records a status event.
///
/// # Errors
/// Those of the database.
pub async fn insert_event(tx: &mut Tx, event: &StatusEvent) -> Result<(), Failure> {
    tx.execute(
        "INSERT INTO status_event (name, teacher, kind, effective_on, until_on, school, reason, recorded_at, recorded_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        args![
            &event.name,
            &event.teacher,
            event.kind.as_str_name(),
            day_text(event.effective_on),
            day_text(event.until),
            &event.school,
            &event.reason,
            event.recorded_at,
            &event.recorded_by
        ],
    )
    .await?;
    Ok(())
}

/// A teacher's status events, by their day.
///
/// # Errors
/// Those of the database.
pub async fn events(db: &mut impl Queries, teacher: &str) -> Result<Vec<StatusEvent>, Failure> {
    let sql = "SELECT * FROM status_event WHERE teacher = $1 ORDER BY effective_on, recorded_at, name";
    let rows = db.all(sql, args![teacher]).await?;
    rows.iter()
        .map(|row| {
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
            })
        })
        .collect()
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
