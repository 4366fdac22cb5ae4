//! Training notices and who got them.

use std::collections::BTreeSet;

use chassis::{
    Failure,
    db::{Queries, Row, Rows, Tx, args},
};
use proto::enrollment::v1::Notice;

use super::{count, narrow, selections::View};

macro_rules! select {
    ($rest:expr) => {
        concat!(
            "SELECT n.name AS name, n.class AS class, n.project AS project, n.issued_at AS issued_at,
                    n.starts_on AS starts_on, n.text AS text,
                    (SELECT COUNT(*) FROM notice_recipient r WHERE r.notice = n.name) AS recipients,
                    (SELECT COUNT(*) FROM notice_recipient r WHERE r.notice = n.name AND r.acknowledged_at > 0)
                        AS acknowledged
             FROM notice n ",
            $rest
        )
    };
}

fn read(row: &Row) -> Result<Notice, Failure> {
    Ok(Notice {
        name: row.get("name")?,
        class: row.get("class")?,
        project: row.get("project")?,
        issued_at: Some(proto::timestamp(row.get("issued_at")?)),
        starts_on: proto::date_from_text(&row.get::<String>("starts_on")?),
        text: row.get("text")?,
        recipients: narrow(row, "recipients")?,
        acknowledged: narrow(row, "acknowledged")?,
    })
}

/// The notice of this name.
pub async fn find(db: &mut impl Queries, name: &str) -> Result<Option<Notice>, Failure> {
    db.one(select!("WHERE n.name = $1"), args![name]).await?.as_ref().map(read).transpose()
}

/// The notice of a class.
pub async fn of_class(db: &mut impl Queries, class: &str) -> Result<Option<Notice>, Failure> {
    db.one(select!("WHERE n.class = $1"), args![class]).await?.as_ref().map(read).transpose()
}

/// Which of these classes have a notice: (class, notice).
pub async fn of_classes(db: &mut impl Queries, classes: &BTreeSet<String>) -> Result<Vec<(String, String)>, Failure> {
    let sql = "SELECT class, name FROM notice WHERE class IN (SELECT value ->> 0 FROM json_each($1)) ORDER BY class";
    let rows = db.all(sql, args![Rows::texts(classes).json()]).await?;
    rows.iter().map(|row| Ok((row.get("class")?, row.get("name")?))).collect()
}

/// Issues a notice. False if the class has one.
pub async fn issue(tx: &mut Tx, term: &str, notice: &Notice) -> Result<bool, Failure> {
    let issued_at = notice.issued_at.as_ref().map(proto::instant).unwrap_or_default();
    let written = tx
        .execute(
            "INSERT INTO notice (name, term, class, project, issued_at, starts_on, text)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (class) DO NOTHING",
            args![
                &notice.name,
                term,
                &notice.class,
                &notice.project,
                issued_at,
                proto::date_text(notice.starts_on.as_ref()),
                &notice.text
            ],
        )
        .await?;
    Ok(written > 0)
}

/// Adds recipients.
pub async fn address(tx: &mut Tx, notice: &str, teachers: &BTreeSet<String>) -> Result<(), Failure> {
    tx.execute(
        "INSERT INTO notice_recipient (notice, teacher, acknowledged_at)
         SELECT $2, value ->> 0, 0 FROM json_each($1) WHERE TRUE ON CONFLICT DO NOTHING",
        args![Rows::texts(teachers).json(), notice],
    )
    .await?;
    Ok(())
}

/// Notes that a recipient has read it. False if the teacher is none.
pub async fn acknowledge(tx: &mut Tx, notice: &str, teacher: &str) -> Result<bool, Failure> {
    let at = tx.at();
    // One after the other: otherwise two at once count each without the other, and the change tells a wrong number.
    tx.execute("UPDATE notice SET name = name WHERE name = $1", args![notice]).await?;
    let noted = tx
        .execute(
            "UPDATE notice_recipient SET acknowledged_at = CASE WHEN acknowledged_at = 0 THEN $3 ELSE acknowledged_at END
             WHERE notice = $1 AND teacher = $2",
            args![notice, teacher, at],
        )
        .await?;
    Ok(noted > 0)
}

/// One text of the listing for each index that can drive it.
macro_rules! listing {
    ($driver:literal) => {
        select!(concat!(
            "WHERE ",
            $driver,
            " AND n.term || '' = $1 AND ($2 = '' OR n.project = $2) AND n.name > $3
               AND (EXISTS (SELECT 1 FROM notice_recipient r WHERE r.notice = n.name AND r.teacher = $4)
                    OR EXISTS (SELECT 1 FROM notice_recipient r JOIN teacher t ON t.name = r.teacher
                               JOIN organization_under u ON u.organization = t.school
                               WHERE r.notice = n.name AND u.ancestor IN (SELECT value ->> 0 FROM json_each($5)))
                    OR n.project IN (SELECT p.name FROM project p
                                     WHERE p.provider IN (SELECT value ->> 0 FROM json_each($6))))
             ORDER BY n.name LIMIT $7"
        ))
    };
}

/// A page of a term's notices that a caller may see: as a recipient, of his schools' teachers, of his provider.
pub async fn list(
    db: &mut impl Queries,
    term: &str,
    project: &str,
    view: &View,
    after: &str,
    limit: usize,
) -> Result<Vec<Notice>, Failure> {
    let sql = if view.organizations.is_empty() && view.providers.is_empty() {
        // A teacher sees his own: not one of the term's others is looked at.
        listing!("n.name IN (SELECT r.notice FROM notice_recipient r WHERE r.teacher = $4)")
    } else {
        // A name begins with its term's and a slash, which '0' follows.
        listing!("n.name > $1 || '/' AND n.name < $1 || '0'")
    };
    let rows = db
        .all(
            sql,
            args![
                term,
                project,
                after,
                &view.teacher,
                Rows::texts(&view.organizations).json(),
                Rows::texts(&view.providers).json(),
                count(limit)
            ],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Classes with participants, without a notice, and not proposed for cancelling: (class, project), by name; of all providers
/// but `others`.
pub async fn due(
    db: &mut impl Queries,
    term: &str,
    others: &[String],
    limit: i64,
) -> Result<Vec<(String, String)>, Failure> {
    let rows = db
        .all(
            "SELECT c.class AS class, c.project AS project FROM class_count c JOIN project p ON p.name = c.project
             WHERE p.term = $1 AND c.granted > 0 AND p.provider NOT IN (SELECT value ->> 0 FROM json_each($2))
               AND NOT EXISTS (SELECT 1 FROM notice n WHERE n.class = c.class)
               AND NOT EXISTS (SELECT 1 FROM proposed_cancellation x WHERE x.class = c.class AND x.standing)
             ORDER BY c.class LIMIT $3",
            args![term, Rows::texts(others).json(), limit],
        )
        .await?;
    rows.iter().map(|row| Ok((row.get("class")?, row.get("project")?))).collect()
}
