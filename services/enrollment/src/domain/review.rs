//! School review: who may review a selection, and what approving it takes.

use proto::{
    Actor, Held,
    common::v1::{Reason, Role},
};

use super::{
    Ground,
    policy::{Consequence, Policy},
    project::Project,
    selection::Selection,
};

/// Roles that review for a school.
pub const SCHOOL_REVIEWERS: &[Role] = &[Role::SchoolAdmin, Role::Principal];

/// What decides on who may review a selection.
#[derive(Debug, Clone, Copy)]
pub struct Reviewing<'a> {
    /// Who wants to.
    pub actor: &'a Actor,
    /// What.
    pub selection: &'a Selection,
    /// The school's ancestors and itself, root first.
    pub path: &'a [String],
    /// The teacher is principal of a school.
    pub of_principal: bool,
    /// The school has an active reviewer who is neither the teacher nor who submitted it.
    pub school_can: bool,
    /// So has the school district an officer.
    pub district_can: bool,
}

/// The role under which the actor may review. Nobody reviews his own or what he submitted for another; the bureau reviews
/// principals'; where a school has no active reviewer its district officer does, else the bureau. Source: DESIGN §4, §5.
///
/// # Errors
/// `OWN_SELECTION`, `REVIEWED_BY_BUREAU`, `REVIEWED_BY_SCHOOL`, `OUT_OF_SCOPE`.
pub fn may_review(case: &Reviewing<'_>) -> Result<Held, Ground> {
    let Reviewing { actor, selection, path, .. } = *case;
    not_his_own(actor, selection)?;
    let over = |role: Role| actor.held_over(&[role], path).cloned();
    let bureau = over(Role::BureauOfficer);
    if case.of_principal {
        let known = bureau.is_some() || SCHOOL_REVIEWERS.iter().any(|role| over(*role).is_some());
        let refused = || {
            let reason = if known { Reason::ReviewedByBureau } else { Reason::OutOfScope };
            Ground::new(reason).with("resource", &selection.name)
        };
        return bureau.ok_or_else(refused);
    }
    if let Some(held) = actor.held_over(SCHOOL_REVIEWERS, std::slice::from_ref(&selection.school)) {
        return Ok(held.clone());
    }
    let reviewed_by = |reviewer: &str| Err(Ground::new(Reason::ReviewedBySchool).with("reviewer", reviewer));
    match (over(Role::DistrictOfficer), bureau) {
        (Some(_), _) | (_, Some(_)) if case.school_can => reviewed_by("school"),
        (Some(held), _) => Ok(held),
        (_, Some(_)) if case.district_can => reviewed_by("district"),
        (_, Some(held)) => Ok(held),
        (None, None) => Err(Ground::new(Reason::OutOfScope).with("resource", &selection.name)),
    }
}

/// Nobody decides on his own selection, or on what he submitted for another. Source: DESIGN §5.
///
/// # Errors
/// `OWN_SELECTION`.
pub fn not_his_own(actor: &Actor, selection: &Selection) -> Result<(), Ground> {
    let own = !actor.teacher.is_empty() && actor.teacher == selection.teacher;
    let submitted = !actor.account.is_empty() && actor.account == selection.submitted_by;
    if own || submitted { Err(Ground::new(Reason::OwnSelection)) } else { Ok(()) }
}

/// What approving an unmatched intensive selection takes: policy `match.consequence`.
///
/// # Errors
/// `MATCH_REASON_REQUIRED`, `MATCH_BLOCKED`.
pub fn may_approve(selection: &Selection, project: &Project, policy: &Policy, reason: &str) -> Result<(), Ground> {
    if !is_unmatched_intensive(selection, project, policy) {
        return Ok(());
    }
    match policy.matching.consequence {
        Consequence::Warn => Ok(()),
        Consequence::Reason if reason.trim().is_empty() => Err(Ground::new(Reason::MatchReasonRequired)),
        Consequence::Reason => Ok(()),
        Consequence::Block => Err(Ground::new(Reason::MatchBlocked)),
    }
}

/// What approving a selection with these deviations from the wanted structure takes: policy `structure.consequence`. What it
/// blocks, it blocks at submission: a reviewer need not answer for what the teacher withdraws later.
///
/// # Errors
/// `STRUCTURE_REASON_REQUIRED`.
pub fn may_approve_structure(deviations: &[Ground], policy: &Policy, reason: &str) -> Result<(), Ground> {
    if deviations.is_empty() || policy.structure.consequence != Consequence::Reason || !reason.trim().is_empty() {
        return Ok(());
    }
    let kinds: Vec<&str> =
        deviations.iter().filter_map(|ground| ground.metadata.get("kind")).map(String::as_str).collect();
    Err(Ground::new(Reason::StructureReasonRequired).with("kinds", kinds.join(", ")))
}

/// Whether it counts against the 75 % of matching intensive participations.
#[must_use]
pub fn is_unmatched_intensive(selection: &Selection, project: &Project, policy: &Policy) -> bool {
    !selection.matched && project.is_intensive(&policy.selection)
}

