//! Who runs a term: the officers of its bureau. The gateway knows no tree, so it compares with what a role names.

use chassis::Failure;
use proto::{Actor, common::v1::Role};

use crate::store::terms::Term;

/// # Errors
/// `OUT_OF_SCOPE` if the caller acts as an officer, and of no role of the term's bureau.
pub fn runs(actor: &Actor, term: &Term) -> Result<(), Failure> {
    let open = term.organization.is_empty() || actor.roles.iter().any(|held| held.role != Role::BureauOfficer);
    let own = actor.is_at(Role::BureauOfficer, &term.organization);
    if open || own { Ok(()) } else { Err(Failure::out_of_scope(&term.name)) }
}

/// The bureau of a new term: the one that is named, or the only one of which the caller is an officer.
///
/// # Errors
/// `OUT_OF_SCOPE` if he is no officer of the one that is named.
pub fn of_new(actor: &Actor, term: &str, named: String) -> Result<String, Failure> {
    let mut own = actor.roles.iter().filter(|held| held.role == Role::BureauOfficer);
    match (own.next(), own.next()) {
        _ if actor.is_at(Role::BureauOfficer, &named) => Ok(named),
        (Some(only), None) if named.is_empty() => Ok(only.organization.clone()),
        _ if named.is_empty() => Ok(named),
        _ => Err(Failure::out_of_scope(term)),
    }
}
