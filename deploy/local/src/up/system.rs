//! The whole system in one process: five servers with a database each, joined only by gRPC.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use chassis::{
    CancellationToken, Env, Program,
    identity::{Identity, ensure_key},
};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
};

use super::{
    engine::Engine,
    reach::{self, Reach},
    secrets,
};

/// The services, in the order in which they start.
pub const SERVICES: [&str; 5] = ["roster", "catalog", "enrollment", "credit", "gateway"];

/// How long the gateway has the services to itself when all stop: what it passes on still finds them.
const GATEWAY_ALONE: Duration = Duration::from_secs(2);
/// Drain of the services after that, in seconds: with the gateway's two, no more than its own drain of three.
const SERVICES_DRAIN: i64 = 1;

/// How long a service that is cut off gets to let go of its threads.
const CUT_OFF: Duration = Duration::from_secs(5);

/// Services that are called at another address than their own: something stands before them.
pub type Detours = BTreeMap<&'static str, SocketAddr>;

/// What to start, and where.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Folder of keys, and of databases where they are files.
    pub data: PathBuf,
    /// Where the gateway listens; the others take free ports of the loopback. A port that is free to choose (0) is the same
    /// as the last time on this data folder, so that whoever is connected finds the system again.
    pub listen: SocketAddr,
    /// What the databases run on.
    pub engine: Engine,
    /// Where the virtual clock begins on an empty data folder, in microseconds since the epoch.
    pub begin: i64,
    /// Wait for the disk at each commit.
    pub durable: bool,
    /// Login and password of the operator whom an empty roster starts with.
    pub operator: (String, String),
}

/// The running system.
#[derive(Debug)]
pub struct System {
    launch: Launch,
    reach: Reach,
    parts: BTreeMap<&'static str, Part>,
    apart: bool,
}

#[derive(Debug)]
struct Part {
    /// Of its database.
    url: String,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
    runtime: Option<Apart>,
}

/// A runtime of a service's own, so that it can be cut off with all its tasks.
#[derive(Debug)]
struct Apart(Option<Runtime>);

