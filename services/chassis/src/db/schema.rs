//! The schema: brought to the newest version, or held against it. One that a newer release has brought further fits as long as it
//! has only grown: old and new run side by side while a release takes the place of another.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use sqlx::{
    Executor as _,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::SqlitePoolOptions,
};

use super::{Db, Engine, Pool, Queries, Sql, args};

/// A service's migrations for both engines: same numbers, same meaning.
#[derive(Debug)]
pub struct Migrations {
    /// `migrations/sqlite`
    pub sqlite: Migrator,
    /// `migrations/postgres`
    pub postgres: Migrator,
}

/// Where sqlx keeps what has been applied: of chassis's tables, and of the service's own.
const OF_CHASSIS: &str = "_chassis_migrations";
const OF_SERVICE: &str = "_sqlx_migrations";

const HAS_TABLE: Sql = Sql {
    sqlite: "SELECT name FROM sqlite_master WHERE type = 'table' AND name = $1",
    postgres: "SELECT tablename FROM pg_tables WHERE tablename = $1 AND schemaname = ANY(current_schemas(FALSE))",
};

/// What a migration is called that takes away what older releases need: `NNNN_contract_since_0_2_0_…` says that 0.2.0 and later ones
/// do without it. The name is kept in the database, where an older program finds it.
const CONTRACT: &str = "contract since ";

/// How long a migration waits for a lock on PostgreSQL. Whoever comes after it waits behind it, readers included.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '1s'";
/// Between two attempts, and how often it is tried: five minutes in all.
const AGAIN: Duration = Duration::from_secs(1);
const ATTEMPTS: u32 = 150;
/// A lock that was not to be had in time, and one that two waited for crosswise.
const LOCKED: [&str; 2] = ["55P03", "40P01"];

/// A migration that was applied.
struct Applied {
    description: String,
    checksum: Vec<u8>,
}

/// What speaks against a schema.
#[derive(Default)]
struct Unfit {
    faults: Vec<String>,
    behind: bool,
    ahead: bool,
}

