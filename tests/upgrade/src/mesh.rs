//! The services' certificates, made as an operator makes them, and what a process and a person need of them.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context as _;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

/// See the module.
#[derive(Debug, Clone)]
pub struct Mesh(PathBuf);

impl Mesh {
    /// Makes an authority and a certificate for each service.
    ///
    /// # Errors
    /// If they cannot be made.
    pub fn in_folder(folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("certificates");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kubernetes/certificates");
        let made = Command::new(&script).arg(&folder).stdin(Stdio::null()).output();
        let made = made.with_context(|| format!("{} (tests/run installs openssl)", script.display()))?;
        anyhow::ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Ok(Self(folder))
    }

    /// The variables by which a service speaks mutual TLS with everybody.
    #[must_use]
    pub fn variables(&self, service: &str) -> [(&'static str, String); 3] {
        let file = |name: String| self.0.join(name).display().to_string();
        [
            ("SHIXUN_TLS__CERTIFICATE", file(format!("{service}.crt"))),
            ("SHIXUN_TLS__KEY", file(format!("{service}.key"))),
            ("SHIXUN_TLS__AUTHORITIES", file("ca.crt".to_owned())),
        ]
    }

    /// The gateway for who has no certificate: a person.
    ///
    /// # Errors
    /// If the authority's certificate cannot be read.
    pub fn gateway(&self, address: SocketAddr) -> anyhow::Result<Endpoint> {
        let authority = Certificate::from_pem(std::fs::read(self.0.join("ca.crt"))?);
        let tls = ClientTlsConfig::new().domain_name("gateway").ca_certificate(authority);
        Ok(Endpoint::from_shared(format!("https://{address}"))?.tls_config(tls)?)
    }
}
