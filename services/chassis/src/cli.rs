//! The command line of every service: `serve`, `migrate`, `check-config`, `schema`, `verify`, `audit`, `backup`, `keygen`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks to its terminal")]

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{
    audit, changes,
    config::{self, ClockConfig},
    db::{self, Db},
    env::Env,
    identity::{ensure_key, next_key},
    server::{Program, serve},
    telemetry,
};

#[derive(Debug, Parser)]
struct Arguments {
    /// Configuration file (TOML). Environment variables SHIXUN_… override it.
    #[arg(long, env = "SHIXUN_CONFIG", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT.
    Serve,
    /// Bring the database's schema up to date, and end.
    Migrate,
    /// Read and check the configuration, try its files and addresses, and end.
    CheckConfig {
        /// Try no file and no address: of a configuration that is meant for another machine.
        #[arg(long)]
        form_only: bool,
    },
    /// Print what the configuration may hold (JSON Schema, each key with its environment variable), and end.
    Schema,
    /// Check that no change was altered, removed or cut, and end.
    Verify {
        /// What somebody else saw of this feed, as his own `verify` prints it: it must be there. May be repeated.
        #[arg(long = "witness", value_name = "POSITION:CHAIN")]
        witnesses: Vec<changes::Witness>,
    },
    /// Print who read data of other persons and who changed what, a JSON object a line, and end.
    Audit {
        /// What this account did: "accounts/…".
        #[arg(long)]
        account: Option<String>,
        /// What was done about this resource, such as "teachers/…", and what is below it.
        #[arg(long, value_name = "NAME")]
        about: Option<String>,
        /// From this instant on.
        #[arg(long, value_name = "INSTANT")]
        since: Option<jiff::Timestamp>,
        /// Before this instant.
        #[arg(long, value_name = "INSTANT")]
        until: Option<jiff::Timestamp>,
    },
    /// Copy the embedded database into a new file as it stands at one instant, also while it is in use, and end. (To copy several
    /// together: `shixun backup`.)
    Backup {
        /// The new file.
        file: PathBuf,
    },
    /// Make this service's key pair in a folder, unless it is there: `NAME.key` for it alone, `NAME.pub` for every service.
    Keygen {
        /// The folder.
        folder: PathBuf,
        /// Make one more, which is to follow the key that there is: `NAME-ID.key` and `NAME-ID.pub`.
        #[arg(long)]
        next: bool,
    },
}

/// Runs a service's command line.
#[must_use]
pub fn run<P: Program>() -> ExitCode {
    crate::install_crypto();
    match execute::<P>(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error:#}", P::NAME);
            ExitCode::FAILURE
        }
    }
}

fn execute<P: Program>(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.command {
        Command::Keygen { folder, next } => {
            let make = if *next { next_key } else { ensure_key };
            println!("{}", make(folder, P::NAME)?.display());
            return Ok(());
        }
        Command::Schema => {
            // Whoever reads it may stop early.
            writeln!(std::io::stdout(), "{:#}", config::schema_of::<P>())?;
            return Ok(());
        }
        _ => {}
    }
    let config: P::Config = config::read_of::<P>(arguments.config.as_deref()).context("configuration")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        if matches!(arguments.command, Command::Serve | Command::CheckConfig { form_only: false }) {
            config::try_out::<P>(config.as_ref()).await.context("configuration")?;
        }
        // The exporters need the runtime.
        let mut exported = config.as_ref().telemetry.clone();
        if !matches!(arguments.command, Command::Serve) {
            // Beside a server, which has the port.
            exported.prometheus = None;
        }
        let _telemetry = telemetry::start(P::NAME, &exported)?;
        match &arguments.command {
            Command::Serve => {
                let listener = TcpListener::bind(&config.as_ref().listen)
                    .await
                    .with_context(|| format!("listening on {}", config.as_ref().listen))?;
                let env = match config.as_ref().clock {
                    ClockConfig::System => Env::system(),
                    ClockConfig::Rehearsal => Env::rehearsal(0),
                };
                serve::<P>(config, listener, env, until_signal()?).await
            }
            Command::Migrate => {
                let db = Db::open(P::NAME, &config.as_ref().database, Env::system()).await?;
                db.migrate(&P::migrations()).await
            }
            Command::Audit { account, about, since, until } => {
                let wanted = audit::Wanted {
                    account: account.clone(),
                    about: about.clone(),
                    since: since.map_or(i64::MIN, jiff::Timestamp::as_microsecond),
                    until: until.map_or(i64::MAX, jiff::Timestamp::as_microsecond),
                };
                let db = Db::open(P::NAME, &config.as_ref().database, Env::system()).await?;
                db.check_schema(&P::migrations()).await?;
                let mut out = std::io::stdout().lock();
                for act in audit::acts(&db, &wanted).await? {
                    writeln!(out, "{}", serde_json::to_string(&act)?)?;
                }
                Ok(())
            }
            Command::Backup { file } => {
                db::backup(&[(config.as_ref().database.url.clone(), file.clone())]).await?;
                println!("{}: {}", P::NAME, file.display());
                Ok(())
            }
            Command::CheckConfig { .. } => {
                println!("{}: the configuration is in order", P::NAME);
                Ok(())
            }
            // Done above: they need no configuration.
            Command::Keygen { .. } | Command::Schema => Ok(()),
            Command::Verify { witnesses } => {
                let db = Db::open(P::NAME, &config.as_ref().database, Env::system()).await?;
                let head = changes::head_of(&db).await?;
                let found = changes::verify(&db, witnesses).await?;
                if let Some(fault) = found.fault {
                    anyhow::bail!("the feed is broken: {fault}");
                }
                println!("{}: {} batches, {} changes, unbroken", P::NAME, found.batches, found.changes);
                println!("{} --witness {head}", P::NAME);
                for (source, witness) in changes::witnessed(&db).await? {
                    println!("{source} --witness {witness}");
                }
                Ok(())
            }
        }
    })
}

/// A token that SIGTERM or SIGINT cancels.
///
/// # Errors
/// If the process cannot listen to signals.
pub fn until_signal() -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let cancelled = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        cancelled.cancel();
    });
    Ok(token)
}
