//! Making a cluster, and starting its server under the watcher.

use std::{
    fs::{self, File, TryLockError},
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    Durability, POLLS, pause,
    programs::{USER, psql, random_hex, stand_in, unprivileged},
    seat::Seat,
};

const WATCH: &str = include_str!("watch.sh");
/// A port may be taken between finding it free and using it.
const ATTEMPTS: usize = 5;
/// A socket's path has about 108 bytes.
const SOCKET_FOLDER_MAX: usize = 80;

/// Makes a cluster and starts it under the watcher; the lock that keeps it is taken first.
pub(crate) fn launch(
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
        // Who waits long for a lock or the disk is found in the log.
        "log_lock_waits=on".to_owned(),
        "log_min_duration_statement=1s".to_owned(),
        // After a kill the whole data folder is brought to the disk: at once, and not thousands of files one after the other.
        "recovery_init_sync_method=syncfs".to_owned(),
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
pub(crate) fn wait_ready(bin: &Path, state: &Path, seat: &Seat, mut seen: bool) -> Result<()> {
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

pub(crate) fn is_alive(state: &Path) -> Result<bool> {
    match lock_file(state, "alive")?.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error).context("lock alive"),
    }
}

pub(crate) fn lock_file(state: &Path, name: &str) -> Result<File> {
    let path = state.join(name);
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .with_context(|| format!("open {}", path.display()))
}
