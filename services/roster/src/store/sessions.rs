//! Failed logins.

use chassis::{
    Failure,
    db::{Queries, Tx, args},
};

use crate::domain::attempts::FORGOTTEN_AFTER;

/// Failures of a login and the instant of the last one.
///
/// # Errors
/// Those of the database.
pub async fn failures(db: &mut impl Queries, login_index: &str, at: i64) -> Result<(i64, i64), Failure> {
    let sql = "SELECT failures, last_at FROM login_failure WHERE login_index = $1 AND last_at > $2";
    match db.one(sql, args![login_index, at.saturating_sub(FORGOTTEN_AFTER)]).await? {
        Some(row) => Ok((row.get("failures")?, row.get("last_at")?)),
        None => Ok((0, 0)),
    }
}

/// Counts a failure, and forgets old ones, so that guesses at logins that nobody has do not pile up.
///
/// # Errors
/// Those of the database.
pub async fn failed(tx: &mut Tx, login_index: &str, at: i64) -> Result<(), Failure> {
    tx.execute("DELETE FROM login_failure WHERE last_at <= $1", args![at.saturating_sub(FORGOTTEN_AFTER)]).await?;
    tx.execute(
        "INSERT INTO login_failure (login_index, failures, last_at) VALUES ($1, 1, $2)
         ON CONFLICT (login_index) DO UPDATE SET failures = login_failure.failures + 1, last_at = excluded.last_at",
        args![login_index, at],
    )
    .await?;
    Ok(())
}

/// Forgets the failures of a login that has succeeded.
///
/// # Errors
/// Those of the database.
pub async fn succeeded(tx: &mut Tx, login_index: &str) -> Result<(), Failure> {
    tx.execute("DELETE FROM login_failure WHERE login_index = $1", args![login_index]).await?;
    Ok(())
}
