//! Who may act on an account, and give which role.

use std::collections::BTreeMap;

use chassis::{
    Failure,
    db::{Queries, Tx},
};
use jiff::civil::Date;
use proto::{
    Actor, Held,
    common::v1::Role,
    roster::v1::{self as pb},
};

use super::{teachers as teacher_api, wire};
use crate::{
    domain::{
        account::{RoleHeld, appoints, fits},
        fault::{Defect, Fault},
        organization::Organization,
        scope,
    },
    store::{
        accounts::{self, Account},
        organizations,
    },
};

/// An account with what decides who may act on it.
pub(super) struct Scoped {
    pub account: Account,
    /// The organisations of its roles.
    pub organizations: BTreeMap<String, Organization>,
    /// The path of the teacher's school, where it is a teacher's.
    teacher_path: Option<Vec<String>>,
}

impl Scoped {
    /// Whether the actor may change the account itself: everything that it may do, the actor could have given it.
    pub fn is_under(&self, actor: &Actor, today: Date) -> bool {
        let appointed = |held: &RoleHeld| {
            let (path, kinds) = place(self.organizations.get(&held.organization));
            appoints(actor, held.role, path, kinds).is_some()
        };
        let own_area = self.teacher_path.as_ref().is_none_or(|path| scope::governs(actor, path).is_some());
        own_area && self.account.roles.iter().filter(|held| !held.is_over(today)).all(appointed)
    }

    /// Whether the actor may see that there is this account and what it may do.
    pub fn is_seen_by(&self, actor: &Actor) -> bool {
        actor.account == self.account.name
            || actor.is(Role::Operator)
            || self.teacher_path.as_ref().is_some_and(|path| scope::governs(actor, path).is_some())
            || self.account.roles.iter().any(|held| {
                let (path, kinds) = place(self.organizations.get(&held.organization));
                appoints(actor, held.role, path, kinds).is_some()
            })
    }
}

/// The role of a bureau to whose area every role of an account belongs, and its teacher's school: those that it holds, else those that it
/// held. Of an account that is nobody's, none.
///
/// # Errors
/// `OUT_OF_SCOPE`.
pub(super) async fn governing(db: &mut impl Queries, scoped: &Scoped, actor: &Actor) -> Result<Held, Failure> {
    let account = &scoped.account;
    let mut names: Vec<String> = account.roles.iter().map(|held| held.organization.clone()).collect();
    if names.is_empty() {
        let ever = accounts::roles_ever(db, &account.name).await?;
        names = ever.into_iter().map(|(held, _)| held.organization).collect();
    }
    let found = wire::by_name(organizations::find_all(db, names.iter().map(String::as_str)).await?);
    let mut paths: Vec<_> = names.iter().map(|name| found.get(name).map(|one| one.path.as_slice())).collect();
    paths.extend(scoped.teacher_path.as_ref().map(|path| Some(path.as_slice())));
    let held: Option<Vec<_>> = paths.into_iter().map(|path| scope::governs(actor, path?)).collect();
    let held = held.and_then(|held| held.into_iter().next());
    held.cloned().ok_or_else(|| Failure::out_of_scope(&account.name))
}

/// An organisation's place in the tree, and what it is; of none, nowhere.
pub(super) fn place(organization: Option<&Organization>) -> (&[String], &[pb::organization::Kind]) {
    organization.map_or((&[], &[]), |found| (&found.path, &found.kinds))
}

/// An account by name, with what decides who may act on it.
pub(super) async fn scoped(db: &mut impl Queries, name: &str) -> Result<Scoped, Failure> {
    let account = accounts::find(db, name).await?.ok_or_else(|| Failure::not_found(name))?;
    let names: Vec<&str> = account.roles.iter().map(|held| held.organization.as_str()).collect();
    let organizations = wire::by_name(organizations::find_all(db, names).await?);
    let teacher_path = match account.teacher.as_str() {
        "" => None,
        teacher => Some(teacher_api::find(db, teacher).await?.school.path),
    };
    Ok(Scoped { account, organizations, teacher_path })
}

/// A role to be given, checked; with the role under which the actor gives it.
pub(super) async fn appointment(
    tx: &mut Tx,
    given: &pb::RoleHeld,
    teacher_school: Option<&str>,
) -> Result<Result<(RoleHeld, Held), Vec<Fault>>, Failure> {
    let mut faults = Vec::new();
    let grant = given.grant.clone().unwrap_or_default();
    let role = Role::try_from(grant.role).unwrap_or_default();
    let from = wire::day("from", given.from.as_ref(), &mut faults);
    let until = wire::day("until", given.until.as_ref(), &mut faults);
    if from.zip(until).is_some_and(|(from, until)| until < from) {
        faults.push(Fault::of("until", Defect::TooEarly));
    }
    let organization = organizations::find(tx, &grant.organization).await?;
    match &organization {
        _ if matches!(role, Role::Unspecified | Role::Service) => {
            faults.push(Fault::of("grant.role", Defect::UnknownCode))
        }
        // An operator runs the whole system.
        None if role == Role::Operator && grant.organization.is_empty() => {}
        None => faults.push(Fault::of("grant.organization", Defect::NotFound)),
        Some(found) if !fits(role, found) => faults.push(Fault::of("grant.organization", Defect::WrongKind)),
        Some(found) if role == Role::Teacher && teacher_school != Some(found.name.as_str()) => {
            faults.push(Fault::of("grant.organization", Defect::Elsewhere));
        }
        Some(_) => {}
    }
    if !faults.is_empty() {
        return Ok(Err(faults));
    }
    let (path, kinds) = place(organization.as_ref());
    let held = appoints(tx.actor(), role, path, kinds).cloned();
    let over = if grant.organization.is_empty() { role.as_str_name() } else { &grant.organization };
    let held = held.ok_or_else(|| Failure::out_of_scope(over))?;
    Ok(Ok((RoleHeld { role, organization: grant.organization, from, until }, held)))
}
