//! The schema: brought to the newest version, or held against it.

use std::collections::BTreeMap;

use sqlx::migrate::Migrator;

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

impl Db {
    /// Brings the schema to the newest version: chassis's tables first, then the service's own.
    ///
    /// # Errors
    /// If a migration fails or a newer schema is found.
    pub async fn migrate(&self, migrations: &Migrations) -> anyhow::Result<()> {
        let common = common(self.engine());
        match &self.0.pool {
            Pool::Sqlite { writer, .. } => {
                common.run(writer).await?;
                migrations.sqlite.run(writer).await?;
            }
            Pool::Postgres { pool, .. } => {
                common.run(pool).await?;
                migrations.postgres.run(pool).await?;
            }
        }
        Ok(())
    }

    /// Whether the schema is the one that this program was built for.
    ///
    /// # Errors
    /// With every migration that is missing, unknown or another, and what brings the schema and the program together.
    pub async fn check_schema(&self, migrations: &Migrations) -> anyhow::Result<()> {
        let own = match self.engine() {
            Engine::Sqlite => &migrations.sqlite,
            Engine::Postgres => &migrations.postgres,
        };
        let common = common(self.engine());
        let mut faults = Vec::new();
        let (mut behind, mut ahead) = (false, false);
        let tables = [
            ("chassis", OF_CHASSIS, &common, "SELECT version, checksum FROM _chassis_migrations WHERE success"),
            (self.service(), OF_SERVICE, own, "SELECT version, checksum FROM _sqlx_migrations WHERE success"),
        ];
        for (owner, table, wanted, applied_text) in tables {
            let mut applied = self.applied(table, applied_text).await?;
            for migration in wanted.iter() {
                let name = format!("{:04}_{} of {owner}", migration.version, migration.description.replace(' ', "_"));
                match applied.remove(&migration.version) {
                    None => {
                        behind = true;
                        faults.push(format!("it lacks {name}"));
                    }
                    Some(checksum) if checksum != *migration.checksum => {
                        ahead = true;
                        faults.push(format!("it has {name} in another form"));
                    }
                    Some(_) => {}
                }
            }
            for version in applied.keys() {
                ahead = true;
                faults.push(format!("it has migration {version:04} of {owner}, which this version does not know"));
            }
        }
        let service = self.service();
        let remedy = match (behind, ahead) {
            (false, false) => return Ok(()),
            (true, false) => format!("run `{service} migrate` with this configuration"),
            _ => format!("run the version of {service} that this schema belongs to"),
        };
        anyhow::bail!("the database's schema does not fit: {}; {remedy}", faults.join(", "))
    }

    async fn applied(&self, table: &str, sql: &'static str) -> anyhow::Result<BTreeMap<i64, Vec<u8>>> {
        let mut reader = self.reader();
        if reader.one(HAS_TABLE, args![table]).await?.is_none() {
            return Ok(BTreeMap::new());
        }
        let rows = reader.all(sql, args![]).await?;
        Ok(rows
            .iter()
            .map(|row| Ok((row.get("version")?, row.get("checksum")?)))
            .collect::<Result<_, crate::Failure>>()?)
    }
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
