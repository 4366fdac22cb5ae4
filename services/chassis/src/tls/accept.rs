//! The server's side of a connection: greeted, if there is TLS, and known by the names of its certificate.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::pki_types::CertificateDer;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use super::{
    Tls,
    material::{HANDSHAKE, Material},
};
use crate::{env::Env, server::severable::Severable};

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Nobody was asked: there is no TLS.
    Unasked,
    /// Who has a certificate of ours with these names; a person has none.
    Certified(Arc<[String]>),
}

impl Caller {
    /// Whether a service's token may come this way.
    pub(crate) fn may_be(&self, service: &str) -> bool {
        match self {
            Self::Unasked => true,
            Self::Certified(names) => names.iter().any(|name| name == service),
        }
    }
}

/// Where a call comes from.
#[derive(Debug, Clone)]
pub(crate) struct Came {
    /// Who is at the other end.
    pub caller: Caller,
    /// His address.
    pub from: Option<IpAddr>,
}

/// A connection that calls come by.
pub(crate) enum Line {
    Clear(Severable),
    Sealed { stream: Box<TlsStream<Severable>>, caller: Caller },
}

/// Greets whoever has connected.
///
/// # Errors
/// If he does not greet in time, or his certificate will not do.
pub(crate) async fn accept(tls: &Tls, connection: Severable) -> anyhow::Result<Line> {
    let mut current = tls.current();
    let server = Arc::clone(&current.borrow_and_update().server);
    let end = connection.end();
    let stream = tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(server).accept(connection)).await??;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let names = chain.first().map(names).transpose()?.unwrap_or_default();
    if !chain.is_empty() {
        tokio::spawn(until_revoked(tls.0.env.clone(), current, chain.to_vec(), end));
    }
    Ok(Line::Sealed { stream: Box::new(stream), caller: Caller::Certified(names.into()) })
}

/// Ends a connection when the certificate that it was greeted with is revoked.
async fn until_revoked(
    env: Env,
    mut current: watch::Receiver<Arc<Material>>,
    chain: Vec<CertificateDer<'static>>,
    end: CancellationToken,
) {
    while let Some(Ok(())) = end.run_until_cancelled(current.changed()).await {
        if current.borrow_and_update().has_revoked(&chain, env.wall_seconds()) {
            tracing::warn!("a connection ends: its certificate was revoked");
            end.cancel();
        }
    }
}

fn names(certificate: &CertificateDer<'_>) -> anyhow::Result<Vec<String>> {
    Ok(webpki::EndEntityCert::try_from(certificate)?.valid_dns_names().map(str::to_owned).collect())
}

impl Connected for Line {
    type ConnectInfo = Came;

    fn connect_info(&self) -> Came {
        match self {
            Self::Clear(connection) => Came { caller: Caller::Unasked, from: connection.from() },
            Self::Sealed { stream, caller } => Came { caller: caller.clone(), from: stream.get_ref().0.from() },
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(connection) => Pin::new(connection).poll_read(context, buffer),
            Self::Sealed { stream, .. } => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(connection) => Pin::new(connection).poll_write(context, bytes),
            Self::Sealed { stream, .. } => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(connection) => Pin::new(connection).poll_write_vectored(context, bytes),
            Self::Sealed { stream, .. } => Pin::new(stream).poll_write_vectored(context, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Clear(connection) => connection.is_write_vectored(),
            Self::Sealed { stream, .. } => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(connection) => Pin::new(connection).poll_flush(context),
            Self::Sealed { stream, .. } => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(connection) => Pin::new(connection).poll_shutdown(context),
            Self::Sealed { stream, .. } => Pin::new(stream).poll_shutdown(context),
        }
    }
}
