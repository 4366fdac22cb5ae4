//! PostgreSQL as production keeps it available: a primary and two standbys under Patroni, which agree through etcd on who is the
//! primary. A commit is acknowledged when a standby has it on its disk, too, and is refused rather than acknowledged by one disk alone.
//!
//! The programs are the installed ones (`patroni`, `etcd`), or those that `tests/run` has unpacked. Everything works in a folder of
//! its own as an unprivileged user; `keep.sh` ends it with its owner.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    POLLS,
    etcd::Etcd,
    launch::lock_file,
    pause,
    programs::{USER, detach, give, kill, own, programs, psql, random_hex, working_in},
    seat::Seat,
};

const KEEP: &str = include_str!("keep.sh");
/// With two, nothing could be written from the death of one until it is back.
const NODES: usize = 3;
/// Below the ports that the kernel hands out by itself: a node that died finds its own free when it comes back.
const FIRST_PORT: u16 = 10_000;
const LAST_PORT: u16 = 15_000;
/// For a node its server's and Patroni's; etcd's for its clients and its peers.
const PORTS: usize = 2 * NODES + 2;
/// How long an answer of Patroni is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Seconds after which a primary of which nothing is heard is none any more: the least that Patroni advises.
pub const TTL: u32 = 20;
/// Seconds between two looks of a node at what it is to be.
pub const LOOP_WAIT: u32 = 2;
/// Seconds for which a node asks etcd and its PostgreSQL again before it gives up. Twice this and a look must fit into [`TTL`].
pub const RETRY_TIMEOUT: u32 = 5;
/// What a standby waits before it asks another primary for the log (`wal_retrieve_retry_interval`): for so long nothing that the new
/// primary writes is on two disks.
pub const RETRIEVE_RETRY: &str = "500ms";

/// What a node is, as Patroni says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It alone writes.
    Primary,
    /// It has every commit that was acknowledged.
    Synchronous,
    /// It may lag.
    Asynchronous,
}

impl Part {
    const fn path(self) -> &'static str {
        match self {
            Self::Primary => "/primary",
            Self::Synchronous => "/synchronous",
            Self::Asynchronous => "/asynchronous",
        }
    }
}

/// See the module. Its drop ends it.
#[derive(Debug)]
pub struct Patroni {
    bin: PathBuf,
    patroni: PathBuf,
    home: PathBuf,
    password: String,
    nodes: Vec<Node>,
    etcd: Etcd,
    /// `None` only while dropping.
    users: Option<File>,
}

#[derive(Debug)]
struct Node {
    folder: PathBuf,
    server: SocketAddr,
    rest: SocketAddr,
}

impl Patroni {
    /// Starts one in a new folder below `base`, which everyone may enter, and waits for its standbys.
    ///
    /// # Errors
    /// If a program is missing, or something does not start.
    pub fn start_in(base: &Path) -> Result<Self> {
        let (bin, patroni, etcd) = (programs()?, find("patroni")?, find("etcd")?);
        let home = tempfile::Builder::new().prefix("patroni-").tempdir_in(base)?.keep();
        let users = lock_file(&home, "users")?;
        users.lock_shared()?;
        keep(&home)?;
        let mut ports = free_ports()?.into_iter();
        let mut port = || ports.next().map(|port| SocketAddr::from(([127, 0, 0, 1], port))).context("too few ports");
        let (clients, peers) = (port()?, port()?);
        let node = |n| Ok(Node { folder: home.join(format!("node{n}")), server: port()?, rest: port()? });
        let nodes = (1..=NODES).map(node).collect::<Result<_>>()?;
        // From here on its drop clears away.
        let etcd = Etcd::new(etcd, &home, clients, peers)?;
        let cluster = Self { bin, patroni, home, password: random_hex()?, nodes, etcd, users: Some(users) };
        cluster.etcd.run()?;
        for node in &cluster.nodes {
            cluster.configure(node)?;
            cluster.run(node)?;
        }
        cluster.until("a primary and its standbys", || {
            Ok([Part::Primary, Part::Synchronous, Part::Asynchronous]
                .into_iter()
                .all(|part| cluster.find(part).is_some()))
        })?;
        Ok(cluster)
    }

