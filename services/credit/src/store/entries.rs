//! The ledger: rows are added and read.

use chassis::{
    Failure,
    db::{Queries, Row, Rows, Tx, args, insert, keyed, row},
};
use proto::{Credit, common::v1::Actor};

use super::{flag, known_day};
use crate::domain::entry::{Entry, Kind};

/// Entries `e` with the reversal of each, as it was known at an instant ($1, in microseconds).
macro_rules! entries {
    ($rest:literal) => {
        concat!(
            "SELECT e.name AS name, e.teacher AS teacher, e.kind AS kind, e.base AS base, e.awarded AS awarded,
                    e.practice AS practice,
                    e.effective_on AS effective_on, e.recorded_at AS recorded_at, e.source AS source,
                    e.revision AS revision, e.intensive AS intensive, e.restricted_elective AS restricted_elective,
                    e.matched AS matched, e.project AS project, e.reverses AS reverses,
                    COALESCE(r.name, '') AS reversed_by, e.account AS account, e.role AS role,
                    e.organization AS organization, e.service AS service, e.reason AS reason,
                    e.reason_text AS reason_text, e.policy_version AS policy_version, e.school AS school
             FROM entry e LEFT JOIN entry r ON r.reverses = e.name AND r.reverses <> '' AND r.recorded_at <= $1
             WHERE e.recorded_at <= $1 AND ",
            $rest
        )
    };
}

/// Every entry of these teachers that was known at `recorded_by`, in the order they were recorded.
pub async fn of_teachers(db: &mut impl Queries, names: &Rows, recorded_by: i64) -> Result<Vec<Entry>, Failure> {
    let sql = keyed!(entries!(""), "e.teacher", "$2", " ORDER BY e.teacher, e.recorded_at, e.name");
    let rows = db.all(sql, args![recorded_by, names.clone()]).await?;
    rows.iter().map(read).collect()
}

/// A teacher's entries in the order they were recorded, after (recorded_at, name).
pub async fn page(
    db: &mut impl Queries,
    teacher: &str,
    after: (i64, &str),
    limit: usize,
) -> Result<Vec<Entry>, Failure> {
    let rows = db
        .all(
            entries!(
                "e.teacher = $2 AND (e.recorded_at > $3 OR (e.recorded_at = $3 AND e.name > $4))
                 ORDER BY e.recorded_at, e.name LIMIT $5"
            ),
            args![i64::MAX, teacher, after.0, after.1, limit],
        )
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Entry, Failure> {
    let kind = row.get::<i64>("kind")?;
    Ok(Entry {
        name: row.get("name")?,
        teacher: row.get("teacher")?,
        kind: Kind::of(kind).ok_or_else(|| Failure::internal(format!("kind {kind} of an entry")))?,
        base: Credit(row.get("base")?),
        awarded: Credit(row.get("awarded")?),
        practice: Credit(row.get("practice")?),
        effective_on: known_day(row, "effective_on")?,
        recorded_at: row.get("recorded_at")?,
        source: row.get("source")?,
        revision: row.get("revision")?,
        intensive: flag(row, "intensive")?,
        restricted_elective: flag(row, "restricted_elective")?,
        matched: flag(row, "matched")?,
        project: row.get("project")?,
        reverses: row.get("reverses")?,
        reversed_by: row.get("reversed_by")?,
        actor: Actor {
            account: row.get("account")?,
            role: i32::try_from(row.get::<i64>("role")?).map_err(Failure::internal)?,
            organization: row.get("organization")?,
            service: row.get("service")?,
        },
        reason: row.get("reason")?,
        reason_text: row.get("reason_text")?,
        policy_version: row.get("policy_version")?,
        school: row.get("school")?,
    })
}

/// Adds entries. Returns how many the ledger took: fewer than given if one is there already.
pub async fn add<'a>(tx: &mut Tx, entries: impl Iterator<Item = &'a Entry> + Send) -> Result<u64, Failure> {
    let mut rows = Rows::new();
    for entry in entries {
        rows.push(row![
            entry.name.as_str(),
            entry.teacher.as_str(),
            entry.kind as i64,
            entry.base.0,
            entry.awarded.0,
            entry.effective_on.to_string(),
            entry.recorded_at,
            entry.source.as_str(),
            entry.once(),
            entry.revision,
            i64::from(entry.intensive),
            i64::from(entry.restricted_elective),
            i64::from(entry.matched),
            entry.project.as_str(),
            entry.reverses.as_str(),
            entry.actor.account.as_str(),
            entry.actor.role,
            entry.actor.organization.as_str(),
            entry.actor.service.as_str(),
            entry.reason.as_str(),
            entry.reason_text.as_str(),
            entry.policy_version,
            entry.school.as_str(),
            entry.practice.0
        ]);
    }
    let insert = insert!(
        "entry",
        [
            name TEXT, teacher TEXT, kind BIGINT, base BIGINT, awarded BIGINT, effective_on TEXT, recorded_at BIGINT,
            source TEXT, once TEXT, revision BIGINT, intensive BIGINT, restricted_elective BIGINT, matched BIGINT,
            project TEXT, reverses TEXT, account TEXT, role BIGINT, organization TEXT, service TEXT, reason TEXT,
            reason_text TEXT, policy_version BIGINT, school TEXT, practice BIGINT
        ],
        "ON CONFLICT DO NOTHING"
    );
    tx.insert(insert, rows).await
}

/// Empties what people wrote about these teachers: why an entry was reversed, and what an entry by hand comes from. Amounts, days
/// and whose they are stay, so that the ledger adds up.
pub async fn erase(tx: &mut Tx, teachers: &Rows) -> Result<(), Failure> {
    // What an entry by hand was once of is what it comes from; its name is as unique, and tells nothing.
    let sql = "UPDATE entry SET reason_text = '', source = CASE project WHEN '' THEN '' ELSE source END,
                   once = CASE WHEN kind IN (1, 3) THEN name ELSE once END
               WHERE teacher IN (SELECT value ->> 0 FROM json_each($1))";
    tx.execute(sql, args![teachers.json()]).await?;
    Ok(())
}
