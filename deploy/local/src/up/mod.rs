//! `shixun up`: the whole system in one process, with the sample county in it, standing at the first selection morning.

mod banner;
pub mod bare;
mod engine;
mod reach;
pub mod secrets;
pub mod setup;
mod system;

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Context as _;

pub use engine::Engine;
pub use reach::Reach;
pub use system::{Detours, Launch, SERVICES, System};

use crate::{
    data_folder::{DataFolder, Purpose, Wish},
    people::{County, TermFolder},
    progress::Progress,
    rehearse,
};

/// Options of `shixun up`.
#[derive(Debug, Clone, clap::Args)]
pub struct UpOptions {
    /// Folder of databases and keys; made if it is not there.
    #[arg(long, default_value = "data", env = "SHIXUN_DATA")]
    pub data: PathBuf,
    /// Where the gateway listens.
    #[arg(long, default_value = "127.0.0.1:7700")]
    pub listen: SocketAddr,
    /// The term is played up to this instant, e.g. 2019-08-26T09:00:00+08:00. Default: 09:00 on the first day of the first
    /// selection window.
    #[arg(long)]
    pub at: Option<jiff::Timestamp>,
    /// Folder of another term.
    #[arg(long)]
    pub term: Option<PathBuf>,
    /// How many teachers the county has. Default: as many as in the folder, 12000 in a new one.
    #[arg(long)]
    pub teachers: Option<u32>,
    /// Seed of the county. Default: that of the folder, 1 in a new one.
    #[arg(long)]
    pub seed: Option<u64>,
}

/// The term folder of the options; the sample where none is named.
///
/// # Errors
/// A fault of its documents.
pub fn folder(term: Option<&PathBuf>) -> anyhow::Result<TermFolder> {
    match term {
        Some(folder) => TermFolder::read(folder).with_context(|| format!("the term in {}", folder.display())),
        None => TermFolder::sample(),
    }
}

/// Runs until SIGTERM or SIGINT. On a folder whose setting up was interrupted it goes on with that.
///
/// # Errors
/// If the folder holds something else, or the system cannot be started or set up.
pub async fn run(options: UpOptions) -> anyhow::Result<()> {
    let stop = chassis::cli::until_signal()?;
    let folder = folder(options.term.as_ref())?;
    let progress = Progress::visible();
    let data = DataFolder::of(&options.data);
    let wish = Wish {
        purpose: Purpose::Up,
        term: &folder,
        teachers: options.teachers,
        seed: options.seed,
        until: options.at,
        databases: None,
    };
    let holding = data.open(&wish)?;
    let county = County::generate(holding.seed, holding.teachers, &folder);
    let launch = Launch {
        data: options.data,
        listen: options.listen,
        engine: Engine::Sqlite,
        begin: rehearse::before_the_term(&folder)?,
        durable: true,
        operator: (setup::OPERATOR.to_owned(), county.password.clone()),
    };
    let mut system = System::start(launch).await?;
    let now = if data.is_ready() {
        system.status("gateway").await?.now.map_or(0, |now| proto::instant(&now))
    } else {
        let journal = data.journal()?;
        let played = tokio::select! {
            played = rehearse::play_until(&system, &county, &folder, holding.until, progress, journal) => Some(played),
            () = stop.cancelled() => None,
        };
        let Some(played) = played else { return system.stop().await };
        played?
    };
    let to = options.at.map_or(now, |at| at.as_microsecond().max(now));
    system.advance(to, true).await?;
    data.mark_ready()?;
    banner::print(&system, &county, &folder).await?;
    tokio::select! {
        () = stop.cancelled() => system.stop().await,
        failed = system.failed() => failed,
    }
}