    /// The number of a node that is this. Each is asked by itself, as load balancers do: one that is silent holds nobody up.
    #[must_use]
    pub fn find(&self, part: Part) -> Option<usize> {
        let (told, answers) = mpsc::channel();
        for (number, node) in self.nodes.iter().enumerate() {
            let (rest, told) = (node.rest, told.clone());
            // Whoever has heard enough does not listen any more.
            std::thread::spawn(move || told.send(is(rest, part).then_some(number)));
        }
        drop(told);
        answers.iter().find_map(|number| number)
    }

    /// Where the server of the present primary listens, if there is one.
    #[must_use]
    pub fn primary(&self) -> Option<SocketAddr> {
        self.nodes.get(self.find(Part::Primary)?).map(|node| node.server)
    }

    /// The URL of a database of the present primary.
    ///
    /// # Errors
    /// If there is none.
    pub fn url(&self, database: &str) -> Result<String> {
        Ok(self.seat(self.primary().context("no primary")?).url(database))
    }

    /// Runs SQL as the superuser in a database of the present primary; the rows, unaligned, one a line.
    ///
    /// # Errors
    /// If there is no primary, or it refuses.
    pub fn sql_in(&self, database: &str, text: &str) -> Result<String> {
        psql(&self.bin, &self.seat(self.primary().context("no primary")?), database, text)
    }

    /// Kills a node, Patroni and PostgreSQL, with -9, as when its machine dies. It stays away until [`Self::revive`].
    ///
    /// # Errors
    /// If nothing of it ran.
    pub fn kill(&self, node: usize) -> Result<()> {
        let folder = &self.node(node)?.folder;
        let mut processes = working_in(folder)?;
        ensure!(!processes.is_empty(), "the node does not run");
        // What was just being started is found by the next look.
        while !processes.is_empty() {
            kill("KILL", &processes)?;
            pause();
            processes = working_in(folder)?;
        }
        Ok(())
    }

    /// Starts a node that was killed, and waits until it is a standby.
    ///
    /// # Errors
    /// If it does not become one.
    pub fn revive(&self, node: usize) -> Result<()> {
        let node = self.node(node)?;
        self.run(node)?;
        self.until_standby(node)
    }

    fn until_standby(&self, node: &Node) -> Result<()> {
        // It may say so before it follows: what it has alone is taken away first.
        let follows = format!(
            "SELECT count(*) FROM pg_stat_replication WHERE application_name = '{}' AND state = 'streaming'",
            node.name()?
        );
        self.until("the node as a standby", || {
            let says = [Part::Synchronous, Part::Asynchronous].into_iter().any(|part| is(node.rest, part));
            Ok(says && self.sql_in("postgres", &follows).is_ok_and(|count| count == "1"))
        })
    }

    /// Stops a node where it stands (SIGSTOP), Patroni and PostgreSQL: its connections stay, and nothing answers.
    ///
    /// # Errors
    /// If nothing of it ran.
    pub fn freeze(&self, node: usize) -> Result<()> {
        let folder = &self.node(node)?.folder;
        let mut stopped = Vec::new();
        loop {
            let processes = working_in(folder)?;
            // What was just being started is found by the next look.
            if processes.iter().all(|process| stopped.contains(process)) {
                ensure!(!stopped.is_empty(), "the node does not run");
                return Ok(());
            }
            kill("STOP", &processes)?;
            stopped = processes;
        }
    }

    /// Lets a node go on that was frozen, and waits until it is a standby.
    ///
    /// # Errors
    /// If it does not become one.
    pub fn thaw(&self, node: usize) -> Result<()> {
        let node = self.node(node)?;
        kill("CONT", &working_in(&node.folder)?)?;
        self.until_standby(node)
    }

    /// Runs SQL as the superuser on a node, whatever it is.
    ///
    /// # Errors
    /// If it refuses.
    pub fn sql_on(&self, node: usize, database: &str, text: &str) -> Result<String> {
        psql(&self.bin, &self.seat(self.node(node)?.server), database, text)
    }

    /// Kills etcd with -9: nobody can be told who the primary is. It stays away until [`Self::regain_etcd`].
    ///
    /// # Errors
    /// If it did not run.
    pub fn lose_etcd(&self) -> Result<()> {
        self.etcd.kill()
    }

