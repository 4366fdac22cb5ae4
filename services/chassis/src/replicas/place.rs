//! Where replicas are, and how they are spoken to.

use std::{collections::BTreeSet, io, net::IpAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use futures::{StreamExt as _, stream::FuturesUnordered};
use http::uri::Authority;
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use tonic::transport::Endpoint;

use super::{CONNECT, Known, Replica};
use crate::{server::WITHOUT_TLS, tls::Material};

/// What an address begins with whose name stands for several replicas.
const BY_NAME: &str = "dns:///";
/// What those begin with that are an address each.
pub(super) const CLEAR: &str = "http://";
pub(super) const SEALED: &str = "https://";
/// Between two looks at which replicas a name has, and the least, for those who found nobody.
const LOOK_UP: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// After how long without an answer a name is asked for once more: its question, or the answer, may be lost on the way, and the system's
/// resolver waits for it five seconds and longer. And how many questions there may be at once.
const LOST: Duration = Duration::from_secs(1);
const QUESTIONS: usize = 3;

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

/// Whether a text is addresses of replicas, of whatever kind.
pub(crate) fn are_addresses(text: &str) -> bool {
    [CLEAR, SEALED].iter().any(|scheme| Place::read(text, scheme).is_ok())
}

/// # Errors
/// If a neighbour at these addresses cannot be spoken to with TLS, or without it.
pub(crate) fn may_be_called(addresses: &str, sealed: bool, plaintext: bool) -> anyhow::Result<()> {
    Place::read(addresses, if sealed { SEALED } else { CLEAR })?;
    anyhow::ensure!(sealed || plaintext || stay_here(addresses), "{addresses} is not on this machine: {WITHOUT_TLS}");
    Ok(())
}

pub(crate) fn endpoint(address: &str) -> anyhow::Result<Endpoint> {
    Ok(Endpoint::from_shared(address.to_owned())
        .with_context(|| format!("peer address {address}"))?
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(10))
        .tcp_nodelay(true))
}

/// Where a neighbour is.
pub(super) enum Place {
    /// At all addresses that "host:port" has.
    Named(String),
    /// At these: "host:port" each.
    Listed(BTreeSet<String>),
}

impl Place {
    pub fn read(addresses: &str, scheme: &str) -> anyhow::Result<Self> {
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

    /// Its addresses, where `known` are those that it had.
    async fn look_up(&self, known: &BTreeSet<String>) -> BTreeSet<String> {
        let name = match self {
            Self::Listed(listed) => return listed.clone(),
            Self::Named(name) => name,
        };
        let ask = || async { Ok(tokio::net::lookup_host(name).await?.map(|address| address.to_string()).collect()) };
        let found: BTreeSet<_> = insisting(LOST, ask).await.unwrap_or_else(|error| {
            tracing::debug!(name, %error, "the name has no address");
            BTreeSet::new()
        });
        // Who answers for names may be away itself: whoever was there a moment ago probably still is.
        if found.is_empty() { known.clone() } else { found }
    }
}

/// The first answer to a question that is asked again each time that there was none for so long.
async fn insisting<T, F: Future<Output = io::Result<T>>>(lost: Duration, ask: impl Fn() -> F) -> io::Result<T> {
    let mut asked = FuturesUnordered::from_iter([ask()]);
    loop {
        tokio::select! {
            Some(answer) = asked.next() => return answer,
            () = sleep(lost), if asked.len() < QUESTIONS => asked.push(ask()),
        }
    }
}

/// How a neighbour is spoken to.
pub(super) enum Way {
    Clear,
    Sealed { service: String, material: watch::Receiver<Arc<Material>> },
}

impl Way {
    /// To one of its addresses; calls are for the name, at whichever address.
    fn to(&self, address: &str, name: &str) -> anyhow::Result<Endpoint> {
        let (endpoint, scheme) = match self {
            Self::Clear => (endpoint(&format!("{CLEAR}{address}"))?, CLEAR),
            Self::Sealed { service, material } => {
                let material = Arc::clone(&material.borrow());
                (material.seal(endpoint(&format!("{SEALED}{address}"))?, service)?, SEALED)
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

/// Tells what replicas there are, for as long as somebody wants to know.
pub(super) async fn follow(place: Place, mut way: Way, told: watch::Sender<Known>, look: Arc<Notify>) {
    let mut addresses = BTreeSet::new();
    let mut anew = false;
    loop {
        let found = place.look_up(&addresses).await;
        let before = told.borrow().clone().unwrap_or_default();
        let kept = |address: &String| before.iter().find(|replica| !anew && replica.address == *address).cloned();
        let replica = |address: &String| {
            let name = if let Place::Named(name) = &place { name } else { address };
            kept(address).or_else(|| match way.to(address, name) {
                Ok(endpoint) => Some(Replica::new(address.clone(), endpoint.connect_lazy())),
                Err(error) => {
                    tracing::error!(address, %error, "there is no way to it");
                    None
                }
            })
        };
        told.send_replace(Some(found.iter().filter_map(replica).collect()));
        addresses = found;
        let next = async {
            match place {
                Place::Named(_) => {
                    sleep(LOOK_AGAIN).await;
                    let _ = timeout(LOOK_UP, look.notified()).await;
                }
                Place::Listed(_) => std::future::pending().await,
            }
        };
        anew = tokio::select! {
            () = told.closed() => return,
            () = next => false,
            () = way.changed() => true,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn calls_are_for_the_name_at_whichever_address() -> anyhow::Result<()> {
        let to = Way::Clear.to("10.0.0.1:7703", "enrollment:7703")?;
        assert_eq!(Endpoint::uri(&to).to_string(), "http://10.0.0.1:7703/");
        Ok(())
    }

    #[tokio::test]
    async fn a_name_that_is_not_answered_keeps_its_replicas() -> anyhow::Result<()> {
        let place = Place::read("dns:///nobody.invalid:7701", CLEAR)?;
        let known = BTreeSet::from(["10.0.0.1:7701".to_owned()]);
        assert_eq!(place.look_up(&known).await, known);
        assert_eq!(place.look_up(&BTreeSet::new()).await, BTreeSet::new());
        Ok(())
    }

    #[tokio::test]
    async fn a_question_that_is_lost_is_asked_again() -> io::Result<()> {
        const SOON: Duration = Duration::from_millis(5);
        let asked = AtomicUsize::new(0);
        let ask = || {
            let number = asked.fetch_add(1, Ordering::Relaxed) + 1;
            async move {
                if number < QUESTIONS {
                    std::future::pending::<()>().await;
                }
                // Long enough that one more would be asked, were they not counted.
                sleep(SOON * 10).await;
                Ok(number)
            }
        };
        assert_eq!(insisting(SOON, ask).await?, QUESTIONS);
        assert_eq!(asked.into_inner(), QUESTIONS, "the threads that wait for answers are few");
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
