//! The catalog: projects and their places. A cancelled project or class cancels the selections in it; new places go to those
//! who wait.

use std::collections::BTreeSet;

use chassis::{Failure, changes::decode, db::Tx};
use proto::{
    catalog::v1::{Expansion, ProjectFacts, expansion, project},
    common::v1::{Change, Phase, Role},
};

use crate::{
    domain::{Desk, Event, Project, desk::Why, seats::Seat},
    store::{
        catalog, desk as store, facts, seats, selections,
        tasks::{self, Task},
        training::{self, Proposed},
    },
};

/// Mirrors the catalog.
#[derive(Debug, Clone, Copy)]
pub struct CatalogMirror;

#[tonic::async_trait]
impl chassis::Mirror for CatalogMirror {
    fn source(&self) -> &'static str {
        "catalog"
    }

    async fn apply(&self, tx: &mut Tx, change: &Change) -> Result<(), Failure> {
        if let Some(expansion) = decode::<Expansion>(change)? {
            return await_decision(tx, &expansion).await;
        }
        let Some(wire) = decode::<ProjectFacts>(change)? else { return Ok(()) };
        let project = facts::project(wire.clone())?;
        let names = BTreeSet::from([project.name.clone()]);
        // First of all: it waits for the submissions that have read the project as it was, so that all of them are seen here.
        // (Who holds a teacher and waits for the project may meet this transaction; one of the two is then run again.)
        catalog::put(tx, &wire, &project).await?;
        tasks::put(tx, &project.name, &project.term, &left_to_do(&wire)).await?;
        let concerned = selections::of_project(tx, &project.name, "").await?;
        let live: Vec<_> = concerned.iter().filter(|selection| selection.state.is_live()).collect();
        if live.is_empty() {
            seats::lock(tx, &names).await?;
            seats::raise(tx, &project).await?;
            return seats::lower(tx, &project).await;
        }
        let teachers = live.iter().map(|selection| selection.teacher.clone()).collect();
        let mut desk = store::load(tx, &project.term, &teachers, &names, 0).await?;
        seats::raise(tx, &project).await?;
        let cancelled = cancel(&mut desk, &project)?;
        store::finish(tx, &project.term, &mut desk, None).await?;
        if cancelled {
            let decided = Proposed { project: &project.name, round: 0, small: &[] };
            training::propose(tx, &project.term, decided).await?;
        }
        seats::lower(tx, &project).await
    }
}

/// What a project on its way to the menu leaves to its provider and its bureau.
fn left_to_do(project: &ProjectFacts) -> Vec<Task<'_>> {
    let submit = |phase| (phase, Role::ProviderStaff, project.provider.as_str());
    match project.state() {
        project::State::Draft => vec![submit(Phase::Declaration)],
        // It can be submitted again until the review closes.
        project::State::Returned => vec![submit(Phase::Declaration), submit(Phase::ProjectReview)],
        project::State::Submitted | project::State::Accepted => {
            vec![(Phase::ProjectReview, Role::BureauOfficer, &project.accepting_bureau)]
        }
        _ => Vec::new(),
    }
}

/// An expansion that was asked for is its project's bureau's to decide; decided, it is nobody's.
async fn await_decision(tx: &mut Tx, expansion: &Expansion) -> Result<(), Failure> {
    let project = expansion.name.split_once("/expansions/").map_or("", |(project, _)| project);
    let Some((term, bureau)) = tasks::deciding_bureau(tx, project).await? else { return Ok(()) };
    let task = (Phase::ExpansionDecision, Role::BureauOfficer, bureau.as_str());
    let open = expansion.state() == expansion::State::Requested;
    tasks::put(tx, &expansion.name, &term, if open { std::slice::from_ref(&task) } else { &[] }).await
}

/// Cancels what has no place to be any more. Returns whether a class or the project is gone.
fn cancel(desk: &mut Desk, project: &Project) -> Result<bool, Failure> {
    let gone = project.active().next().is_none();
    let reason = if project.cancelled { "project_cancelled" } else { "class_cancelled" };
    let of_project = |desk: &Desk| -> Vec<_> {
        let mut live: Vec<_> = desk
            .selections
            .values()
            .filter(|selection| selection.project == project.name && selection.state.is_live())
            .map(|selection| (selection.submitted_at, selection.name.clone(), selection.class.clone(), selection.seat))
            .collect();
        live.sort();
        live
    };
    for (_, name, class, _) in of_project(desk) {
        let in_gone = !class.is_empty() && !project.active().any(|active| active.name == class);
        if gone || in_gone {
            desk.apply(&name, Event::Cancel, &Why::coded(reason))?;
        }
    }
    // Held places for which no room is left: the latest submissions give way.
    for (_, name, _, seat) in of_project(desk).into_iter().rev() {
        if seat == Seat::Held && desk.books.get(&project.name).is_some_and(|book| book.free() < 0) {
            desk.apply(&name, Event::Cancel, &Why::coded(reason))?;
        }
    }
    Ok(project.classes.values().any(|class| !class.active) || project.cancelled)
}
