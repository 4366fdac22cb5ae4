//! Channels to neighbours: balanced over their addresses, identified by this service's token, and, where there is TLS, by its
//! certificate.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use http::uri::Authority;
use tokio::sync::{mpsc::Sender, watch};
use tonic::{
    Request, Status,
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint, channel::Change},
};

use crate::{
    identity::Identity,
    telemetry,
    tls::{Material, Tls},
};

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
/// What those begin with that are an address each.
const CLEAR: &str = "http://";
const SEALED: &str = "https://";
/// Between two looks at which replicas a name has.
const LOOK_UP: Duration = Duration::from_secs(5);

/// A lazily connected channel to `addresses`, in the clear: several, separated by commas, are balanced, and so are all that
/// the name of "dns:///host:port" has at the time.
///
/// # Errors
/// If an address is no URL.
pub fn channel(addresses: &str) -> anyhow::Result<Channel> {
    if addresses.starts_with(BY_NAME) {
        return Ok(followed(Place::read(addresses, CLEAR)?, Way::Clear));
    }
    let endpoints = addresses.split(',').map(|address| endpoint(address.trim())).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(match <[Endpoint; 1]>::try_from(endpoints) {
        Ok([only]) => only.connect_lazy(),
        Err(several) => Channel::balance_list(several.into_iter()),
    })
}

/// The same over TLS, to nobody but `service`. When there is another certificate, calls go by new connections; what is under
/// way on the old ones ends there.
pub(crate) fn sealed(addresses: &str, service: &str, tls: &Tls) -> anyhow::Result<Channel> {
    let place = Place::read(addresses, SEALED)?;
    Ok(followed(place, Way::Sealed { service: service.to_owned(), material: tls.current() }))
}

