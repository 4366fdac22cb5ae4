//! The services' replicas, each a process with an address of its own, under the names that the manifests of Kubernetes have.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use load::{
    program::{Installed, Process},
    world::World,
};
use tokio::time::Instant;
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{mesh::Mesh, names::Names};

/// The ports of every service, as in the manifests: for calls, and for probes.
const PORT: u16 = 7700;
const PROBES: u16 = 7709;
/// How long a replica may take until it is ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two questions whether it is.
const AGAIN: Duration = Duration::from_millis(50);

/// A running replica.
#[derive(Debug)]
pub struct Replica {
    /// Of which service.
    pub service: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    process: Process,
    log: PathBuf,
}

impl Replica {
    /// Ends it as Kubernetes does: SIGTERM, and its own time.
    ///
    /// # Errors
    /// If it had ended before, or ends with a fault.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.process.stop().await.with_context(|| format!("{}: see {}", self.service, self.log.display()))
    }
}

/// What replicas are started with.
#[derive(Debug)]
pub struct Fleet {
    configs: BTreeMap<&'static str, PathBuf>,
    peers: BTreeMap<&'static str, Vec<(String, String)>>,
    mesh: Mesh,
    log: PathBuf,
    /// The first three numbers of their addresses, and how many there were.
    net: [u8; 3],
    started: u8,
}

impl Fleet {
    /// On the databases and with the keys of a world whose own processes do not run, over mutual TLS.
    ///
    /// # Errors
    /// If a manifest is not as expected.
    pub fn of(world: &World, mesh: Mesh) -> anyhow::Result<Self> {
        let services = shixun::up::SERVICES;
        let peers =
            services.into_iter().map(|service| Ok((service, peers(service)?))).collect::<anyhow::Result<_>>()?;
        let configs = services.into_iter().map(|service| (service, world.config(service))).collect();
        // Several runs at once do not meet.
        let [_, _, high, low] = std::process::id().to_be_bytes();
        Ok(Self { configs, peers, mesh, log: world.folder().join("log"), net: [127, high.max(1), low], started: 0 })
    }

    /// Starts one; it is not waited for.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(&mut self, programs: &Installed, service: &'static str) -> anyhow::Result<Replica> {
        self.started = self.started.checked_add(1).context("too many replicas")?;
        let [a, b, c] = self.net;
        let address = SocketAddr::from((Ipv4Addr::new(a, b, c, self.started), PORT));
        let set = |name: &str, value: String| (name.to_owned(), value);
        let mut environment = vec![
            set("SHIXUN_LISTEN", address.to_string()),
            set("SHIXUN_DATABASE__MIGRATE", false.to_string()),
            set("SHIXUN_SERVER__PROBES", SocketAddr::new(address.ip(), PROBES).to_string()),
        ];
        environment.extend(self.mesh.variables(service).map(|(name, value)| set(name, value)));
        environment.extend(self.peers.get(service).into_iter().flatten().cloned());
        let environment: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let config = self.configs.get(service).context("no such service")?;
        let log = self.log.join(format!("{service}-{}.log", self.started));
        let process = programs.serve(service, config, &environment, &log)?;
        Ok(Replica { service, address, process, log })
    }
}

/// Variables that say where a service's neighbours are, as its manifest does. The world's file knows all of them, in the clear; those
/// that it does not call are only to have an address as good as the others'.
fn peers(service: &str) -> anyhow::Result<Vec<(String, String)>> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kubernetes/base");
    let path = base.join(service).join("service.toml");
    let manifest: toml::Table = std::fs::read_to_string(&path)?.parse()?;
    let known = manifest.get("peers").and_then(toml::Value::as_table);
    let variable = |peer: &str| {
        let address = match known.and_then(|known| known.get(peer)) {
            Some(address) => address.as_str().context("an address that is no text")?.to_owned(),
            None => format!("dns:///{}:{PORT}", name(peer, "calls")),
        };
        anyhow::ensure!(address.ends_with(&format!(":{PORT}")), "{}: {address}", path.display());
        Ok((format!("SHIXUN_PEERS__{}", peer.to_uppercase()), address))
    };
    shixun::up::SERVICES.into_iter().map(variable).collect()
}

/// What a service's replicas are called: all that are there, and those that are ready.
fn name(service: &str, what: &str) -> String {
    format!("{service}-{what}")
}

/// Has a new replica found, as Kubernetes does: first by those who mirror it, and, once it is ready, by those who call it.
///
/// # Errors
/// If it ends, or is not ready in time.
pub async fn admit(replica: &mut Replica, names: &Names) -> anyhow::Result<()> {
    names.add(&[name(replica.service, "feed")], replica.address.ip())?;
    let probes = SocketAddr::new(replica.address.ip(), PROBES);
    let channel = Endpoint::from_shared(format!("http://{probes}"))?.connect_lazy();
    let until = Instant::now() + PATIENCE;
    loop {
        let asked = HealthCheckRequest { service: chassis::server::health::READINESS.to_owned() };
        let told = HealthClient::new(channel.clone()).check(asked).await;
        if told.is_ok_and(|told| told.into_inner().status() == ServingStatus::Serving) {
            return names.add(&[name(replica.service, "calls")], replica.address.ip());
        }
        let seen = || format!("{}: see {}", replica.service, replica.log.display());
        replica.process.check().with_context(seen)?;
        anyhow::ensure!(Instant::now() < until, "{}: it is not ready", seen());
        tokio::time::sleep(AGAIN).await;
    }
}
