//! Databases of a rehearsal's own on a PostgreSQL server: made before it, dropped after it, so that the same server can be
//! named again and nobody else's databases are touched.

use anyhow::Context as _;
use chassis::Env;
use sqlx::{AssertSqlSafe, Connection as _, postgres::PgConnection};

use crate::up::SERVICES;

/// The databases of one rehearsal.
pub struct Databases {
    server: String,
    base: String,
}

impl Databases {
    /// Makes the database after which the system names those of the services.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses.
    pub async fn make(url: &str) -> anyhow::Result<Self> {
        let id = hex::encode(Env::system().random::<4>()?);
        let databases = Self { server: url.to_owned(), base: format!("rehearsal_{id}") };
        databases.run(&format!("CREATE DATABASE {}", databases.base)).await?;
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

    async fn run(&self, statement: &str) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(&self.server).await.context("connecting to --database-url")?;
        // Made of names of our own only.
        sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }
}
