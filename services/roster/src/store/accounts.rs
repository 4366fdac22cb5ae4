//! Accounts and their roles.

use std::collections::BTreeMap;

use chassis::{
    Failure,
    db::{Queries, Row, Rows, Tx, args, row},
};
use proto::{common::v1::Role, roster::v1::account::State};

use super::{CHUNK, day, day_text, organizations::range};
use crate::domain::account::RoleHeld;

/// An account. It holds personal data and so has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// "accounts/…"
    pub name: String,
    /// Unique.
    pub login: String,
    /// The person's name.
    pub display_name: String,
    /// "teachers/…" where the person is one.
    pub teacher: String,
    /// Whether it may be used.
    pub state: State,
    /// PHC string of the password.
    pub password: String,
    /// Rises with every write.
    pub version: i64,
    /// The person was erased: nothing of it changes any more.
    pub erased: bool,
    /// The roles that are not revoked, by role and organisation.
    pub roles: Vec<RoleHeld>,
}

/// Which accounts a listing takes.
#[derive(Debug, Default)]
pub struct Filter {
    /// A role held at or under any of these paths; none: all accounts, also those without a role.
    pub under: Option<Vec<Vec<String>>>,
    /// Unspecified for any.
    pub role: Role,
}

/// An account by name.
///
/// # Errors
/// Those of the database.
pub async fn find(db: &mut impl Queries, name: &str) -> Result<Option<Account>, Failure> {
    let rows = db.all("SELECT * FROM account WHERE name = $1", args![name]).await?;
    Ok(with_roles(db, &rows).await?.pop())
}

/// An account by login.
///
/// # Errors
/// Those of the database.
pub async fn by_login(db: &mut impl Queries, login: &str) -> Result<Option<Account>, Failure> {
    let rows = db.all("SELECT * FROM account WHERE login = $1", args![login]).await?;
    Ok(with_roles(db, &rows).await?.pop())
}

/// Those of `logins` that are taken.
///
/// # Errors
/// Those of the database.
pub async fn taken_logins(db: &mut impl Queries, logins: &[String]) -> Result<Vec<String>, Failure> {
    let mut taken = Vec::new();
    for chunk in logins.chunks(CHUNK) {
        let sql = "SELECT login FROM account WHERE login IN (SELECT value ->> 0 FROM json_each($1)) ORDER BY login";
        for row in &db.all(sql, args![Rows::texts(chunk).json()]).await? {
            taken.push(row.get("login")?);
        }
    }
    Ok(taken)
}

/// Whether there is any account at all.
///
/// # Errors
/// Those of the database.
pub async fn any(db: &mut impl Queries) -> Result<bool, Failure> {
    Ok(db.one("SELECT name FROM account LIMIT 1", args![]).await?.is_some())
}

/// A page of accounts, by name.
///
/// # Errors
/// Those of the database.
pub async fn list(db: &mut impl Queries, filter: &Filter, after: &str, limit: usize) -> Result<Vec<Account>, Failure> {
    let mut roots = Rows::new();
    for path in filter.under.iter().flatten() {
        let (low, high) = range(path);
        roots.push(row![low, high]);
    }
    let role = if filter.role == Role::Unspecified { "" } else { filter.role.as_str_name() };
    let everywhere = i64::from(filter.under.is_none());
    let rows = db
        .all(
            "SELECT a.* FROM account a
             WHERE a.name > $1 AND (($2 = 1 AND $3 = '') OR EXISTS (
                 SELECT 1 FROM account_role r LEFT JOIN organization o ON o.name = r.organization
                 WHERE r.account = a.name AND r.revoked_at = 0 AND ($3 = '' OR r.role = $3)
                   AND ($2 = 1 OR EXISTS (SELECT 1 FROM json_each($4) AS root
                                          WHERE o.path >= root.value ->> 0 AND o.path < root.value ->> 1))))
             ORDER BY a.name LIMIT $5",
            args![after, everywhere, role, roots.json(), limit],
        )
        .await?;
    with_roles(db, &rows).await
}

/// Inserts accounts with their roles; how many, which is fewer where a name, a login or a teacher has one already.
///
/// # Errors
/// Those of the database.
pub async fn insert(tx: &mut Tx, accounts: &[Account]) -> Result<usize, Failure> {
    let mut inserted = 0;
    for chunk in accounts.chunks(CHUNK) {
        let mut rows = Rows::new();
        for account in chunk {
            rows.push(row![
                account.name.as_str(),
                account.login.as_str(),
                account.display_name.as_str(),
                account.teacher.as_str(),
                account.state.as_str_name(),
                account.password.as_str(),
                account.version
            ]);
        }
        inserted += tx
            .execute(
                "INSERT INTO account (name, login, display_name, teacher, state, password, version)
                 SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
                        CAST(value ->> 6 AS BIGINT)
                 FROM json_each($1) WHERE TRUE ON CONFLICT DO NOTHING",
                args![rows.json()],
            )
            .await?;
    }
    let inserted = usize::try_from(inserted).unwrap_or(usize::MAX);
    // Whoever finds fewer gives up, so that roles of other people's accounts are not written.
    if inserted == accounts.len() {
        let mut roles = Vec::with_capacity(accounts.len());
        for account in accounts {
            roles.extend(account.roles.iter().map(|held| (account.name.as_str(), held)));
        }
        put_roles(tx, &roles).await?;
    }
    Ok(inserted)
}

