//! A schema that no program knows yet: what the next release might add, put there as it would be, by the production's migrations on
//! databases in use.

use std::path::Path;

use anyhow::Context as _;
use chassis::{
    Env,
    config::DatabaseConfig,
    db::{Db, Migrations},
};
use load::world::World;
use shixun::up::SERVICES;
use sqlx::{Connection as _, PgConnection, migrate::Migrator};

/// Numbers of what is added.
const FIRST: usize = 9_001;
/// Every service's tables, chassis's among them.
const TABLES: &str = "SELECT tablename FROM pg_tables WHERE schemaname = ANY(current_schemas(FALSE))
     AND tablename NOT LIKE '%\\_migrations' ORDER BY tablename";

/// Adds to each table of each service two columns, and to each service a table: a migration each. How many there were.
///
/// # Errors
/// If a migration fails.
pub async fn expand(world: &World) -> anyhow::Result<usize> {
    let mut added = 0;
    for service in SERVICES {
        let url = world.databases().url(service);
        let tables: Vec<(String,)> = {
            let mut connection = PgConnection::connect(&url).await?;
            sqlx::query_as(TABLES).fetch_all(&mut connection).await?
        };
        let folder = world.folder().join("next").join(service);
        std::fs::create_dir_all(&folder)?;
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(match service {
            "gateway" => "gateway/migrations/postgres".to_owned(),
            service => format!("services/{service}/migrations/postgres"),
        });
        for entry in std::fs::read_dir(own)? {
            let path = entry?.path();
            std::fs::copy(&path, folder.join(path.file_name().context("a file without a name")?))?;
        }
        let grown = tables.iter().map(|(table,)| {
            let columns = "ADD COLUMN next_note TEXT, ADD COLUMN next_count BIGINT NOT NULL DEFAULT 0";
            (format!("next_{table}"), format!("ALTER TABLE {table} {columns};"))
        });
        let new = ("next".to_owned(), "CREATE TABLE next (name TEXT PRIMARY KEY);".to_owned());
        for (number, (name, sql)) in (FIRST..).zip(grown.chain([new])) {
            std::fs::write(folder.join(format!("{number}_{name}.sql")), sql)?;
            added += 1;
        }
        let migrations =
            Migrations { sqlite: Migrator::new(folder.as_path()).await?, postgres: Migrator::new(folder).await? };
        let db = Db::open(service, &DatabaseConfig::at(url), Env::system()).await?;
        db.migrate(&migrations).await.with_context(|| format!("the next schema of {service}"))?;
        db.close().await;
    }
    Ok(added)
}
