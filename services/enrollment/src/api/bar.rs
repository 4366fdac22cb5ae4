//! Whom the bar of a later round keeps out.

use std::collections::{BTreeMap, BTreeSet};

use chassis::{Failure, db::Queries, gates::TermGates};
use jiff::civil::Date;

use crate::{
    domain::{
        Ground, Policy, Projects, Selection, Teacher,
        eligibility::{self, Case},
        project::Project,
    },
    intake::first_round_ends_on,
    store::{rounds, selections},
};

/// The bars that stand against these teachers in a round, by name.
pub async fn bars(
    db: &mut impl Queries,
    term: &str,
    round: i32,
    (gates, policy): (&TermGates, &Policy),
    teachers: &[Teacher],
    today: Date,
) -> Result<BTreeMap<String, Ground>, Failure> {
    if round <= 1 {
        return Ok(BTreeMap::new());
    }
    let names: BTreeSet<String> = teachers.iter().map(|teacher| teacher.name.clone()).collect();
    let mut by_teacher: BTreeMap<String, Vec<Selection>> = BTreeMap::new();
    for selection in selections::of_teachers(db, term, &names).await? {
        by_teacher.entry(selection.teacher.clone()).or_default().push(selection);
    }
    let overridden = rounds::overridden(db, term, &names).await?;
    let (project, projects) = (Project::default(), Projects::new());
    let bar = |teacher: &Teacher| {
        let selections: Vec<&Selection> = by_teacher.get(&teacher.name).into_iter().flatten().collect();
        let bar = eligibility::bar(&Case {
            teacher,
            project: &project,
            round,
            selections: &selections,
            projects: &projects,
            overridden: overridden.contains(&(teacher.name.clone(), round)),
            first_round_ends_on: first_round_ends_on(gates),
            free: None,
            today,
            cycle_ends_on: None,
            policy,
            zone: gates.zone(),
        });
        Some((teacher.name.clone(), bar?))
    };
    Ok(teachers.iter().filter_map(bar).collect())
}
