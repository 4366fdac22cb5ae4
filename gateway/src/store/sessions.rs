//! Sessions: one row each, with the digest of the one refresh token that is good now.

use chassis::{
    Failure,
    db::{Queries, Tx, args},
};

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Stays the same over refreshes.
    pub id: String,
    /// "accounts/…"
    pub account: String,
    /// Seconds since the epoch, by the wall clock.
    pub expires_at: i64,
    /// Logged out.
    pub ended: bool,
}

/// The session whose refresh token has this digest.
///
/// # Errors
/// Those of the database.
pub async fn by_token(db: &mut impl Queries, digest: &str) -> Result<Option<Session>, Failure> {
    let sql = "SELECT id, account, expires_at, ended FROM session WHERE token_digest = $1";
    let Some(row) = db.one(sql, args![digest]).await? else { return Ok(None) };
    Ok(Some(Session {
        id: row.get("id")?,
        account: row.get("account")?,
        expires_at: row.get("expires_at")?,
        ended: row.get::<i64>("ended")? == 1,
    }))
}

/// The tokens of a session: each begins alike, and one is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests<'a> {
    /// Of what they begin with.
    pub family: &'a str,
    /// Of the good one.
    pub token: &'a str,
}

/// Opens a session at `now` (seconds by the wall clock), or gives it the next token in the place of `replaces`. False if that token is no longer the good one.
///
/// # Errors
/// Those of the database.
pub async fn put(
    tx: &mut Tx,
    session: &Session,
    Digests { family, token }: Digests<'_>,
    replaces: Option<&str>,
    now: i64,
) -> Result<bool, Failure> {
    let written = match replaces {
        None => {
            tx.execute(
                "INSERT INTO session (id, account, token_digest, expires_at, ended, began_at, family)
                 VALUES ($1, $2, $3, $4, 0, $5, $6)",
                args![&session.id, &session.account, token, session.expires_at, now, family],
            )
            .await?
        }
        Some(old) => {
            tx.execute(
                "UPDATE session SET token_digest = $3, expires_at = $4, family = $5
                 WHERE id = $1 AND token_digest = $2 AND ended = 0",
                args![&session.id, old, token, session.expires_at, family],
            )
            .await?
        }
    };
    Ok(written == 1)
}

/// Whose the session is whose tokens begin like this, if it can be refreshed at `now` (seconds by the wall clock).
///
/// # Errors
/// Those of the database.
pub async fn of_family(db: &mut impl Queries, family: &str, now: i64) -> Result<Option<String>, Failure> {
    let sql = "SELECT account FROM session
               WHERE family = $1 AND family <> '' AND ended = 0 AND expires_at > $2 ORDER BY id LIMIT 1";
    db.one(sql, args![family, now]).await?.map(|row| row.get("account")).transpose()
}

/// Keeps that an old token of an account was used at `now` (seconds by the wall clock).
///
/// # Errors
/// Those of the database.
pub async fn keep_reuse(tx: &mut Tx, account: &str, now: i64) -> Result<(), Failure> {
    let sql = "INSERT INTO token_reuse (account, at, times) VALUES ($1, $2, 1)
               ON CONFLICT (account) DO UPDATE SET at = excluded.at, times = token_reuse.times + 1";
    tx.execute(sql, args![account, now]).await.map(drop)
}

/// When an old token of an account was last used, in seconds by the wall clock, and how often: told once.
///
/// # Errors
/// Those of the database.
pub async fn tell_reuse(tx: &mut Tx, account: &str) -> Result<Option<(i64, i64)>, Failure> {
    let sql = "DELETE FROM token_reuse WHERE account = $1 RETURNING at, times";
    let told = tx.all(sql, args![account]).await?;
    told.first().map(|row| Ok((row.get("at")?, row.get("times")?))).transpose()
}

/// Ends the session whose refresh token has this digest, if there is one.
///
/// # Errors
/// Those of the database.
pub async fn end(tx: &mut Tx, digest: &str) -> Result<(), Failure> {
    tx.execute("UPDATE session SET ended = 1 WHERE token_digest = $1", args![digest]).await?;
    Ok(())
}

/// Deletes at most `limit` sessions that can no longer be refreshed at `wall`, the longest expired first. Returns how many.
///
/// # Errors
/// Those of the database.
pub async fn purge(tx: &mut Tx, wall: i64, limit: usize) -> Result<usize, Failure> {
    let sql = "DELETE FROM session WHERE id IN
                   (SELECT id FROM session WHERE expires_at <= $1 ORDER BY expires_at, id LIMIT $2)";
    let purged = tx.execute(sql, args![wall, limit]).await?;
    usize::try_from(purged).map_err(Failure::internal)
}

/// A session as it is kept until it has expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its id.
    pub id: String,
    /// Seconds since the epoch, by the wall clock; 0: it began before that was noted.
    pub began_at: i64,
    /// Seconds since the epoch, by the wall clock.
    pub expires_at: i64,
    /// Logged out.
    pub ended: bool,
}

/// An account's sessions, by id from after `after`.
///
/// # Errors
/// Those of the database.
pub async fn of_account(db: &mut impl Queries, account: &str, after: &str, limit: usize) -> Result<Vec<Kept>, Failure> {
    let sql = "SELECT id, began_at, expires_at, ended FROM session
               WHERE account = $1 AND account <> '' AND id > $2 ORDER BY id LIMIT $3";
    let rows = db.all(sql, args![account, after, limit]).await?;
    rows.iter()
        .map(|row| {
            Ok(Kept {
                id: row.get("id")?,
                began_at: row.get("began_at")?,
                expires_at: row.get("expires_at")?,
                ended: row.get::<i64>("ended")? == 1,
            })
        })
        .collect()
}