impl Apart {
    fn new() -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Ok(Self(Some(runtime.context("a runtime for a service")?)))
    }

    /// Drops every task where it waits, with what it holds, and returns when all are gone.
    async fn cut_off(mut self) -> anyhow::Result<()> {
        let runtime = self.0.take();
        let cut = tokio::task::spawn_blocking(move || {
            if let Some(runtime) = runtime {
                runtime.shutdown_timeout(CUT_OFF);
            }
        });
        cut.await.context("cutting a service off")?;
        Ok(())
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // Nobody may wait for it here.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl System {
    /// Starts all five, each through its own production `serve`.
    ///
    /// # Errors
    /// If a port is taken, a database cannot be opened, or a service refuses its configuration.
    pub async fn start(launch: Launch) -> anyhow::Result<Self> {
        let keys = launch.data.join("keys");
        if launch.engine.holds(&launch.data) {
            secrets::all_there(&keys)?;
        }
        for service in secrets::KEYS_OF {
            ensure_key(&keys, service)?;
        }
        let identity = Identity::load("local", &keys.join("local.key"), &keys, Env::system())?;
        let before = reach::addresses(&launch.data).unwrap_or_default();
        let mut listeners = BTreeMap::new();
        for service in SERVICES {
            let address = if service == "gateway" { launch.listen } else { SocketAddr::from(([127, 0, 0, 1], 0)) };
            listeners.insert(service, listen(address, before.get(service).copied()).await?);
        }
        let mut addresses = BTreeMap::new();
        for (service, listener) in &listeners {
            addresses.insert((*service).to_owned(), listener.local_addr()?);
        }
        let reach = Reach::new(addresses, identity);
        reach.write(&launch.data)?;
        let mut system = Self { launch, reach, parts: BTreeMap::new(), apart: false };
        for (service, listener) in listeners {
            system.start_part(service, listener, &Detours::new()).await?;
        }
        system.wait_ready().await?;
        Ok(system)
    }

    async fn start_part(
        &mut self,
        service: &'static str,
        listener: TcpListener,
        detours: &Detours,
    ) -> anyhow::Result<()> {
        let url = self.launch.engine.database(service, &self.launch.data).await?;
        let document = self.configuration(service, &url, detours)?;
        let stop = CancellationToken::new();
        let env = Env::rehearsal(self.launch.begin);
        let runtime = if self.apart { Some(Apart::new()?) } else { None };
        let own = runtime.as_ref().and_then(|Apart(runtime)| runtime.as_ref()).map(Runtime::handle);
        let task = spawn_on(own, service, document, listener, env, &stop)?;
        self.parts.insert(service, Part { url, stop, task, runtime });
        Ok(())
    }

    /// The configuration of a service, as its file would have it.
    fn configuration(&self, service: &str, url: &str, detours: &Detours) -> anyhow::Result<toml::Table> {
        let keys = self.launch.data.join("keys");
        let text = |path: &Path| toml::Value::from(path.display().to_string());
        let mut document = toml::Table::new();
        document.insert("clock".to_owned(), "rehearsal".into());
        let mut database = toml::Table::new();
        database.insert("url".to_owned(), url.into());
        database.insert("durable".to_owned(), self.launch.durable.into());
        document.insert("database".to_owned(), database.into());
        let mut own = toml::Table::new();
        own.insert("own".to_owned(), text(&keys.join(format!("{service}.key"))));
        own.insert("trusted".to_owned(), text(&keys));
        document.insert("keys".to_owned(), own.into());
        let found_at = |peer: &str| match detours.get(peer) {
            Some(detour) => format!("http://{detour}"),
            None => self.reach.address(peer),
        };
        let peers: toml::Table = SERVICES.into_iter().map(|peer| (peer.to_owned(), found_at(peer).into())).collect();
        document.insert("peers".to_owned(), peers.into());
        let mut server = toml::Table::new();
        if service == "gateway" {
            // `in_the_clear` has asked whoever chose an address that others reach.
            server.insert("plaintext".to_owned(), true.into());
        } else {
            server.insert("drain_seconds".to_owned(), SERVICES_DRAIN.into());
        }
        document.insert("server".to_owned(), server.into());
        if service == "roster" {
            let (login, password) = &self.launch.operator;
            let mut operator = toml::Table::new();
            operator.insert("login".to_owned(), login.as_str().into());
            operator.insert("password".to_owned(), password.as_str().into());
            document.insert("bootstrap".to_owned(), operator.into());
            let mut cost = toml::Table::new();
            cost.insert("profile".to_owned(), "sample".into());
            document.insert("password".to_owned(), cost.into());
            document.insert("identity".to_owned(), secrets::identity_numbers(&keys)?.into());
        }
        Ok(document)
    }

    async fn wait_ready(&mut self) -> anyhow::Result<()> {
        for service in SERVICES {
            let mut tries = 0_u32;
            while let Err(error) = self.reach.status_once(service).await {
                if let Some((ended, _)) = self.parts.iter().find(|(_, part)| part.task.is_finished()) {
                    // Its own error says why; that nobody answers does not.
                    let ended = *ended;
                    let part = self.parts.remove(ended).context("it was there")?;
                    part.task.await?.with_context(|| format!("{ended} did not start"))?;
                    anyhow::bail!("{ended} ended");
                }
                if tries > 600 {
                    return Err(error.context(format!("{service} did not start")));
                }
                tries += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    /// The URL of every service's database.
    pub fn databases(&self) -> impl Iterator<Item = (&'static str, &str)> {
        SERVICES.into_iter().filter_map(|service| Some((service, self.parts.get(service)?.url.as_str())))
    }

    /// The way to its services.
    #[must_use]
    pub const fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Stops one service and starts it again on the same port and database.
    ///
    /// # Errors
    /// As `start`.
    pub async fn restart(&mut self, service: &'static str) -> anyhow::Result<()> {
        self.restart_by(service, &Detours::new()).await
    }

    /// The same; until its next start it calls its neighbours by these detours.
    ///
    /// # Errors
    /// As `start`.
    pub async fn restart_by(&mut self, service: &'static str, detours: &Detours) -> anyhow::Result<()> {
        let part = self.parts.remove(service).with_context(|| format!("there is no service {service}"))?;
        part.stop.cancel();
        part.task.await??;
        let address = self.reach.socket(service).context("its address")?;
        self.start_part(service, TcpListener::bind(address).await?, detours).await?;
        self.wait_ready().await
    }

    /// Has services that are started from now on run apart, so that they can be cut off.
    pub const fn keep_apart(&mut self) {
        self.apart = true;
    }

    /// Cuts a service off that runs apart, as a process that is killed, and starts it again on the same port and database: its
    /// tasks end where they wait, its connections break, its transactions are lost, nothing is told to anybody.
    ///
    /// # Errors
    /// If it does not run apart; as `start`.
    pub async fn cut_off(&mut self, service: &'static str) -> anyhow::Result<()> {
        let part = self.parts.remove(service).with_context(|| format!("there is no service {service}"))?;
        part.runtime.with_context(|| format!("{service} does not run apart"))?.cut_off().await?;
        anyhow::ensure!(part.task.await.is_err_and(|error| error.is_cancelled()), "{service} had ended by itself");
        let address = self.reach.socket(service).context("its address")?;
        self.start_part(service, TcpListener::bind(address).await?, &Detours::new()).await?;
        self.wait_ready().await
    }

    /// Ends when any service ends by itself: that is a fault.
    ///
    /// # Errors
    /// The fault.
    pub async fn failed(&mut self) -> anyhow::Result<()> {
        let tasks = self.parts.iter_mut().map(|(service, part)| {
            let service = *service;
            Box::pin(async move { (service, (&mut part.task).await) })
        });
        let ((service, outcome), ..) = futures::future::select_all(tasks).await;
        outcome?.with_context(|| format!("{service} failed"))?;
        anyhow::bail!("{service} ended")
    }

    /// Stops all, the gateway first, within the drain limit of one service.
    ///
    /// # Errors
    /// If a service failed while it ran.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let mut gateway = self.parts.remove("gateway").context("there is no gateway")?;
        gateway.stop.cancel();
        // A peer that holds on to the gateway, or a call that is long, must not add its time to that of the others.
        let ended = tokio::time::timeout(GATEWAY_ALONE, &mut gateway.task).await;
        for part in self.parts.values() {
            part.stop.cancel();
        }
        for (service, part) in self.parts {
            part.task.await?.with_context(|| format!("{service} failed"))?;
        }
        let ended = match ended {
            Ok(ended) => ended,
            Err(_) => gateway.task.await,
        };
        ended?.context("gateway failed")
    }
}

/// Listens; where the port is free to choose, on that of the last time if nobody else has it by now.
async fn listen(address: SocketAddr, before: Option<SocketAddr>) -> anyhow::Result<TcpListener> {
    let before = before.filter(|before| address.port() == 0 && before.ip() == address.ip());
    if let Some(before) = before
        && let Ok(listener) = TcpListener::bind(before).await
    {
        return Ok(listener);
    }
    TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))
}

