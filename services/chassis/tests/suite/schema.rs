//! Who does not migrate serves no other schema than its own, or one that has only grown since.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use anyhow::Context as _;
use chassis::{
    Env, Failure,
    db::{Engine, Migrations, Queries as _, args},
};
use futures::future;
use sqlx::migrate::Migrator;
use tokio::time::{Instant, timeout};

use crate::fixture::{AT, Keys, Settings, Source, databases, migrations, start};

#[tokio::test(flavor = "multi_thread")]
async fn another_schema_is_refused_by_name() -> anyhow::Result<()> {
    let keys = Keys::new()?;
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    for (tampering, expected) in [
        (
            "DELETE FROM _chassis_migrations WHERE version = 2",
            "it lacks 0002_batches of chassis; run `roster migrate` with this configuration",
        ),
        (
            "UPDATE _sqlx_migrations SET version = 9000 WHERE version = 1",
            "it lacks 0001_note of roster; run `roster migrate`",
        ),
        (
            "UPDATE _sqlx_migrations SET version = 9000, description = 'contract since 9 0 0 note' WHERE version = 1",
            "it has migration 9000 of roster, which takes away what versions before 9.0.0 need; run the version of roster",
        ),
        (
            "UPDATE _sqlx_migrations SET version = 0 WHERE version = 1",
            "it has migration 0000 of roster, which this version does not know; run the version of roster",
        ),
        (
            "UPDATE _chassis_migrations SET checksum = unhex('00') WHERE version = 1",
            "it has 0001_chassis of chassis in",
        ),
        ("DROP TABLE _sqlx_migrations", "it lacks 0001_"),
    ] {
        for database in databases().await? {
            let db = &database.db;
            db.check_schema(&migrations()).await?;
            let mut tx = db.begin_own(AT, "tampering").await?;
            tx.execute(tampering, args![]).await?;
            tx.finish().await?;
            db.close().await;
            let mut settings = Settings::new(&keys, "roster", &database.url)?;
            settings.chassis.database.migrate = false;
            let refused = start::<Source>(settings, any, Env::rehearsal(AT)).await?.ended().await;
            let told = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
            assert!(told.contains(expected), "{tampering} gave: {told}");
        }
    }
    Ok(())
}

/// A newer release has migrated while this one still runs: it is started again, and its own migration is none.
#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_has_grown_is_served() -> anyhow::Result<()> {
    let keys = Keys::new()?;
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    for database in databases().await? {
        let db = &database.db;
        for sql in [
            "ALTER TABLE request ADD COLUMN more TEXT",
            "INSERT INTO _chassis_migrations SELECT 9000, 'more', installed_on, success, checksum, execution_time
             FROM _chassis_migrations WHERE version = 1",
            "INSERT INTO _sqlx_migrations SELECT 9000, 'contract since 0 1 0 less', installed_on, success, checksum, execution_time
             FROM _sqlx_migrations WHERE version = 1",
        ] {
            let mut tx = db.begin_own(AT, "growth").await?;
            tx.execute(sql, args![]).await?;
            tx.finish().await?;
        }
        db.check_schema(&migrations()).await?;
        db.migrate(&migrations()).await?;
        db.close().await;
        let mut settings = Settings::new(&keys, "roster", &database.url)?;
        settings.chassis.database.migrate = false;
        start::<Source>(settings, any, Env::rehearsal(AT)).await?.end().await?;
    }
    Ok(())
}

/// A column is added under connections that have statements prepared: whoever meets that is served all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_prepared_before_a_migration_is_prepared_again() -> anyhow::Result<()> {
    const SQL: &str = "SELECT * FROM note";
    for database in databases().await? {
        let db = &database.db;
        // On every connection of the pool: each call takes one that has rested longest.
        let read = async || future::join_all((0..8).map(|_| async { db.reader().all(SQL, args![]).await })).await;
        for outcome in read().await {
            outcome?;
        }
        let mut tx = db.begin_own(AT, "growth").await?;
        tx.execute("ALTER TABLE note ADD COLUMN more TEXT", args![]).await?;
        tx.finish().await?;
        // `answer` runs a handler again that met this; here that is done by hand.
        let met = read().await;
        assert!(met.iter().all(|outcome| outcome.as_ref().err().is_none_or(Failure::is_conflict)), "{met:?}");
        for outcome in read().await {
            outcome?;
        }
        let mut tx = db.begin_own(AT, "after").await?;
        tx.all(SQL, args![]).await?;
        tx.finish().await?;
    }
    Ok(())
}

/// A migration that finds its table in use lets those pass who come after it, and comes again.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_waits_keeps_nobody_waiting() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/migrations/postgres/0001_note.sql");
    std::fs::copy(own, folder.path().join("0001_note.sql"))?;
    std::fs::write(folder.path().join("0002_more.sql"), "ALTER TABLE note ADD COLUMN more TEXT")?;
    let newer = Migrations { sqlite: migrations().sqlite, postgres: Migrator::new(folder.path()).await? };
    let databases = databases().await?;
    let postgres = databases.iter().find(|database| database.db.engine() == Engine::Postgres);
    let db = &postgres.context("no PostgreSQL")?.db;
    let read = async || db.reader().all("SELECT name FROM note", args![]).await;
    let mut holder = db.begin_own(AT, "holder").await?;
    holder.all("SELECT name FROM note", args![]).await?;
    let migrating = tokio::spawn({
        let db = db.clone();
        async move { db.migrate(&newer).await }
    });
    let began = Instant::now();
    // Longer than it waits for a lock.
    while began.elapsed() < Duration::from_secs(3) {
        timeout(Duration::from_secs(2), read()).await.context("a reader waits behind the migration")??;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!migrating.is_finished(), "it did not wait for the table");
    holder.finish().await?;
    migrating.await??;
    db.reader().all("SELECT more FROM note", args![]).await?;
    Ok(())
}
