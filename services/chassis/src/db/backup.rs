//! Copies of embedded databases while they are in use.

use std::{
    fs::File,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use sqlx::{
    Connection as _,
    sqlite::{SqliteConnectOptions, SqliteConnection},
};

/// How long to wait for a writer to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Copies embedded databases (URL, new file) as they all stood at one instant, while their services run: for as long as it takes
/// nobody writes to any of them.
///
/// # Errors
/// A URL that is no SQLite file, a file that is there already, a database that cannot be read.
pub async fn backup(databases: &[(String, PathBuf)]) -> anyhow::Result<()> {
    let mut held = Vec::with_capacity(databases.len());
    for (url, file) in databases {
        let path = url
            .strip_prefix("sqlite:")
            .map(|path| path.trim_start_matches("//"))
            .context("a PostgreSQL server is backed up whole, with its log: see docs/runbooks/restore.md")?;
        anyhow::ensure!(!file.exists(), "{} is there already", file.display());
        let options = SqliteConnectOptions::new().filename(path).busy_timeout(PATIENCE);
        held.push((SqliteConnection::connect_with(&options).await.context(url.clone())?, options, file));
    }
    // From the last of these on nothing moves in any of them: that is the instant.
    for (connection, ..) in &mut held {
        sqlx::query("BEGIN IMMEDIATE").execute(connection).await.context("waiting for a writer to end")?;
    }
    let copies = held.iter().map(|(_, options, file)| copy(options.clone().read_only(true), file));
    let copied = futures::future::try_join_all(copies).await;
    for (mut connection, ..) in held {
        sqlx::query("ROLLBACK").execute(&mut connection).await?;
        connection.close().await?;
    }
    copied.map(|_| ())
}

async fn copy(options: SqliteConnectOptions, file: &Path) -> anyhow::Result<()> {
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let name = file.to_str().context("the file's name is no UTF-8")?;
    sqlx::query("VACUUM INTO $1").bind(name).execute(&mut connection).await.context("copying")?;
    connection.close().await?;
    // Nobody else may read it, and it is on the disk before it is called a backup.
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))?;
    File::open(file)?.sync_all()?;
    Ok(())
}
