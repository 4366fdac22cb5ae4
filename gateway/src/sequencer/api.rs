//! `StepService` of the gateway: what the sequencer has done and has to do; trying again, and giving up.

use std::time::Duration;

use chassis::{
    Call, CancellationToken, Failure, Faults, Page, admission, answer,
    changes::{self, decode},
    db::{Db, Queries, Record, Scope, Tx},
    texts,
};
use proto::{
    common::v1::{Cursor, Reason, StepCount},
    gateway::v1::{
        self as pb, ListStepsRequest, ListStepsResponse, RetryStepRequest, RetryStepResponse, SkipStepRequest,
        SkipStepResponse, WatchStepsRequest, WatchStepsResponse, step::State, step_service_server::StepService,
    },
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::{
    calendar::scope,
    store::{
        steps::{self, Step},
        terms,
    },
};

/// `StepService`.
#[derive(Debug, Clone)]
pub struct StepApi {
    /// The gateway's database.
    pub db: Db,
    /// Cancelled when the gateway ends.
    pub shutdown: CancellationToken,
}

/// A step on the wire.
#[must_use]
pub fn wire(step: &Step) -> pb::Step {
    pb::Step {
        name: step.planned.name.clone(),
        title: step.planned.title.clone(),
        due: Some(proto::timestamp(step.planned.due)),
        state: step.state.into(),
        attempts: i32::try_from(step.attempts).unwrap_or(i32::MAX),
        outcome: step.outcome.iter().map(|(key, value)| StepCount { key: key.clone(), value: *value }).collect(),
        error: step.error.clone(),
        after: step.planned.after.clone(),
        skip_reason: step.skip_reason.clone(),
        done_at: step.done_at.map(proto::timestamp),
    }
}

/// Notes what happened to a step: every change of one is in the feed. What a person wrote stays in the table.
pub fn record(tx: &mut Tx, step: &Step, verb: &str) {
    let after = pb::Step { skip_reason: String::new(), ..wire(step) };
    tx.record(Record::of(&step.planned.name, verb, &after).term(&step.term));
}

#[tonic::async_trait]
impl StepService for StepApi {
    async fn list_steps(&self, request: Request<ListStepsRequest>) -> Result<Response<ListStepsResponse>, Status> {
        answer(request, |call| list(self, call)).await
    }

    type WatchStepsStream = ReceiverStream<Result<WatchStepsResponse, Status>>;

    async fn watch_steps(
        &self,
        request: Request<WatchStepsRequest>,
    ) -> Result<Response<Self::WatchStepsStream>, Status> {
        let _admitted = admission(&request)?;
        texts::refuse(request.get_ref())?;
        let term = request.into_inner().parent;
        if !term.is_empty() {
            known(&mut self.db.reader(), &term).await?;
        }
        let head = changes::feed::head(&mut self.db.reader()).await?;
        let (sender, receiver) = mpsc::channel(16);
        let api = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = api.shutdown.cancelled() => {}
                result = follow(&api.db, &term, head, &sender) => {
                    if let Err(failure) = result {
                        let _ = sender.send(Err(failure.into())).await;
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn retry_step(&self, request: Request<RetryStepRequest>) -> Result<Response<RetryStepResponse>, Status> {
        answer(request, |call| retry(self, call)).await
    }

    async fn skip_step(&self, request: Request<SkipStepRequest>) -> Result<Response<SkipStepResponse>, Status> {
        answer(request, |call| skip(self, call)).await
    }
}

async fn list(api: &StepApi, call: Call<ListStepsRequest>) -> Result<ListStepsResponse, Failure> {
    let mut db = api.db.read(&call, Scope::AnyTerm).await?;
    let message = call.message;
    let bound = ListStepsRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let page = Page::read(message.page_size, &message.page_token, &bound)?;
    let mut faults = Faults::new();
    faults.enumerated::<State>("state", message.state);
    faults.check()?;
    known(&mut db, &message.parent).await?;
    // The key of a page: due, ordinal and name, parted by a blank.
    let mut key = page.after().splitn(3, ' ');
    let mut number = || key.next().and_then(|text| text.parse().ok()).unwrap_or(i64::MIN);
    let (due, ordinal) = (number(), number());
    let name = page.after().splitn(3, ' ').nth(2).unwrap_or_default();
    let found = steps::list(&mut db, &message.parent, message.state(), (due, ordinal, name), page.ask()).await?;
    let place = |name: &str| {
        let planned = found.iter().map(|step| &step.planned).find(|planned| planned.name == name);
        planned.map_or_else(String::new, |planned| format!("{} {} {}", planned.due, planned.ordinal, planned.name))
    };
    let (steps, next_page_token) = page.cut(found.iter().map(wire).collect(), |last| place(&last.name));
    Ok(ListStepsResponse { steps, next_page_token })
}

/// # Errors
/// `TERM_UNKNOWN`: there are no steps to come of a term that is none.
async fn known(db: &mut impl Queries, term: &str) -> Result<(), Failure> {
    let unknown = || Failure::new(Reason::TermUnknown).with("term", term);
    terms::find(db, term).await?.map(|_| ()).ok_or_else(unknown)
}

/// Steps of a term as they change, from the feed: it has those of other processes too.
async fn follow(
    db: &Db,
    term: &str,
    head: i64,
    sender: &mpsc::Sender<Result<WatchStepsResponse, Status>>,
) -> Result<(), Failure> {
    let mut after = Cursor { position: head, index: i32::MAX };
    loop {
        let messages = changes::since(db, &after).await?;
        let idle = messages.is_empty();
        for message in messages {
            let taken = message.first + i32::try_from(message.changes.len()).unwrap_or(i32::MAX);
            after = Cursor { position: message.position, index: taken };
            for change in message.changes.iter().filter(|change| term.is_empty() || change.term == term) {
                if let Some(step) = decode::<pb::Step>(change)?
                    && sender.send(Ok(WatchStepsResponse { step: Some(step) })).await.is_err()
                {
                    return Ok(());
                }
            }
        }
        if idle {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
                () = sender.closed() => return Ok(()),
            }
        }
    }
}

/// The step of a term that the caller runs.
async fn of_own_term(tx: &mut Tx, name: &str) -> Result<Step, Failure> {
    let step = steps::find(tx, name).await?.ok_or_else(|| Failure::not_found(name))?;
    let term = terms::find(tx, &step.term).await?.ok_or_else(|| Failure::not_found(&step.term))?;
    scope::runs(tx.actor(), &term)?;
    Ok(step)
}

async fn retry(api: &StepApi, call: Call<RetryStepRequest>) -> Result<RetryStepResponse, Failure> {
    let mut tx = api.db.begin(&call, Scope::AnyTerm).await?;
    let name = call.message.name;
    let step = of_own_term(&mut tx, &name).await?;
    if !steps::retry(&mut tx, &name).await? {
        return Err(Failure::state(&name, step.state.as_str_name(), "retry"));
    }
    record(&mut tx, &step, "retried");
    tx.commit(RetryStepResponse { step: Some(wire(&step)) }).await
}

async fn skip(api: &StepApi, call: Call<SkipStepRequest>) -> Result<SkipStepResponse, Failure> {
    let mut tx = api.db.begin(&call, Scope::AnyTerm).await?;
    let SkipStepRequest { name, reason, .. } = call.message;
    let mut faults = Faults::new();
    faults.required("reason", &reason);
    faults.check()?;
    let step = of_own_term(&mut tx, &name).await?;
    let at = tx.at();
    if !steps::skip(&mut tx, &name, &reason, at).await? {
        return Err(Failure::state(&name, step.state.as_str_name(), "skip"));
    }
    let step = steps::find(&mut tx, &name).await?.ok_or_else(|| Failure::new(Reason::NotFound))?;
    record(&mut tx, &step, "skipped");
    tx.commit(SkipStepResponse { step: Some(wire(&step)) }).await
}
