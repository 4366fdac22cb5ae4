//! Erasing persons, and finding who is due for it.

use chassis::{
    Failure,
    db::{Queries, Tx, args},
};
use jiff::civil::Date;

use super::accounts::Account;
use crate::domain::teacher::Teacher;

/// Until which day somebody must have gone to be erased now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutoffs {
    /// Retired.
    pub retired: Date,
    /// Departed.
    pub departed: Date,
    /// Deceased.
    pub deceased: Date,
}

/// The first teachers, by name, who went no later than that and are not erased.
///
/// # Errors
/// Those of the database.
pub async fn due(db: &mut impl Queries, cutoffs: Cutoffs, limit: usize) -> Result<Vec<String>, Failure> {
    let rows = db
        .all(
            "SELECT t.name AS name FROM teacher t JOIN status_event e ON e.teacher = t.name
               AND e.kind = CASE t.standing WHEN 'STATUS_RETIRED' THEN 'KIND_RETIREMENT'
                   WHEN 'STATUS_DEPARTED' THEN 'KIND_DEPARTURE' ELSE 'KIND_DEATH' END
             WHERE t.erased_at = 0 AND t.standing IN ('STATUS_RETIRED', 'STATUS_DEPARTED', 'STATUS_DECEASED')
             GROUP BY t.name, t.standing
             HAVING MAX(e.effective_on) <= CASE t.standing WHEN 'STATUS_RETIRED' THEN $1
                 WHEN 'STATUS_DEPARTED' THEN $2 ELSE $3 END
             ORDER BY t.name LIMIT $4",
            args![cutoffs.retired.to_string(), cutoffs.departed.to_string(), cutoffs.deceased.to_string(), limit],
        )
        .await?;
    rows.iter().map(|row| row.get("name")).collect()
}

/// Marks an erased teacher, whose row was written, and drops what people wrote about him.
///
/// # Errors
/// Those of the database.
pub async fn teacher(tx: &mut Tx, teacher: &Teacher) -> Result<(), Failure> {
    let at = tx.at();
    tx.execute("UPDATE teacher SET erased_at = $2 WHERE name = $1", args![&teacher.name, at]).await?;
    // What was corrected are coded fields and days; why is prose.
    tx.execute("UPDATE correction_decision SET reason = '' WHERE teacher = $1", args![&teacher.name]).await?;
    tx.execute("UPDATE export_permit SET reason = '' WHERE teacher = $1", args![&teacher.name]).await?;
    Ok(())
}

/// Erases an account over its version before: no login leads to it and no password fits it. False if
/// that version is no longer the current one.
///
/// # Errors
/// Those of the database.
pub async fn account(tx: &mut Tx, account: &Account, login_index: &str) -> Result<bool, Failure> {
    let at = tx.at();
    let erased = tx
        .execute(
            // Its name is no login, and is unique.
            "UPDATE account SET login = name, display_name = '', password = '', state = $3, version = $2, erased_at = $4
             WHERE name = $1 AND version = $2 - 1",
            args![&account.name, account.version, account.state.as_str_name(), at],
        )
        .await?;
    tx.execute(
        "UPDATE account_role SET revoked_at = $2 WHERE account = $1 AND revoked_at = 0",
        args![&account.name, at],
    )
    .await?;
    tx.execute("UPDATE export_permit SET reason = '' WHERE account = $1", args![&account.name]).await?;
    tx.execute("DELETE FROM login_failure WHERE login_index = $1", args![login_index]).await?;
    Ok(erased == 1)
}
