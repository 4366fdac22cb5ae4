//! The inbox: coded messages, one row a person, written many at a time.

use std::collections::BTreeMap;

use chassis::{
    Failure,
    db::{Queries, Rows, Tx, args, row},
};
use proto::{
    common::v1::{Phase, Role},
    enrollment::v1::Notification,
};

use super::{count, json_map, roster};
use crate::domain::notification::Kind;

/// A message to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// "accounts/…"
    pub account: String,
    /// What it is about.
    pub kind: Kind,
    /// What it refers to.
    pub resource: String,
    /// Variables of its text.
    pub metadata: BTreeMap<String, String>,
}

/// Writes messages to people; those without an account are passed over.
pub async fn write(tx: &mut Tx, term: &str, messages: Vec<Message>) -> Result<(), Failure> {
    let mut rows = Rows::new();
    for message in messages {
        if message.account.is_empty() {
            continue;
        }
        let metadata = serde_json::to_string(&message.metadata).map_err(Failure::internal)?;
        rows.push(row![tx.id("notifications"), message.account, message.kind.word(), message.resource, metadata]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let at = tx.at();
    tx.later(
        "INSERT INTO notification (name, account, kind, term, resource, metadata, at, read_at)
         SELECT value ->> 0, value ->> 1, value ->> 2, $2, value ->> 3, value ->> 4, CAST($3 AS BIGINT), 0
         FROM json_each($1) WHERE TRUE ON CONFLICT DO NOTHING",
        args![rows.json(), term, at],
    )
    .await
}

/// A message to all whom `source` selects (a `SELECT … AS account`): one statement, each account once, whatever the repeats.
macro_rules! to_all {
    ($source:expr) => {
        concat!(
            "INSERT INTO notification (name, account, kind, term, resource, metadata, at, read_at)
             SELECT DISTINCT 'notifications/' || $1 || '.' || substr(who.account, 10), who.account, $2, $3, $4, $5,
                    CAST($6 AS BIGINT), 0
             FROM (",
            $source,
            ") AS who WHERE TRUE ON CONFLICT DO NOTHING"
        )
    };
}

/// A message about a window of a term.
#[derive(Debug, Clone)]
pub struct WindowMessage<'a> {
    /// Opening or closing.
    pub kind: Kind,
    /// "terms/…"
    pub term: &'a str,
    /// The window's id.
    pub window: &'a str,
    /// The window's phase.
    pub phase: Phase,
    /// The window's round.
    pub round: i32,
    /// Only these organisations, and what lies under them; empty: all.
    pub organizations: &'a [String],
    /// Variables of the text.
    pub metadata: BTreeMap<String, String>,
    /// The day in the term's zone, for delegated roles.
    pub today: String,
}

impl WindowMessage<'_> {
    fn args(&self, at: i64) -> Result<Vec<chassis::db::Value>, Failure> {
        let term = self.term.trim_start_matches("terms/");
        let mark = match self.kind {
            // A window can be closed to more than once: each day's reminder is its own.
            Kind::WindowCloses => format!("{term}.{}.{}.{}", self.window, self.kind.word(), self.today),
            _ => format!("{term}.{}.{}", self.window, self.kind.word()),
        };
        let metadata = serde_json::to_string(&self.metadata).map_err(Failure::internal)?;
        Ok(args![mark, self.kind.word(), self.term, self.window, metadata, at])
    }
}

/// To these accounts.
pub async fn to_accounts<'a>(
    tx: &mut Tx,
    message: &WindowMessage<'_>,
    accounts: impl IntoIterator<Item = &'a str>,
) -> Result<u64, Failure> {
    let mut args = message.args(tx.at())?;
    args.extend(args![Rows::texts(accounts).json()]);
    tx.execute(to_all!("SELECT value ->> 0 AS account FROM json_each($7)"), args).await
}

/// At most `limit` accounts that hold one of `roles` within the window's organisations, in order, from after `after`.
pub async fn holders(
    db: &mut impl Queries,
    message: &WindowMessage<'_>,
    roles: &[Role],
    after: &str,
    limit: i64,
) -> Result<Vec<String>, Failure> {
    let sql = "SELECT DISTINCT r.account AS account FROM account_role r
         WHERE r.role IN (SELECT CAST(value ->> 0 AS BIGINT) FROM json_each($1)) AND r.active
           AND (r.from_on = '' OR r.from_on <= $2) AND (r.until_on = '' OR r.until_on >= $2)
           AND ($3 = '[]' OR r.organization IN (SELECT u.organization FROM organization_under u
                                                WHERE u.ancestor IN (SELECT value ->> 0 FROM json_each($3))))
           AND r.account > $4 ORDER BY r.account LIMIT $5";
    let organizations = Rows::texts(message.organizations).json();
    let rows = db.all(sql, args![roster::roles(roles), &message.today, organizations, after, limit]).await?;
    rows.iter().map(|row| row.get("account")).collect()
}

