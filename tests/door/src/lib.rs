//! A door before a server. Every unary call that comes to it is judged by the test's doorkeeper: it passes, or it is lost on
//! the way or on the way back, as networks lose calls. Streams pass.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use bytes::Bytes;
use chassis::contract;
use http_body_util::{BodyExt as _, Full};
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::{
    Status,
    body::Body,
    transport::{Channel, Server, server::TcpIncoming},
};
use tower::{Service as _, ServiceExt as _};

/// Before a message stands its frame's head: whether it is compressed, and its length.
const HEAD: usize = 5;

/// A unary call at the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// "/shixun.common.v1.StepService/RunStep"
    pub path: String,
    /// The encoded request.
    pub message: Bytes,
}

impl Call {
    /// "RunStep"
    #[must_use]
    pub fn method(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// What becomes of a call. The texts are what the caller is told with `UNAVAILABLE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It passes, and so does its answer.
    Passes,
    /// It does not arrive.
    CallLost(String),
    /// It arrives and is carried out; its answer is lost.
    AnswerLost(String),
    /// It arrives and is carried out; the caller never hears of it.
    Unanswered,
}

/// Who judges the calls at a door.
#[tonic::async_trait]
pub trait Keeper: Send + Sync + 'static {
    /// What becomes of a call.
    async fn judge(&self, call: &Call) -> Fate;

    /// A call was answered, and the caller does not get the answer: the encoded reply, or the refusal.
    async fn answered(&self, _call: &Call, _answer: Result<Bytes, Status>) {}
}

/// See the module. It stays open for as long as the test runs.
#[derive(Debug, Clone)]
pub struct Door {
    /// Where it listens.
    pub address: SocketAddr,
    serving: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Door {
    /// A door before the server at `behind`.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn before(behind: SocketAddr, keeper: Arc<dyn Keeper>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let channel = chassis::peer::channel(&format!("http://{behind}"))?;
        let router = axum::Router::new().fallback(move |request: http::Request<axum::body::Body>| {
            let (keeper, channel) = (keeper.clone(), channel.clone());
            async move {
                let passed = pass(&*keeper, channel, request.map(Body::new)).await;
                passed.unwrap_or_else(Status::into_http)
            }
        });
        let serving = Server::builder()
            .add_routes(router.into())
            .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
        let serving = tokio::spawn(async move { drop(serving.await) });
        Ok(Self { address, serving: Arc::new(Mutex::new(Some(serving))) })
    }

    /// Nobody answers at its address any more. Only before the first connection: those that are open stay.
    pub async fn shut(&self) {
        let serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(serving) = serving {
            serving.abort();
            let _ = serving.await;
        }
    }
}

async fn pass(keeper: &dyn Keeper, to: Channel, request: http::Request<Body>) -> Result<http::Response<Body>, Status> {
    let path = request.uri().path().to_owned();
    if contract::method(&path).is_some_and(|method| !method.is_unary()) {
        return send(to, request).await;
    }
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let call = Call { path, message: body.slice(HEAD.min(body.len())..) };
    let request = http::Request::from_parts(parts, Body::new(Full::new(body)));
    match keeper.judge(&call).await {
        Fate::Passes => send(to, request).await,
        Fate::CallLost(told) => Err(Status::unavailable(told)),
        Fate::AnswerLost(told) => {
            keeper.answered(&call, answer(send(to, request).await).await).await;
            Err(Status::unavailable(told))
        }
        Fate::Unanswered => {
            keeper.answered(&call, answer(send(to, request).await).await).await;
            std::future::pending().await
        }
    }
}

async fn send(mut to: Channel, mut request: http::Request<Body>) -> Result<http::Response<Body>, Status> {
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    *request.uri_mut() = path.parse().context("a path").map_err(|error| Status::internal(error.to_string()))?;
    let absent = |error: tonic::transport::Error| Status::unavailable(error.to_string());
    to.ready().await.map_err(absent)?.call(request).await.map_err(absent)
}

/// The encoded reply of a response, or the refusal in its headers or trailers.
async fn answer(response: Result<http::Response<Body>, Status>) -> Result<Bytes, Status> {
    let (parts, body) = response?.into_parts();
    let collected = body.collect().await?;
    for headers in [Some(&parts.headers), collected.trailers()].into_iter().flatten() {
        match Status::from_header_map(headers) {
            Some(status) if status.code() != tonic::Code::Ok => return Err(status),
            _ => {}
        }
    }
    let body = collected.to_bytes();
    Ok(body.slice(HEAD.min(body.len())..))
}
