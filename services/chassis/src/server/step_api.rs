//! `StepService` of a server: each page of a step is one transaction, safe to repeat.

use std::{collections::BTreeMap, sync::Arc};

use proto::common::v1::{Action, Reason, RunStepRequest, RunStepResponse, StepCount, step_service_server::StepService};
use tonic::{Request, Response, Status};

use crate::{
    call::{Call, answer},
    changes::feed,
    db::{self, Db, Tx},
    failure::{Failure, Faults},
    policy::Retention,
    trail,
};

/// Requests that one page of purging deletes: nobody waits long for it.
const PURGED: usize = 5_000;
/// A day, in microseconds.
const DAY: i64 = 86_400_000_000;

/// What one page of a step did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepOutcome {
    /// Resources changed.
    pub changed: i32,
    /// Whether another page is to follow.
    pub more: bool,
    /// What there is to report; summed over pages by key.
    pub counts: BTreeMap<String, i64>,
    /// Where the page left off, told to the next one; empty: what is left to do is found without it.
    pub cursor: String,
}

/// What a service does when windows open and close.
#[tonic::async_trait]
pub trait Steps: Send + Sync + 'static {
    /// Does one page. `tx.at()` is when the step is due.
    ///
    /// # Errors
    /// The page is rolled back and tried again.
    async fn run(&self, tx: &mut Tx, step: &RunStepRequest) -> Result<StepOutcome, Failure>;
}

#[derive(Clone)]
pub(super) struct StepApi {
    pub db: Db,
    /// None: a service that has no steps of its own.
    pub steps: Option<Arc<dyn Steps>>,
}

#[tonic::async_trait]
impl StepService for StepApi {
    async fn run_step(&self, request: Request<RunStepRequest>) -> Result<Response<RunStepResponse>, Status> {
        answer(request, |call| run(self, call)).await
    }
}

async fn run(api: &StepApi, call: Call<RunStepRequest>) -> Result<RunStepResponse, Failure> {
    let step = &call.message;
    let Some(due) = step.due.as_ref().map(proto::instant) else {
        let mut faults = Faults::new();
        faults.add("due", "必填", "required");
        return Err(faults.check().err().unwrap_or_else(|| Failure::internal("no fault")));
    };
    let mut tx = api.db.begin_step(&call, due).await?;
    // A service that has not yet been put the calendar the step stands in would do it by an older one.
    let version = tx.gates()?.version();
    if version < step.gate_version {
        return Err(Failure::new(Reason::VersionOutdated).with("version", version).with("current", step.gate_version));
    }
    let outcome = match (step.action(), &api.steps) {
        (Action::PurgeReplies, _) => purge_replies(&mut tx, &step.term).await?,
        (_, Some(steps)) => steps.run(&mut tx, step).await?,
        (_, None) => {
            let mut faults = Faults::new();
            faults.add("action", "本服务没有该步骤", "is no step of this service");
            faults.check()?;
            StepOutcome::default()
        }
    };
    // The position that the caller may wait for is the one that this very page commits.
    let position = match tx.write_changes().await? {
        Some(position) => position,
        None => feed::head(&mut tx).await?,
    };
    let StepOutcome { changed, more, counts, cursor } = outcome;
    let counts = counts.into_iter().map(|(key, value)| StepCount { key, value }).collect();
    let reply = RunStepResponse { changed, more, position, counts, cursor };
    tx.commit_at(reply, position).await
}

/// The term ends: replies that were kept for repeated requests go, and the trail of reading, once they are as old as the policy says. The service's own
/// business is none of it, so every service does it here.
async fn purge_replies(tx: &mut Tx, term: &str) -> Result<StepOutcome, Failure> {
    let Retention { reply_days, reading_days, .. } = *tx.policy::<Retention>()?;
    let at = tx.at();
    let before = |days: i32| at.saturating_sub(i64::from(days).saturating_mul(DAY));
    let purged = db::purge(tx, term, before(reply_days), PURGED).await?;
    let forgotten = trail::purge(tx, before(reading_days), PURGED).await?;
    // How many is not told: it depends on when requests came, which two plays of one term need not share.
    Ok(StepOutcome { more: purged == PURGED || forgotten == PURGED, ..StepOutcome::default() })
}
