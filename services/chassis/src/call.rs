//! A call as handlers see it, and how its answer leaves.

use std::future::Future;

use prost::Message;
use proto::{Actor, common::v1::Reason};
use tonic::{Request, Response, Status};

use crate::{contract::Method, failure::Failure};

/// Runs of a transaction that meets others, before the caller is told to try again.
const RUNS: usize = 4;

/// What the rules' layer found out about a call: identity and role are checked; the gate is checked at the database.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The method.
    pub method: &'static Method,
    /// Who calls, with the roles that the method's rule names.
    pub actor: Actor,
    /// The instant of arrival by the business clock, in microseconds since the epoch.
    pub at: i64,
    /// When the caller stops waiting.
    pub deadline: Option<tokio::time::Instant>,
}

impl Admission {
    /// Whether the caller has stopped waiting.
    #[must_use]
    pub fn expired(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= tokio::time::Instant::now())
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

/// Answers a unary call: runs the work, again if its transaction met another one, and puts its failure on the wire. A
/// request that was answered before gets its first reply.
///
/// # Errors
/// The work's.
pub async fn answer<M, R, F, Work>(request: Request<M>, mut work: F) -> Result<Response<R>, Status>
where
    M: Clone,
    R: Message + Default,
    F: FnMut(Call<M>) -> Work,
    Work: Future<Output = Result<R, Failure>>,
{
    let admission = admission(&request)?;
    let call = Call { admission, message: request.into_inner() };
    for run in 1..=RUNS {
        if call.admission.expired() {
            return Err(Failure::new(Reason::DeadlineExceeded).into());
        }
        match work(call.clone()).await {
            Ok(reply) => return Ok(Response::new(reply)),
            Err(failure) if failure.is_conflict() && run < RUNS => {
                tracing::debug!(run, "the transaction met another one; running it again");
            }
            Err(failure) => return replayed(failure).map(Response::new).map_err(Status::from),
        }
    }
    Err(Failure::conflict().into())
}

/// The first reply of a request that was answered before, out of the failure that stopped it.
///
/// # Errors
/// Any other failure as it is.
pub fn replayed<R: Message + Default>(failure: Failure) -> Result<R, Failure> {
    let reply = failure.into_replay()?;
    R::decode(reply.as_slice()).map_err(Failure::internal)
}
