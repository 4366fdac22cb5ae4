//! An archive of PostgreSQL's log that takes nothing is seen, in figures that an alert goes by; so is that it takes again.

use chassis::{
    Env,
    config::{DatabaseConfig, TelemetryConfig},
    db::Db,
    telemetry,
};
use cluster::{Cluster, Durability};

use crate::fixture::{AT, Keys, Settings, Source, databases, figure, start, until};

const ANY: &str = "127.0.0.1:0";
const WAITING: &str = "shixun_database_archive_waiting{service=\"roster\"";
const AGE: &str = "shixun_database_archive_age_seconds{service=\"roster\"";

/// A server of its own that archives by this command, and its database.
fn archiving(command: &str) -> anyhow::Result<(Cluster, String)> {
    let cluster = Cluster::start_with(Durability::Fast)?;
    cluster.sql("ALTER SYSTEM SET archive_mode = on")?;
    by(&cluster, command)?;
    // The mode takes a new start.
    cluster.crash()?;
    let url = cluster.fresh_url("archive")?;
    Ok((cluster, url))
}

fn by(cluster: &Cluster, command: &str) -> anyhow::Result<()> {
    cluster.sql(&format!("ALTER SYSTEM SET archive_command = '{command}'"))?;
    cluster.sql("SELECT pg_reload_conf()").map(drop)
}

/// Fills so many files of the log, as far as it knows.
fn fill(cluster: &Cluster, files: usize) -> anyhow::Result<()> {
    (0..files).try_for_each(|_| cluster.sql("SELECT pg_switch_wal(), txid_current()").map(drop))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_takes_nothing_is_seen() -> anyhow::Result<()> {
    let (cluster, url) = tokio::task::spawn_blocking(|| archiving("true")).await??;
    let db = Db::open("roster", &DatabaseConfig::at(&url), Env::rehearsal(AT)).await?;
    let stands = async |what: &str, as_wanted: fn(i64) -> bool| {
        until(what, async || Ok(db.archive().await?.is_some_and(|archive| as_wanted(archive.waiting)))).await
    };
    tokio::task::block_in_place(|| fill(&cluster, 3))?;
    stands("all is archived", |waiting| waiting == 0).await?;

    tokio::task::block_in_place(|| by(&cluster, "false").and_then(|()| fill(&cluster, 3)))?;
    stands("the archive fails", |waiting| waiting >= 2).await?;
    // As Prometheus has it, of a service that has just started.
    let page = std::net::TcpListener::bind(ANY)?.local_addr()?;
    let shown = TelemetryConfig { prometheus: Some(page.to_string()), ..TelemetryConfig::default() };
    let telemetry = telemetry::start("roster", &shown)?;
    let keys = Keys::new()?;
    let running = start::<Source>(Settings::new(&keys, "roster", &url)?, ANY.parse()?, Env::rehearsal(AT)).await?;
    until("it is shown", async || Ok(figure(page, WAITING).await?.is_some_and(|files| files >= 2.0))).await?;
    assert!(figure(page, AGE).await?.is_some_and(|seconds| (0.0..600.0).contains(&seconds)));
    running.end().await?;
    tokio::task::spawn_blocking(move || drop(telemetry)).await?;

    tokio::task::block_in_place(|| by(&cluster, "true"))?;
    stands("it takes again", |waiting| waiting == 0).await?;
    // A command that neither fails nor ends.
    let held = cluster.folder("held")?;
    let hangs = format!("while test -d {}; do sleep 0.1; done", held.display());
    tokio::task::block_in_place(|| by(&cluster, &hangs).and_then(|()| fill(&cluster, 3)))?;
    stands("it hangs", |waiting| waiting >= 2).await?;
    std::fs::remove_dir(held)?;
    stands("it has ended", |waiting| waiting == 0).await?;
    db.close().await;
    Ok(())
}

#[tokio::test]
async fn where_nothing_is_archived_nothing_is_told() -> anyhow::Result<()> {
    for database in databases().await? {
        assert_eq!(database.db.archive().await?, None);
    }
    Ok(())
}
