//! Whose credit a caller may see or touch.

use chassis::{Failure, db::Queries};
use proto::{Actor, Held, common::v1::Role};

use crate::store::{organizations, teachers::Kept};

const STAFF: [Role; 4] = [Role::SchoolAdmin, Role::Principal, Role::DistrictOfficer, Role::BureauOfficer];

/// The role under which the caller may see or touch this teacher's credit: the teacher himself, his school's staff, the
/// officers above it.
pub fn over_teacher(actor: &Actor, kept: &Kept) -> Result<Held, Failure> {
    let own = (actor.teacher == kept.teacher.name)
        .then(|| actor.roles.iter().find(|held| held.role == Role::Teacher))
        .flatten();
    let held = own.or_else(|| actor.held_over(&STAFF, &kept.path));
    held.cloned().ok_or_else(|| Failure::out_of_scope(&kept.teacher.name))
}

/// Whether the caller's area holds this organisation.
pub async fn over_organization(db: &mut impl Queries, actor: &Actor, organization: &str) -> Result<(), Failure> {
    let path = organizations::path(db, organization).await?;
    let path = path.ok_or_else(|| Failure::not_found(organization))?;
    match actor.held_over(&STAFF, &path) {
        Some(_) => Ok(()),
        None => Err(Failure::out_of_scope(organization)),
    }
}
