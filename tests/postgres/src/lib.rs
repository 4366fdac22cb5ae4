//! Private PostgreSQL clusters for tests.
//!
//! [`Cluster::shared`] is the usual one: one server for the whole test run, a fresh database for each test.
//! [`Cluster::start`] is a server of the test's own, for tests that stop, kill or fill it.
//!
//! The programs are the installed ones (`initdb`, `postgres`, `psql`). Root, which PostgreSQL refuses, is exchanged
//! for an unprivileged user. A server is run by `watch.sh`, which stops it and removes its folder when no process
//! holds the lock on `users` any more: locks go with their process, so this works however that process ends.

use std::fs::{self, File, TryLockError};
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

const USER: &str = "shixun";
const WATCH: &str = include_str!("watch.sh");
/// A port may be taken between finding it free and using it.
const ATTEMPTS: usize = 5;
const POLL: Duration = Duration::from_millis(50);
const POLLS: usize = 1200;
/// A socket's path has about 108 bytes.
const SOCKET_FOLDER_MAX: usize = 80;

/// What a server does at a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// As in production: a commit that was acknowledged survives a crash of the machine.
    Durable,
    /// Commits are not flushed: for tests that do not crash the server.
    Fast,
}

/// A running server. The last user's drop, or end of process, stops it.
#[derive(Debug)]
pub struct Cluster {
    bin: PathBuf,
    seat: Seat,
    /// Where the locks are; of a private cluster, the folder that goes with it.
    state: PathBuf,
    private: bool,
    /// `None` only while dropping.
    users: Option<File>,
}

/// Where a server sits.
#[derive(Debug, Clone)]
struct Seat {
    home: PathBuf,
    port: u16,
    password: String,
}

impl Cluster {
    /// A server of the caller's own, durable, stopped and removed on drop.
    pub fn start() -> Result<Self> {
        Self::start_with(Durability::Durable)
    }

    /// A server of the caller's own, stopped and removed on drop.
    pub fn start_with(durability: Durability) -> Result<Self> {
        Self::start_in(&std::env::temp_dir(), durability)
    }

    /// The same, its data in a new folder below `base`, which everyone may enter: to be on the disk that is measured.
    pub fn start_in(base: &Path, durability: Durability) -> Result<Self> {
        let bin = programs()?;
        let state = tempfile::Builder::new().prefix("cluster-").tempdir()?.keep();
        // Not the drop of a TempDir: the folder outlives this process for as long as the server stops.
        let started = launch(&bin, &state, base, true, durability, 0);
        if started.is_err() {
            fs::remove_dir_all(&state).ok();
        }
        let (seat, users) = started?;
        Ok(Self { bin, seat, state, private: true, users: Some(users) })
    }

    /// The run's one server, fast, started by whoever asks first; it stops soon after its last user.
    pub fn shared() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let target = root.join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()));
        // Polls of 0.2 s: a minute bridges the gaps between one test and the next.
        Self::shared_in(&target.join("tmp/postgres"), 300)
    }

    fn shared_in(state: &Path, grace: u32) -> Result<Self> {
        let bin = programs()?;
        fs::create_dir_all(state).with_context(|| format!("create {}", state.display()))?;
        let state = state.canonicalize()?;
        let lock = lock_file(&state, "lock")?;
        lock.lock()?;
        // A run that ended asked for the end of its server; this one needs it.
        fs::remove_file(state.join("stop")).ok();
        if is_alive(&state)? {
            let users = lock_file(&state, "users")?;
            users.lock_shared()?;
            let seat = Seat::read(&state)?;
            match wait_ready(&bin, &state, &seat, true) {
                Ok(()) => {
                    return Ok(Self { bin, seat, state, private: false, users: Some(users) });
                }
                // It was just ending.
                Err(_) if !is_alive(&state)? => {}
                Err(error) => return Err(error),
            }
        }
        // Whatever is here was left by a run that was killed together with its watcher.
        if let Ok(stale) = Seat::read(&state) {
            fs::remove_dir_all(stale.home).ok();
        }
        let (seat, users) = launch(&bin, &state, &std::env::temp_dir(), false, Durability::Fast, grace)?;
        Ok(Self { bin, seat, state, private: false, users: Some(users) })
    }

    /// The URL of a database of this name, which need not exist.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.seat.url(database)
    }

    /// The URL of the database that is always there, for a caller that makes its own.
    #[must_use]
    pub fn admin_url(&self) -> String {
        self.url("postgres")
    }

    /// Creates an empty database, whose name starts with `hint`, and gives its URL.
    pub fn fresh_url(&self, hint: &str) -> Result<String> {
        let hint: String = hint
            .chars()
            .take(40)
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
            .collect();
        let name = format!("{hint}_{}", random_hex()?);
        // Of template0, since nobody can be connected to it and so stand in the way.
        self.sql(&format!("CREATE DATABASE \"{name}\" TEMPLATE template0"))?;
        Ok(self.url(&name))
    }

    /// Where a program of this PostgreSQL is, e.g. "pgbench".
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// The process id of the server; its backends are its children.
    pub fn process(&self) -> Result<u32> {
        let path = self.seat.home.join("data/postmaster.pid");
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let first = text.lines().next().context("an empty postmaster.pid")?;
        first.parse().with_context(|| format!("no process id: {first}"))
    }

    /// Kills the server and its backends with -9, as a crash would, and waits until the watcher has it up again.
    pub fn crash(&self) -> Result<()> {
        let server = self.process()?;
        let again = self.state.join("again");
        // First: the watcher must not take it for an end.
        fs::write(&again, "")?;
        let mut command = Command::new("sh");
        // One that has ended by itself meanwhile is as dead.
        command.args(["-c", "kill -9 \"$@\" 2>/dev/null; true", "kill", &server.to_string()]);
        command.args(children(server)?.iter().map(u32::to_string));
        let status = command.status().context("run kill")?;
        ensure!(status.success(), "kill: {status}");
        let mut polls = 0;
        while self.process().is_ok_and(|now| now == server) {
            ensure!(polls < POLLS, "the server does not come up again: see {}", self.seat.home.join("log").display());
            polls += 1;
            pause();
        }
        wait_ready(&self.bin, &self.state, &self.seat, true)?;
        Ok(fs::remove_file(again)?)
    }

    /// Runs SQL as the superuser in the database `postgres`; the rows, unaligned, one a line.
    pub fn sql(&self, text: &str) -> Result<String> {
        self.sql_in("postgres", text)
    }

    /// The same in another database.
    pub fn sql_in(&self, database: &str, text: &str) -> Result<String> {
        psql(&self.bin, &self.seat, database, text)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.users.take());
        if !self.private {
            return;
        }
        for _ in 0..200 {
            if !self.seat.home.exists() {
                fs::remove_dir_all(&self.state).ok();
                return;
            }
            pause();
        }
    }
}

