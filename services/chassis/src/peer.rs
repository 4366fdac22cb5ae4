//! Channels to neighbours: balanced over their addresses, identified by this service's token.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Context as _;
use tokio::sync::mpsc::Sender;
use tonic::{
    Request, Status,
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint, channel::Change},
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

/// What an address begins with whose name stands for several replicas.
const BY_NAME: &str = "dns:///";
/// Between two looks at which replicas a name has.
const LOOK_UP: Duration = Duration::from_secs(5);

/// A lazily connected channel to `addresses`: several, separated by commas, are balanced, and so are all that the name of
/// "dns:///host:port" has at the time.
///
/// # Errors
/// If an address is no URL.
pub fn channel(addresses: &str) -> anyhow::Result<Channel> {
    if let Some(name) = addresses.strip_prefix(BY_NAME) {
        // That it is one is found out now.
        endpoint(&format!("http://{name}"))?;
        let (channel, changes) = Channel::balance_channel(16);
        tokio::spawn(follow(name.to_owned(), changes));
        return Ok(channel);
    }
    let endpoints = addresses.split(',').map(|address| endpoint(address.trim())).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(match <[Endpoint; 1]>::try_from(endpoints) {
        Ok([only]) => only.connect_lazy(),
        Err(several) => Channel::balance_list(several.into_iter()),
    })
}

fn endpoint(address: &str) -> anyhow::Result<Endpoint> {
    Ok(Endpoint::from_shared(address.to_owned())
        .with_context(|| format!("peer address {address}"))?
        .connect_timeout(Duration::from_secs(3))
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(10))
        .tcp_nodelay(true))
}

/// Tells a channel what replicas a name has, for as long as there is the channel.
async fn follow(name: String, changes: Sender<Change<String, Endpoint>>) {
    let mut known = BTreeSet::new();
    loop {
        let found = match tokio::net::lookup_host(&name).await {
            Ok(found) => found.map(|address| address.to_string()).collect(),
            Err(error) => {
                tracing::debug!(name, %error, "the name has no address");
                BTreeSet::new()
            }
        };
        // A channel to nobody lets callers wait; one to a name that leads nowhere says at once that nobody is there.
        let found = if found.is_empty() { BTreeSet::from([name.clone()]) } else { found };
        for change in moves(&known, &found, &name) {
            if changes.send(change).await.is_err() {
                return;
            }
        }
        known = found;
        tokio::select! {
            () = changes.closed() => return,
            () = tokio::time::sleep(LOOK_UP) => {}
        }
    }
}

/// What leads from the `known` addresses to the `found` ones; the new come first.
fn moves(known: &BTreeSet<String>, found: &BTreeSet<String>, name: &str) -> Vec<Change<String, Endpoint>> {
    let come = found.difference(known).filter_map(|address| {
        // Calls are for the name, at whichever address.
        let origin = http::Uri::try_from(format!("http://{name}")).ok()?;
        Some(Change::Insert(address.clone(), endpoint(&format!("http://{address}")).ok()?.origin(origin)))
    });
    come.chain(known.difference(found).cloned().map(Change::Remove)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_come_before_others_go() {
        let set = |addresses: &[&str]| addresses.iter().map(|address| (*address).to_owned()).collect::<BTreeSet<_>>();
        let told = |known: &[&str], found: &[&str]| {
            let told = |change| match change {
                Change::Insert(address, endpoint) => format!("+{address} {}", Endpoint::uri(&endpoint)),
                Change::Remove(address) => format!("-{address}"),
            };
            moves(&set(known), &set(found), "enrollment:7703").into_iter().map(told).collect::<Vec<_>>()
        };
        let (one, two) = ("10.0.0.1:7703", "[fd00::2]:7703");
        assert_eq!(told(&[], &[one]), ["+10.0.0.1:7703 http://10.0.0.1:7703/"]);
        assert_eq!(told(&[one], &[two]), ["+[fd00::2]:7703 http://[fd00::2]:7703/", "-10.0.0.1:7703"]);
        assert_eq!(told(&[one, two], &[one, two]), [""; 0]);
    }
}
