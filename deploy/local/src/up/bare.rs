//! `shixun system`: the five services without a county, on a virtual clock; `addresses.toml` in the data folder tells where
//! they listen. Tests kill it and start it again; a term of your own can be set up in it.

use std::{net::SocketAddr, path::PathBuf};

use super::{Engine, Launch, System, in_the_clear, secrets, setup};
use crate::data_folder::DataFolder;

/// Options of `shixun system`.
#[derive(Debug, Clone, clap::Args)]
pub struct BareOptions {
    /// Folder of keys, and of databases where they are files.
    #[arg(long, default_value = "data", env = "SHIXUN_DATA")]
    pub data: PathBuf,
    /// Where the gateway listens.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Listen at an address that others reach, although everything, passwords too, is in the clear.
    #[arg(long)]
    pub plaintext: bool,
    /// Use the databases of this PostgreSQL server instead of files. With a password in it: by the variable.
    #[arg(long, env = "SHIXUN_DATABASE_URL", hide_env_values = true, value_parser = secrets::unseen_url)]
    pub database_url: Option<String>,
    /// Where the virtual clock begins on an empty data folder, e.g. 2019-06-10T00:00:00Z.
    #[arg(long)]
    pub begin: jiff::Timestamp,
    /// Password of the operator whom an empty roster starts with: by the variable.
    #[arg(long, env = "SHIXUN_OPERATOR_PASSWORD", hide_env_values = true, value_parser = secrets::unseen)]
    pub operator_password: String,
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// If the system cannot be started, or a service ends by itself.
pub async fn run(options: BareOptions) -> anyhow::Result<()> {
    let stop = chassis::cli::until_signal()?;
    in_the_clear(options.listen, options.plaintext)?;
    let _held = DataFolder::of(&options.data).hold()?;
    let engine = options.database_url.map_or(Engine::Sqlite, |url| Engine::Postgres { url });
    let launch = Launch {
        data: options.data,
        listen: options.listen,
        engine,
        begin: options.begin.as_microsecond(),
        durable: true,
        operator: (setup::OPERATOR.to_owned(), options.operator_password),
    };
    let mut system = System::start(launch).await?;
    tokio::select! {
        () = stop.cancelled() => system.stop().await,
        failed = system.failed() => failed,
    }
}
