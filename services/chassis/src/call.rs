//! A call as handlers see it, and how its answer leaves.

use std::{future::Future, sync::Arc};

use prost::Message;
use proto::{
    Actor, AnyRequest,
    common::v1::{Idempotency, Reason},
};
use tonic::{Request, Response, Status};

use crate::{
    contract::Method,
    failure::{Failure, Faults},
    names, texts,
    trail::{self, Trail},
};

/// Runs of a transaction that meets others, before the caller is told to try again.
const RUNS: usize = 4;

/// What the rules' layer found out about a call: identity and role are checked; the gate is checked at the database.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The method.
    pub method: &'static Method,
    /// Who calls, with the roles that the method's rule names.
    pub actor: Arc<Actor>,
    /// The instant of arrival by the business clock, in microseconds since the epoch.
    pub at: i64,
    /// When the caller stops waiting.
    pub deadline: Option<tokio::time::Instant>,
    /// Where it is kept that the caller reads data of others; `None` where he cannot.
    pub(crate) trail: Option<Trail>,
}

impl Admission {
    /// Whether the caller has stopped waiting.
    #[must_use]
    pub fn expired(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= tokio::time::Instant::now())
    }

    /// Whether the method's calls are recognised by their request id.
    fn needs_request_id(&self) -> bool {
        self.method.rule.as_ref().is_some_and(|rule| rule.idempotency == Idempotency::RequestId)
    }
}

/// A unary call.
#[derive(Debug, Clone)]
pub struct Call<M> {
    /// Who, what and when.
    pub admission: Admission,
    /// The request.
    pub message: M,
}

impl<M> Call<M> {
    /// Who calls.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.admission.actor
    }

    /// The instant of arrival, in microseconds since the epoch.
    #[must_use]
    pub const fn at(&self) -> i64 {
        self.admission.at
    }
}

/// The admission of a request, which the rules' layer put there.
///
/// # Errors
/// Internal, if the call did not come through the layer.
pub fn admission<M>(request: &Request<M>) -> Result<Admission, Failure> {
    let admission = request.extensions().get::<Admission>().cloned();
    admission.ok_or_else(|| Failure::internal("a call came past the rules' layer"))
}

/// Answers a unary call: checks what holds for every request, runs the work, again if its transaction met another one, and
/// puts its failure on the wire. A request that was answered before gets its first reply.
///
/// # Errors
/// The work's; texts with U+0000, or too long, at once; a request id that is none, and names of resources that are none, together
/// with the work's other faults.
pub async fn answer<M, R, F, Work>(request: Request<M>, work: F) -> Result<Response<R>, Status>
where
    M: AnyRequest + Clone,
    R: Message + Default,
    F: FnMut(Call<M>) -> Work,
    Work: Future<Output = Result<R, Failure>>,
{
    let admission = admission(&request)?;
    let reading = admission.trail.is_some().then(|| (admission.clone(), trail::about(request.get_ref())));
    let call = Call { admission, message: request.into_inner() };
    // `Db::begin` lets nothing be committed without it.
    let mut id = Faults::new();
    if call.admission.needs_request_id() {
        id.request_id("request_id", call.message.request_id().unwrap_or_default());
    }
    let mut outcome = match texts::refuse(&call.message) {
        Ok(()) => carry_out(&call, work).await,
        Err(failure) => Err(failure),
    };
    if let (Ok(_), Some((admission, about))) = (&outcome, reading)
        && let Err(failure) = trail::keep(&admission, about).await
    {
        outcome = Err(failure);
    }
    outcome.map(Response::new).map_err(|failure| {
        id.extend(names::faults(call.admission.method, &call.message));
        failure.beside(id).into()
    })
}

/// As `answer`, for a stream that was received as a whole, and checked by whoever received it.
///
/// # Errors
/// The work's.
pub async fn answer_stream<M, R, F, Work>(request: Request<M>, work: F) -> Result<Response<R>, Status>
where
    M: Clone,
    R: Message + Default,
    F: FnMut(Call<M>) -> Work,
    Work: Future<Output = Result<R, Failure>>,
{
    let admission = admission(&request)?;
    Ok(Response::new(carry_out(&Call { admission, message: request.into_inner() }, work).await?))
}

async fn carry_out<M, R, F, Work>(call: &Call<M>, mut work: F) -> Result<R, Failure>
where
    M: Clone,
    R: Message + Default,
    F: FnMut(Call<M>) -> Work,
    Work: Future<Output = Result<R, Failure>>,
{
    for run in 1..=RUNS {
        if call.admission.expired() {
            return Err(Failure::new(Reason::DeadlineExceeded));
        }
        match work(call.clone()).await {
            Ok(reply) => return Ok(reply),
            Err(failure) if failure.is_conflict() && run < RUNS => {
                tracing::debug!(run, "the transaction met another one; running it again");
            }
            Err(failure) => return replayed(failure),
        }
    }
    Err(Failure::conflict())
}

/// The first reply of a request that was answered before, out of the failure that stopped it.
///
/// # Errors
/// Any other failure as it is.
pub fn replayed<R: Message + Default>(failure: Failure) -> Result<R, Failure> {
    let reply = failure.into_replay()?;
    R::decode(reply.as_slice()).map_err(Failure::internal)
}
