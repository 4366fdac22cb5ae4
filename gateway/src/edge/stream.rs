//! The answer of a stream that is passed on. When its service goes away, or the connection to it breaks, the caller is told so, as
//! of a call: silence would look like a stream in which nothing moves.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use chassis::{
    contract::Method,
    pulse::{Pulse, Waits},
};
use http::{HeaderMap, header::CONTENT_TYPE};
use http_body::Frame;
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Status, body::Body};

use super::forward::away;

/// See the module.
pub(super) struct Followed {
    /// `None` once it has ended.
    body: Option<Body>,
    gone: Pin<Box<dyn Future<Output = ()> + Send>>,
    method: &'static Method,
    _waits: Waits,
    _place: OwnedSemaphorePermit,
}

impl Followed {
    /// It takes its place until its last frame, or until the caller has gone.
    pub fn new(body: Body, pulse: &Pulse, method: &'static Method, place: OwnedSemaphorePermit) -> Self {
        Self { body: Some(body), gone: Box::pin(pulse.gone()), method, _waits: pulse.wait(), _place: place }
    }

    /// The last frame of an answer that breaks off.
    fn broken(&mut self) -> Frame<Bytes> {
        self.body = None;
        let mut trailers: HeaderMap = Status::from(away(self.method)).into_http::<()>().into_parts().0.headers;
        trailers.remove(CONTENT_TYPE);
        Frame::trailers(trailers)
    }
}

impl http_body::Body for Followed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        match Pin::new(body).poll_frame(context) {
            Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Ok(self.broken()))),
            Poll::Ready(frame) => return Poll::Ready(frame),
            Poll::Pending => {}
        }
        match self.gone.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(Ok(self.broken()))),
            Poll::Pending => Poll::Pending,
        }
    }
}
