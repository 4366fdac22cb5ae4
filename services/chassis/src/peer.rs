//! Calls to neighbours: to any of their replicas, identified by this service's token, and, where there is TLS, by its certificate.

use std::time::Duration;

use tonic::{
    Code, Request, Status,
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use tonic_types::StatusExt as _;

use crate::{
    identity::Identity,
    replicas::{Replicas, endpoint},
    telemetry,
};

/// Carries a service's own token, beside a person's `authorization`.
pub const SERVICE_HEADER: &str = "x-shixun-service";

/// A neighbour, with this service's identity on every call.
pub type Peer = InterceptedService<Replicas, Identify>;

/// Puts identity and trace context on a call.
#[derive(Debug, Clone)]
pub struct Identify(Identity);

impl Interceptor for Identify {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let token = self.0.own_token()?;
        let value = MetadataValue::try_from(token).map_err(|_| Status::internal("the token is no header value"))?;
        request.metadata_mut().insert(SERVICE_HEADER, value);
        telemetry::inject(request.metadata_mut());
        Ok(request)
    }
}

/// A lazily connected channel to one address, "http://…".
///
/// # Errors
/// If it is no URL.
pub fn channel(address: &str) -> anyhow::Result<Channel> {
    Ok(endpoint(address)?.connect_lazy())
}

/// A neighbour that is called with `identity` on every call.
pub fn identified(neighbour: impl Into<Replicas>, identity: Identity) -> Peer {
    InterceptedService::new(neighbour.into(), Identify(identity))
}

/// A request with a deadline, which every unary call between services needs.
pub fn within<M>(deadline: Duration, message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

/// Whether a call has failed because the neighbour is away. Each refusal of ours has a reason: a status without one tells that there was no
/// answer, whatever the code by which the transport says so; but that an answer was too large, which another try would make no smaller.
#[must_use]
pub fn is_away(status: &Status) -> bool {
    let answered = status.get_details_error_info().is_some();
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded => true,
        Code::OutOfRange => false,
        _ => !answered,
    }
}