#[cfg(test)]
mod tests {
    use proto::Credit;

    use super::*;

    const PATH: [&str; 3] = ["organizations/county", "organizations/district", "organizations/school"];

    fn actor(role: Role, organization: &str) -> Actor {
        let held = Held { role, organization: format!("organizations/{organization}") };
        Actor { account: "accounts/reviewer".to_owned(), roles: vec![held], ..Actor::default() }
    }

    fn judge(actor: &Actor, of_principal: bool, school_can: bool, district_can: bool) -> Result<Role, Reason> {
        let mut selection = Selection::submitted("s", "teachers/t", "p", 1, 0);
        selection.school = PATH[2].to_owned();
        selection.submitted_by = "accounts/submitter".to_owned();
        let path = PATH.map(str::to_owned);
        let case = Reviewing { actor, selection: &selection, path: &path, of_principal, school_can, district_can };
        may_review(&case).map(|held| held.role).map_err(|ground| ground.reason)
    }

    #[test]
    fn the_school_reviews() {
        assert_eq!(judge(&actor(Role::SchoolAdmin, "school"), false, true, true), Ok(Role::SchoolAdmin));
        assert_eq!(judge(&actor(Role::Principal, "school"), false, true, true), Ok(Role::Principal));
        assert_eq!(judge(&actor(Role::SchoolAdmin, "other"), false, true, true), Err(Reason::OutOfScope));
        assert_eq!(judge(&actor(Role::ProviderStaff, "school"), false, true, true), Err(Reason::OutOfScope));
    }

    #[test]
    fn nobody_reviews_his_own_or_what_he_submitted() {
        let mut own = actor(Role::SchoolAdmin, "school");
        own.teacher = "teachers/t".to_owned();
        assert_eq!(judge(&own, false, true, true), Err(Reason::OwnSelection));
        let mut submitter = actor(Role::BureauOfficer, "county");
        submitter.account = "accounts/submitter".to_owned();
        assert_eq!(judge(&submitter, true, false, false), Err(Reason::OwnSelection));
    }

    #[test]
    fn the_bureau_reviews_principals() {
        assert_eq!(judge(&actor(Role::BureauOfficer, "county"), true, true, true), Ok(Role::BureauOfficer));
        assert_eq!(judge(&actor(Role::SchoolAdmin, "school"), true, true, true), Err(Reason::ReviewedByBureau));
        assert_eq!(judge(&actor(Role::DistrictOfficer, "district"), true, false, true), Err(Reason::OutOfScope));
    }

    #[test]
    fn without_a_reviewer_the_district_does_else_the_bureau() {
        let (district, county) = (actor(Role::DistrictOfficer, "district"), actor(Role::BureauOfficer, "county"));
        assert_eq!(judge(&district, false, true, true), Err(Reason::ReviewedBySchool));
        assert_eq!(judge(&county, false, true, true), Err(Reason::ReviewedBySchool));
        assert_eq!(judge(&district, false, false, true), Ok(Role::DistrictOfficer));
        assert_eq!(judge(&county, false, false, true), Err(Reason::ReviewedBySchool));
        assert_eq!(judge(&county, false, false, false), Ok(Role::BureauOfficer));
    }

    #[test]
    fn the_consequence_of_a_mismatch_is_the_policys() {
        let mut selection = Selection::submitted("s", "t", "p", 1, 0);
        selection.matched = false;
        let project = Project { base_credit: Credit::whole(90), ..Project::default() };
        let mut policy = Policy::default();
        let judge =
            |policy: &Policy, reason| may_approve(&selection, &project, policy, reason).map_err(|ground| ground.reason);
        assert_eq!(judge(&policy, " "), Err(Reason::MatchReasonRequired));
        assert_eq!(judge(&policy, "教研组需要"), Ok(()));
        policy.matching.consequence = Consequence::Warn;
        assert_eq!(judge(&policy, ""), Ok(()));
        policy.matching.consequence = Consequence::Block;
        assert_eq!(judge(&policy, "教研组需要"), Err(Reason::MatchBlocked));
        let deviations = [Ground::new(Reason::StructureDeviates).with("kind", "online")];
        assert_eq!(may_approve_structure(&deviations, &policy, ""), Ok(()), "it warns");
        policy.structure.consequence = Consequence::Reason;
        let refused = may_approve_structure(&deviations, &policy, " ").expect_err("a reason is needed");
        assert_eq!((refused.reason, refused.metadata["kinds"].as_str()), (Reason::StructureReasonRequired, "online"));
        assert_eq!(may_approve_structure(&deviations, &policy, "教研组需要"), Ok(()));
        assert_eq!(may_approve_structure(&[], &policy, ""), Ok(()));
        let small = Project { base_credit: Credit::whole(89), ..Project::default() };
        assert_eq!(may_approve(&selection, &small, &policy, ""), Ok(()));
    }
}
