//! The mirror of the roster: where organisations stand, and who is an expert.

use std::collections::BTreeMap;

use chassis::{
    Failure,
    db::{Queries, Rows, Tx, args, row},
};
use jiff::civil::Date;
use proto::{
    common::v1::Role,
    roster::v1::{AccountFacts, OrganizationFacts, account::State, organization::Kind},
};

use super::{from_json, json};
use crate::domain::draft::Known;

/// Mirrors an organisation.
pub async fn put_organization(tx: &mut Tx, facts: &OrganizationFacts) -> Result<(), Failure> {
    let bureau = facts.kinds().any(|kind| matches!(kind, Kind::Province | Kind::City | Kind::CountyBureau));
    tx.execute(
        "INSERT INTO organization (name, bureau, path) VALUES ($1, $2, $3)
         ON CONFLICT (name) DO UPDATE SET bureau = excluded.bureau, path = excluded.path",
        args![&facts.name, bureau, json(&facts.path)?],
    )
    .await?;
    tx.execute("DELETE FROM organization_ancestor WHERE organization = $1", args![&facts.name]).await?;
    tx.execute(
        "INSERT INTO organization_ancestor (ancestor, organization)
         SELECT value ->> 0, $1 FROM json_each($2) WHERE TRUE ON CONFLICT DO NOTHING",
        args![&facts.name, Rows::texts(&facts.path).json()],
    )
    .await?;
    Ok(())
}

/// Mirrors the roles of an account that matter here; a suspended one has none.
pub async fn put_account(tx: &mut Tx, facts: &AccountFacts) -> Result<(), Failure> {
    tx.execute("DELETE FROM account_role WHERE account = $1", args![&facts.name]).await?;
    let mut rows = Rows::new();
    for held in facts.roles.iter().filter(|_| facts.state() == State::Active) {
        let Some(grant) = &held.grant else { continue };
        if matches!(grant.role(), Role::Expert | Role::ProviderStaff) {
            let (from, until) = (proto::date_text(held.from.as_ref()), proto::date_text(held.until.as_ref()));
            rows.push(row![grant.role().as_str_name(), grant.organization.as_str(), from, until]);
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO account_role (account, role, organization, from_on, until_on)
         SELECT $1, value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each($2)
         WHERE TRUE ON CONFLICT DO NOTHING",
        args![&facts.name, rows.json()],
    )
    .await?;
    Ok(())
}

/// The organisations of a list that stand under one of another list, or are one; of teachers the catalog knows nothing.
pub const STANDING: &str = "SELECT o.name AS name FROM organization o JOIN json_each($2) AS root
         ON replace(o.path, '\"' || (root.value ->> 0) || '\"', '') <> o.path
     WHERE o.name IN (SELECT value ->> 0 FROM json_each($1))";

/// An organisation and all above it, root first. One that is not mirrored stands alone.
pub async fn path(db: &mut impl Queries, organization: &str) -> Result<Vec<String>, Failure> {
    let paths = paths(db, [organization]).await?;
    Ok(paths.into_values().next().unwrap_or_else(|| vec![organization.to_owned()]))
}

/// The paths of several organisations, by name; those that are not mirrored are absent.
pub async fn paths<'a>(
    db: &mut impl Queries,
    organizations: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let rows = db
        .all(
            "SELECT name, path FROM organization WHERE name IN (SELECT value ->> 0 FROM json_each($1))",
            args![Rows::texts(organizations).json()],
        )
        .await?;
    rows.iter().map(|row| Ok((row.get("name")?, from_json(row, "path")?))).collect()
}

/// What is known of each of these organisations.
pub async fn known<'a>(
    db: &mut impl Queries,
    organizations: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeMap<String, Known>, Failure> {
    let rows = db
        .all(
            "SELECT name, bureau FROM organization WHERE name IN (SELECT value ->> 0 FROM json_each($1))",
            args![Rows::texts(organizations).json()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let known = if row.get("bureau")? { Known::Bureau } else { Known::Organization };
            Ok((row.get("name")?, known))
        })
        .collect()
}

/// The organisations of an account's roles on `day`, each with its path; `None` if it is no expert then.
pub async fn expert(db: &mut impl Queries, account: &str, day: Date) -> Result<Option<Vec<Vec<String>>>, Failure> {
    let rows = db
        .all(
            "SELECT r.role, r.organization FROM account_role r
             WHERE r.account = $1 AND (r.from_on = '' OR r.from_on <= $2) AND (r.until_on = '' OR r.until_on >= $2)
             ORDER BY r.role, r.organization",
            args![account, day.to_string()],
        )
        .await?;
    let mut expert = false;
    let mut all = Vec::with_capacity(rows.len());
    for row in &rows {
        expert |= row.get::<String>("role")? == Role::Expert.as_str_name();
        all.push(path(db, &row.get::<String>("organization")?).await?);
    }
    Ok(expert.then_some(all))
}
