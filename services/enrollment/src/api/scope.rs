//! Row scope: what of this service's is whose.

use std::collections::BTreeSet;

use chassis::{Failure, db::Queries};
use proto::{
    Actor, Held,
    common::v1::{Reason, Role},
};

use crate::{
    domain::{Project, Selection},
    store::{roster, selections::View},
};

/// Roles over schools: of the school itself, its district, its bureau.
pub const OVER_SCHOOLS: &[Role] = &[Role::SchoolAdmin, Role::Principal, Role::DistrictOfficer, Role::BureauOfficer];

/// What a caller may see.
#[must_use]
pub fn view(actor: &Actor) -> View {
    let mut view = View::default();
    for held in &actor.roles {
        match held.role {
            Role::Teacher => actor.teacher.clone_into(&mut view.teacher),
            Role::ProviderStaff => view.providers.push(held.organization.clone()),
            role if OVER_SCHOOLS.contains(&role) => view.organizations.push(held.organization.clone()),
            _ => {}
        }
    }
    view.organizations.sort();
    view.organizations.dedup();
    view.providers.sort();
    view.providers.dedup();
    view
}

/// Whether a caller may see a selection.
pub async fn may_see(
    db: &mut impl Queries,
    view: &View,
    selection: &Selection,
    project: Option<&Project>,
) -> Result<bool, Failure> {
    if !view.teacher.is_empty() && view.teacher == selection.teacher {
        return Ok(true);
    }
    if project.is_some_and(|project| view.providers.contains(&project.provider)) {
        return Ok(true);
    }
    is_over_school(db, view, &selection.school).await
}

/// Whether a caller is over a school.
pub async fn is_over_school(db: &mut impl Queries, view: &View, school: &str) -> Result<bool, Failure> {
    if view.organizations.is_empty() {
        return Ok(false);
    }
    let path = roster::path(db, school).await?;
    Ok(path.iter().any(|organization| view.organizations.contains(organization)))
}

/// The role under which a caller acts over an organisation.
///
/// # Errors
/// `OUT_OF_SCOPE`.
pub async fn over(
    db: &mut impl Queries,
    actor: &Actor,
    roles: &[Role],
    organization: &str,
    resource: &str,
) -> Result<Held, Failure> {
    let path = roster::path(db, organization).await?;
    actor.held_over(roles, &path).cloned().ok_or_else(|| Failure::out_of_scope(resource))
}

/// The role under which a caller acts on a project: its provider's staff, or an officer over its accepting bureau.
///
/// # Errors
/// `OUT_OF_SCOPE`.
pub async fn on_project(db: &mut impl Queries, actor: &Actor, project: &Project) -> Result<Held, Failure> {
    let own = std::slice::from_ref(&project.provider);
    if let Some(held) = actor.held_over(&[Role::ProviderStaff], own) {
        return Ok(held.clone());
    }
    over(db, actor, &[Role::BureauOfficer], &project.accepting_bureau, &project.name).await
}

/// Of who was erased nobody writes any more.
///
/// # Errors
/// `PERSON_ERASED`.
pub async fn not_erased(db: &mut impl Queries, teacher: &str) -> Result<(), Failure> {
    let facts = roster::facts(db, &BTreeSet::from([teacher.to_owned()])).await?;
    if facts.get(teacher).is_some_and(|facts| facts.erased) {
        return Err(Failure::new(Reason::PersonErased).with("resource", teacher));
    }
    Ok(())
}

/// The organisation a caller asks about: the named one, if it is under one of his, else his own.
///
/// # Errors
/// `OUT_OF_SCOPE`.
pub async fn organization(db: &mut impl Queries, actor: &Actor, named: &str) -> Result<(String, Held), Failure> {
    if named.is_empty() {
        let own = actor.roles.iter().find(|held| OVER_SCHOOLS.contains(&held.role));
        let own = own.ok_or_else(|| Failure::out_of_scope("organizations/-"))?;
        return Ok((own.organization.clone(), own.clone()));
    }
    let held = over(db, actor, OVER_SCHOOLS, named, named).await?;
    Ok((named.to_owned(), held))
}
