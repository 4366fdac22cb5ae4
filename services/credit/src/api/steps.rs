//! `StepService`: what credit does when a round opens, when results are confirmed and when a term closes.

use chassis::{Failure, Faults, StepOutcome, Steps, db::Tx};
use proto::{
    common::v1::{Action, RunStepRequest},
    credit::v1::compliance::State,
};

use super::{closing, opening, recognition};

/// Credit's steps.
#[derive(Debug)]
pub struct CreditSteps;

#[tonic::async_trait]
impl Steps for CreditSteps {
    async fn run(&self, tx: &mut Tx, step: &RunStepRequest) -> Result<StepOutcome, Failure> {
        match step.action() {
            Action::RenewCreditPositions => opening::renew(tx, &step.cursor).await,
            Action::RecognizeResults => recognition::recognize(tx, step).await,
            Action::ComplianceProvisional => closing::take(tx, step, State::Provisional).await,
            Action::ComplianceFinal => closing::take(tx, step, State::Final).await,
            _ => {
                let mut faults = Faults::new();
                faults.add("action", "不是本服务的步骤", "is no step of this service");
                faults.check()?;
                Ok(StepOutcome::default())
            }
        }
    }
}
