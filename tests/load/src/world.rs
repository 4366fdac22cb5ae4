//! The system under test: five processes from release binaries, as an operator would run them, on databases that are put
//! back to where the setting up left them before each run.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chassis::Env;
use cluster::{Cluster, Durability, Patroni};
use shixun::up::{Reach, SERVICES, setup};

use crate::{
    cpu::Meter,
    database::{Databases, Engine},
    drive, ports,
    program::{Installed, Process, Programs},
};

/// Seconds for which a login of the cases is good: longer than any of them.
const SESSION_SECONDS: i64 = 6 * 3600;

/// Names of the processes that may share enrollment's work on PostgreSQL: the service itself, and its replicas.
const ENROLLMENTS: [&str; 3] = ["enrollment", "enrollment-2", "enrollment-3"];

/// Ways that lead elsewhere than straight to their end: through doors that a test shuts.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    /// From a service to its neighbour.
    pub peers: BTreeMap<(&'static str, &'static str), SocketAddr>,
    /// From a service to the server of its database.
    pub databases: BTreeMap<&'static str, SocketAddr>,
}

/// A world: its folder, its databases, its processes.
#[derive(Debug)]
pub struct World {
    engine: Engine,
    programs: Installed,
    folder: PathBuf,
    databases: Databases,
    /// Of the services, and of enrollment's replicas.
    ports: BTreeMap<&'static str, SocketAddr>,
    /// Processes of enrollment that are started.
    enrollments: usize,
    running: BTreeMap<&'static str, Process>,
    routes: Routes,
}

impl World {
    /// An empty one in a new folder; nothing runs yet.
    ///
    /// # Errors
    /// If the folder or the database server cannot be made.
    pub fn new(engine: Engine, programs: &Programs) -> anyhow::Result<Self> {
        let scratch = programs.scratch()?;
        let folder = own_folder(&scratch, engine)?;
        let databases = match engine {
            Engine::Sqlite => Databases::Sqlite(folder.clone()),
            Engine::Postgres => Databases::Postgres(Arc::new(Cluster::start_in(&scratch, Durability::Durable)?)),
        };
        Self::with(engine, programs, folder, databases)
    }

