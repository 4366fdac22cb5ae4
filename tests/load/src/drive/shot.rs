//! One request, made beforehand, and its answer.

use std::net::SocketAddr;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A gRPC message in its frame begins after this many bytes.
const FRAME_HEAD: usize = 5;
/// How long a caller waits for an answer.
const PATIENCE: &str = "30S";

/// A request, ready to be sent.
#[derive(Debug, Clone)]
pub struct Shot {
    path: Uri,
    authorization: HeaderValue,
    pub(super) body: Bytes,
}

impl Shot {
    /// A call of `path` ("package.Service/Method") with a token.
    ///
    /// # Errors
    /// If the token is no header's value.
    pub fn new(address: SocketAddr, path: &str, token: &str, message: &impl Message) -> anyhow::Result<Self> {
        let mut body = BytesMut::with_capacity(FRAME_HEAD + message.encoded_len());
        body.put_u8(0);
        body.put_u32(u32::try_from(message.encoded_len())?);
        message.encode(&mut body)?;
        let mut authorization = HeaderValue::try_from(format!("Bearer {token}"))?;
        // Everyone has his own: in the header compression's table it would only push out what repeats.
        authorization.set_sensitive(true);
        Ok(Self { path: format!("http://{address}/{path}").parse()?, authorization, body: body.freeze() })
    }

    pub(super) fn request(&self) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = self.path.clone();
        let headers = request.headers_mut();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
        headers.insert("grpc-timeout", HeaderValue::from_static(PATIENCE));
        headers.insert(http::header::AUTHORIZATION, self.authorization.clone());
        request
    }
}

/// What a shot was answered with.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The reply, undecoded.
    Reply(Bytes),
    /// The headers that hold the refusal.
    Refusal(Box<HeaderMap>),
    /// None: the connection broke.
    Broken(String),
}

impl Answer {
    /// Whether asking again would be no use: it was done, or refused for a reason that stands.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Reply(_) => true,
            Self::Broken(_) => false,
            Self::Refusal(headers) => {
                let passing = |status: Status| {
                    let told = status.get_details_retry_info().is_some();
                    told || matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled)
                };
                !Status::from_header_map(headers).is_none_or(passing)
            }
        }
    }

    /// The reply.
    ///
    /// # Errors
    /// The refusal, or why there was no answer.
    pub fn decode<M: Message + Default>(&self) -> Result<M, Status> {
        match self {
            Self::Reply(body) => M::decode(body.clone()).map_err(|error| Status::internal(error.to_string())),
            Self::Refusal(headers) => {
                Err(Status::from_header_map(headers).unwrap_or_else(|| Status::unknown("an answer without a status")))
            }
            Self::Broken(error) => Err(Status::unavailable(error.clone())),
        }
    }
}

/// Sends a request and waits for its answer.
pub(super) async fn fire(sender: &mut SendRequest<Bytes>, shot: &Shot) -> Answer {
    match exchange(sender, shot).await {
        Ok(answer) => answer,
        Err(error) => Answer::Broken(error.to_string()),
    }
}

async fn exchange(sender: &mut SendRequest<Bytes>, shot: &Shot) -> Result<Answer, h2::Error> {
    futures::future::poll_fn(|context| sender.poll_ready(context)).await?;
    let (answer, mut stream) = sender.send_request(shot.request(), false)?;
    // Who is turned away at once may have his answer, and the stream its end, before the body is sent: the answer counts.
    let sent = stream.send_data(shot.body.clone(), true);
    let answer = answer.await.map_err(|error| sent.err().unwrap_or(error))?;
    let (head, mut body) = answer.into_parts();
    if head.headers.contains_key(Status::GRPC_STATUS) {
        return Ok(Answer::Refusal(Box::new(head.headers)));
    }
    let mut message = Bytes::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        message = if message.is_empty() { chunk } else { [message, chunk].concat().into() };
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    let done = trailers.get(Status::GRPC_STATUS).is_some_and(|status| status == "0");
    if done && message.len() >= FRAME_HEAD {
        return Ok(Answer::Reply(message.slice(FRAME_HEAD..)));
    }
    Ok(Answer::Refusal(Box::new(trailers)))
}