impl Seat {
    fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// Tells later users of a shared cluster; its folder too, for whoever has to clear it away.
    fn write(&self, state: &Path) -> Result<()> {
        let path = state.join("seat");
        fs::remove_file(&path).ok();
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        let text = format!("{}\n{}\n{}\n", self.port, self.password, self.home.display());
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        Ok(())
    }

    fn read(state: &Path) -> Result<Self> {
        let path = state.join("seat");
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let mut lines = text.lines();
        let (Some(port), Some(password), Some(home)) = (lines.next(), lines.next(), lines.next()) else {
            bail!("{} is incomplete", path.display());
        };
        Ok(Self { port: port.parse()?, password: password.to_owned(), home: PathBuf::from(home) })
    }
}

/// Makes a cluster and starts it under the watcher; the lock that keeps it is taken first.
fn launch(
    bin: &Path,
    state: &Path,
    base: &Path,
    private: bool,
    durability: Durability,
    grace: u32,
) -> Result<(Seat, File)> {
    let users = lock_file(state, "users")?;
    users.lock_shared()?;
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let seat = make(bin, base)?;
        match watch(bin, state, &seat, private, durability, grace).and_then(|()| wait_ready(bin, state, &seat, false)) {
            Ok(()) => return Ok((seat, users)),
            Err(error) => {
                fs::remove_dir_all(&seat.home).ok();
                let port_was_taken = format!("{error:#}").contains("Address already in use");
                last = Some(error);
                if !port_was_taken {
                    break;
                }
            }
        }
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("PostgreSQL was not started")))
}

