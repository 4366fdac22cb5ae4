//! What the catalog does when windows open and close.

use std::collections::BTreeMap;

use chassis::{Failure, Faults, StepOutcome, Steps, db::Tx};
use proto::common::v1::{Action, RunStepRequest};

use super::{act, expansion};
use crate::{
    domain::{
        expansion::{Expansion, State as ExpansionState},
        lifecycle::{Event, State},
    },
    store,
};

/// Resources of one page.
const PAGE: usize = 200;
/// Why nobody decided: in a decision, and in the feed.
const UNDECIDED: &str = "undecided";
/// What nobody has decided on when the review is over. None passes by default.
const OPEN: &[State] = &[State::Returned, State::Accepted, State::Submitted];

/// The catalog's steps.
#[derive(Debug)]
pub struct CatalogSteps;

#[tonic::async_trait]
impl Steps for CatalogSteps {
    async fn run(&self, tx: &mut Tx, step: &RunStepRequest) -> Result<StepOutcome, Failure> {
        match step.action() {
            Action::LapseDrafts => move_all(tx, &step.term, &[State::Draft], Event::Lapse).await,
            Action::ListUndecidedProjects => list_undecided(tx, &step.term).await,
            Action::LapseUndecidedProjects => move_all(tx, &step.term, OPEN, Event::Lapse).await,
            Action::PublishApproved => move_all(tx, &step.term, &[State::Approved], Event::Publish).await,
            Action::DenyUndecidedExpansions => deny_undecided(tx, &step.term).await,
            Action::StartPublished => move_all(tx, &step.term, &[State::Published], Event::Start).await,
            Action::CompleteRunning => move_all(tx, &step.term, &[State::Running], Event::Complete).await,
            other => {
                let mut faults = Faults::new();
                let name = other.as_str_name();
                faults.add("action", format!("目录服务不执行 {name}"), format!("the catalog does not do {name}"));
                faults.check()?;
                Ok(StepOutcome::default())
            }
        }
    }
}

/// Moves a page of the projects in these states on. They leave the states by it: the next page begins at the front.
async fn move_all(tx: &mut Tx, term: &str, states: &[State], event: Event) -> Result<StepOutcome, Failure> {
    let names = store::project::names_in(tx, term, states, PAGE).await?;
    let more = names.len() == PAGE;
    let mut changed = 0_i32;
    for name in names {
        let Some(mut project) = store::project::lock(tx, &name).await? else { continue };
        // Someone may have been faster between the listing and the lock.
        if !states.contains(&project.state) {
            continue;
        }
        match event {
            Event::Publish => act::publish(tx, &mut project, None).await?,
            Event::Lapse => {
                act::step(&mut project, event)?;
                act::decide(tx, &mut project, event.verb(), None, UNDECIDED).await?;
            }
            _ => {
                act::step(&mut project, event)?;
                act::save(tx, &project, event.verb(), None).await?;
            }
        }
        changed = changed.saturating_add(1);
    }
    let counts = BTreeMap::from([(event.verb().to_owned(), i64::from(changed))]);
    Ok(StepOutcome { changed, more, counts, ..StepOutcome::default() })
}

/// What is still open, by the bureau that must decide.
async fn list_undecided(tx: &mut Tx, term: &str) -> Result<StepOutcome, Failure> {
    let bureaus = store::project::count_by_bureau(tx, term, OPEN).await?;
    let mut counts = BTreeMap::from([(UNDECIDED.to_owned(), bureaus.iter().map(|(_, count)| count).sum())]);
    counts.extend(bureaus.into_iter().map(|(bureau, count)| (format!("{UNDECIDED} {bureau}"), count)));
    Ok(StepOutcome { counts, ..StepOutcome::default() })
}

async fn deny_undecided(tx: &mut Tx, term: &str) -> Result<StepOutcome, Failure> {
    let open = store::expansion::open(tx, term, PAGE).await?;
    let more = open.len() == PAGE;
    let mut changed = 0_i32;
    for asked in open {
        // Decisions are made under the project's lock.
        store::project::lock(tx, &asked.project).await?;
        let still = store::expansion::find(tx, &asked.name).await?;
        if still.is_none_or(|still| still.state != ExpansionState::Requested) {
            continue;
        }
        let denied = Expansion { state: ExpansionState::Denied, decision_reason: UNDECIDED.to_owned(), ..asked };
        expansion::settle(tx, &denied, None).await?;
        changed = changed.saturating_add(1);
    }
    let counts = BTreeMap::from([(ExpansionState::Denied.word().to_owned(), i64::from(changed))]);
    Ok(StepOutcome { changed, more, counts, ..StepOutcome::default() })
}