/// Writes roles as held from now on.
///
/// # Errors
/// Those of the database.
pub async fn put_roles(tx: &mut Tx, roles: &[(&str, &RoleHeld)]) -> Result<(), Failure> {
    for chunk in roles.chunks(CHUNK) {
        let mut rows = Rows::new();
        for (account, held) in chunk {
            rows.push(row![
                *account,
                held.role.as_str_name(),
                held.organization.as_str(),
                day_text(held.from),
                day_text(held.until)
            ]);
        }
        tx.execute(
            "INSERT INTO account_role (account, role, organization, from_on, until_on, revoked_at)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, 0 FROM json_each($1) WHERE TRUE
             ON CONFLICT (account, role, organization)
             DO UPDATE SET from_on = excluded.from_on, until_on = excluded.until_on, revoked_at = 0",
            args![rows.json()],
        )
        .await?;
    }
    Ok(())
}

/// Revokes a role.
///
/// # Errors
/// Those of the database.
pub async fn revoke(tx: &mut Tx, account: &str, role: Role, organization: &str, at: i64) -> Result<(), Failure> {
    tx.execute(
        "UPDATE account_role SET revoked_at = $4
         WHERE account = $1 AND role = $2 AND organization = $3 AND revoked_at = 0",
        args![account, role.as_str_name(), organization, at],
    )
    .await?;
    Ok(())
}

/// Writes an account's own fields (not its roles) over its version before; false if that is no longer the current one.
///
/// # Errors
/// Those of the database.
pub async fn update(tx: &mut Tx, account: &Account) -> Result<bool, Failure> {
    let updated = tx
        .execute(
            "UPDATE account SET display_name = $2, teacher = $3, state = $4, password = $5, version = $6
             WHERE name = $1 AND version = $6 - 1",
            args![
                &account.name,
                &account.display_name,
                &account.teacher,
                account.state.as_str_name(),
                &account.password,
                account.version
            ],
        )
        .await?;
    Ok(updated == 1)
}

/// Every role that an account holds or held, by role and organisation, with when it was revoked (0: it is held).
///
/// # Errors
/// Those of the database.
pub async fn roles_ever(db: &mut impl Queries, account: &str) -> Result<Vec<(RoleHeld, i64)>, Failure> {
    let sql = "SELECT * FROM account_role WHERE account = $1 ORDER BY role, organization";
    let rows = db.all(sql, args![account]).await?;
    rows.iter().map(|row| Ok((role(row)?, row.get("revoked_at")?))).collect()
}

fn role(row: &Row) -> Result<RoleHeld, Failure> {
    Ok(RoleHeld {
        role: Role::from_str_name(&row.get::<String>("role")?).unwrap_or_default(),
        organization: row.get("organization")?,
        from: day(&row.get::<String>("from_on")?)?,
        until: day(&row.get::<String>("until_on")?)?,
    })
}

async fn with_roles(db: &mut impl Queries, rows: &[Row]) -> Result<Vec<Account>, Failure> {
    let mut accounts = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let mut roles: BTreeMap<String, Vec<RoleHeld>> = BTreeMap::new();
    for chunk in accounts.chunks(CHUNK) {
        let names = Rows::texts(chunk.iter().map(|account| &account.name)).json();
        let sql =
            "SELECT * FROM account_role WHERE revoked_at = 0 AND account IN (SELECT value ->> 0 FROM json_each($1))";
        for row in &db.all(sql, args![names]).await? {
            roles.entry(row.get("account")?).or_default().push(role(row)?);
        }
    }
    for account in &mut accounts {
        account.roles = roles.remove(&account.name).unwrap_or_default();
        account.roles.sort();
    }
    Ok(accounts)
}

fn read(row: &Row) -> Result<Account, Failure> {
    Ok(Account {
        name: row.get("name")?,
        login: row.get("login")?,
        display_name: row.get("display_name")?,
        teacher: row.get("teacher")?,
        state: State::from_str_name(&row.get::<String>("state")?).unwrap_or_default(),
        password: row.get("password")?,
        version: row.get("version")?,
        erased: row.get::<i64>("erased_at")? != 0,
        roles: Vec::new(),
    })
}
