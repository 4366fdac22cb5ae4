//! The roster's steps in the sequencer.

use std::collections::BTreeMap;

use chassis::{Failure, StepOutcome, Steps, changes::feed, db::Tx};
use proto::common::v1::{Action, RunStepRequest};

use super::told;
use crate::{
    domain::fault::{Defect, Fault},
    store::steps,
};

/// What the roster does when windows close.
#[derive(Debug)]
pub struct RosterSteps;

#[tonic::async_trait]
impl Steps for RosterSteps {
    async fn run(&self, tx: &mut Tx, step: &RunStepRequest) -> Result<StepOutcome, Failure> {
        match step.action() {
            Action::RecordRosterPosition => record_position(tx, step).await,
            _ => {
                told("", [Fault::of("action", Defect::UnknownCode)]).check()?;
                Ok(StepOutcome::default())
            }
        }
    }
}

/// ROSTER_UPDATE closes: the roster's position is recorded with the term.
async fn record_position(tx: &mut Tx, step: &RunStepRequest) -> Result<StepOutcome, Failure> {
    let position = feed::head(tx).await?;
    let recorded = steps::record_position(tx, &step.term, &step.window, position, step.gate_version).await?;
    let counts = BTreeMap::from([("position".to_owned(), position)]);
    Ok(StepOutcome { changed: recorded.into(), more: false, counts })
}
