//! The roster's steps in the sequencer.

use std::collections::BTreeMap;

use chassis::{
    Failure, StepOutcome, Steps,
    changes::feed,
    db::{Record, Tx},
};
use proto::{
    common::v1::{Action, RunStepRequest},
    roster::v1::RosterPosition,
};

use super::{Service, erasure, told};
use crate::{
    domain::fault::{Defect, Fault},
    store::steps,
};

/// What the roster does when windows close.
#[derive(Debug, Clone)]
pub struct RosterSteps(pub Service);

#[tonic::async_trait]
impl Steps for RosterSteps {
    async fn run(&self, tx: &mut Tx, step: &RunStepRequest) -> Result<StepOutcome, Failure> {
        match step.action() {
            Action::RecordRosterPosition => record_position(tx, step).await,
            Action::EraseDue => erasure::erase_due(&self.0, tx).await,
            _ => {
                told("", [Fault::of("action", Defect::UnknownCode)]).check()?;
                Ok(StepOutcome::default())
            }
        }
    }
}

/// ROSTER_UPDATE closes: the roster's position is recorded with the term.
async fn record_position(tx: &mut Tx, step: &RunStepRequest) -> Result<StepOutcome, Failure> {
    let head = feed::head(tx).await?;
    let RunStepRequest { term, window, gate_version, .. } = step;
    let (recorded, position) = steps::record_position(tx, term, window, head, *gate_version).await?;
    if recorded {
        let (term, window, gate_version) = (term.clone(), window.clone(), *gate_version);
        let resource = format!("{term}/windows/{window}");
        let facts = RosterPosition { term, window, position, gate_version };
        tx.record(Record::of(&resource, "roster_position_recorded", &facts));
    }
    let counts = BTreeMap::from([("position".to_owned(), position)]);
    Ok(StepOutcome { changed: recorded.into(), counts, ..StepOutcome::default() })
}
