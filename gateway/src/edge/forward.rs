//! Passing calls on by path, without decoding them: who calls was checked by the rules' layer, and the last service decides
//! again. The person's token goes on beside the gateway's own identity.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use chassis::{
    Admission, Failure, Host,
    contract::Method,
    peer::SERVICE_HEADER,
    places::{self, Places},
    pulse::Pulse,
    replicas::{Affinity, Replicas},
    telemetry::{self, KeyValue},
};
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use proto::common::v1::{Idempotency, Reason};
use schemars::JsonSchema;
use serde::Deserialize;
use tonic::{Code, Status, body::Body, metadata::MetadataMap};
use tower::{Service as _, ServiceExt as _};

use super::{help, stream::Followed};
use crate::calendar::ContactBook;

/// What is left to the next hop is less by this much.
const SHAVE: Duration = Duration::from_millis(20);
/// With less than this left, nothing is begun.
const TOO_LATE: Duration = Duration::from_millis(100);
/// For a caller who set no deadline.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);
/// When a refused caller should try again.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Attempts at a unary call that a neighbour's absence failed.
const ATTEMPTS: u32 = 3;

/// Services behind the gateway.
const BEHIND: [&str; 4] = ["roster", "catalog", "enrollment", "credit"];

/// `[edge]` of the configuration.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EdgeConfig {
    /// Connections to each service that carry streams alone. A connection has as many streams as its server allows
    /// (`server.max_concurrent_streams`): watchers must not take the place of calls.
    #[schemars(range(min = 1, max = 1000000))]
    pub stream_connections: usize,
    /// Calls under way to each service, streams apart; one more is refused at once. More than its replicas' connections carry
    /// would only wait here unseen.
    #[schemars(range(min = 1, max = 1000000))]
    pub calls: usize,
    /// Streams under way to each service, likewise.
    #[schemars(range(min = 1, max = 1000000))]
    pub streams: usize,
}

impl Default for EdgeConfig {
    fn default() -> Self {
        Self { stream_connections: 8, calls: 1024, streams: 8192 }
    }
}

const CALLS: places::Kind =
    places::Kind { name: "shixun.edge.calls", unit: "{call}", what: "Calls under way to a service", key: "edge.calls" };

const STREAMS: places::Kind = places::Kind {
    name: "shixun.edge.streams",
    unit: "{stream}",
    what: "Streams under way to a service",
    key: "edge.streams",
};

/// The ways to all services.
pub type Ways = BTreeMap<&'static str, Way>;

/// The ways to a service.
#[derive(Debug)]
pub struct Way {
    /// Whether it answers.
    pub pulse: Pulse,
    unary: Replicas,
    calls: Places,
    for_streams: Vec<Replicas>,
    streams: Places,
    turn: AtomicUsize,
}

impl Way {
    /// The ways to every service behind the gateway.
    ///
    /// # Errors
    /// If `peers` has no address of one.
    pub fn all(host: &Host, config: EdgeConfig) -> anyhow::Result<Ways> {
        BEHIND.into_iter().map(|service| Ok((service, Self::to(host, service, config)?))).collect()
    }

    fn to(host: &Host, service: &'static str, config: EdgeConfig) -> anyhow::Result<Self> {
        let label = KeyValue::new("service", service);
        let calls = Places::new(CALLS, config.calls.max(1), label.clone());
        let streams = Places::new(STREAMS, config.streams.max(1), label);
        let for_streams =
            (0..config.stream_connections.max(1)).map(|_| host.replicas(service)).collect::<Result<_, _>>()?;
        let unary = host.replicas(service)?;
        let pulse = Pulse::of_neighbour("gateway", service, unary.clone());
        Ok(Self { pulse, unary, calls, for_streams, streams, turn: AtomicUsize::new(0) })
    }

    fn for_stream(&self) -> &Replicas {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.for_streams.get(turn % self.for_streams.len().max(1)).unwrap_or(&self.unary)
    }
}

#[derive(Clone)]
struct Forward {
    ways: Arc<Ways>,
    identity: chassis::identity::Identity,
    contacts: ContactBook,
    max_message: usize,
}