/// At most `limit` active teachers who have selected nothing in the window's round, and anything in an earlier one if there
/// is one (who is barred need not be reminded), in order, from after `after`: (teacher, account).
pub async fn non_selectors(
    db: &mut impl Queries,
    message: &WindowMessage<'_>,
    after: &str,
    limit: i64,
) -> Result<Vec<(String, String)>, Failure> {
    // That a selection's teacher comes after `after`, too, is said again: PostgreSQL merges both in order, and would begin with
    // the first selection of all for each page.
    let sql = concat!(
        "SELECT t.name AS name, t.account AS account FROM teacher t WHERE ",
        roster::active_on!("$4"),
        " AND t.account <> ''
           AND NOT EXISTS (SELECT 1 FROM selection s WHERE s.teacher = t.name AND s.teacher > $5 AND s.term || '' = $1
                           AND s.round = CAST($2 AS BIGINT) AND s.state <> 'withdrawn')
           AND (CAST($2 AS BIGINT) <= 1
                OR EXISTS (SELECT 1 FROM selection s WHERE s.teacher = t.name AND s.teacher > $5 AND s.term || '' = $1
                           AND s.round < CAST($2 AS BIGINT) AND s.state IN ('declined', 'expired', 'cancelled')))
           AND ($3 = '[]' OR t.school IN (SELECT u.organization FROM organization_under u
                                          WHERE u.ancestor IN (SELECT value ->> 0 FROM json_each($3))))
           AND t.name > $5 ORDER BY t.name LIMIT $6"
    );
    let organizations = Rows::texts(message.organizations).json();
    let rows = db.all(sql, args![message.term, message.round, organizations, &message.today, after, limit]).await?;
    rows.iter().map(|row| Ok((row.get("name")?, row.get("account")?))).collect()
}

/// To those who hold one of `roles`, and whom something in the catalog waits for in the window's phase.
pub async fn to_those_with_tasks(tx: &mut Tx, message: &WindowMessage<'_>, roles: &[Role]) -> Result<u64, Failure> {
    let mut args = message.args(tx.at())?;
    let organizations = Rows::texts(message.organizations).json();
    args.extend(args![message.phase as i32, &message.today, organizations, roster::roles(roles)]);
    let sql = to_all!(
        "SELECT r.account AS account FROM catalog_task k
         JOIN account_role r ON r.organization = k.organization AND r.role = k.role
         WHERE k.term = $3 AND k.phase = CAST($7 AS BIGINT) AND r.active
           AND r.role IN (SELECT CAST(value ->> 0 AS BIGINT) FROM json_each($10))
           AND (r.from_on = '' OR r.from_on <= $8) AND (r.until_on = '' OR r.until_on >= $8)
           AND ($9 = '[]' OR r.organization IN (SELECT u.organization FROM organization_under u
                                                WHERE u.ancestor IN (SELECT value ->> 0 FROM json_each($9))))"
    );
    tx.execute(sql, args).await
}

/// To the reviewers (`roles`) of schools with selections of the round that wait for review.
pub async fn to_pending_reviewers(tx: &mut Tx, message: &WindowMessage<'_>, roles: &[Role]) -> Result<u64, Failure> {
    let mut args = message.args(tx.at())?;
    args.extend(args![message.round, roster::roles(roles), &message.today, Rows::texts(message.organizations).json()]);
    let sql = to_all!(
        "SELECT r.account AS account FROM account_role r
         WHERE r.role IN (SELECT CAST(value ->> 0 AS BIGINT) FROM json_each($8)) AND r.active
           AND (r.from_on = '' OR r.from_on <= $9) AND (r.until_on = '' OR r.until_on >= $9)
           AND r.organization IN (SELECT s.school FROM selection s WHERE s.term = $3
                                  AND s.round = CAST($7 AS BIGINT) AND s.state = 'submitted')
           AND ($10 = '[]' OR r.organization IN (SELECT u.organization FROM organization_under u
                                                 WHERE u.ancestor IN (SELECT value ->> 0 FROM json_each($10))))"
    );
    tx.execute(sql, args).await
}

