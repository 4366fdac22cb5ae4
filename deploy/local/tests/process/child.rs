//! `shixun` as a child process, on a data folder that outlives it.

use std::{
    collections::BTreeMap,
    fs::File,
    net::{SocketAddr, TcpListener},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use cluster::Cluster;
use shixun::{
    people::{County, TermFolder},
    rehearse::before_the_term,
    up::{Engine, Reach, SERVICES, setup},
};
use tempfile::TempDir;

/// How often a process is looked at.
const POLL: Duration = Duration::from_millis(20);

/// A data folder, the database server that belongs to it, and who lives there.
pub struct Home {
    pub folder: TempDir,
    pub engine: Engine,
    pub county: County,
    pub term: TermFolder,
    begin: i64,
    _cluster: Option<Cluster>,
}

impl Home {
    /// An empty one.
    pub async fn new(engine: &str, teachers: u32, seed: u64) -> anyhow::Result<Self> {
        chassis::install_crypto();
        let folder = TempDir::new()?;
        let (engine, cluster) = server(engine).await?;
        let term = TermFolder::sample()?;
        let county = County::generate(seed, teachers, &term);
        let begin = before_the_term(&term)?;
        let home = Self { folder, engine, county, term, begin, _cluster: cluster };
        home.choose_ports()?;
        Ok(home)
    }

    /// Ports that the machine does not hand out by itself: nobody else can get one while the system is away. The program
    /// takes those of its last run, so it is told that these were them.
    fn choose_ports(&self) -> anyhow::Result<()> {
        let first = 10_000 + u16::try_from(std::process::id() % 1_250)? * 16;
        let free = (first..32_000).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
        let ports: BTreeMap<&str, SocketAddr> =
            SERVICES.into_iter().zip(free.map(|port| SocketAddr::from(([127, 0, 0, 1], port)))).collect();
        anyhow::ensure!(ports.len() == SERVICES.len(), "no free ports");
        Ok(std::fs::write(self.folder.path().join("addresses.toml"), toml::to_string(&ports)?)?)
    }

    /// Starts `shixun system` here; does not wait until it serves.
    pub fn launch(&self, environment: &[(&str, &str)]) -> anyhow::Result<Process> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shixun"));
        command.arg("system").arg("--data").arg(self.folder.path());
        command.args(["--begin", &jiff::Timestamp::from_microsecond(self.begin)?.to_string()]);
        command.env("SHIXUN_OPERATOR_PASSWORD", &self.county.password);
        if let Engine::Postgres { url } = &self.engine {
            command.env("SHIXUN_DATABASE_URL", url);
        }
        command.envs(environment.iter().copied());
        Process::start(command)
    }

    /// The way to what runs here, once it serves.
    pub async fn reach(&self, process: &mut Process) -> anyhow::Result<Reach> {
        loop {
            process.check()?;
            // The first thing that the program makes are its keys.
            if let Ok(reach) = Reach::of(self.folder.path()) {
                reach.status("gateway").await?;
                return Ok(reach);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Sets the county up, again and again for as long as something gets in the way.
    pub async fn set_up(&self, reach: &Reach, times: u32) -> anyhow::Result<()> {
        let progress = shixun::progress::Progress::hidden();
        for _ in 1..times {
            match setup::county(reach, &self.county, &self.term, &progress).await {
                Ok(_) => return Ok(()),
                // Waits until it serves again.
                Err(_) => drop(reach.status("gateway").await?),
            }
        }
        setup::county(reach, &self.county, &self.term, &progress).await?;
        Ok(())
    }
}

/// An engine by name, and the server that belongs to it.
pub async fn server(engine: &str) -> anyhow::Result<(Engine, Option<Cluster>)> {
    if engine == "sqlite" {
        return Ok((Engine::Sqlite, None));
    }
    let (cluster, url) = tokio::task::spawn_blocking(|| {
        let cluster = Cluster::shared()?;
        let url = cluster.fresh_url("process")?;
        anyhow::Ok((cluster, url))
    })
    .await??;
    Ok((Engine::Postgres { url }, Some(cluster)))
}

/// A number that whoever runs the tests by hand may set.
pub fn number(variable: &str) -> anyhow::Result<Option<u64>> {
    Ok(std::env::var(variable).ok().map(|text| text.parse()).transpose()?)
}

/// A running `shixun`; killed if it is dropped.
pub struct Process(Child);

impl Process {
    /// Starts it.
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        // Whoever is cut off says so in warnings: that is what these tests are about.
        command.env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "error".to_owned()));
        Ok(Self(command.stdin(Stdio::null()).spawn().context("starting shixun")?))
    }

    /// Starts it with its output in a file.
    pub fn start_into(mut command: Command, output: File) -> anyhow::Result<Self> {
        command.stdout(output);
        Self::start(command)
    }

    /// An error if it has ended.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.0.try_wait()? {
            None => Ok(()),
            Some(status) => anyhow::bail!("shixun ended by itself: {status}"),
        }
    }

    /// `kill -9`; an error if it had ended before.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.check()?;
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    /// SIGTERM.
    pub fn terminate(&mut self) -> anyhow::Result<()> {
        self.check()?;
        let status = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &self.0.id().to_string()]).status()?;
        anyhow::ensure!(status.success(), "kill: {status}");
        Ok(())
    }

    /// How it ends, within a time.
    pub async fn ended(&mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        let ended = async {
            loop {
                if let Some(status) = self.0.try_wait()? {
                    return Ok(status);
                }
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(within, ended).await.with_context(|| format!("still there after {within:?}"))?
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
