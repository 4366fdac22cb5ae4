//! Connections that can be cut: tonic ends its accept loop, but leaves the connections of idle and half-open peers behind.

use std::{
    future::Future as _,
    io,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

/// A connection that ends when its token is cancelled.
pub(crate) struct Severable {
    connection: TcpStream,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Cuts this one alone; cancelled when it has ended.
    own: DropGuard,
    /// Among the connections of the server, until this one ends.
    _place: OwnedSemaphorePermit,
}

impl Severable {
    pub fn new(connection: TcpStream, cut: &CancellationToken, place: OwnedSemaphorePermit) -> Self {
        let own = cut.child_token();
        Self { connection, cut: Box::pin(own.clone().cancelled_owned()), own: own.drop_guard(), _place: place }
    }

    /// Who is at the other end.
    pub fn from(&self) -> Option<IpAddr> {
        self.connection.peer_addr().ok().map(|address| address.ip())
    }

    /// Cuts it when it is cancelled, and is cancelled when it has ended.
    pub fn end(&self) -> CancellationToken {
        self.own.token().clone()
    }

    /// Fails once the connection is cut; until then it has the task woken when that happens.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Severable {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check(context)?;
        Pin::new(&mut this.connection).poll_read(context, buffer)
    }
}

impl AsyncWrite for Severable {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check(context)?;
        Pin::new(&mut this.connection).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check(context)?;
        Pin::new(&mut this.connection).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check(context)?;
        Pin::new(&mut this.connection).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().connection).poll_shutdown(context)
    }
}

impl Connected for Severable {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}