/// Whether all of `addresses` are on this machine, so that nothing said there crosses a network.
pub(crate) fn stay_here(addresses: &str) -> bool {
    addresses.split(',').all(|address| {
        let address = address.trim();
        let rest = [BY_NAME, CLEAR, SEALED].into_iter().find_map(|prefix| address.strip_prefix(prefix));
        let host = rest.and_then(|rest| rest.trim_end_matches('/').parse::<Authority>().ok());
        host.is_some_and(|authority| {
            let host = authority.host().trim_start_matches('[').trim_end_matches(']');
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        })
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

/// Where a neighbour is.
enum Place {
    /// At all addresses that "host:port" has.
    Named(String),
    /// At these: "host:port" each.
    Listed(BTreeSet<String>),
}

impl Place {
    fn read(addresses: &str, scheme: &str) -> anyhow::Result<Self> {
        // That each is an address is found out now.
        let checked = |address: &str| {
            endpoint(&format!("{CLEAR}{address}"))?;
            anyhow::Ok(address.to_owned())
        };
        if let Some(name) = addresses.strip_prefix(BY_NAME) {
            return Ok(Self::Named(checked(name)?));
        }
        let listed = addresses.split(',').map(|address| {
            let rest = address.trim().strip_prefix(scheme);
            checked(rest.with_context(|| format!("{address} must begin with {scheme} or {BY_NAME}"))?)
        });
        Ok(Self::Listed(listed.collect::<anyhow::Result<_>>()?))
    }

    async fn look_up(&self) -> BTreeSet<String> {
        let name = match self {
            Self::Listed(listed) => return listed.clone(),
            Self::Named(name) => name,
        };
        let found: BTreeSet<_> = match tokio::net::lookup_host(name).await {
            Ok(found) => found.map(|address| address.to_string()).collect(),
            Err(error) => {
                tracing::debug!(name, %error, "the name has no address");
                BTreeSet::new()
            }
        };
        // A channel to nobody lets callers wait; one to a name that leads nowhere says at once that nobody is there.
        if found.is_empty() { BTreeSet::from([name.clone()]) } else { found }
    }
}

/// How a neighbour is spoken to.
enum Way {
    Clear,
    Sealed { service: String, material: watch::Receiver<Arc<Material>> },
}

impl Way {
    /// To one of its addresses; calls are for the name, at whichever address.
    fn to(&self, address: &str, name: &str) -> anyhow::Result<Endpoint> {
        let (endpoint, scheme) = match self {
            Self::Clear => (endpoint(&format!("{CLEAR}{address}"))?, CLEAR),
            Self::Sealed { service, material } => {
                let tls = material.borrow().client(service);
                (endpoint(&format!("{SEALED}{address}"))?.tls_config(tls)?, SEALED)
            }
        };
        Ok(endpoint.origin(format!("{scheme}{name}").parse()?))
    }

    /// Once there is another certificate.
    async fn changed(&mut self) {
        if let Self::Sealed { material, .. } = self
            && material.changed().await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }
}

fn followed(place: Place, way: Way) -> Channel {
    let (channel, changes) = Channel::balance_channel(16);
    tokio::spawn(follow(place, way, changes));
    channel
}

/// Tells a channel what replicas there are and how to speak to them, for as long as there is the channel.
async fn follow(place: Place, mut way: Way, changes: Sender<Change<String, Endpoint>>) {
    let mut known = BTreeSet::new();
    let mut anew = false;
    loop {
        let found = place.look_up().await;
        for change in moves(&known, &found, anew) {
            let change = match change {
                Change::Remove(address) => Change::Remove(address),
                Change::Insert(address, ()) => {
                    let name = if let Place::Named(name) = &place { name } else { &address };
                    match way.to(&address, name) {
                        Ok(endpoint) => Change::Insert(address, endpoint),
                        Err(error) => {
                            tracing::error!(address, %error, "there is no way to it");
                            continue;
                        }
                    }
                }
            };
            if changes.send(change).await.is_err() {
                return;
            }
        }
        known = found;
        let next = async {
            match place {
                Place::Named(_) => tokio::time::sleep(LOOK_UP).await,
                Place::Listed(_) => std::future::pending().await,
            }
        };
        anew = tokio::select! {
            () = changes.closed() => return,
            () = next => false,
            () = way.changed() => true,
        };
    }
}

/// What leads from the `known` addresses to the `found` ones; the new come first, and so do all if they are to be connected
/// to `anew`.
fn moves(known: &BTreeSet<String>, found: &BTreeSet<String>, anew: bool) -> Vec<Change<String, ()>> {
    let come = found.iter().filter(|address| anew || !known.contains(*address));
    let come = come.map(|address| Change::Insert(address.clone(), ()));
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
        let told = |known: &[&str], found: &[&str], anew| {
            let told = |change| match change {
                Change::Insert(address, ()) => format!("+{address}"),
                Change::Remove(address) => format!("-{address}"),
            };
            moves(&set(known), &set(found), anew).into_iter().map(told).collect::<Vec<_>>()
        };
        let (one, two) = ("10.0.0.1:7703", "[fd00::2]:7703");
        assert_eq!(told(&[], &[one], false), ["+10.0.0.1:7703"]);
        assert_eq!(told(&[one], &[two], false), ["+[fd00::2]:7703", "-10.0.0.1:7703"]);
        assert_eq!(told(&[one, two], &[one, two], false), [""; 0]);
        assert_eq!(told(&[one, two], &[one], true), ["+10.0.0.1:7703", "-[fd00::2]:7703"]);
    }

    #[test]
    fn calls_are_for_the_name_at_whichever_address() -> anyhow::Result<()> {
        let to = Way::Clear.to("10.0.0.1:7703", "enrollment:7703")?;
        assert_eq!(Endpoint::uri(&to).to_string(), "http://10.0.0.1:7703/");
        Ok(())
    }

    #[test]
    fn what_stays_on_this_machine_is_known_by_its_host() {
        for here in ["http://127.0.0.1:1", "http://localhost:1, https://[::1]:2/", "dns:///127.0.0.2:7700"] {
            assert!(stay_here(here), "{here}");
        }
        for there in
            ["http://10.0.0.1:1", "http://127.0.0.1:1,http://roster:7701", "dns:///roster:7700", "127.0.0.1:1", ""]
        {
            assert!(!stay_here(there), "{there}");
        }
    }
}
