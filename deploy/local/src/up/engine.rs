//! What the databases run on: files in the data folder, or databases of our own on a PostgreSQL server.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sqlx::{Connection as _, Row as _, postgres::PgConnection};

use super::SERVICES;

/// The engine of all five databases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// A file for each service in the data folder.
    Sqlite,
    /// A database for each service on the server of this URL, named after the URL's database and the service.
    Postgres {
        /// "postgres://user:password@host:port/database"
        url: String,
    },
}

impl Engine {
    /// Whether a service has left a database here. What a server holds the services themselves look at.
    #[must_use]
    pub fn holds(&self, data: &Path) -> bool {
        match self {
            Self::Sqlite => SERVICES.iter().any(|service| file(data, service).exists()),
            Self::Postgres { .. } => false,
        }
    }

    /// The URL of a service's database; on PostgreSQL it is made if it is not there.
    ///
    /// # Errors
    /// If the folder cannot be written, or the server refuses.
    pub async fn database(&self, service: &str, data: &Path) -> anyhow::Result<String> {
        match self {
            Self::Sqlite => {
                std::fs::create_dir_all(data).with_context(|| format!("creating {}", data.display()))?;
                Ok(format!("sqlite:{}", file(data, service).display()))
            }
            Self::Postgres { url } => ensure(url, service).await,
        }
    }
}

/// The database of a service that is a file.
fn file(data: &Path, service: &str) -> PathBuf {
    data.join(format!("{service}.db"))
}

async fn ensure(url: &str, service: &str) -> anyhow::Result<String> {
    let (server, base) = url.rsplit_once('/').context("--database-url needs a database, e.g. …/postgres")?;
    let (base, options) = base.split_once('?').map_or((base, String::new()), |(base, rest)| (base, format!("?{rest}")));
    let name = format!("{base}_{service}");
    // Names of databases cannot be arguments of a statement.
    anyhow::ensure!(
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
        "--database-url: the database's name may have letters, digits and _ only"
    );
    let mut connection = PgConnection::connect(url).await.context("connecting to --database-url")?;
    let known = sqlx::query("SELECT COUNT(*) AS known FROM pg_database WHERE datname = $1")
        .bind(&name)
        .fetch_one(&mut connection)
        .await?
        .try_get::<i64, _>("known")?;
    if known == 0 {
        let statement = format!("CREATE DATABASE {name}");
        // The name was checked above.
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await?;
    }
    connection.close().await?;
    Ok(format!("{server}/{name}{options}"))
}
