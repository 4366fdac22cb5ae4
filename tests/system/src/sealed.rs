//! The five services as production runs them: each with a certificate of its own, and all calls over mutual TLS.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context as _;
use catalog::Catalog;
use chassis::{
    CancellationToken, Env, Program,
    identity::{Identity, ensure_key},
    peer::{Peer, identified, within},
    testing::{Authority, Certified},
};
use credit::Credit;
use enrollment::Enrollment;
use gateway::Gateway;
use proto::common::v1::{GetStatusRequest, gate_service_client::GateServiceClient};
use roster::Roster;
use serde_json::{Value, json};
use shixun::up::SERVICES;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

/// The first operator's password.
pub const PASSWORD: &str = "an operator's password";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug)]
pub struct Sealed {
    /// Who certifies all of them.
    pub authority: Authority,
    addresses: BTreeMap<&'static str, SocketAddr>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<anyhow::Result<()>>>,
    folder: TempDir,
}

impl Drop for Sealed {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Sealed {
    /// Starts all five on empty embedded databases, and waits until they answer. They look at their files every second.
    ///
    /// # Errors
    /// If one does not start.
    pub async fn start() -> anyhow::Result<Self> {
        chassis::install_crypto();
        let (folder, authority) = (TempDir::new()?, Authority::new()?);
        let (mut addresses, mut listeners) = (BTreeMap::new(), Vec::new());
        for service in SERVICES {
            ensure_key(&folder.path().join("keys"), service)?;
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            addresses.insert(service, listener.local_addr()?);
            listeners.push((service, listener));
        }
        let stop = CancellationToken::new();
        let mut system = Self { authority, addresses, stop, tasks: Vec::new(), folder };
        for (service, listener) in listeners {
            let document = system.configuration(service)?;
            let task = match service {
                "roster" => system.serve::<Roster>(document, listener)?,
                "catalog" => system.serve::<Catalog>(document, listener)?,
                "enrollment" => system.serve::<Enrollment>(document, listener)?,
                "credit" => system.serve::<Credit>(document, listener)?,
                _ => system.serve::<Gateway>(document, listener)?,
            };
            system.tasks.push(task);
        }
        for service in SERVICES {
            system.wait(service).await?;
        }
        Ok(system)
    }

    fn serve<P: Program>(
        &self,
        document: Value,
        listener: TcpListener,
    ) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
        let config: P::Config = serde_json::from_value(document).with_context(|| P::NAME)?;
        Ok(tokio::spawn(chassis::serve::<P>(config, listener, Env::system(), self.stop.clone())))
    }

    fn configuration(&self, service: &str) -> anyhow::Result<Value> {
        let keys = self.keys();
        let Certified { certificate, key, authorities } = self.certify(service)?;
        let peers: BTreeMap<_, _> = self.addresses.iter().map(|(peer, at)| (peer, format!("dns:///{at}"))).collect();
        let mut document = json!({
            "database": { "url": format!("sqlite:{}/{service}.db", self.folder.path().display()), "durable": false },
            "keys": { "own": keys.join(format!("{service}.key")), "trusted": keys, "reload_seconds": 1 },
            "tls": { "certificate": certificate, "key": key, "authorities": authorities, "reload_seconds": 1 },
            "peers": peers,
            "server": { "drain_seconds": 1 },
        });
        if service == "roster" {
            document["bootstrap"] = json!({ "login": "operator", "password": PASSWORD });
            document["password"] = json!({ "profile": "sample" });
            document["identity"] = json!(shixun::up::secrets::identity_numbers(&keys)?);
        }
        Ok(document)
    }

    async fn wait(&self, service: &'static str) -> anyhow::Result<()> {
        let mut gates = GateServiceClient::new(self.peer("gateway", service)?);
        let answered = async {
            loop {
                let asked = within(Duration::from_secs(5), GetStatusRequest {});
                let Err(status) = gates.get_status(asked).await else { return Ok(()) };
                let ended = self.tasks.iter().any(JoinHandle::is_finished);
                anyhow::ensure!(!ended, "{service} did not start: {status:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, answered).await.with_context(|| format!("{service} does not answer"))?
    }

    /// The folder of keys that all trust; each has its own there.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    /// Gives a service another certificate, in the place of the one that it has.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn certify(&self, service: &str) -> anyhow::Result<Certified> {
        self.authority.certify(service, &self.folder.path().join("certificates").join(service))
    }

    /// The identity of a service.
    ///
    /// # Errors
    /// If its key cannot be read.
    pub fn identity(&self, service: &'static str) -> anyhow::Result<Identity> {
        Identity::load(service, &self.keys().join(format!("{service}.key")), &self.keys(), Env::system())
    }

    /// A channel to a service, in the name of another.
    ///
    /// # Errors
    /// If there is no such service.
    pub fn peer(&self, from: &'static str, to: &'static str) -> anyhow::Result<Peer> {
        Ok(identified(self.bare(from, to)?, self.identity(from)?))
    }

    /// The same, with the certificate of `from` alone: no token is put on its calls.
    ///
    /// # Errors
    /// If there is no such service.
    pub fn bare(&self, from: &'static str, to: &'static str) -> anyhow::Result<Channel> {
        let folder = self.folder.path().join("certificates/asking").join(from);
        let own = self.authority.certify(from, &folder)?;
        let own = tonic::transport::Identity::from_pem(std::fs::read(own.certificate)?, std::fs::read(own.key)?);
        self.connect(to, self.tls(to).identity(own))
    }

    /// A channel to the gateway, as a person has it: without a certificate.
    ///
    /// # Errors
    /// None that is known.
    pub fn person(&self) -> anyhow::Result<Channel> {
        self.connect("gateway", self.tls("gateway"))
    }

    fn tls(&self, service: &str) -> ClientTlsConfig {
        let trusted = Certificate::from_pem(self.authority.pem());
        ClientTlsConfig::new().domain_name(service).ca_certificate(trusted)
    }

    fn connect(&self, service: &str, tls: ClientTlsConfig) -> anyhow::Result<Channel> {
        let at = self.addresses.get(service).with_context(|| format!("no service {service}"))?;
        Ok(Endpoint::from_shared(format!("https://{at}"))?.tls_config(tls)?.connect_lazy())
    }

    /// Ends all of them.
    ///
    /// # Errors
    /// The first that one ends with.
    pub async fn end(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        for task in std::mem::take(&mut self.tasks) {
            tokio::time::timeout(PATIENCE, task).await.context("it does not end")???;
        }
        Ok(())
    }
}