/// To the staff of providers whose projects have undecided selections (`state` "school_approved"), or participants without
/// confirmed results (`state` "confirmed" or "attended").
pub async fn to_providers_with(tx: &mut Tx, message: &WindowMessage<'_>, states: &[&str]) -> Result<u64, Failure> {
    let mut args = message.args(tx.at())?;
    args.extend(args![
        Role::ProviderStaff as i32,
        Rows::texts(states).json(),
        &message.today,
        Rows::texts(message.organizations).json()
    ]);
    let sql = to_all!(
        "SELECT r.account AS account FROM account_role r
         WHERE r.role = CAST($7 AS BIGINT) AND r.active
           AND (r.from_on = '' OR r.from_on <= $9) AND (r.until_on = '' OR r.until_on >= $9)
           AND r.organization IN (SELECT p.provider FROM project p WHERE p.term = $3
                AND EXISTS (SELECT 1 FROM selection s WHERE s.project = p.name
                            AND s.state IN (SELECT value ->> 0 FROM json_each($8))))
           AND ($10 = '[]' OR r.organization IN (SELECT u.organization FROM organization_under u
                                                 WHERE u.ancestor IN (SELECT value ->> 0 FROM json_each($10))))"
    );
    tx.execute(sql, args).await
}

/// A page of an inbox, newest first, from before `before` (a key of `key`, empty: the newest), and how many there are in all.
pub async fn list(
    db: &mut impl Queries,
    account: &str,
    unread_only: bool,
    before: &str,
    limit: usize,
) -> Result<(Vec<Notification>, i64), Failure> {
    let (at, name) = before.split_once(' ').unwrap_or(("", ""));
    let at = at.parse::<i64>().unwrap_or(i64::MAX);
    let rows = db
        .all(
            "SELECT name, kind, term, resource, metadata, at, read_at FROM notification
             WHERE account = $1 AND (CAST($2 AS BIGINT) = 0 OR read_at = 0)
               AND (at < $3 OR (at = $3 AND name < $4))
             ORDER BY at DESC, name DESC LIMIT $5",
            args![account, i64::from(unread_only), at, name, count(limit)],
        )
        .await?;
    let total = db
        .one(
            "SELECT COUNT(*) AS total FROM notification
             WHERE account = $1 AND (CAST($2 AS BIGINT) = 0 OR read_at = 0)",
            args![account, i64::from(unread_only)],
        )
        .await?
        .map_or(Ok(0), |row| row.get("total"))?;
    let notifications = rows.iter().map(|row| {
        let (kind, metadata) = (row.get::<String>("kind")?, json_map(&row.get::<String>("metadata")?)?);
        let (zh, en) = Kind::from_word(&kind).map(|kind| kind.render(&metadata)).unwrap_or_default();
        Ok(Notification {
            name: row.get("name")?,
            kind,
            term: row.get("term")?,
            resource: row.get("resource")?,
            metadata,
            at: Some(proto::timestamp(row.get("at")?)),
            read: row.get::<i64>("read_at")? != 0,
            zh,
            en,
        })
    });
    Ok((notifications.collect::<Result<_, Failure>>()?, total))
}

/// The key of a notification in its inbox's order.
#[must_use]
pub fn key(notification: &Notification) -> String {
    let at = notification.at.as_ref().map(proto::instant).unwrap_or_default();
    format!("{at} {}", notification.name)
}

/// Marks messages of an inbox as read; others' are passed over.
pub async fn mark_read(tx: &mut Tx, account: &str, names: &[String]) -> Result<(), Failure> {
    let at = tx.at();
    tx.execute(
        "UPDATE notification SET read_at = $3
         WHERE account = $1 AND read_at = 0 AND name IN (SELECT value ->> 0 FROM json_each($2))",
        args![account, Rows::texts(names).json(), at],
    )
    .await?;
    Ok(())
}

/// Deletes at most `limit` messages from before an instant; returns how many.
pub async fn purge(tx: &mut Tx, before: i64, limit: u64) -> Result<u64, Failure> {
    // In no order: the oldest are where a table is read first.
    let sql = "DELETE FROM notification WHERE name IN (SELECT name FROM notification WHERE at < $1 LIMIT $2)";
    tx.execute(sql, args![before, i64::try_from(limit).unwrap_or(i64::MAX)]).await
}