    /// Starts etcd again, with what it knew.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn regain_etcd(&self) -> Result<()> {
        self.etcd.run()
    }

    fn node(&self, node: usize) -> Result<&Node> {
        self.nodes.get(node).context("no such node")
    }

    fn seat(&self, server: SocketAddr) -> Seat {
        Seat { home: self.home.clone(), port: server.port(), password: self.password.clone() }
    }

    fn until(&self, what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
        for _ in 0..POLLS {
            if done()? {
                return Ok(());
            }
            pause();
        }
        let mut told = format!("not there: {what}");
        for log in ["etcd", "node1", "node2", "node3"] {
            let text = fs::read_to_string(self.home.join(format!("{log}.log"))).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines.get(lines.len().saturating_sub(20)..).unwrap_or_default();
            told += &format!("\n{log}:\n{}", last.join("\n"));
        }
        bail!(told)
    }

    fn configure(&self, node: &Node) -> Result<()> {
        own(&node.folder)?;
        let etcd = self.etcd.clients;
        let (folder, bin, password) = (node.folder.display(), self.bin.display(), &self.password);
        let name = node.name()?;
        let (server, rest) = (node.server, node.rest);
        let text = format!(
            "\
scope: shixun
name: {name}
restapi: {{listen: '{rest}', connect_address: '{rest}'}}
etcd3: {{host: '{etcd}'}}
bootstrap:
  dcs:
    ttl: {TTL}
    loop_wait: {LOOP_WAIT}
    retry_timeout: {RETRY_TIMEOUT}
    synchronous_mode: true
    synchronous_mode_strict: true
    failsafe_mode: true
    postgresql:
      use_pg_rewind: true
      parameters: {{max_connections: 300, wal_retrieve_retry_interval: {RETRIEVE_RETRY}}}
  initdb: [{{encoding: UTF8}}, {{locale: C.UTF-8}}, no-sync]
postgresql:
  listen: '{server}'
  connect_address: '{server}'
  data_dir: '{folder}/data'
  bin_dir: '{bin}'
  pgpass: '{folder}/pgpass'
  basebackup: [{{checkpoint: fast}}, no-sync]
  pg_hba: ['host all all 127.0.0.1/32 password', 'host replication all 127.0.0.1/32 password']
  parameters: {{unix_socket_directories: ''}}
  authentication:
    superuser: {{username: {USER}, password: '{password}'}}
    replication: {{username: standby, password: '{password}'}}
"
        );
        let path = node.folder.join("patroni.yml");
        File::options().write(true).create_new(true).mode(0o600).open(&path)?.write_all(text.as_bytes())?;
        give(&path)
    }

    fn run(&self, node: &Node) -> Result<()> {
        detach(&node.folder, &self.patroni, &[node.folder.join("patroni.yml").display().to_string()])
    }
}

impl Drop for Patroni {
    fn drop(&mut self) {
        drop(self.users.take());
        for _ in 0..POLLS {
            // Its folder goes in its own time, after the last process.
            if working_in(&self.home).is_ok_and(|processes| processes.is_empty()) {
                return;
            }
            pause();
        }
    }
}

impl Node {
    fn name(&self) -> Result<&str> {
        self.folder.file_name().and_then(|name| name.to_str()).context("a node without a name")
    }
}

/// Whether the Patroni at `rest` says that its node is this: by HTTP's status, as load balancers ask.
fn is(rest: SocketAddr, part: Part) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut connection = TcpStream::connect_timeout(&rest, PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        write!(connection, "OPTIONS {} HTTP/1.0\r\n\r\n", part.path())?;
        let mut answer = String::new();
        connection.take(64).read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.split(' ').nth(1) == Some("200"))
}

/// A program of the search path, or one that `tests/run` has unpacked.
fn find(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/patroni/bin");
    let mut candidates = std::env::split_paths(&path).chain([unpacked]).map(|folder| folder.join(name));
    let found = candidates.find(|program| program.is_file());
    let found = found.with_context(|| {
        format!("{name} was not found: tests/run unpacks it from Debian's package; elsewhere install Patroni and etcd")
    })?;
    Ok(found.canonicalize()?)
}

/// Starts what ends everything with its owner.
fn keep(home: &Path) -> Result<()> {
    let mut command = Command::new("setsid");
    command.args(["--fork", "sh", "-c", KEEP]).env("home", home);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().context("run setsid")?;
    ensure!(status.success(), "setsid: {status}");
    give(home)
}

fn free_ports() -> Result<Vec<u16>> {
    let span = usize::from(LAST_PORT - FIRST_PORT) / PORTS;
    let first = FIRST_PORT + u16::try_from(std::process::id() as usize % span * PORTS)?;
    let free =
        (first..LAST_PORT).chain(FIRST_PORT..first).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    Ok(free.take(PORTS).collect())
}