/// The router of everything that is not the gateway's own.
pub fn router(host: &Host, ways: Ways, contacts: ContactBook) -> axum::Router {
    let (identity, max_message) = (host.identity(), host.max_message_bytes());
    let forward = Forward { ways: Arc::new(ways), identity, contacts, max_message };
    axum::Router::new().fallback(move |request: Request<axum::body::Body>| {
        let forward = forward.clone();
        async move { forward.pass(request.map(Body::new)).await }
    })
}

impl Forward {
    async fn pass(&self, request: Request<Body>) -> Response<Body> {
        match self.try_pass(request).await {
            Ok(response) => response,
            Err(failure) => Status::from(failure).into_http(),
        }
    }

    async fn try_pass(&self, request: Request<Body>) -> Result<Response<Body>, Failure> {
        let unknown = || Failure::not_found(request.uri().path());
        // Without an admission the path is of no contract.
        let admission = request.extensions().get::<Admission>().cloned().ok_or_else(unknown)?;
        let method = admission.method;
        let ways = self.ways.get(method.package.as_str()).ok_or_else(unknown)?;
        let (parts, body) = request.into_parts();
        // The next hop's span belongs to ours, not beside it.
        let mut metadata = MetadataMap::from_headers(parts.headers);
        telemetry::inject(&mut metadata);
        let mut headers = metadata.into_headers();
        headers.insert(SERVICE_HEADER, self.identity.own_header()?);
        // Everyone has his own: in the header compression's table it would only push out what repeats.
        if let Some(token) = headers.get_mut(http::header::AUTHORIZATION) {
            token.set_sensitive(true);
        }
        let full = || Failure::new(Reason::Overloaded).retry_after(RETRY_AFTER);
        if !method.is_unary() {
            let place = ways.streams.take().ok_or_else(full)?;
            if let Some(deadline) = admission.deadline {
                headers.insert("grpc-timeout", timeout(left_until(deadline)?)?);
            }
            let answer = if method.client_streaming {
                let sent = ways.pulse.during(send(ways.for_stream().clone(), method, &headers, body, None)).await;
                sent.and_then(Result::ok)
            } else {
                let whole = Limited::new(body, self.max_message.saturating_add(5)).collect();
                let body = whole.await.map_err(|_| too_large(self.max_message))?.to_bytes();
                opened(ways, method, &headers, &body).await
            };
            let answer = answer.ok_or_else(|| away(method))?;
            // Its place is taken until the answer's last frame, or until the caller has gone.
            return Ok(answer.map(|body| Body::new(Followed::new(body, &ways.pulse, method, place))));
        }
        let _place = ways.calls.take().ok_or_else(full)?;
        let deadline = admission.deadline.unwrap_or_else(|| tokio::time::Instant::now() + DEFAULT_DEADLINE);
        // A frame's head of five bytes comes with the message.
        let whole = Limited::new(body, self.max_message.saturating_add(5)).collect();
        let body = tokio::time::timeout_at(deadline, whole)
            .await
            .map_err(|_| Failure::new(Reason::DeadlineExceeded))?
            .map_err(|_| too_large(self.max_message))?;
        let answer = self.unary(ways, method, headers, body.to_bytes(), deadline).await?;
        Ok(help::beside(&self.contacts, answer).await)
    }