    /// The same, its databases on a disk of their own, in a folder that everyone may enter.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn on(disk: &Path, engine: Engine, programs: &Programs) -> anyhow::Result<Self> {
        let folder = own_folder(&programs.scratch()?, engine)?;
        let databases = match engine {
            Engine::Sqlite => Databases::Sqlite(disk.to_owned()),
            Engine::Postgres => Databases::Postgres(Arc::new(Cluster::start_in(disk, Durability::Durable)?)),
        };
        Self::with(engine, programs, folder, databases)
    }

    /// The same on PostgreSQL, with a server for each service.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn apart(programs: &Programs) -> anyhow::Result<Self> {
        let scratch = programs.scratch()?;
        let folder = own_folder(&scratch, Engine::Postgres)?;
        let start = |service| Ok((service, Arc::new(Cluster::start_in(&scratch, Durability::Durable)?)));
        let clusters = std::thread::scope(|scope| {
            let starting = SERVICES.map(|service| scope.spawn(move || start(service)));
            let ended = starting.into_iter().map(|one| one.join().map_err(|_| anyhow::anyhow!("a start panicked"))?);
            ended.collect::<anyhow::Result<_>>()
        })?;
        Self::with(Engine::Postgres, programs, folder, Databases::Apart(clusters))
    }

    /// The same on PostgreSQL under Patroni, whose primary changes.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn replicated(programs: &Programs) -> anyhow::Result<Self> {
        let scratch = programs.scratch()?;
        let folder = own_folder(&scratch, Engine::Postgres)?;
        let databases = Databases::Replicated(Arc::new(Patroni::start_in(&scratch)?));
        Self::with(Engine::Postgres, programs, folder, databases)
    }

    fn with(engine: Engine, programs: &Programs, folder: PathBuf, databases: Databases) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder.join("log"))?;
        databases.create()?;
        let programs = programs.install(&folder.join("bin"))?;
        let mut world = Self {
            engine,
            programs,
            folder,
            databases,
            ports: BTreeMap::new(),
            enrollments: 1,
            running: BTreeMap::new(),
            routes: Routes::default(),
        };
        world.choose_ports()?;
        world.make_keys()?;
        Ok(world)
    }

    fn choose_ports(&mut self) -> anyhow::Result<()> {
        let [_, replicas @ ..] = ENROLLMENTS;
        let names: Vec<&str> = SERVICES.into_iter().chain(replicas).collect();
        let ports = ports::choose(names.len())?;
        self.ports = names.into_iter().zip(ports).collect();
        Ok(std::fs::write(self.folder.join("addresses.toml"), toml::to_string(&self.ports)?)?)
    }

    fn make_keys(&self) -> anyhow::Result<()> {
        let keys = self.folder.join("keys");
        for service in SERVICES {
            self.programs.keygen(service, &keys)?;
        }
        // The identity of whoever sets the clocks.
        chassis::identity::ensure_key(&keys, "local")?;
        Ok(())
    }

    /// The world's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file that a service is configured with.
    #[must_use]
    pub fn config(&self, service: &str) -> PathBuf {
        self.folder.join(format!("{service}.toml"))
    }

    /// Writes every service's configuration.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn configure(&self, operator_password: &str) -> anyhow::Result<()> {
        let env = Env::system();
        let secret = || anyhow::Ok(STANDARD.encode(env.random::<32>()?));
        let keys = self.folder.join("keys");
        for service in SERVICES {
            let led = |name: &'static str, straight: SocketAddr| {
                *self.routes.peers.get(&(service, name)).unwrap_or(&straight)
            };
            let services = self.ports.iter().filter(|(name, _)| SERVICES.contains(name));
            let peers: BTreeMap<&str, String> =
                services.map(|(name, address)| (*name, format!("http://{}", led(name, *address)))).collect();
            let address = self.ports.get(service).context("a service without an address")?;
            let mut document = toml::toml! { clock = "rehearsal" };
            let mut put = |section: &str, table: toml::Table| document.insert(section.to_owned(), table.into());
            put("database", table([("url", self.database_url(service)?)]));
            let own = keys.join(format!("{service}.key"));
            put("keys", table([("own", own.display().to_string()), ("trusted", keys.display().to_string())]));
            put("peers", table(peers));
            match service {
                "roster" => {
                    put("bootstrap", table([("login", setup::OPERATOR), ("password", operator_password)]));
                    put("password", table([("profile", "sample")]));
                    let mut identity = table([("current", "1".to_owned()), ("index_key", secret()?)]);
                    identity.insert("keys".to_owned(), table([("1", secret()?)]).into());
                    put("identity", identity);
                }
                "gateway" => {
                    let mut session = toml::Table::new();
                    session.insert("access_seconds".to_owned(), SESSION_SECONDS.into());
                    put("session", session);
                }
                _ => {}
            }
            document.insert("listen".to_owned(), address.to_string().into());
            std::fs::write(self.config(service), toml::to_string(&document)?)?;
        }
        Ok(())
    }

    /// Leads the services elsewhere, from the next [`Self::configure`] on.
    pub fn lead(&mut self, routes: Routes) {
        self.routes = routes;
    }

    fn database_url(&self, service: &str) -> anyhow::Result<String> {
        let url = self.databases.url(service);
        let Some(door) = self.routes.databases.get(service) else { return Ok(url) };
        let (login, rest) = url.split_once('@').context("a URL without a login")?;
        let (_, database) = rest.split_once('/').context("a URL without a database")?;
        Ok(format!("{login}@{door}/{database}"))
    }

    /// Where a service listens.
    ///
    /// # Errors
    /// If there is no such service.
    pub fn address(&self, service: &str) -> anyhow::Result<SocketAddr> {
        self.ports.get(service).copied().context("no such service")
    }

    /// Kills a service with -9; it stays away until [`Self::launch`].
    ///
    /// # Errors
    /// If it had ended before.
    pub fn kill(&mut self, service: &'static str) -> anyhow::Result<()> {
        self.running.remove(service).context("it does not run")?.kill().with_context(|| service.to_owned())
    }

    /// Stops a service where it stands (SIGSTOP), or lets it go on (SIGCONT).
    ///
    /// # Errors
    /// If it has ended.
    pub fn freeze(&mut self, service: &str, frozen: bool) -> anyhow::Result<()> {
        let process = self.running.get_mut(service).context("it does not run")?;
        process.check().with_context(|| service.to_owned())?;
        if frozen { process.freeze() } else { process.signal("CONT") }
    }

    /// Starts all services and waits until they answer.
    ///
    /// # Errors
    /// If one does not.
    pub async fn start(&mut self) -> anyhow::Result<Reach> {
        SERVICES.into_iter().try_for_each(|service| self.launch(service))?;
        let replicas = ENROLLMENTS.into_iter().take(self.enrollments).skip(1);
        replicas.into_iter().try_for_each(|replica| self.launch(replica))?;
        self.until_ready().await
    }

    /// How many processes share enrollment's work, from the next start on: one to three, on PostgreSQL.
    ///
    /// # Errors
    /// If so many cannot.
    pub fn share_enrollment(&mut self, processes: usize) -> anyhow::Result<()> {
        let possible = if self.engine == Engine::Postgres { ENROLLMENTS.len() } else { 1 };
        anyhow::ensure!((1..=possible).contains(&processes), "{processes} processes of enrollment");
        self.enrollments = processes;
        Ok(())
    }

    /// Waits until all services answer.
    ///
    /// # Errors
    /// If one does not, or has ended.
    pub async fn until_ready(&mut self) -> anyhow::Result<Reach> {
        let reach = self.reach()?;
        for service in SERVICES {
            let answered = reach.status(service).await;
            if let Some(process) = self.running.get_mut(service) {
                process.check().with_context(|| format!("{service}: see {}", self.folder.join("log").display()))?;
            }
            answered?;
        }
        for replica in ENROLLMENTS.into_iter().take(self.enrollments).skip(1) {
            drive::until_serving(self.ports.get(replica).copied().context("no address")?).await.context(replica)?;
        }
        Ok(reach)
    }

    /// The way to its services.
    ///
    /// # Errors
    /// If its keys are not there.
    pub fn reach(&self) -> anyhow::Result<Reach> {
        Reach::of(&self.folder)
    }

    /// Stops all in good order, the gateway first.
    ///
    /// # Errors
    /// If one failed while it ran.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        for service in SERVICES.into_iter().rev() {
            if let Some(process) = self.running.remove(service) {
                process.stop().await.with_context(|| service.to_owned())?;
            }
        }
        Ok(())
    }

    /// Keeps the databases as they are, for [`Self::fresh`]. Nothing runs.
    ///
    /// # Errors
    /// If they cannot be copied.
    pub fn keep(&self) -> anyhow::Result<()> {
        self.databases.keep()
    }

    /// Everything as it was kept, and running. What has run until now is thrown away.
    ///
    /// # Errors
    /// If a service had failed, or does not start.
    pub async fn fresh(&mut self) -> anyhow::Result<Reach> {
        self.end()?;
        self.databases.restore()?;
        self.start().await
    }

    /// The same; how long each took from its start until it said that it serves, one started after the other.
    ///
    /// # Errors
    /// As [`Self::fresh`].
    pub async fn fresh_timed(&mut self) -> anyhow::Result<BTreeMap<&'static str, Duration>> {
        self.end()?;
        self.databases.restore()?;
        let mut ready = BTreeMap::new();
        for service in SERVICES {
            let began = Instant::now();
            self.launch(service)?;
            let address = self.ports.get(service).copied().context("no address")?;
            drive::until_serving(address).await.with_context(|| service.to_owned())?;
            ready.insert(service, began.elapsed());
        }
        Ok(ready)
    }

    /// Kills a service with -9 and starts it again; does not wait until it serves.
    ///
    /// # Errors
    /// If it had failed before.
    pub fn crash(&mut self, service: &'static str) -> anyhow::Result<()> {
        self.running.remove(service).context("it does not run")?.kill().with_context(|| service.to_owned())?;
        self.launch(service)
    }

    /// Kills the databases with -9 and starts them again: PostgreSQL's processes; of embedded ones, the services they are
    /// embedded in, all at once.
    ///
    /// # Errors
    /// If one had failed before.
    pub fn crash_databases(&mut self) -> anyhow::Result<()> {
        match &self.databases {
            Databases::Postgres(cluster) => cluster.crash(),
            Databases::Apart(clusters) => clusters.values().try_for_each(|cluster| cluster.crash()),
            Databases::Replicated(_) => anyhow::bail!("its nodes die one by one"),
            Databases::Sqlite(_) => {
                self.end()?;
                SERVICES.into_iter().try_for_each(|service| self.launch(service))
            }
        }
    }

    /// Kills everything that runs.
    ///
    /// # Errors
    /// If something had ended before.
    pub fn end(&mut self) -> anyhow::Result<()> {
        for (service, process) in std::mem::take(&mut self.running) {
            process.kill().with_context(|| service.to_owned())?;
        }
        Ok(())
    }

    /// Starts a service that does not run; does not wait until it serves.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn launch(&mut self, service: &'static str) -> anyhow::Result<()> {
        let log = self.folder.join("log").join(format!("{service}.log"));
        let addresses = ENROLLMENTS.into_iter().take(self.enrollments).filter_map(|name| self.ports.get(name));
        let addresses: Vec<_> = addresses.map(|address| format!("http://{address}")).collect();
        let mut environment = Vec::new();
        if addresses.len() > 1 {
            environment.push(("SHIXUN_PEERS__ENROLLMENT", addresses.join(",")));
        }
        let program = if ENROLLMENTS.contains(&service) { "enrollment" } else { service };
        if program != service {
            let address = self.ports.get(service).context("a replica without an address")?;
            environment.push(("SHIXUN_LISTEN", address.to_string()));
        }
        let process = self.programs.serve(program, &self.config(program), &environment, &log)?;
        self.running.insert(service, process);
        Ok(())
    }

    /// The services' process ids.
    pub fn processes(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.running.iter().map(|(service, process)| (*service, process.id()))
    }

    /// The engine.
    #[must_use]
    pub const fn engine(&self) -> Engine {
        self.engine
    }

    /// The databases.
    #[must_use]
    pub const fn databases(&self) -> &Databases {
        &self.databases
    }

    /// Where the gateway listens.
    ///
    /// # Errors
    /// None: it always has an address.
    pub fn gateway(&self) -> anyhow::Result<SocketAddr> {
        self.ports.get("gateway").copied().context("no gateway")
    }

    /// The process id of the database server.
    ///
    /// # Errors
    /// If there is none.
    pub fn server(&self) -> anyhow::Result<u32> {
        match &self.databases {
            Databases::Postgres(cluster) => cluster.process(),
            Databases::Apart(_) | Databases::Replicated(_) => anyhow::bail!("there are several servers"),
            Databases::Sqlite(_) => anyhow::bail!("SQLite has no server"),
        }
    }

    /// Counts the CPU time of the client, the services and the database server.
    ///
    /// # Errors
    /// If the server has gone.
    pub fn meter(&self) -> anyhow::Result<Meter> {
        let mut meter = Meter::new();
        for (service, process) in &self.running {
            meter.add(service, process.id());
        }
        if let Databases::Postgres(cluster) = &self.databases {
            meter.add("postgres", cluster.process()?);
        }
        Ok(meter)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.running.clear();
        // A folder that cannot be removed is only in the way of the next `cargo clean`.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A new folder: a process may have several worlds of an engine.
fn own_folder(scratch: &Path, engine: Engine) -> anyhow::Result<PathBuf> {
    for n in 1..=99 {
        let folder = scratch.join(format!("{}-{}-{n}", engine.name(), std::process::id()));
        match std::fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).context("a folder for a world"),
        }
    }
    anyhow::bail!("too many worlds in {}", scratch.display())
}

fn table<K: Into<String>, V: Into<toml::Value>>(entries: impl IntoIterator<Item = (K, V)>) -> toml::Table {
    entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}
