//! The command `shixun rehearse`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context as _;

use super::databases::Databases;
use super::play::{before_the_term, play};
use super::report::Report;
use crate::people::{County, TermFolder};
use crate::progress::Progress;
use crate::up::{self, Engine, Launch, Reach, System, setup};

/// What the databases run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum EngineKind {
    /// Files in the data folder.
    Sqlite,
    /// Databases on a PostgreSQL server, one for each service.
    Postgres,
}

/// Options of `shixun rehearse`.
#[derive(Debug, Clone, clap::Args)]
pub struct RehearseOptions {
    /// Also write the report here, as JSON.
    #[arg(long)]
    pub report: Option<PathBuf>,
    /// Folder of another term than the sample.
    #[arg(long)]
    pub term: Option<PathBuf>,
    /// How many teachers the county has.
    #[arg(long, default_value_t = 12_000)]
    pub teachers: u32,
    /// What the county and everything that happens is drawn from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// What the databases run on.
    #[arg(long, value_enum, default_value_t = EngineKind::Sqlite)]
    pub engine: EngineKind,
    /// The PostgreSQL server: postgres://user:password@host:port/database. The rehearsal makes databases of its own there,
    /// one for each service, and drops them at its end.
    #[arg(long, required_if_eq("engine", "postgres"), env = "SHIXUN_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Folder of keys and databases, to look at afterwards; must be empty. Default: a temporary one.
    #[arg(long)]
    pub data: Option<PathBuf>,
}

/// Plays the term and prints the report.
///
/// # Errors
/// If the system cannot be started or set up, or the term did not go as it should.
#[allow(clippy::print_stdout, reason = "the command's output")]
pub async fn run(options: RehearseOptions) -> anyhow::Result<()> {
    let folder = up::folder(options.term.as_ref())?;
    let progress = Progress::visible();
    let county = County::generate(options.seed, options.teachers, &folder);
    let temporary = tempfile::tempdir().context("making a temporary folder")?;
    if let Some(data) = &options.data {
        let used = std::fs::read_dir(data).is_ok_and(|mut files| files.next().is_some());
        anyhow::ensure!(!used, "{} is not empty: a rehearsal begins with nothing", data.display());
    }
    let databases = match (options.engine, &options.database_url) {
        (EngineKind::Sqlite, _) => None,
        (EngineKind::Postgres, url) => Some(Databases::make(url.as_ref().context("--database-url is missing")?).await?),
    };
    let engine = match &databases {
        None => Engine::Sqlite,
        Some(databases) => Engine::Postgres { url: databases.url()? },
    };
    let launch = Launch {
        data: options.data.clone().unwrap_or_else(|| temporary.path().to_owned()),
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        engine,
        begin: before_the_term(&folder)?,
        // What is thrown away need not outlive a power cut.
        durable: options.data.is_some(),
        operator: (setup::OPERATOR.to_owned(), county.password.clone()),
    };
    let played = rehearse(launch, &county, &folder, progress).await;
    if let Some(databases) = databases {
        databases.drop().await?;
    }
    let report = played?;

    println!("{}", report.tables());
    if let Some(path) = options.report {
        let json = serde_json::to_string_pretty(&report)?;
        std::fs::write(&path, json + "\n").with_context(|| format!("writing {}", path.display()))?;
    }
    anyhow::ensure!(
        report.surprises.is_empty(),
        "the term did not go as it should: {} surprises",
        report.surprises.len()
    );
    Ok(())
}

async fn rehearse(launch: Launch, county: &County, folder: &TermFolder, progress: Progress) -> anyhow::Result<Report> {
    let system = System::start(launch).await?;
    setup::county(&system, county, folder, &progress).await?;
    let reach: &Reach = &system;
    let report = play(reach, county, folder, progress).await?;
    system.stop().await?;
    Ok(report)
}
