//! The services as an operator runs them: a process each, with their own command lines.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use shixun::up::SERVICES;

use crate::cpu;

/// How often a process is looked at.
const POLL: Duration = Duration::from_millis(5);

/// The services' programs. They are in the binary `load` itself, which is the service by whose name it is called: what is
/// measured is then always built from the same sources, in the same profile, as what measures.
#[derive(Debug, Clone)]
pub struct Programs {
    binary: PathBuf,
}

impl Programs {
    /// Those of this binary `load`.
    ///
    /// # Errors
    /// If it is not there.
    pub fn of(binary: &Path) -> anyhow::Result<Self> {
        Ok(Self { binary: binary.canonicalize().with_context(|| binary.display().to_string())? })
    }

    /// The target folder's place for what the benchmarks write: on the disk that is measured.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn scratch(&self) -> anyhow::Result<PathBuf> {
        let target = self.binary.parent().and_then(Path::parent).context("no target folder")?;
        let scratch = target.join("tmp/load");
        std::fs::create_dir_all(&scratch)?;
        Ok(scratch.canonicalize()?)
    }

    /// Puts the services' names for the binary into a folder.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn install(&self, folder: &Path) -> anyhow::Result<Installed> {
        std::fs::create_dir_all(folder)?;
        for service in SERVICES {
            std::os::unix::fs::symlink(&self.binary, folder.join(service))?;
        }
        Ok(Installed { folder: folder.to_owned(), through: Vec::new() })
    }

    /// Rehearses a term with so many teachers in a process of its own, to its end. How long that took, and the most memory
    /// that it had, in bytes.
    ///
    /// # Errors
    /// If the term did not go as it should.
    pub async fn rehearse(&self, teachers: u32) -> anyhow::Result<(Duration, u64)> {
        let folder = self.scratch()?.join(format!("rehearse-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let program = folder.join(REHEARSE);
        std::os::unix::fs::symlink(&self.binary, &program)?;
        let outcome = measure(Command::new(&program).arg("--teachers").arg(teachers.to_string())).await;
        std::fs::remove_dir_all(&folder)?;
        outcome.context("rehearse")
    }
}

/// Runs a command to its end, quietly: how long it took, and its most resident memory in bytes.
async fn measure(command: &mut Command) -> anyhow::Result<(Duration, u64)> {
    let began = Instant::now();
    let mut child = Process(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?);
    let mut most = 0;
    loop {
        // The kernel keeps the greatest figure itself: only what is reached in the last moment is missed.
        most = most.max(cpu::peak_memory(child.id()).unwrap_or_default());
        if let Some(status) = child.0.try_wait()? {
            anyhow::ensure!(status.success(), "it ended with {status}");
            return Ok((began.elapsed(), most));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The command line of the service by whose name this program was called; `None` if it is called by its own.
#[must_use]
pub fn called_as_service() -> Option<ExitCode> {
    let name = shixun::service::called_by()?;
    if name == REHEARSE { Some(rehearse()) } else { shixun::service::run(&name) }
}

/// The name by which this program is called to rehearse a term.
const REHEARSE: &str = "rehearse";

#[derive(Debug, clap::Parser)]
struct Rehearse {
    #[command(flatten)]
    options: shixun::rehearse::RehearseOptions,
}

/// What `shixun rehearse` does, in a process of its own whose memory can be told.
#[allow(clippy::print_stderr, reason = "the command's own words")]
fn rehearse() -> ExitCode {
    chassis::install_crypto();
    let options = <Rehearse as clap::Parser>::parse().options;
    let run = || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(shixun::rehearse::run(options))
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rehearse: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The services' programs under their names.
#[derive(Debug, Clone)]
pub struct Installed {
    folder: PathBuf,
    through: Vec<String>,
}

impl Installed {
    /// The same, each started by a command that becomes what follows it.
    #[must_use]
    pub fn through(mut self, command: Vec<String>) -> Self {
        self.through = command;
        self
    }

    /// `NAME keygen FOLDER`.
    ///
    /// # Errors
    /// If it fails.
    pub fn keygen(&self, service: &str, folder: &Path) -> anyhow::Result<()> {
        let status =
            Command::new(self.folder.join(service)).arg("keygen").arg(folder).stdout(Stdio::null()).status()?;
        anyhow::ensure!(status.success(), "{service} keygen: {status}");
        Ok(())
    }

    /// `NAME COMMAND --config FILE`, to its end: what it printed.
    ///
    /// # Errors
    /// If it fails.
    pub fn run(&self, service: &str, command: &str, config: &Path) -> anyhow::Result<String> {
        let mut program = Command::new(self.folder.join(service));
        let output = program.arg(command).arg("--config").arg(config).stdin(Stdio::null()).output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "{service} {command}: {}, {told}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// `NAME serve --config FILE`, with these variables; what it says goes to `log`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn serve(
        &self,
        service: &str,
        config: &Path,
        environment: &[(&str, String)],
        log: &Path,
    ) -> anyhow::Result<Process> {
        // Killed with us, however we end. `setpriv` becomes the program itself.
        let mut words = self.through.iter().map(String::as_str).chain(["setpriv", "--pdeathsig", "KILL", "--"]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).arg(self.folder.join(service));
        command.arg("serve").arg("--config").arg(config).envs(environment.iter().map(|(name, value)| (name, value)));
        let log = File::options().create(true).append(true).open(log)?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        Ok(Process(child.with_context(|| format!("starting {service}"))?))
    }
}

/// A running service; killed if it is dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// An error if it has ended.
    ///
    /// # Errors
    /// How it ended.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.0.try_wait()? {
            None => Ok(()),
            Some(status) => anyhow::bail!("it ended by itself: {status}"),
        }
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// If it had ended before.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.check()?;
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    /// Sends it a signal, by its name without "SIG".
    ///
    /// # Errors
    /// If it is not there.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        let process = self.0.id().to_string();
        let status = Command::new("sh").args(["-c", "kill -\"$0\" \"$1\"", name, &process]).status()?;
        anyhow::ensure!(status.success(), "kill: {status}");
        Ok(())
    }

    /// SIGSTOP, and waits until all its threads stand still: on a busy machine one may go on for a moment, and answer.
    ///
    /// # Errors
    /// If it is not there.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal("STOP")?;
        let stands = "while grep -hs ^State: /proc/\"$0\"/task/*/status | grep -qv 'T (stopped)'; do sleep 0.01; done";
        let status = Command::new("sh").args(["-c", stands, &self.0.id().to_string()]).status()?;
        anyhow::ensure!(status.success(), "waiting until it stands still: {status}");
        Ok(())
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// If it had ended before, or fails.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.check()?;
        self.signal("TERM")?;
        loop {
            if let Some(status) = self.0.try_wait()? {
                anyhow::ensure!(status.success(), "it ended with {status}");
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
