//! The replicas of a neighbour, as callers find them: by addresses that are listed, or by all that a name has at the time. Calls go to
//! them in turn, or, where a contract says that they belong together, to the same one. One that is not there is passed over: a call
//! that did not reach it goes to the next, so that none is lost when a replica ends, also while names still lead to it.

mod place;

use std::{
    cmp::Reverse,
    error::Error,
    hash::{DefaultHasher, Hash, Hasher as _},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tokio::{
    net::TcpStream,
    sync::{Notify, watch},
    time::timeout,
};
use tonic::{ConnectError, body::Body, transport::Channel};
use tower::{Service, ServiceExt as _};

use crate::{contract, tls::Tls};
use place::{CLEAR, Place, SEALED, Way, follow};
pub(crate) use place::{are_addresses, endpoint, may_be_called, stay_here};

type BoxError = Box<dyn Error + Send + Sync>;

/// How long who found nobody waits for such a look.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often those who may be there are tried: who ends a connection may be gone a moment later, and another one there for him.
const ROUNDS: usize = 3;
/// Between two looks whether somebody is there again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long to wait for somebody who may not be there.
const CONNECT: Duration = Duration::from_secs(3);

/// What calls have in common that should go to the same replica: an extension of their requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Affinity(u64);

impl Affinity {
    /// Those of one value.
    #[must_use]
    pub fn of(value: &str) -> Self {
        Self(hash(value))
    }

    /// Where a replica comes among all for these calls, the highest first (rendezvous hashing): with another one more or less, only
    /// those calls move that go to it.
    fn rank(self, replica: &Replica) -> u64 {
        hash((self.0, replica.address.as_str()))
    }
}

/// The same in every process of a release: each caller chooses alike.
fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Replicas {
    known: watch::Receiver<Known>,
    turn: Arc<AtomicUsize>,
    /// Wakes who looks them up; `None` of addresses that are listed.
    look: Option<Arc<Notify>>,
}

/// `None` until they were looked up for the first time. It is told anew after each look.
type Known = Option<Arc<[Arc<Replica>]>>;

#[derive(Debug)]
struct Replica {
    address: String,
    channel: Channel,
    /// Nobody was there, and nobody has been since.
    is_away: AtomicBool,
}

impl From<Channel> for Replicas {
    fn from(channel: Channel) -> Self {
        let one: Arc<[_]> = Arc::new([Replica::new(String::new(), channel)]);
        Self { known: watch::channel(Some(one)).1, turn: Arc::default(), look: None }
    }
}

impl Replicas {
    /// Those at `addresses`, in the clear: one, or several, separated by commas, or all that the name of "dns:///host:port" has.
    ///
    /// # Errors
    /// If an address is no URL.
    pub fn at(addresses: &str) -> anyhow::Result<Self> {
        Ok(Self::found(Place::read(addresses, CLEAR)?, Way::Clear))
    }

    /// The same over TLS, to nobody but `service`. When there is another certificate, calls go by new connections; what is under
    /// way on the old ones ends there.
    pub(crate) fn sealed(addresses: &str, service: &str, tls: &Tls) -> anyhow::Result<Self> {
        let place = Place::read(addresses, SEALED)?;
        Ok(Self::found(place, Way::Sealed { service: service.to_owned(), material: tls.current() }))
    }

    fn found(place: Place, way: Way) -> Self {
        let (sender, known) = watch::channel(None);
        let look = Arc::<Notify>::default();
        let named = matches!(place, Place::Named(_)).then(|| Arc::clone(&look));
        tokio::spawn(follow(place, way, sender, look));
        Self { known, turn: Arc::default(), look: named }
    }

    /// Those who may be there when nobody took a call: who has come since, and who only ended a connection.
    async fn again(&mut self) -> Vec<Arc<Replica>> {
        if let Some(look) = &self.look
            && self.known().iter().all(|replica| replica.is_away())
        {
            self.known.mark_unchanged();
            look.notify_one();
            // Whoever does not come in time is not there.
            let _ = timeout(PATIENCE, self.known.changed()).await;
        }
        self.known().iter().filter(|replica| !replica.is_away()).cloned().collect()
    }

    fn known(&self) -> Arc<[Arc<Replica>]> {
        self.known.borrow().clone().unwrap_or_default()
    }

    /// Whether there is a choice.
    #[must_use]
    pub fn are_several(&self) -> bool {
        self.known().len() > 1
    }

    /// All of them, in turn, or the one first to which these calls go; those last that are away.
    async fn in_turn(&mut self, affinity: Option<Affinity>) -> Result<Vec<Arc<Replica>>, BoxError> {
        let known = self.known.wait_for(Option::is_some).await?.clone().unwrap_or_default();
        let mut all = known.to_vec();
        match affinity {
            Some(affinity) => all.sort_by_cached_key(|replica| Reverse(affinity.rank(replica))),
            None => all.rotate_left(self.turn.fetch_add(1, Ordering::Relaxed) % known.len().max(1)),
        }
        let (mut there, away): (Vec<_>, Vec<_>) = all.into_iter().partition(|replica| !replica.is_away());
        there.extend(away);
        Ok(there)
    }
}

impl Service<Request<Body>> for Replicas {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut replicas = self.clone();
        Box::pin(async move {
            let affinity = request.extensions().get().copied();
            let mut candidates = replicas.in_turn(affinity).await?;
            let nobody = || BoxError::from(ConnectError("its name has no address".into()));
            // What streams cannot be kept for another one.
            if contract::method(request.uri().path()).is_some_and(|method| method.client_streaming) {
                if candidates.is_empty() {
                    candidates = replicas.again().await;
                }
                return candidates.into_iter().next().ok_or_else(nobody)?.send(request).await;
            }
            let (parts, body) = request.into_parts();
            let body: Bytes = body.collect().await?.to_bytes();
            let mut outcome = Err(nobody());
            for _ in 0..ROUNDS {
                if candidates.is_empty() {
                    candidates = replicas.again().await;
                }
                if candidates.is_empty() {
                    break;
                }
                for replica in std::mem::take(&mut candidates) {
                    let body = Body::new(Full::new(body.clone()));
                    outcome = replica.send(Request::from_parts(parts.clone(), body)).await;
                    if !outcome.as_ref().is_err_and(|error| is_unsent(error.as_ref())) {
                        return outcome;
                    }
                }
            }
            outcome
        })
    }
}

