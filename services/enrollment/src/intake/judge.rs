//! One submission against the rules, by what the batch has read under its locks.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chassis::{
    Failure,
    gates::{Admitted, TermGates},
};
use jiff::civil::Date;
use proto::{
    Actor, Held,
    common::v1::{Phase, Reason, Role, Window},
};

use crate::{
    api::refusal,
    domain::{
        Desk, Ground, Policy, Selection, Teacher,
        allocation::{Allocation, allocation},
        audience, eligibility,
        eligibility::Case,
    },
};

/// Last day of the first round's selection window.
pub(crate) fn first_round_ends_on(gates: &TermGates) -> Option<Date> {
    let closes = gates.ordinary(Phase::Selection, 1)?.closes.as_ref().map(proto::instant)?;
    Some(gates.day(closes.saturating_sub(1)))
}

/// The selection window that is open for a teacher of a school with this path: one of his organisation's own before the
/// ordinary one.
pub(crate) fn open_selection_window<'a>(windows: &'a [Arc<Window>], path: &[String]) -> Option<&'a Arc<Window>> {
    let selecting = || windows.iter().filter(|window| window.phase() == Phase::Selection);
    let own = |window: &&Arc<Window>| window.organizations.iter().any(|named| path.contains(named));
    selecting().find(own).or_else(|| selecting().find(|window| window.organizations.is_empty()))
}

/// The role under which the actor submits for the teacher: for himself, or for a teacher of his school.
pub(super) fn submitting_as(actor: &Actor, teacher: &Teacher) -> Result<Held, Failure> {
    let own = actor.roles.iter().find(|held| held.role == Role::Teacher && actor.teacher == teacher.name);
    own.or_else(|| actor.held_over(&[Role::SchoolAdmin], &teacher.path))
        .cloned()
        .ok_or_else(|| Failure::out_of_scope(&teacher.name))
}

/// What a submission is judged by, beside the desk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bench<'a> {
    pub gates: &'a TermGates,
    pub policy: &'a Policy,
    pub overridden: &'a BTreeSet<(String, i32)>,
    pub roster_position: i64,
    /// By teacher, where it is known.
    pub cycle_ends: &'a BTreeMap<String, Date>,
    /// Last day of the first round's selection window.
    pub first_round_ends_on: Option<Date>,
}

/// A submission that is accepted.
#[derive(Debug)]
pub(super) struct Accepted {
    pub selection: Selection,
    /// A seat is held for it.
    pub hold: bool,
    /// What should be known of it.
    pub warnings: Vec<Ground>,
}

/// The round of a submission.
pub(super) fn round(admitted: &Admitted, teacher: &Teacher) -> Result<i32, Failure> {
    match open_selection_window(&admitted.windows, &teacher.path) {
        Some(window) => Ok(window.round),
        None => {
            let phase = Phase::Selection.as_str_name();
            Err(Failure::new(Reason::WindowClosed).with("phase", phase).with("opens", "—"))
        }
    }
}

/// Judges a submission by the desk as it stands; `name` is the selection's to be.
pub(super) fn judge(
    bench: &Bench<'_>,
    desk: &Desk,
    teacher: &Teacher,
    project: &str,
    round: i32,
    name: &str,
    (actor, at): (&Actor, i64),
) -> Result<Accepted, Failure> {
    let Some(project) = desk.projects.get(project) else { return Err(Failure::not_found(project)) };
    let hold = allocation(project, &bench.policy.allocation, round) == Allocation::FirstCome;
    let selections: Vec<_> = desk.of_teacher(&teacher.name).collect();
    let free = desk.books.get(&project.name).map_or(0, |book| book.free());
    let case = Case {
        teacher,
        project,
        round,
        selections: &selections,
        projects: &desk.projects,
        overridden: bench.overridden.contains(&(teacher.name.clone(), round)),
        first_round_ends_on: bench.first_round_ends_on,
        free: hold.then_some(free),
        today: bench.gates.day(at),
        cycle_ends_on: bench.cycle_ends.get(&teacher.name).copied(),
        policy: bench.policy,
        zone: bench.gates.zone(),
    };
    if let Some(failure) = refusal::all(eligibility::refusals(&case), Reason::NotEligible, &project.name) {
        return Err(failure);
    }
    let of_round = |selection: &&&Selection| selection.round == round && selection.state.is_live();
    let mut selection = Selection::submitted(name, &teacher.name, &project.name, round, at);
    selection.preference = i32::try_from(selections.iter().filter(of_round).count()).unwrap_or(0).saturating_add(1);
    selection.school.clone_from(&teacher.school);
    selection.submitted_by.clone_from(&actor.account);
    selection.matched = audience::matches(teacher, &project.audience, &bench.policy.matching);
    selection.roster_position = bench.roster_position;
    Ok(Accepted { selection, hold, warnings: eligibility::warnings(&case) })
}
