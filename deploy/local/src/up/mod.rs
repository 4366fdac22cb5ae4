//! `shixun up`: the whole system in one process, with the sample county in it, standing at the first selection morning.

mod banner;
pub mod bare;
mod engine;
mod reach;
pub mod secrets;
pub mod setup;
mod system;

use std::{net::SocketAddr, path::PathBuf};

pub use engine::Engine;
pub use reach::Reach;
pub use system::{Detours, Launch, SERVICES, System};

use crate::{
    data_folder::{DataFolder, Purpose, Wish},
    people::County,
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
    /// Listen at an address that others reach, although everything, passwords too, is in the clear.
    #[arg(long)]
    pub plaintext: bool,
    /// The term is played up to this instant, e.g. 2019-08-26T09:00:00+08:00. Default: 09:00 on the first day of the first
    /// selection window. What is in a folder already stays as it was played.
    #[arg(long)]
    pub at: Option<jiff::Timestamp>,
    /// Folder of another term. Default: the term of the data folder, the sample in a new one.
    #[arg(long)]
    pub term: Option<PathBuf>,
    /// How many teachers the county has. Default: as many as in the folder, 12000 in a new one.
    #[arg(long)]
    pub teachers: Option<u32>,
    /// Seed of the county. Default: that of the folder, 1 in a new one.
    #[arg(long)]
    pub seed: Option<u64>,
}

/// In the clear nothing leaves the machine, unless it is asked for.
///
/// # Errors
/// If others reach the address, and it was not.
fn in_the_clear(listen: SocketAddr, plaintext: bool) -> anyhow::Result<()> {
    anyhow::ensure!(
        plaintext || listen.ip().is_loopback(),
        "--listen {listen}：其他机器可访问此地址，而连接（包括密码）不加密：请改用 127.0.0.1，或加上 --plaintext\n\
         --listen {listen}: other machines reach this address, and nothing is encrypted, passwords included: use 127.0.0.1, or \
         add --plaintext"
    );
    Ok(())
}

/// Runs until SIGTERM or SIGINT. On a folder whose setting up was interrupted it goes on with that.
///
/// # Errors
/// If the folder holds something else, or the system cannot be started or set up.
pub async fn run(options: UpOptions) -> anyhow::Result<()> {
    let stop = chassis::cli::until_signal()?;
    in_the_clear(options.listen, options.plaintext)?;
    let progress = Progress::visible();
    let data = DataFolder::of(&options.data);
    let named = data.term(options.term.as_deref())?;
    let _held = data.hold()?;
    let wish = Wish {
        purpose: Purpose::Up,
        term: &named,
        teachers: options.teachers,
        seed: options.seed,
        until: options.at,
        databases: None,
    };
    let holding = data.open(&wish)?;
    let folder = holding.term(named)?;
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
    system.advance(now, true).await?;
    data.mark_ready()?;
    banner::print(&system, &county, &folder).await?;
    tokio::select! {
        () = stop.cancelled() => system.stop().await,
        failed = system.failed() => failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_clear_nothing_leaves_the_machine_unasked() {
        for (listen, plaintext, taken) in [
            ("127.0.0.1:7700", false, true),
            ("[::1]:7700", false, true),
            ("0.0.0.0:7700", false, false),
            ("[::]:7700", false, false),
            ("192.0.2.7:7700", false, false),
            ("0.0.0.0:7700", true, true),
        ] {
            let told = in_the_clear(listen.parse().unwrap(), plaintext);
            assert_eq!(told.is_ok(), taken, "{listen} {plaintext}");
            assert!(told.is_ok() || told.is_err_and(|refused| refused.to_string().contains("add --plaintext")));
        }
    }
}
