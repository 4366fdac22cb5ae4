//! Terms and the versions of their calendars.

use chassis::{
    Failure,
    db::{Queries, Row, Tx, args},
};

/// A term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// "terms/…"
    pub name: String,
    /// For people.
    pub display_name: String,
    /// IANA zone.
    pub zone: String,
    /// 0 while there is none.
    pub calendar_version: i64,
    /// 0 while there is none.
    pub policy_version: i64,
    /// What services compare.
    pub gate_version: i64,
    /// "organizations/…": whose officers run it; empty for any's.
    pub organization: String,
}

/// A version of a calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// "terms/…"
    pub term: String,
    /// From 1.
    pub version: i64,
    /// TOML.
    pub document: String,
    /// Encoded `Gates`.
    pub gates: Vec<u8>,
    /// Version of the policy that it came with.
    pub policy_version: i64,
    /// TOML.
    pub policy: String,
    /// Why it was put.
    pub reason: String,
    /// "accounts/…"
    pub put_by: String,
    /// Microseconds since the epoch.
    pub put_at: i64,
}

fn term(row: &Row) -> Result<Term, Failure> {
    Ok(Term {
        name: row.get("name")?,
        display_name: row.get("display_name")?,
        zone: row.get("zone")?,
        calendar_version: row.get("calendar_version")?,
        policy_version: row.get("policy_version")?,
        gate_version: row.get("gate_version")?,
        organization: row.get("organization")?,
    })
}

fn calendar(row: &Row) -> Result<Calendar, Failure> {
    Ok(Calendar {
        term: row.get("term")?,
        version: row.get("version")?,
        document: row.get("document")?,
        gates: row.get("gates")?,
        policy_version: row.get("policy_version")?,
        policy: row.get("policy")?,
        reason: row.get("reason")?,
        put_by: row.get("put_by")?,
        put_at: row.get("put_at")?,
    })
}

/// # Errors
/// Those of the database.
pub async fn find(db: &mut impl Queries, name: &str) -> Result<Option<Term>, Failure> {
    db.one("SELECT * FROM term WHERE name = $1", args![name]).await?.as_ref().map(term).transpose()
}

/// Terms after `after`, by name.
///
/// # Errors
/// Those of the database.
pub async fn list(db: &mut impl Queries, after: &str, limit: usize) -> Result<Vec<Term>, Failure> {
    let sql = "SELECT * FROM term WHERE name > $1 ORDER BY name LIMIT $2";
    db.all(sql, args![after, limit]).await?.iter().map(term).collect()
}

/// Adds a term; false if there is one of that name.
///
/// # Errors
/// Those of the database.
pub async fn insert(tx: &mut Tx, term: &Term) -> Result<bool, Failure> {
    let added = tx
        .execute(
            "INSERT INTO term (name, display_name, zone, calendar_version, policy_version, gate_version,
                organization)
             VALUES ($1, $2, $3, 0, 0, 0, $4) ON CONFLICT DO NOTHING",
            args![&term.name, &term.display_name, &term.zone, &term.organization],
        )
        .await?;
    Ok(added == 1)
}

/// Stores a calendar's next version; false if the one that it follows is no longer the newest.
///
/// # Errors
/// Those of the database.
pub async fn put(tx: &mut Tx, calendar: &Calendar) -> Result<bool, Failure> {
    let moved = tx
        .execute(
            "UPDATE term SET calendar_version = $2, policy_version = $3, gate_version = $2
             WHERE name = $1 AND calendar_version = $4",
            args![&calendar.term, calendar.version, calendar.policy_version, calendar.version - 1],
        )
        .await?;
    if moved == 0 {
        return Ok(false);
    }
    tx.execute(
        "INSERT INTO calendar (term, version, document, gates, policy_version, policy, reason, put_by, put_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        args![
            &calendar.term,
            calendar.version,
            &calendar.document,
            calendar.gates.clone(),
            calendar.policy_version,
            &calendar.policy,
            &calendar.reason,
            &calendar.put_by,
            calendar.put_at
        ],
    )
    .await?;
    Ok(true)
}

/// A version of a term's calendar; 0: the one in force.
///
/// # Errors
/// Those of the database.
pub async fn calendar_of(db: &mut impl Queries, name: &str, version: i64) -> Result<Option<Calendar>, Failure> {
    let sql = "SELECT * FROM calendar WHERE term = $1 AND (version = $2 OR $2 = 0) ORDER BY version DESC LIMIT 1";
    db.one(sql, args![name, version]).await?.as_ref().map(calendar).transpose()
}

/// Every term that has a calendar, with the version in force; the one whose calendar was put last comes first.
///
/// # Errors
/// Those of the database.
pub async fn versions_in_force(db: &mut impl Queries) -> Result<Vec<(String, i64)>, Failure> {
    let sql = "SELECT t.name AS name, t.calendar_version AS version FROM term t
               JOIN calendar c ON c.term = t.name AND c.version = t.calendar_version ORDER BY c.put_at DESC, t.name";
    let rows = db.all(sql, args![]).await?;
    rows.iter().map(|row| Ok((row.get("name")?, row.get("version")?))).collect()
}

/// Versions of a term's calendar above `after`.
///
/// # Errors
/// Those of the database.
pub async fn versions(db: &mut impl Queries, name: &str, after: i64, limit: usize) -> Result<Vec<Calendar>, Failure> {
    let sql = "SELECT * FROM calendar WHERE term = $1 AND version > $2 ORDER BY version LIMIT $3";
    db.all(sql, args![name, after, limit]).await?.iter().map(calendar).collect()
}
