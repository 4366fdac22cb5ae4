//! Private PostgreSQL clusters for tests.
//!
//! [`Cluster::shared`] is the usual one: one server for the whole test run, a fresh database for each test.
//! [`Cluster::start`] is a server of the test's own, for tests that stop, kill or fill it.
//! [`Patroni`] is three servers of which one takes the other's place.
//!
//! The programs are the installed ones (`initdb`, `postgres`, `psql`). Root, which PostgreSQL refuses, is exchanged
//! for an unprivileged user. A server is run by `watch.sh`, which stops it and removes its folder when no process
//! holds the lock on `users` any more: locks go with their process, so this works however that process ends.

mod etcd;
mod launch;
mod patroni;
mod programs;
mod seat;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use launch::{is_alive, launch, lock_file, wait_ready};
use programs::{children, kill, programs, psql, random_hex, stand_in, unprivileged};
use seat::Seat;

pub use patroni::{LOOP_WAIT, Part, Patroni, RETRIEVE_RETRY, RETRY_TIMEOUT, TTL};

const POLL: Duration = Duration::from_millis(50);
const POLLS: usize = 1200;

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
        self.kill(self.process()?)
    }

    /// The server's folder, which is the unprivileged user's: for what must be beside its data.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.seat.home
    }

    /// A new folder in the server's home that the server may write to.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.seat.home.join(name);
        fs::create_dir(&path).with_context(|| format!("create {}", path.display()))?;
        if let Some((user, group)) = stand_in()? {
            std::os::unix::fs::chown(&path, Some(user), Some(group))?;
        }
        Ok(path)
    }

    /// Takes a base backup of the running server into a new folder of its home.
    pub fn base_backup(&self, name: &str) -> Result<PathBuf> {
        let path = self.seat.home.join(name);
        let mut command = unprivileged()?;
        command.arg(self.bin.join("pg_basebackup")).arg("--pgdata").arg(&path);
        command.args(["--wal-method", "stream", "--checkpoint", "fast", "--no-password", "--dbname"]);
        let output =
            command.arg(self.admin_url()).current_dir(&self.seat.home).output().context("run pg_basebackup")?;
        ensure!(output.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&output.stderr));
        Ok(path)
    }

    /// Kills the server, takes the folder `data` of its home in the place of its own, and waits until it is up on that. What it
    /// had is gone, as after a disaster.
    pub fn restore(&self, data: &Path) -> Result<()> {
        let server = self.process()?;
        let own = self.seat.home.join("data");
        // A running server stays in its folder, whatever that is called.
        fs::rename(&own, self.seat.home.join("lost"))?;
        fs::rename(data, &own)?;
        self.kill(server)?;
        let mut polls = 0;
        // It answers while it still reads the archive, and writes only after that.
        while self.sql("SELECT pg_is_in_recovery()")?.trim() != "f" {
            ensure!(
                polls < POLLS,
                "the server does not end its recovery: see {}",
                self.seat.home.join("log").display()
            );
            polls += 1;
            pause();
        }
        fs::remove_dir_all(self.seat.home.join("lost")).context("removing what was lost")
    }

    fn kill(&self, server: u32) -> Result<()> {
        let again = self.state.join("again");
        // First: the watcher must not take it for an end.
        fs::write(&again, "")?;
        let mut processes = children(server)?;
        processes.insert(0, server);
        kill("KILL", &processes)?;
        let mut polls = 0;
        while self.process().is_ok_and(|now| now == server) {
            ensure!(polls < POLLS, "the server does not come up again: see {}", self.seat.home.join("log").display());
            polls += 1;
            pause();
        }
        wait_ready(&self.bin, &self.state, &self.seat, true)?;
        Ok(fs::remove_file(again)?)
    }

    /// Stops the server and its backends where they stand (SIGSTOP), or lets them go on (SIGCONT). One that is dropped must not
    /// be frozen: it would not end.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        let server = self.process()?;
        let signal = if frozen { "STOP" } else { "CONT" };
        // The server first, so that it starts no backend meanwhile.
        kill(signal, &[server])?;
        kill(signal, &children(server)?)
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

#[expect(clippy::disallowed_methods, reason = "polls a server in another process, which can wake nobody here")]
fn pause() {
    std::thread::sleep(POLL);
}
