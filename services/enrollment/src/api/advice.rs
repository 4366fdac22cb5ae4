//! What should be known of a selection while it is decided on: the warnings that its teacher had when he submitted it, as they
//! stand now.

use std::collections::{BTreeMap, BTreeSet};

use chassis::{Failure, db::Queries, gates::TermGates};
use jiff::civil::Date;
use proto::enrollment::v1 as pb;

use super::scope;
use crate::{
    domain::{
        Ground, Policy, Projects, Selection, Teacher,
        eligibility::{self, Case},
    },
    store::{catalog, credit, roster, selections, selections::View, wire},
};

/// What selections are judged by, beside what their teachers have selected and the projects.
pub struct Advice<'a> {
    gates: &'a TermGates,
    policy: &'a Policy,
    teachers: BTreeMap<String, Teacher>,
    cycle_ends: BTreeMap<String, Date>,
}

impl<'a> Advice<'a> {
    /// On the selections of these teachers.
    pub async fn load(
        db: &mut impl Queries,
        gates: &'a TermGates,
        policy: &'a Policy,
        teachers: &BTreeSet<String>,
    ) -> Result<Self, Failure> {
        let (teachers, cycle_ends) = (roster::teachers(db, teachers).await?, credit::cycle_ends(db, teachers).await?);
        Ok(Self { gates, policy, teachers, cycle_ends })
    }

    /// The case of a selection that was submitted, among all that its teacher has selected in the term.
    fn case<R>(
        &self,
        selection: &Selection,
        selected: &[&Selection],
        projects: &Projects,
        judge: impl FnOnce(&Case<'_>) -> R,
    ) -> Option<R> {
        let (teacher, project) = (self.teachers.get(&selection.teacher)?, projects.get(&selection.project)?);
        Some(judge(&Case {
            teacher,
            project,
            round: selection.round,
            selections: selected,
            projects,
            overridden: false,
            first_round_ends_on: None,
            free: None,
            today: self.gates.day(selection.submitted_at),
            cycle_ends_on: self.cycle_ends.get(&selection.teacher).copied(),
            policy: self.policy,
            zone: self.gates.zone(),
        }))
    }

    /// Deviations from the structure that the policy wants.
    pub fn deviations(&self, selection: &Selection, selected: &[&Selection], projects: &Projects) -> Vec<Ground> {
        self.case(selection, selected, projects, eligibility::deviations).unwrap_or_default()
    }

    /// The selection as its teacher and those over his school see it.
    pub fn told(&self, selection: &Selection, selected: &[&Selection], projects: &Projects) -> pb::Selection {
        let mut told = wire::selection(selection);
        if selection.state.is_undecided() {
            let grounds = self.case(selection, selected, projects, eligibility::warnings).unwrap_or_default();
            told.warnings = grounds.into_iter().map(wire::ground).collect();
        }
        told
    }
}

/// Selections of a term as the caller sees them. What they warn of is the teacher's and his superiors' business: providers are
/// not told it.
pub async fn selections(
    db: &mut impl Queries,
    term: &str,
    (gates, policy): (&TermGates, &Policy),
    view: &View,
    found: &[Selection],
) -> Result<Vec<pb::Selection>, Failure> {
    let (mut advised, mut schools) = (BTreeSet::new(), BTreeMap::new());
    for Selection { teacher, school, .. } in found.iter().filter(|selection| selection.state.is_undecided()) {
        if !schools.contains_key(school) {
            schools.insert(school, scope::is_over_school(db, view, school).await?);
        }
        if view.teacher == *teacher || schools.get(school).is_some_and(|over| *over) {
            advised.insert(teacher.clone());
        }
    }
    if advised.is_empty() {
        return Ok(found.iter().map(wire::selection).collect());
    }
    let advice = Advice::load(db, gates, policy, &advised).await?;
    let all: crate::domain::Selections = selections::of_teachers(db, term, &advised).await?.into_iter().collect();
    let wanted = all.values().map(|selection| selection.project.clone()).collect();
    let projects = catalog::projects(db, &wanted).await?;
    let told = found.iter().map(|selection| {
        if !advised.contains(&selection.teacher) {
            return wire::selection(selection);
        }
        let selected: Vec<_> = all.of_teacher(&selection.teacher).collect();
        advice.told(selection, &selected, &projects)
    });
    Ok(told.collect())
}
