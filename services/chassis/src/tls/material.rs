//! What is made of the files: read whole and tried before it is used, as the other side would.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use rustls::{
    CertificateError, Error, RootCertStore, ServerConfig,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _,
    },
    server::{
        NoServerSessionStorage, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use tonic::transport::{ClientTlsConfig, Endpoint, Identity};

use crate::config::TlsConfig;

/// HTTP/2, which gRPC is spoken over.
const ALPN: &[u8] = b"h2";
/// How long the other side may take to greet.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(5);
/// 9999-12-31: no certificate holds longer.
const END_OF_TIME: i64 = 253_402_300_799;

/// A certificate, its key and the authorities, ready to serve and to call with.
pub(crate) struct Material {
    pub(super) server: Arc<ServerConfig>,
    client: ClientTlsConfig,
    callers: Arc<dyn ClientCertVerifier>,
    servers: Arc<WebPkiServerVerifier>,
    /// When the certificate ends, in seconds since the epoch.
    pub(super) ends: i64,
    files: Bytes,
}

/// What the files hold.
#[derive(PartialEq, Eq)]
struct Bytes {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authorities: Vec<u8>,
    revocations: Option<Vec<u8>>,
}

impl Bytes {
    fn read(config: &TlsConfig) -> anyhow::Result<Self> {
        let read = |key: &str, path: &Path| {
            std::fs::read(path).with_context(|| format!("reading tls.{key}, {}", path.display()))
        };
        Ok(Self {
            certificate: read("certificate", &config.certificate)?,
            key: read("key", &config.key)?,
            authorities: read("authorities", &config.authorities)?,
            revocations: config.revocations.as_deref().map(|path| read("revocations", path)).transpose()?,
        })
    }
}

impl Material {
    /// Reads the files of `service`; with `people`, callers without a certificate are let in. `now` is the wall clock's, in
    /// seconds.
    pub(super) fn read(service: &'static str, people: bool, config: &TlsConfig, now: i64) -> anyhow::Result<Self> {
        let files = Bytes::read(config)?;
        let told = |key: &str, path: &Path| format!("tls.{key}, {}", path.display());
        let chain = CertificateDer::pem_slice_iter(&files.certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain.with_context(|| told("certificate", &config.certificate))?;
        let key = PrivateKeyDer::from_pem_slice(&files.key).with_context(|| told("key", &config.key))?;
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(&files.authorities) {
            let authority = authority.with_context(|| told("authorities", &config.authorities))?;
            roots.add(authority).with_context(|| told("authorities", &config.authorities))?;
        }
        let (roots, provider) = (Arc::new(roots), Arc::new(aws_lc_rs::default_provider()));
        let mut callers = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
        if people {
            callers = callers.allow_unauthenticated();
        }
        let mut servers = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider));
        if let (Some(file), Some(path)) = (&files.revocations, &config.revocations) {
            let lists = lists(file).with_context(|| told("revocations", path))?;
            // Whoever's authority has no list there is refused. That a list is old is not: the system would end with it.
            (callers, servers) = (callers.with_crls(lists.clone()), servers.with_crls(lists));
        }
        let callers = callers.build().with_context(|| told("authorities", &config.authorities))?;
        let servers = servers.build().with_context(|| told("authorities", &config.authorities))?;
        let ends = tried(service, &chain, callers.as_ref(), &servers, now)
            .with_context(|| told("certificate", &config.certificate))?;

        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::clone(&callers))
            .with_single_cert(chain, key)
            .with_context(|| format!("tls.key, {}, is not the certificate's", config.key.display()))?;
        server.alpn_protocols = vec![ALPN.to_vec()];
        // A resumed session would go on without a look at the certificate, and connections are few and long.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let client =
            ClientTlsConfig::new().identity(Identity::from_pem(&files.certificate, &files.key)).timeout(HANDSHAKE);
        Ok(Self { server: Arc::new(server), client, callers, servers, ends, files })
    }

    /// Whether the files hold what this was made of.
    pub(super) fn is_still(&self, config: &TlsConfig) -> anyhow::Result<bool> {
        Ok(self.files == Bytes::read(config)?)
    }

    /// Has calls by this endpoint go to `service`, and to no other.
    pub(crate) fn seal(&self, endpoint: Endpoint, service: &str) -> Result<Endpoint, tonic::transport::Error> {
        let client = self.client.clone().domain_name(service);
        endpoint.tls_config_with_verifier(client, Arc::clone(&self.servers) as Arc<dyn ServerCertVerifier>)
    }

    /// Whether a caller's certificate was revoked, or one between it and its authority. `now` is the wall clock's, in seconds.
    pub(super) fn has_revoked(&self, chain: &[CertificateDer<'_>], now: i64) -> bool {
        let verified = chain.split_first().map(|(own, between)| self.callers.verify_client_cert(own, between, at(now)));
        matches!(verified, Some(Err(Error::InvalidCertificate(CertificateError::Revoked))))
    }
}

/// The lists of a file, of which it has at least one.
fn lists(file: &[u8]) -> anyhow::Result<Vec<CertificateRevocationListDer<'static>>> {
    let lists = CertificateRevocationListDer::pem_slice_iter(file).collect::<Result<Vec<_>, _>>()?;
    anyhow::ensure!(!lists.is_empty(), "there is no list in it");
    Ok(lists)
}

fn at(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
}

/// Tries a certificate as those will to whom it is shown: it must be one of `service`, hold now, for serving and for calling,
/// and come from the authorities that this process itself believes. Returns when it ends.
fn tried(
    service: &'static str,
    chain: &[CertificateDer<'_>],
    callers: &dyn ClientCertVerifier,
    servers: &WebPkiServerVerifier,
    now: i64,
) -> anyhow::Result<i64> {
    let (own, between) = chain.split_first().context("there is no certificate in it")?;
    let now = at(now);
    callers.verify_client_cert(own, between, now).context("it will not do for calling")?;
    let name = ServerName::try_from(service)?;
    let serves = servers.verify_server_cert(own, between, &name, &[], now);
    serves.with_context(|| format!("it will not do for serving as {service}"))?;
    // Asked about the end of time, the verifier says when the certificate's comes before.
    let ends = match callers.verify_client_cert(own, between, at(END_OF_TIME)) {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            i64::try_from(not_after.as_secs())?
        }
        Ok(ClientCertVerified { .. }) => END_OF_TIME,
        Err(error) => return Err(error.into()),
    };
    Ok(ends)
}
