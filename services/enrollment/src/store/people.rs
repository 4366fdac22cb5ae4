//! Who holds which role, on a day.

use std::collections::{BTreeMap, BTreeSet};

use chassis::{
    Failure,
    db::{Queries, Rows, args},
};
use proto::common::v1::Role;

use super::roster::{self, active_on};
use crate::domain::review::SCHOOL_REVIEWERS;

/// An account that holds a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// "accounts/…"
    pub account: String,
    /// Where.
    pub organization: String,
}

/// The active holders of `roles` at these very organisations on `today` (ISO text).
pub async fn holders(
    db: &mut impl Queries,
    roles: &[Role],
    organizations: &BTreeSet<String>,
    today: &str,
) -> Result<Vec<Holder>, Failure> {
    let rows = db
        .all(
            "SELECT DISTINCT account, organization FROM account_role
             WHERE organization IN (SELECT value ->> 0 FROM json_each($1))
               AND role IN (SELECT CAST(value ->> 0 AS BIGINT) FROM json_each($2)) AND active
               AND (from_on = '' OR from_on <= $3) AND (until_on = '' OR until_on >= $3)
             ORDER BY organization, account",
            args![Rows::texts(organizations).json(), roster::roles(roles), today],
        )
        .await?;
    rows.iter().map(|row| Ok(Holder { account: row.get("account")?, organization: row.get("organization")? })).collect()
}

/// Those of these teachers who are principals of a school on `today`.
pub async fn principals(
    db: &mut impl Queries,
    teachers: &BTreeSet<String>,
    today: &str,
) -> Result<BTreeSet<String>, Failure> {
    let rows = db
        .all(
            "SELECT DISTINCT teacher FROM account_role
             WHERE teacher IN (SELECT value ->> 0 FROM json_each($1)) AND role = CAST($2 AS BIGINT) AND active
               AND (from_on = '' OR from_on <= $3) AND (until_on = '' OR until_on >= $3)",
            args![Rows::texts(teachers).json(), Role::Principal as i32, today],
        )
        .await?;
    rows.iter().map(|row| row.get("teacher")).collect()
}

/// Schools with active teachers, under `organizations` (empty: all), that have no active reviewer on `today`.
pub async fn schools_without_reviewer(
    db: &mut impl Queries,
    organizations: &[String],
    today: &str,
) -> Result<Vec<String>, Failure> {
    let rows = db
        .all(
            concat!(
                "SELECT DISTINCT t.school AS school FROM teacher t
             WHERE ",
                active_on!("$2"),
                "
               AND NOT EXISTS (SELECT 1 FROM account_role r WHERE r.organization = t.school
                               AND r.role IN (SELECT CAST(value ->> 0 AS BIGINT) FROM json_each($1)) AND r.active
                               AND (r.from_on = '' OR r.from_on <= $2) AND (r.until_on = '' OR r.until_on >= $2))
               AND ($3 = '[]' OR t.school IN (SELECT u.organization FROM organization_under u
                                              WHERE u.ancestor IN (SELECT value ->> 0 FROM json_each($3))))
             ORDER BY school"
            ),
            args![roster::roles(SCHOOL_REVIEWERS), today, Rows::texts(organizations).json()],
        )
        .await?;
    rows.iter().map(|row| row.get("school")).collect()
}

/// Who stands in for each of these schools where it has nobody to act: its district's officers, else its bureau's.
pub async fn stand_ins(
    db: &mut impl Queries,
    schools: &[String],
    today: &str,
) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let mut found = closest(db, Role::BureauOfficer, schools, today).await?;
    let districts = closest(db, Role::DistrictOfficer, schools, today).await?;
    found.extend(districts.into_iter().filter(|(_, accounts)| !accounts.is_empty()));
    Ok(found)
}

/// The closest holders of `role` over each of these organisations: of itself, else of its parent, and so on.
pub async fn closest(
    db: &mut impl Queries,
    role: Role,
    organizations: &[String],
    today: &str,
) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let mut paths = BTreeMap::new();
    for organization in organizations {
        paths.insert(organization.clone(), roster::path(db, organization).await?);
    }
    let all: BTreeSet<String> = paths.values().flatten().cloned().collect();
    let mut by_organization: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for holder in holders(db, &[role], &all, today).await? {
        by_organization.entry(holder.organization).or_default().push(holder.account);
    }
    Ok(paths
        .into_iter()
        .map(|(organization, path)| {
            let accounts = path.iter().rev().find_map(|one| by_organization.get(one)).cloned().unwrap_or_default();
            (organization, accounts)
        })
        .collect())
}
