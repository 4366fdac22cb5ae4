//! The command `shixun rehearse`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context as _;
use chassis::CancellationToken;

use super::databases::{self, Databases};
use super::journal::Journal;
use super::play::{before_the_term, play_on};
use super::report::Report;
use super::temporary::Temporary;
use crate::data_folder::{DataFolder, Purpose, Wish};
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
    /// How many teachers the county has. Default: 12000.
    #[arg(long)]
    pub teachers: Option<u32>,
    /// What the county and everything that happens is drawn from. Default: 1.
    #[arg(long)]
    pub seed: Option<u64>,
    /// What the databases run on.
    #[arg(long, value_enum, default_value_t = EngineKind::Sqlite)]
    pub engine: EngineKind,
    /// The PostgreSQL server: postgres://user:password@host:port/database. The rehearsal makes databases of its own there,
    /// one for each service, and drops them at its end unless there is a --data folder. With a password in it: by the variable.
    #[arg(
        long,
        required_if_eq("engine", "postgres"),
        env = "SHIXUN_DATABASE_URL",
        hide_env_values = true,
        value_parser = up::secrets::unseen_url
    )]
    pub database_url: Option<String>,
    /// Folder of keys, databases and the report, to look at afterwards with `shixun up --data`; must be empty, or hold a
    /// rehearsal that was interrupted and goes on. Default: a temporary one.
    #[arg(long)]
    pub data: Option<PathBuf>,
}

/// Plays the term and prints the report.
///
/// # Errors
/// If the folder holds something else, the system cannot be started or set up, or the term did not go as it should.
#[allow(clippy::print_stdout, reason = "the command's output")]
pub async fn run(options: RehearseOptions) -> anyhow::Result<()> {
    let stop = chassis::cli::until_signal()?;
    let folder = up::folder(options.term.as_ref())?;
    let temporary = Temporary::make_in(&std::env::temp_dir())?;
    let data = options.data.as_deref().map(DataFolder::of);
    let server = match options.engine {
        EngineKind::Sqlite => None,
        EngineKind::Postgres => Some(options.database_url.as_deref().context("--database-url is missing")?),
    };
    let name = server.map(|_| databases::new_name(data.is_some())).transpose()?;
    let wish = Wish {
        purpose: Purpose::Rehearse,
        term: &folder,
        teachers: options.teachers,
        seed: options.seed,
        until: None,
        databases: name.as_deref(),
    };
    let holding = match &data {
        Some(data) => data.open(&wish)?,
        None => wish.holding(),
    };
    let county = County::generate(holding.seed, holding.teachers, &folder);
    let databases = match server.zip(holding.databases.as_deref()) {
        Some((server, name)) => Some(Databases::make(server, name).await?),
        None => None,
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
        durable: data.is_some(),
        operator: (setup::OPERATOR.to_owned(), county.password.clone()),
    };
    let journal = data.as_ref().map(DataFolder::journal).transpose()?.unwrap_or_default();
    let played = rehearse(launch, &county, &folder, journal, &stop).await;
    if let Some(databases) = databases
        && data.is_none()
    {
        databases.drop().await?;
    }
    let Some(report) = played? else {
        let goes_on = data.is_some().then_some("；用同一命令继续 / interrupted; the same command goes on with it");
        anyhow::bail!("演练已中断{}", goes_on.unwrap_or(" / interrupted"));
    };

    println!("{}", report.tables());
    let json = serde_json::to_string_pretty(&report)? + "\n";
    if let Some(path) = options.report {
        std::fs::write(&path, &json).with_context(|| format!("writing {}", path.display()))?;
    }
    if let Some(data) = data {
        data.keep_report(&json)?;
        data.mark_ready()?;
    }
    anyhow::ensure!(
        report.surprises.is_empty(),
        "the term did not go as it should: {} surprises",
        report.surprises.len()
    );
    Ok(())
}

/// The report; none if it was told to stop.
async fn rehearse(
    launch: Launch,
    county: &County,
    folder: &TermFolder,
    journal: Journal,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Report>> {
    let system = System::start(launch).await?;
    let progress = Progress::visible();
    let reach: &Reach = &system;
    let playing = async {
        if journal.is_new() {
            setup::county(reach, county, folder, &progress).await?;
        }
        play_on(reach, county, folder, progress, journal).await
    };
    let played = tokio::select! {
        played = playing => Some(played),
        () = stop.cancelled() => None,
    };
    system.stop().await?;
    played.transpose()
}
