//! The command `shixun rehearse`.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

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
    /// Folder of another term. Default: the term of the data folder, the sample in a new one.
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
    let server = server(&options)?;
    let data = options.data.as_deref().map(DataFolder::of);
    let named = match &data {
        Some(data) => data.term(options.term.as_deref())?,
        None => options.term.as_deref().map_or_else(TermFolder::sample, TermFolder::read)?,
    };
    // Whatever cannot be is found before the play, not after it.
    let report = options.report.as_deref().map(ReportFile::open).transpose()?;
    let _held = data.as_ref().map(DataFolder::hold).transpose()?;
    let temporary = Temporary::make_in(&std::env::temp_dir())?;
    let name = server.map(|_| databases::new_name(data.is_some())).transpose()?;
    let wish = Wish {
        purpose: Purpose::Rehearse,
        term: &named,
        teachers: options.teachers,
        seed: options.seed,
        until: None,
        databases: name.as_deref(),
    };
    let holding = match &data {
        Some(data) => data.open(&wish)?,
        None => wish.holding()?,
    };
    let folder = holding.term(named)?;
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
    let Some(played) = played? else {
        let goes_on = data.is_some().then_some("；用同一命令继续 / interrupted; the same command goes on with it");
        anyhow::bail!("演练已中断{}", goes_on.unwrap_or(" / interrupted"));
    };

    println!("{}", played.tables());
    let json = serde_json::to_string_pretty(&played)? + "\n";
    if let Some(report) = report {
        report.write(&json)?;
    }
    if let Some(data) = data {
        data.keep_report(&json)?;
        data.mark_ready()?;
    }
    anyhow::ensure!(
        played.surprises.is_empty(),
        "the term did not go as it should: {} surprises",
        played.surprises.len()
    );
    Ok(())
}

/// The PostgreSQL server, if it is to be one.
fn server(options: &RehearseOptions) -> anyhow::Result<Option<&str>> {
    match options.engine {
        EngineKind::Postgres => Ok(Some(options.database_url.as_deref().context("--database-url is missing")?)),
        EngineKind::Sqlite => {
            anyhow::ensure!(
                options.database_url.is_none(),
                "指定了 --database-url（或环境变量 SHIXUN_DATABASE_URL），而数据库引擎为 SQLite：请加上 --engine postgres，或去掉该 URL\n\
                 --database-url (or SHIXUN_DATABASE_URL) is given, and the engine is SQLite: add --engine postgres, or leave the \
                 URL out"
            );
            Ok(None)
        }
    }
}

/// Where the report goes. What was there before stays until there is a new one.
struct ReportFile {
    path: PathBuf,
    file: File,
}

impl ReportFile {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("--report: 无法写入 / cannot write {}", path.display()))?;
        Ok(Self { path: path.to_owned(), file })
    }

    fn write(mut self, json: &str) -> anyhow::Result<()> {
        // A pipe or a terminal has no length.
        let regular = self.file.metadata().is_ok_and(|file| file.is_file());
        let emptied = if regular { self.file.set_len(0) } else { Ok(()) };
        let written = emptied.and_then(|()| self.file.write_all(json.as_bytes()));
        written.with_context(|| format!("writing {}", self.path.display()))
    }
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