/// Whether nobody was there.
fn is_nobody(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| cause.is::<ConnectError>())
}

/// Whether nobody took the request: it is safe to send it again, whatever it asks for.
fn is_unsent(error: &(dyn Error + 'static)) -> bool {
    is_nobody(error)
        || causes(error).any(|cause| {
            // The connection ended before it was sent.
            cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
                // The other side ends the connection in good order, or does so with the stream, and says that it did not look at it.
                || cause.downcast_ref::<h2::Error>().is_some_and(|error| {
                    let in_order = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
                    error.is_remote() && (in_order || error.reason() == Some(h2::Reason::REFUSED_STREAM))
                })
        })
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

impl Replica {
    fn new(address: String, channel: Channel) -> Arc<Self> {
        Arc::new(Self { address, channel, is_away: AtomicBool::new(false) })
    }

    fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    async fn send(self: Arc<Self>, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let mut channel = self.channel.clone();
        let outcome = async { channel.ready().await?.call(request).await }.await;
        outcome.map_err(|error| {
            if is_nobody(&error) && !self.is_away.swap(true, Ordering::Relaxed) && !self.address.is_empty() {
                tracing::debug!(address = self.address, "nobody is there");
                tokio::spawn(until_there(Arc::downgrade(&self)));
            }
            error.into()
        })
    }
}

/// Looks whether somebody is there again, for as long as it is asked for.
async fn until_there(replica: Weak<Replica>) {
    loop {
        tokio::time::sleep(AGAIN).await;
        let Some(replica) = replica.upgrade() else { return };
        if let Ok(Ok(_)) = timeout(CONNECT, TcpStream::connect(&replica.address)).await {
            replica.is_away.store(false, Ordering::Relaxed);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    const THREE: [&str; 3] = ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"];

    fn at(addresses: &[&str]) -> Replicas {
        Replicas::at(&addresses.iter().map(|address| format!("http://{address}")).collect::<Vec<_>>().join(","))
            .expect("addresses")
    }

    /// Where the calls of each of a hundred values go first.
    async fn firsts(replicas: &mut Replicas) -> BTreeMap<usize, String> {
        let mut firsts = BTreeMap::new();
        for value in 0..100 {
            let order = replicas.in_turn(Some(Affinity::of(&value.to_string()))).await.expect("they are known");
            firsts.insert(value, order[0].address.clone());
        }
        firsts
    }

    #[tokio::test]
    async fn calls_go_in_turn_and_those_that_belong_together_to_one() {
        let mut replicas = at(&THREE);
        let mut turns = BTreeSet::new();
        for _ in 0..3 {
            turns.insert(replicas.in_turn(None).await.expect("they are known")[0].address.clone());
        }
        assert_eq!(turns.len(), 3);
        assert!(replicas.are_several() && !at(&THREE[..1]).are_several());
        let all = firsts(&mut replicas).await;
        // Whoever asks, the same; and each of them has some.
        assert_eq!(firsts(&mut at(&THREE)).await, all);
        assert_eq!(all.values().collect::<BTreeSet<_>>().len(), 3);
    }

    #[tokio::test]
    async fn while_a_replica_is_away_only_its_own_calls_go_elsewhere() {
        let mut replicas = at(&THREE);
        let all = firsts(&mut replicas).await;
        let moved = |now: &BTreeMap<usize, String>| {
            let moved: BTreeSet<_> =
                all.iter().filter(|(value, first)| now[value] != **first).map(|(_, first)| first.clone()).collect();
            moved
        };
        let gone = replicas.known().iter().find(|replica| replica.address == THREE[1]).cloned().expect("the second");
        gone.is_away.store(true, Ordering::Relaxed);
        assert_eq!(moved(&firsts(&mut replicas).await), BTreeSet::from([THREE[1].to_owned()]));
        assert_eq!(moved(&firsts(&mut at(&[THREE[0], THREE[2]])).await), BTreeSet::from([THREE[1].to_owned()]));
        gone.is_away.store(false, Ordering::Relaxed);
        assert_eq!(firsts(&mut replicas).await, all);
    }
}
