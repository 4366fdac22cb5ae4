//! What is held of one person: read for his export, dropped at his erasure.

use chassis::{
    Failure,
    db::{Queries, Row, Rows, Tx, args},
};
use proto::enrollment::v1::{FixedCredit, NonSelection, Override, ReceivedNotice, Urging};

use super::{narrow, notices};

/// Rows of a section with their keys.
type Keyed<T> = Vec<(String, T)>;

fn all<T>(rows: &[Row], read: impl Fn(&Row) -> Result<(String, T), Failure>) -> Result<Keyed<T>, Failure> {
    rows.iter().map(read).collect()
}

/// Overrides that a teacher was granted, by name from after `after`.
pub async fn overrides(
    db: &mut impl Queries,
    teacher: &str,
    after: &str,
    limit: usize,
) -> Result<Keyed<Override>, Failure> {
    let sql = "SELECT * FROM bar_override WHERE teacher = $1 AND name > $2 ORDER BY name LIMIT $3";
    all(&db.all(sql, args![teacher, after, limit]).await?, |row| {
        let granted = Override {
            name: row.get("name")?,
            teacher: row.get("teacher")?,
            round: narrow(row, "round")?,
            reason: row.get("reason")?,
            granted_at: Some(proto::timestamp(row.get("granted_at")?)),
        };
        Ok((granted.name.clone(), granted))
    })
}

/// Notices that a teacher got, by name from after `after`.
pub async fn received(
    db: &mut impl Queries,
    teacher: &str,
    after: &str,
    limit: usize,
) -> Result<Keyed<ReceivedNotice>, Failure> {
    let sql = "SELECT notice, acknowledged_at FROM notice_recipient
               WHERE teacher = $1 AND notice > $2 ORDER BY notice LIMIT $3";
    let mut received = Vec::new();
    for row in &db.all(sql, args![teacher, after, limit]).await? {
        let (name, at) = (row.get::<String>("notice")?, row.get::<i64>("acknowledged_at")?);
        let notice = notices::find(db, &name).await?;
        received.push((name, ReceivedNotice { notice, acknowledged_at: (at > 0).then(|| proto::timestamp(at)) }));
    }
    Ok(received)
}

/// Rounds in which a teacher selected nothing.
pub async fn non_selections(
    db: &mut impl Queries,
    teacher: &str,
    after: &str,
    limit: usize,
) -> Result<Keyed<NonSelection>, Failure> {
    let sql = "SELECT * FROM (SELECT n.*, term || '/' || CAST(round AS TEXT) AS key FROM non_selector n WHERE teacher = $1) AS of
               WHERE key > $2 ORDER BY key LIMIT $3";
    all(&db.all(sql, args![teacher, after, limit]).await?, |row| {
        let fixed_at = Some(proto::timestamp(row.get("fixed_at")?));
        let told =
            NonSelection { term: row.get("term")?, round: narrow(row, "round")?, school: row.get("school")?, fixed_at };
        Ok((row.get("key")?, told))
    })
}

/// When a teacher was urged.
pub async fn urgings(
    db: &mut impl Queries,
    teacher: &str,
    after: &str,
    limit: usize,
) -> Result<Keyed<Urging>, Failure> {
    let sql = "SELECT * FROM (SELECT u.*, term || '/' || CAST(round AS TEXT) || '/' || CAST(at AS TEXT) || '/' || account AS key
                              FROM urge u WHERE teacher = $1) AS of
               WHERE key > $2 ORDER BY key LIMIT $3";
    all(&db.all(sql, args![teacher, after, limit]).await?, |row| {
        let told = Urging {
            term: row.get("term")?,
            round: narrow(row, "round")?,
            at: Some(proto::timestamp(row.get("at")?)),
            by: row.get("account")?,
        };
        Ok((row.get("key")?, told))
    })
}

/// Where a teacher stood when rounds opened.
pub async fn fixed(
    db: &mut impl Queries,
    teacher: &str,
    after: &str,
    limit: usize,
) -> Result<Keyed<FixedCredit>, Failure> {
    let sql = "SELECT * FROM (SELECT f.*, term || '/' || CAST(round AS TEXT) AS key
                              FROM credit_position_fixed f WHERE teacher = $1) AS of
               WHERE key > $2 ORDER BY key LIMIT $3";
    all(&db.all(sql, args![teacher, after, limit]).await?, |row| {
        let told = FixedCredit {
            term: row.get("term")?,
            round: narrow(row, "round")?,
            cycle_ends_on: proto::date_from_text(&row.get::<String>("cycle_ends_on")?),
            cycle_awarded: Some(proto::common::v1::Credit { hundredths: row.get("cycle_awarded")? }),
            has_intensive: row.get("has_intensive")?,
        };
        Ok((row.get("key")?, told))
    })
}

/// Drops what people wrote about these teachers, and what was sent to their accounts.
pub async fn erase(tx: &mut Tx, teachers: &[&str], accounts: &[&str]) -> Result<(), Failure> {
    let teachers = Rows::texts(teachers).json();
    tx.execute(
        "UPDATE selection SET reason_text = ''
         WHERE teacher IN (SELECT value ->> 0 FROM json_each($1)) AND reason_text <> ''",
        args![teachers.as_str()],
    )
    .await?;
    tx.execute(
        "UPDATE bar_override SET reason = '' WHERE teacher IN (SELECT value ->> 0 FROM json_each($1))",
        args![teachers.as_str()],
    )
    .await?;
    tx.execute(
        "DELETE FROM notification WHERE account IN (SELECT value ->> 0 FROM json_each($1)) AND account <> ''",
        args![Rows::texts(accounts).json()],
    )
    .await?;
    Ok(())
}
