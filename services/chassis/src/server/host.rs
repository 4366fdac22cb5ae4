//! What a service is put together on.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use anyhow::Context as _;
use proto::common::v1::{
    audit_service_server::AuditServiceServer, change_service_server::ChangeServiceServer,
    clock_service_server::ClockServiceServer, gate_service_server::GateServiceServer,
    step_service_server::StepServiceServer,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{
    body::Body,
    server::NamedService,
    service::{Routes, RoutesBuilder},
};
use tower::Service;

use super::{
    Guard,
    audit_api::AuditApi,
    clock_api::ClockApi,
    due::{Carrier, Due},
    gate_api::{CalendarCheck, GateApi, PolicyCheck},
    health, observe, skew,
    step_api::{StepApi, Steps},
};
use crate::{
    changes::{self, ChangeApi, Mirror},
    config::Config,
    contract,
    db::Db,
    env::Env,
    failure::Failure,
    identity::Identity,
    peer::{self, Peer},
    policy::Policy,
    replicas::{Replicas, stay_here},
    telemetry,
    tls::Tls,
};

/// What every server offers beside the contracts of ours.
const STANDARD: [&str; 3] =
    ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

/// What to do where calls would cross a network as they are.
pub(crate) const WITHOUT_TLS: &str =
    "configure [tls], or, on a network that nobody else is on, server.plaintext = true";

/// A server in the making.
pub struct Host {
    name: &'static str,
    db: Db,
    identity: Identity,
    tls: Option<Tls>,
    /// Whether calls may leave the machine without TLS.
    plaintext: bool,
    peers: BTreeMap<String, String>,
    /// The neighbours that the program says it needs.
    needed: &'static [&'static str],
    sources: Vec<(&'static str, Peer)>,
    shutdown: CancellationToken,
    routes: RoutesBuilder,
    served: Vec<&'static str>,
    policy: Option<PolicyCheck>,
    calendar: Option<Arc<dyn CalendarCheck>>,
    guard: Option<Arc<dyn Guard>>,
    steps: Option<Arc<dyn Steps>>,
    standing: Option<&'static str>,
    audited: BTreeMap<String, Peer>,
    due: Option<Carrier>,
    fallback: Option<axum::Router>,
    tasks: Vec<JoinHandle<()>>,
    max_message: usize,
    /// By how much a neighbour's clock may differ.
    clock_tolerance: Duration,
}

/// What a server is made of.
pub(super) struct Parts {
    /// All that it offers.
    pub routes: Routes,
    /// Health alone.
    pub health: Routes,
    /// What runs beside it.
    pub tasks: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("name", &self.name).field("served", &self.served).finish_non_exhaustive()
    }
}