impl Db {
    /// Brings the schema to the newest version: chassis's tables first, then the service's own. One that a newer release has brought
    /// further is left as it is.
    ///
    /// # Errors
    /// If a migration fails, or a schema is found on which this version cannot work.
    pub async fn migrate(&self, migrations: &Migrations) -> anyhow::Result<()> {
        let unfit = self.compare(migrations).await?;
        if unfit.ahead {
            return Err(self.refused(&unfit));
        }
        let common = tolerant(&common(self.engine()), OF_CHASSIS);
        let own = tolerant(self.own(migrations), OF_SERVICE);
        match &self.0.pool {
            Pool::Sqlite { writer, .. } => {
                let connection = SqlitePoolOptions::new().max_connections(1);
                let connection = connection.connect_with((*writer.options()).clone()).await?;
                common.run(&connection).await?;
                own.run(&connection).await?;
                connection.close().await;
            }
            Pool::Postgres { pool, .. } => {
                for migrator in [common, own] {
                    migrate_beside_others(&pool.options(), &migrator).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether this program can work on the schema: it has all that the program was built for, and nothing that it cannot bear.
    ///
    /// # Errors
    /// With every migration that is missing, unbearable or another, and what brings the schema and the program together.
    pub async fn check_schema(&self, migrations: &Migrations) -> anyhow::Result<()> {
        let unfit = self.compare(migrations).await?;
        if unfit.faults.is_empty() { Ok(()) } else { Err(self.refused(&unfit)) }
    }

    fn own<'a>(&self, migrations: &'a Migrations) -> &'a Migrator {
        match self.engine() {
            Engine::Sqlite => &migrations.sqlite,
            Engine::Postgres => &migrations.postgres,
        }
    }

    fn refused(&self, unfit: &Unfit) -> anyhow::Error {
        let service = self.service();
        let remedy = if unfit.ahead {
            format!("run the version of {service} that this schema belongs to")
        } else {
            format!("run `{service} migrate` with this configuration")
        };
        anyhow::anyhow!("the database's schema does not fit: {}; {remedy}", unfit.faults.join(", "))
    }

    async fn compare(&self, migrations: &Migrations) -> anyhow::Result<Unfit> {
        let common = common(self.engine());
        let mut unfit = Unfit::default();
        let tables = [
            (
                "chassis",
                OF_CHASSIS,
                &common,
                "SELECT version, description, checksum FROM _chassis_migrations WHERE success",
            ),
            (
                self.service(),
                OF_SERVICE,
                self.own(migrations),
                "SELECT version, description, checksum FROM _sqlx_migrations WHERE success",
            ),
        ];
        for (owner, table, wanted, applied_text) in tables {
            let mut applied = self.applied(table, applied_text).await?;
            for migration in wanted.iter() {
                let name = format!("{:04}_{} of {owner}", migration.version, migration.description.replace(' ', "_"));
                match applied.remove(&migration.version) {
                    None => {
                        unfit.behind = true;
                        unfit.faults.push(format!("it lacks {name}"));
                    }
                    Some(found) if found.checksum != *migration.checksum => {
                        unfit.ahead = true;
                        unfit.faults.push(format!("it has {name} in another form"));
                    }
                    Some(_) => {}
                }
            }
            let newest = wanted.iter().map(|migration| migration.version).max().unwrap_or_default();
            for (version, found) in applied {
                match bears(version > newest, &found.description, env!("CARGO_PKG_VERSION")) {
                    Ok(()) => {
                        tracing::info!(service = self.service(), owner, version, "the schema is a newer release's")
                    }
                    Err(why) => {
                        unfit.ahead = true;
                        unfit.faults.push(format!("it has migration {version:04} of {owner}, {why}"));
                    }
                }
            }
        }
        Ok(unfit)
    }

    async fn applied(&self, table: &str, sql: &'static str) -> anyhow::Result<BTreeMap<i64, Applied>> {
        // On SQLite the connection that migrates: another one would keep in mind the tables as they were, and read rows by it.
        let mut tx = self.begin_own(0, "schema").await?;
        let known = tx.one(HAS_TABLE, args![table]).await?.is_some();
        let rows = if known { tx.all(sql, args![]).await? } else { Vec::new() };
        tx.abandon().await;
        let applied = rows.iter().map(|row| {
            let found = Applied { description: row.get("description")?, checksum: row.get("checksum")? };
            Ok((row.get("version")?, found))
        });
        Ok(applied.collect::<Result<_, crate::Failure>>()?)
    }
}

/// Whether the release `own` works on a schema with a migration that it does not know; else why not.
fn bears(is_newer: bool, description: &str, own: &str) -> Result<(), String> {
    if !is_newer {
        return Err("which this version does not know".to_owned());
    }
    let Some(rest) = description.strip_prefix(CONTRACT) else { return Ok(()) };
    let since: Vec<&str> = rest.split(' ').take(3).collect();
    match (release(&since), release(&own.split('.').collect::<Vec<_>>())) {
        (Some(since), Some(own)) if own >= since => Ok(()),
        _ => Err(format!("which takes away what versions before {} need", since.join("."))),
    }
}

/// The three numbers of a release; of a pre-release they are those of what it is to become.
fn release(parts: &[&str]) -> Option<[u32; 3]> {
    let [major, minor, patch] = parts else { return None };
    let patch = patch.split(['-', '+']).next()?;
    Some([major.parse().ok()?, minor.parse().ok()?, patch.parse().ok()?])
}

/// The same migrations, applied also where a newer release has applied more.
fn tolerant(migrator: &Migrator, table: &'static str) -> Migrator {
    let mut all = Migrator::with_migrations(migrator.iter().cloned().collect());
    all.dangerous_set_table_name(table);
    all.set_ignore_missing(true);
    all
}

/// Migrates a PostgreSQL that is in use: one who waits for a lock has everybody else wait behind it, so it gives up soon, and comes
/// again.
async fn migrate_beside_others(options: &PgConnectOptions, migrator: &Migrator) -> anyhow::Result<()> {
    let mut attempt = 1;
    loop {
        // Of its own: a lock that an attempt leaves behind goes with it.
        let connection = PgPoolOptions::new()
            .max_connections(1)
            .after_connect(|connection, _| Box::pin(async move { connection.execute(LOCK_TIMEOUT).await.map(|_| ()) }))
            .connect_with(options.clone())
            .await
            .context("connecting to PostgreSQL")?;
        let outcome = migrator.run(&connection).await;
        connection.close().await;
        match outcome {
            Err(error) if attempt < ATTEMPTS && is_locked(&error) => {
                tracing::info!(%error, "the tables are in use; the migration comes again");
                attempt += 1;
                tokio::time::sleep(AGAIN).await;
            }
            outcome => return Ok(outcome?),
        }
    }
}

fn is_locked(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else { return false };
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| LOCKED.contains(&&*code))
}

/// The migrations of chassis's own tables.
fn common(engine: Engine) -> Migrator {
    let mut all = match engine {
        Engine::Sqlite => sqlx::migrate!("./migrations/sqlite"),
        Engine::Postgres => sqlx::migrate!("./migrations/postgres"),
    };
    all.dangerous_set_table_name(OF_CHASSIS);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_that_has_only_grown_is_borne() {
        assert_eq!(bears(true, "more", "0.1.0"), Ok(()));
        assert_eq!(bears(true, "contract since 0 2 0 less", "0.2.0"), Ok(()));
        assert_eq!(bears(true, "contract since 0 2 0 less", "0.10.1"), Ok(()));
        for (is_newer, description, own) in [
            // Of another line.
            (false, "more", "0.1.0"),
            (true, "contract since 0 2 0 less", "0.1.9"),
            (true, "contract since 1 0 0 less", "0.9.0"),
            (true, "contract since ever", "0.1.0"),
        ] {
            assert!(bears(is_newer, description, own).is_err(), "{description} on {own}");
        }
    }
}
