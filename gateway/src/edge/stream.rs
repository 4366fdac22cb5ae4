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
use http_body::{Frame, SizeHint};
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

    // A refusal is its headers alone, and must say so: clients that hold to the protocol take no further frame after a status.
    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body::Body as _;
    use tokio::sync::Semaphore;

    use super::*;

    fn followed(body: Body) -> Followed {
        let pulse = Pulse::new("gateway", "a neighbour", || Box::pin(async { true }));
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("a place");
        let method = chassis::contract::method("/shixun.enrollment.v1.SelectionService/WatchSeats").expect("a method");
        Followed::new(body, &pulse, method, place)
    }

    #[tokio::test]
    async fn a_refusal_ends_with_its_headers() {
        // What a server answers that refuses at once: everything is in the headers.
        let refused: http::Response<Body> = Status::not_found("there is none").into_http();
        assert!(followed(refused.into_body()).is_end_stream());
        let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, Status>>(1);
        let frames = http_body_util::StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(receiver));
        let open = followed(Body::new(frames));
        assert!(!open.is_end_stream());
        drop(sender);
    }
}