impl Host {
    pub(super) fn new(
        name: &'static str,
        needed: &'static [&'static str],
        db: Db,
        config: &Config,
        tls: Option<Tls>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let identity = Identity::load(name, &config.keys.own, &config.keys.trusted, db.env().clone())?;
        Ok(Self {
            name,
            db,
            identity,
            tls,
            plaintext: config.server.plaintext,
            peers: config.peers.clone(),
            needed,
            sources: Vec::new(),
            shutdown,
            routes: Routes::builder(),
            served: Vec::new(),
            policy: None,
            calendar: None,
            guard: None,
            steps: None,
            standing: None,
            audited: BTreeMap::new(),
            due: None,
            fallback: None,
            tasks: Vec::new(),
            max_message: config.server.max_message_bytes,
            clock_tolerance: Duration::from_millis(config.server.clock_tolerance_ms.into()),
        })
    }

    /// The service's database.
    #[must_use]
    pub fn db(&self) -> Db {
        self.db.clone()
    }

    /// The outside world.
    #[must_use]
    pub fn env(&self) -> Env {
        self.db.env().clone()
    }

    /// The process's key and those it trusts.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity.clone()
    }

    /// Cancelled when the service ends.
    #[must_use]
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Largest message, in bytes.
    #[must_use]
    pub const fn max_message_bytes(&self) -> usize {
        self.max_message
    }

    /// A neighbour, with this service's identity on every call.
    ///
    /// # Errors
    /// Those of [`Self::replicas`].
    pub fn peer(&self, service: &str) -> anyhow::Result<Peer> {
        Ok(peer::identified(self.replicas(service)?, self.identity.clone()))
    }

    /// A neighbour.
    ///
    /// # Errors
    /// If the program does not name it among its peers, the configuration has no address of it, or it would cross a network
    /// in the clear.
    pub fn replicas(&self, service: &str) -> anyhow::Result<Replicas> {
        anyhow::ensure!(self.needed.contains(&service), "{} does not name {service} among its peers", self.name);
        let addresses =
            self.peers.get(service).with_context(|| format!("peers.{service} is missing in the configuration"))?;
        let replicas = match &self.tls {
            Some(tls) => Replicas::sealed(addresses, service, tls),
            None if self.plaintext || stay_here(addresses) => Replicas::at(addresses),
            None => Err(anyhow::anyhow!("{addresses} is not on this machine: {WITHOUT_TLS}")),
        };
        replicas.with_context(|| format!("peers.{service}"))
    }

    /// Adds a gRPC service. Each of its methods must have a rule.
    pub fn add<S>(&mut self, service: S)
    where
        S: Service<http::Request<Body>, Error = std::convert::Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.served.push(S::NAME);
        self.routes.add_service(service);
    }

    /// Answers paths of no service of its own: the gateway's passing on.
    pub fn fallback(&mut self, router: axum::Router) {
        self.fallback = Some(router);
    }

    /// Has the service's sections of a policy checked when gates are put.
    pub fn policy<P: Policy>(&mut self) {
        self.policy = Some(|document| P::parse(document).err().unwrap_or_default());
    }

    /// Has what a calendar and its policy name checked before they are taken.
    pub fn calendar(&mut self, check: impl CalendarCheck) {
        self.calendar = Some(Arc::new(check));
    }

    /// Has every call pass a guard first.
    pub fn guard(&mut self, guard: Arc<dyn Guard>) {
        self.guard = Some(guard);
    }

    /// How the audit view tells what stands in an officer's area: `sql` gives, as `name`, those organisations and teachers of the
    /// list `$1` that stand under one of the organisations of the list `$2`, or are one.
    pub fn standing(&mut self, sql: &'static str) {
        self.standing = Some(sql);
    }

    /// Has the audit views of other services asked for here.
    pub fn audited(&mut self, others: BTreeMap<String, Peer>) {
        self.audited = others;
    }

    pub(super) fn guarded(&self) -> Option<Arc<dyn Guard>> {
        self.guard.clone()
    }

    /// Carries out those of the sequencer's steps that not every service has.
    pub fn steps(&mut self, steps: impl Steps) {
        self.steps = Some(Arc::new(steps));
    }

    /// Carries out what waits in the database when its day has come.
    pub fn due(&mut self, due: impl Due) {
        let carrier = Carrier::new(due);
        self.due = Some(carrier.clone());
        let run = carrier.run(self.shutdown.clone());
        self.spawn(run);
    }

    /// Mirrors a neighbour's facts.
    ///
    /// # Errors
    /// If `peers` has no address of it.
    pub fn mirror(&mut self, mirror: impl Mirror) -> anyhow::Result<()> {
        let peer = self.peer(mirror.source())?;
        self.sources.push((mirror.source(), peer.clone()));
        let run = changes::run_mirror(self.db.clone(), Arc::new(mirror), peer, self.shutdown.clone());
        self.spawn(run);
        Ok(())
    }

    /// Runs a task of the service until it ends; it must heed `shutdown()`.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push(tokio::spawn(task));
    }

    /// Has `look` look at the database every so often and show what it sees, as long as anybody reads metrics.
    pub fn observe<F>(&mut self, look: impl Fn(Db) -> F + Send + 'static)
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        if telemetry::measuring() {
            self.spawn(observe::run(self.db.clone(), look, self.shutdown.clone()));
        }
    }

    pub(super) fn add_clock(&mut self) {
        self.add(ClockServiceServer::new(ClockApi { db: self.db.clone(), due: self.due.clone() }));
    }

    pub(super) async fn finish(mut self) -> anyhow::Result<Parts> {
        let gates = GateApi { db: self.db.clone(), policy: self.policy, calendar: self.calendar.clone() };
        self.add(GateServiceServer::new(gates));
        let steps = StepApi { db: self.db.clone(), steps: self.steps.take() };
        self.add(StepServiceServer::new(steps));
        let watch = ChangeApi { db: self.db.clone(), shutdown: self.shutdown.clone() };
        self.add(ChangeServiceServer::new(watch));
        let (standing, others) = (self.standing, std::mem::take(&mut self.audited));
        self.add(AuditServiceServer::new(AuditApi { db: self.db.clone(), standing, others }));
        for service in &self.served {
            let mut methods = contract::methods().filter(|method| method.service == *service).peekable();
            anyhow::ensure!(methods.peek().is_some(), "{service} is in no contract");
            for method in methods {
                anyhow::ensure!(method.rule.is_some(), "{} has no rule: it is not served", method.path);
            }
        }
        let (reporter, health_service) = tonic_health::server::health_reporter();
        self.routes.add_service(health_service.clone());
        health::begin(&reporter, &self.served).await;
        let sources = std::mem::take(&mut self.sources);
        // Who passes calls on does so without a database, too.
        let needed = if self.fallback.is_some() { None } else { self.db.inner().pulse.clone() };
        let (served, db, ending) = (self.served.clone(), self.db.clone(), self.shutdown.clone());
        self.spawn(health::report(reporter, served, db, sources, needed, ending));
        self.observe(observe::gates);
        let others = self.needed.iter().filter(|neighbour| **neighbour != self.name);
        let others = others.map(|neighbour| Ok((*neighbour, self.peer(neighbour)?))).collect::<anyhow::Result<_>>()?;
        self.spawn(skew::watch(self.db.clone(), others, self.clock_tolerance, self.shutdown.clone()));
        // Only what is served is listed; the gateway, which passes everything on, lists everything.
        let listed = if self.fallback.is_some() { Vec::new() } else { self.served.clone() };
        let reflection = || {
            let all = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(proto::DESCRIPTOR)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
            let standard = if listed.is_empty() { &[][..] } else { &STANDARD };
            listed.iter().chain(standard).fold(all, |builder, name| builder.with_service_name(*name))
        };
        self.routes.add_service(reflection().build_v1()?);
        self.routes.add_service(reflection().build_v1alpha()?);
        let mut routes = self.routes.routes();
        if let Some(fallback) = self.fallback {
            routes = routes.into_axum_router().fallback_service(fallback).into();
        }
        Ok(Parts { routes: routes.prepare(), health: Routes::new(health_service).prepare(), tasks: self.tasks })
    }
}
