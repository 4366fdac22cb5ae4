//! `shixun backup`: the five embedded databases as they stood at one instant (docs/runbooks/restore.md).

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use crate::up::{Engine, SERVICES};

/// A copy of the five embedded databases.
#[derive(Debug, Args)]
pub struct BackupOptions {
    /// Folder of databases and keys.
    #[arg(long, default_value = "data", env = "SHIXUN_DATA")]
    data: PathBuf,
    /// The folder of the copies; made if it is not there. Keys are not copied: keep them elsewhere.
    #[arg(long)]
    out: PathBuf,
}

/// Copies, and says where to.
///
/// # Errors
/// If a database is not there, or a copy is there already.
#[allow(clippy::print_stdout, reason = "the command's own words")]
pub async fn run(options: &BackupOptions) -> anyhow::Result<()> {
    copy(&options.data, &options.out).await?;
    println!("{}", options.out.display());
    Ok(())
}

/// Copies the databases of the folder `data` into `out`, each under its own name.
///
/// # Errors
/// As `run`.
pub async fn copy(data: &Path, out: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("creating {}", out.display()))?;
    let mut databases = Vec::with_capacity(SERVICES.len());
    for service in SERVICES {
        let url = Engine::Sqlite.database(service, data).await?;
        databases.push((url, out.join(format!("{service}.db"))));
    }
    chassis::db::backup(&databases).await
}
