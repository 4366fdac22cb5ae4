//! Databases of a rehearsal's own on a PostgreSQL server, so that the same server can be named again and nobody else's
//! databases are touched: dropped after it, unless there is a data folder to which they belong.

use anyhow::Context as _;
use chassis::Env;
use sqlx::{
    AssertSqlSafe, Connection as _,
    postgres::{PgConnectOptions, PgConnection},
};

use crate::up::SERVICES;

/// The databases of one rehearsal.
pub struct Databases {
    server: String,
    base: String,
    /// A session under their name, which ends with the process: while it is there, nobody takes them for left behind.
    alive: PgConnection,
}

/// What the names of databases begin with that are dropped after their rehearsal.
const TEMPORARY: &str = "rehearsal_temporary_";

/// A name for the databases of a new rehearsal, that nobody else has; `kept` with a data folder, or dropped after it.
///
/// # Errors
/// If the machine has no randomness.
pub fn new_name(kept: bool) -> anyhow::Result<String> {
    let prefix = if kept { "rehearsal_" } else { TEMPORARY };
    Ok(format!("{prefix}{}", hex::encode(Env::system().random::<4>()?)))
}

/// Temporary databases of this user's that no living rehearsal and no service has a session for.
const LEFT_BEHIND: &str = "
    SELECT d.datname FROM pg_database d
    WHERE d.datname ~ '^rehearsal_temporary_[0-9a-f]+$' AND pg_get_userbyid(d.datdba) = current_user
      AND NOT EXISTS (SELECT 1 FROM pg_stat_activity a
                      WHERE a.application_name = d.datname OR a.datname = d.datname
                         OR starts_with(a.datname, d.datname || '_'))";

impl Databases {
    /// Makes the database after which the system names those of the services, if it is not there from before; and drops
    /// temporary ones whose rehearsals were killed.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses.
    pub async fn make(url: &str, base: &str) -> anyhow::Result<Self> {
        let options: PgConnectOptions = url.parse().context("--database-url")?;
        // Before the database is there: it never is without its session.
        let alive = PgConnection::connect_with(&options.application_name(base)).await;
        let alive = alive.context("connecting to --database-url")?;
        let databases = Self { server: url.to_owned(), base: base.to_owned(), alive };
        let mut connection = databases.connect().await?;
        for left in sqlx::query_scalar::<_, String>(LEFT_BEHIND).fetch_all(&mut connection).await? {
            databases.drop_all(&left).await?;
        }
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
        self.drop_all(&self.base).await?;
        Ok(self.alive.close().await?)
    }

    /// Their own last: by it they are found again if this is interrupted.
    async fn drop_all(&self, base: &str) -> anyhow::Result<()> {
        for service in SERVICES {
            self.run(&format!("DROP DATABASE IF EXISTS {base}_{service} WITH (FORCE)")).await?;
        }
        self.run(&format!("DROP DATABASE IF EXISTS {base} WITH (FORCE)")).await
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

#[cfg(test)]
mod tests {
    use cluster::Cluster;

    use super::*;

    async fn known(databases: &Databases, name: &str) -> bool {
        let mut connection = databases.connect().await.unwrap();
        let found = sqlx::query("SELECT 1 FROM pg_database WHERE datname = $1").bind(name);
        found.fetch_optional(&mut connection).await.unwrap().is_some()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_next_one_drops_what_was_left_behind_and_nothing_that_lives_or_is_kept() {
        let cluster = tokio::task::spawn_blocking(Cluster::shared).await.unwrap().unwrap();
        let url = cluster.admin_url();
        let live = Databases::make(&url, &new_name(false).unwrap()).await.unwrap();
        let kept = Databases::make(&url, &new_name(true).unwrap()).await.unwrap();
        let killed = Databases::make(&url, &new_name(false).unwrap()).await.unwrap();
        killed.run(&format!("CREATE DATABASE {}_roster", killed.base)).await.unwrap();
        let (kept_name, left) = (kept.base.clone(), killed.base.clone());
        // As a kill leaves them: their sessions end, they do not.
        kept.alive.close().await.unwrap();
        killed.alive.close().await.unwrap();
        // The server takes a moment to end a session.
        let next = loop {
            let next = Databases::make(&url, &new_name(false).unwrap()).await.unwrap();
            if !known(&next, &left).await {
                break next;
            }
            next.drop().await.unwrap();
        };
        assert!(!known(&next, &format!("{left}_roster")).await);
        assert!(known(&next, &live.base).await && known(&next, &kept_name).await && known(&next, &next.base).await);
        next.drop_all(&kept_name).await.unwrap();
        live.drop().await.unwrap();
        next.drop().await.unwrap();
    }
}
