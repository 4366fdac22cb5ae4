//! PostgreSQL's programs: where they are, who runs them, and the processes that come of it.

use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::seat::Seat;

/// The superuser of every cluster.
pub(crate) const USER: &str = "shixun";

pub(crate) fn psql(bin: &Path, seat: &Seat, database: &str, text: &str) -> Result<String> {
    let mut command = Command::new(bin.join("psql"));
    command.arg(seat.url(database)).args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", text]);
    let output = command.stdin(Stdio::null()).output().context("run psql")?;
    ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

pub(crate) fn children(parent: u32) -> Result<Vec<u32>> {
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

/// Sends a signal to processes; one that has ended by itself meanwhile needs none.
pub(crate) fn kill(signal: &str, processes: &[u32]) -> Result<()> {
    let mut command = Command::new("sh");
    command.args(["-c", "signal=$1; shift; kill -\"$signal\" \"$@\" 2>/dev/null; true", "kill", signal]);
    let status = command.args(processes.iter().map(u32::to_string)).status().context("run kill")?;
    ensure!(status.success(), "kill: {status}");
    Ok(())
}

/// A command that runs what its further arguments say, not as root, and ends it when its parent is killed.
pub(crate) fn unprivileged() -> Result<Command> {
    let mut command = as_user()?;
    command.args(["--pdeathsig", "QUIT", "--"]);
    Ok(command)
}

/// A command that runs what its further arguments say, not as root.
pub(crate) fn as_user() -> Result<Command> {
    let mut command = Command::new("setpriv");
    if let Some((user, group)) = stand_in()? {
        command.args([format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".to_owned()]);
    }
    Ok(command)
}

/// Who runs the server in root's place; none if this process is not root's.
pub(crate) fn stand_in() -> Result<Option<(u32, u32)>> {
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
pub(crate) fn programs() -> Result<PathBuf> {
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

pub(crate) fn random_hex() -> Result<String> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}

/// Starts a program that works in `folder`, as nobody's child; what it says goes to the folder's log.
pub(crate) fn detach(folder: &Path, program: &Path, arguments: &[String]) -> Result<()> {
    let log = File::options().create(true).append(true).open(folder.with_extension("log"))?;
    let user = as_user()?;
    let mut command = Command::new("setsid");
    command.arg("--fork").arg(user.get_program()).args(user.get_args()).arg("--").arg(program).args(arguments);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).current_dir(folder);
    let status = command.status().with_context(|| format!("run {}", program.display()))?;
    ensure!(status.success(), "setsid: {status}");
    Ok(())
}

/// A new folder that belongs to whoever runs the servers.
pub(crate) fn own(folder: &Path) -> Result<()> {
    fs::create_dir(folder)?;
    give(folder)
}

pub(crate) fn give(path: &Path) -> Result<()> {
    if let Some((user, group)) = stand_in()? {
        chown(path, Some(user), Some(group))?;
    }
    Ok(())
}

/// The processes whose working directory is `folder` or below it.
pub(crate) fn working_in(folder: &Path) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let Some(process) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        // One may end while the others are read, and others' cannot be read.
        if fs::read_link(path.join("cwd")).is_ok_and(|works| works.starts_with(folder)) {
            found.push(process);
        }
    }
    Ok(found)
}
