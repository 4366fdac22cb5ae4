//! The catalog: projects and their places. A cancelled project or class cancels the selections in it; new places go to those
//! who wait.

use std::collections::BTreeSet;

use chassis::{Failure, changes::decode, db::Tx};
use proto::{catalog::v1::ProjectFacts, common::v1::Change};

use crate::{
    domain::{Desk, Event, Project, desk::Why, seats::Seat},
    store::{
        catalog, desk as store, facts, seats, selections,
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
        let Some(wire) = decode::<ProjectFacts>(change)? else { return Ok(()) };
        let project = facts::project(wire.clone())?;
        let names = BTreeSet::from([project.name.clone()]);
        // First of all: it waits for the submissions that have read the project as it was, so that all of them are seen here.
        // (Who holds a teacher and waits for the project may meet this transaction; one of the two is then run again.)
        catalog::put(tx, &wire, &project).await?;
        let concerned = selections::of_project(tx, &project.name, "").await?;
        let live: Vec<_> = concerned.iter().filter(|selection| selection.state.is_live()).collect();
        if live.is_empty() {
            catalog::lock(tx, &names).await?;
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