/// `initdb` in a new folder that belongs to the user who will run the server.
fn make(bin: &Path, base: &Path) -> Result<Seat> {
    let home = tempfile::Builder::new().prefix("postgres-").tempdir_in(base)?.keep();
    let made = (|| {
        let password = random_hex()?;
        let secret = home.join("password");
        fs::write(&secret, &password)?;
        if let Some((user, group)) = stand_in()? {
            for path in [&home, &secret] {
                std::os::unix::fs::chown(path, Some(user), Some(group))?;
            }
        }
        let mut command = unprivileged()?;
        command.arg(bin.join("initdb")).arg("--pgdata").arg(home.join("data")).arg("--pwfile").arg(&secret);
        // A password, since others on the machine can reach the port; in plain, since checking it must cost nothing.
        command.args(["--username", USER, "--auth=password", "--no-sync", "--locale=C.UTF-8", "--encoding=UTF8"]);
        let output = command.current_dir(&home).output().context("run initdb")?;
        ensure!(
            output.status.success(),
            "initdb failed in {}: {}{}",
            home.display(),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        Ok(Seat { home: home.clone(), port, password })
    })();
    if made.is_err() {
        fs::remove_dir_all(&home).ok();
    }
    made
}

fn watch(bin: &Path, state: &Path, seat: &Seat, private: bool, durability: Durability, grace: u32) -> Result<()> {
    seat.write(state)?;
    fs::remove_file(state.join("failed")).ok();
    let sockets = if seat.home.as_os_str().len() > SOCKET_FOLDER_MAX { Path::new("") } else { &seat.home };
    let mut settings = vec![
        format!("port={}", seat.port),
        "listen_addresses=127.0.0.1".to_owned(),
        format!("unix_socket_directories={}", sockets.display()),
        "max_connections=300".to_owned(),
    ];
    if durability == Durability::Fast {
        settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off"].map(str::to_owned));
    }
    let server = unprivileged()?;
    let mut command = Command::new("setsid");
    // Forked into a session of its own: it is nobody's child, and a signal to the test's group does not reach it.
    command.args(["--fork", "sh", "-c", WATCH, "watch"]);
    command.arg(server.get_program()).args(server.get_args());
    command.arg(bin.join("postgres")).arg("-D").arg(seat.home.join("data"));
    for setting in settings {
        command.arg("-c").arg(setting);
    }
    command.env("state", state).env("home", &seat.home).env("grace", grace.to_string());
    command.env("private", if private { "yes" } else { "" });
    // No inherited output: a test runner waits until it is closed.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir(&seat.home);
    let status = command.status().context("run setsid")?;
    ensure!(status.success(), "setsid: {status}");
    Ok(())
}

/// `seen`: whether its watcher was alive already, so that finding it gone means that the server has ended.
fn wait_ready(bin: &Path, state: &Path, seat: &Seat, mut seen: bool) -> Result<()> {
    let mut last = None;
    for _ in 0..POLLS {
        match psql(bin, seat, "postgres", "SELECT 1") {
            Ok(_) => {
                fs::write(seat.home.join("ready"), "")?;
                return Ok(());
            }
            Err(error) => last = Some(error),
        }
        let alive = is_alive(state)?;
        if seen && !alive || state.join("failed").exists() {
            let log = fs::read_to_string(state.join("failed")).unwrap_or_default();
            bail!("PostgreSQL did not start: {log}");
        }
        seen |= alive;
        pause();
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("no answer")).context("PostgreSQL does not answer"))
}

fn psql(bin: &Path, seat: &Seat, database: &str, text: &str) -> Result<String> {
    let mut command = Command::new(bin.join("psql"));
    command.arg(seat.url(database)).args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", text]);
    let output = command.stdin(Stdio::null()).output().context("run psql")?;
    ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

fn children(parent: u32) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let Some(process) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        // One may end while the others are read. The name, in parentheses, may hold anything; the parent stands behind it.
        let Ok(stat) = fs::read_to_string(path.join("stat")) else { continue };
        let fields = stat.rsplit_once(") ").map(|(_, fields)| fields.split(' '));
        if fields.and_then(|mut fields| fields.nth(1)?.parse().ok()) == Some(parent) {
            found.push(process);
        }
    }
    Ok(found)
}

fn is_alive(state: &Path) -> Result<bool> {
    match lock_file(state, "alive")?.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error).context("lock alive"),
    }
}

fn lock_file(state: &Path, name: &str) -> Result<File> {
    let path = state.join(name);
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .with_context(|| format!("open {}", path.display()))
}

/// A command that runs what its further arguments say, not as root, and ends it when its parent is killed.
fn unprivileged() -> Result<Command> {
    let mut command = Command::new("setpriv");
    if let Some((user, group)) = stand_in()? {
        command.args([format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".to_owned()]);
    }
    command.args(["--pdeathsig", "QUIT", "--"]);
    Ok(command)
}

/// Who runs the server in root's place; none if this process is not root's.
fn stand_in() -> Result<Option<(u32, u32)>> {
    if fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let (Some(user), Some(group)) = (id("-u", name)?, id("-g", name)?) {
            return Ok(Some((user, group)));
        }
    }
    bail!("PostgreSQL does not run as root, and there is no user postgres or nobody")
}

fn id(what: &str, name: &str) -> Result<Option<u32>> {
    let output = Command::new("id").args([what, name]).output().context("run id")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse().ok())
}

/// The folder of PostgreSQL's programs: the newest that Debian has, else the search path's.
fn programs() -> Result<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = versions.into_iter().rev().map(|(_, bin)| bin).chain(std::env::split_paths(&path));
    for bin in candidates {
        if ["initdb", "postgres", "psql"].iter().all(|program| bin.join(program).is_file()) {
            return Ok(bin);
        }
    }
    bail!("PostgreSQL's initdb, postgres and psql were not found; on Debian: apt-get install postgresql")
}

fn random_hex() -> Result<String> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}

#[expect(clippy::disallowed_methods, reason = "polls a server in another process, which can wake nobody here")]
fn pause() {
    std::thread::sleep(POLL);
}

#[cfg(test)]
mod tests;
