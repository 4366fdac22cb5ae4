//! Databases of a rehearsal's own on a PostgreSQL server, so that the same server can be named again and nobody else's
//! databases are touched: dropped after it, unless there is a data folder to which they belong.

use anyhow::Context as _;
use chassis::Env;
use sqlx::{AssertSqlSafe, Connection as _, postgres::PgConnection};

use crate::up::SERVICES;

/// The databases of one rehearsal.
pub struct Databases {
    server: String,
    base: String,
}

/// A name for the databases of a new rehearsal, that nobody else has.
///
/// # Errors
/// If the machine has no randomness.
pub fn new_name() -> anyhow::Result<String> {
    Ok(format!("rehearsal_{}", hex::encode(Env::system().random::<4>()?)))
}

impl Databases {
    /// Makes the database after which the system names those of the services, if it is not there from before.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses.
    pub async fn make(url: &str, base: &str) -> anyhow::Result<Self> {
        let databases = Self { server: url.to_owned(), base: base.to_owned() };
        let mut connection = databases.connect().await?;
        let known = sqlx::query("SELECT 1 FROM pg_database WHERE datname = $1").bind(base);
        let known = known.fetch_optional(&mut connection).await?.is_some();
        connection.close().await?;
        if !known {
            databases.run(&format!("CREATE DATABASE {base}")).await?;
        }
        Ok(databases)
    }

    /// The URL of that database.
    ///
    /// # Errors
    /// If the server's URL names no database to begin with.
    pub fn url(&self) -> anyhow::Result<String> {
        let (server, rest) =
            self.server.rsplit_once('/').context("--database-url needs a database, e.g. …/postgres")?;
        let options = rest.split_once('?').map(|(_, options)| format!("?{options}")).unwrap_or_default();
        Ok(format!("{server}/{}{options}", self.base))
    }

    /// Drops them all.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses.
    pub async fn drop(self) -> anyhow::Result<()> {
        for service in SERVICES {
            self.run(&format!("DROP DATABASE IF EXISTS {}_{service} WITH (FORCE)", self.base)).await?;
        }
        self.run(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.base)).await
    }

    async fn connect(&self) -> anyhow::Result<PgConnection> {
        PgConnection::connect(&self.server).await.context("connecting to --database-url")
    }

    async fn run(&self, statement: &str) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        // Made of names of our own only.
        sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }
}