/// Starts a service's production `serve`, on a runtime of its own if it has one.
fn spawn_on(
    own: Option<&Handle>,
    service: &str,
    document: toml::Table,
    listener: TcpListener,
    env: Env,
    stop: &CancellationToken,
) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    // What is spawned from here on, and by it, runs there. A socket belongs to the runtime that opened it.
    let _there = own.map(Handle::enter);
    let listener = TcpListener::from_std(listener.into_std()?)?;
    match service {
        "roster" => spawn::<roster::Roster>(document, listener, env, stop),
        "catalog" => spawn::<catalog::Catalog>(document, listener, env, stop),
        "enrollment" => spawn::<enrollment::Enrollment>(document, listener, env, stop),
        "credit" => spawn::<credit::Credit>(document, listener, env, stop),
        "gateway" => spawn::<gateway::Gateway>(document, listener, env, stop),
        other => anyhow::bail!("there is no service {other}"),
    }
}

fn spawn<P: Program>(
    document: toml::Table,
    listener: TcpListener,
    env: Env,
    stop: &CancellationToken,
) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    let config: P::Config = document.try_into().with_context(|| format!("configuration of {}", P::NAME))?;
    let stop = stop.clone();
    Ok(tokio::spawn(async move { chassis::serve::<P>(config, listener, env, stop).await }))
}

impl std::ops::Deref for System {
    type Target = Reach;
    fn deref(&self) -> &Reach {
        &self.reach
    }
}
