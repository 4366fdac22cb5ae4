//! Channels to neighbours: balanced over their addresses, identified by this service's token.

use std::time::Duration;

use anyhow::Context as _;
use tonic::{
    Request, Status,
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use crate::{identity::Identity, telemetry};

/// Carries a service's own token, beside a person's `authorization`.
pub const SERVICE_HEADER: &str = "x-shixun-service";

/// A channel to a neighbour, with this service's identity on every call.
pub type Peer = InterceptedService<Channel, Identify>;

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

/// A lazily connected channel to `addresses` (several, separated by commas, are balanced).
///
/// # Errors
/// If an address is no URL.
pub fn channel(addresses: &str) -> anyhow::Result<Channel> {
    let endpoints = addresses
        .split(',')
        .map(|address| {
            Ok(Endpoint::from_shared(address.trim().to_owned())
                .with_context(|| format!("peer address {address}"))?
                .connect_timeout(Duration::from_secs(3))
                .http2_keep_alive_interval(Duration::from_secs(10))
                .keep_alive_timeout(Duration::from_secs(10))
                .tcp_nodelay(true))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    Ok(match <[Endpoint; 1]>::try_from(endpoints) {
        Ok([only]) => only.connect_lazy(),
        Err(several) => Channel::balance_list(several.into_iter()),
    })
}

/// A channel that carries `identity` on every call.
pub fn identified(channel: Channel, identity: Identity) -> Peer {
    InterceptedService::new(channel, Identify(identity))
}

/// A request with a deadline, which every unary call between services needs.
pub fn within<M>(deadline: Duration, message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}