    /// A unary call: its few bytes are kept, so that it can be tried again where the contract says that this is safe.
    async fn unary(
        &self,
        way: &Way,
        method: &Method,
        mut headers: HeaderMap,
        body: Bytes,
        deadline: tokio::time::Instant,
    ) -> Result<Response<Body>, Failure> {
        // What every submission would pay for is looked at only where there is a choice.
        let affinity = way.unary.are_several().then(|| message(&body)).flatten();
        let affinity = affinity.and_then(|message| method.affinity(message));
        let safe = matches!(
            method.rule.as_ref().map(|rule| rule.idempotency),
            Some(Idempotency::ReadOnly | Idempotency::RequestId)
        );
        for attempt in 1..=ATTEMPTS {
            let left = left_until(deadline)?;
            headers.insert("grpc-timeout", timeout(left)?);
            let request = Body::new(Full::new(body.clone()));
            // One that is about to end refuses, and is there all the same: the next attempt goes to any.
            let sent = send(way.unary.clone(), method, &headers, request, affinity.filter(|_| attempt == 1));
            let Some(sent) = way.pulse.during(tokio::time::timeout(left, sent)).await else { break };
            let absent = match sent {
                Err(_) => return Err(Failure::new(Reason::DeadlineExceeded).retry_after(Duration::from_secs(1))),
                Ok(Err(error)) => {
                    let error = format!("{:#}", anyhow::Error::from_boxed(error));
                    tracing::warn!(service = method.package, attempt, error, "a call did not get through");
                    true
                }
                Ok(Ok(response)) => {
                    let status = Status::from_header_map(response.headers());
                    // A service that is there and says UNAVAILABLE says so with a reason of its own.
                    let absent = status.is_some_and(|status| status.code() == Code::Unavailable);
                    if !absent || !safe || attempt == ATTEMPTS {
                        return Ok(response);
                    }
                    absent
                }
            };
            if absent && (!safe || attempt == ATTEMPTS) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50) * attempt).await;
        }
        Err(away(method))
    }
}

/// A stream of answers, which nothing was told of yet: one of its many connections may have broken since it was last used.
async fn opened(way: &Way, method: &Method, headers: &HeaderMap, body: &Bytes) -> Option<Response<Body>> {
    for attempt in 1..=ATTEMPTS {
        let request = Body::new(Full::new(body.clone()));
        match way.pulse.during(send(way.for_stream().clone(), method, headers, request, None)).await? {
            Ok(answer) => return Some(answer),
            Err(_) => tokio::time::sleep(Duration::from_millis(50) * attempt).await,
        }
    }
    None
}

/// What the next hop gets of the time until `deadline`.
fn left_until(deadline: tokio::time::Instant) -> Result<Duration, Failure> {
    let left = deadline.saturating_duration_since(tokio::time::Instant::now()).saturating_sub(SHAVE);
    if left < TOO_LATE { Err(Failure::new(Reason::DeadlineExceeded)) } else { Ok(left) }
}

/// As `grpc-timeout` says it: at most eight digits.
fn timeout(left: Duration) -> Result<HeaderValue, Failure> {
    let millis = left.as_millis();
    let text = if millis < 100_000_000 { format!("{millis}m") } else { format!("{}S", left.as_secs().min(99_999_999)) };
    HeaderValue::try_from(text).map_err(Failure::internal)
}

pub(super) fn away(method: &Method) -> Failure {
    Failure::away(&method.package)
}

fn too_large(limit: usize) -> Failure {
    let mut faults = chassis::Faults::new();
    faults.add("body", format!("请求不得超过 {limit} 字节"), format!("a request has at most {limit} bytes"));
    faults.check().err().unwrap_or_else(|| Failure::new(Reason::InvalidArgument))
}

/// The message of a body of one frame, if it is not compressed: a byte that says so, and four of its length, come before it.
fn message(body: &Bytes) -> Option<&[u8]> {
    body.split_at_checked(5).filter(|(head, _)| head.first() == Some(&0)).map(|(_, message)| message)
}

async fn send(
    mut replicas: Replicas,
    method: &Method,
    headers: &HeaderMap,
    body: Body,
    affinity: Option<Affinity>,
) -> Result<Response<Body>, tower::BoxError> {
    let mut request = Request::new(body);
    *request.method_mut() = http::Method::POST;
    *request.version_mut() = http::Version::HTTP_2;
    *request.uri_mut() = Uri::try_from(method.path.as_str()).unwrap_or_default();
    *request.headers_mut() = headers.clone();
    // The body's length may have changed by being passed on in frames of our own.
    request.headers_mut().remove(http::header::CONTENT_LENGTH);
    request.headers_mut().remove(http::header::HOST);
    if let Some(affinity) = affinity {
        request.extensions_mut().insert(affinity);
    }
    replicas.ready().await?.call(request).await
}
