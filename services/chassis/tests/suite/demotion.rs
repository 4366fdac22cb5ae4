//! A failover as a service meets it. A server that refuses writes, as a primary does that has become a standby: callers are told to
//! come again, and nobody goes on with its connections. Or nobody behind the address: callers are told to come again.

use chassis::{
    Failure,
    config::DatabaseConfig,
    db::{Db, Queries as _, args},
};
use proto::common::v1::Reason;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::net::TcpListener;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::fixture::{AT, databases};

const CONNECTIONS: usize = 3;

/// What sessions of this database begin with from now on; those that are open keep what they have.
async fn sessions(url: &str, read_only: &str) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    let alter = format!(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = {read_only}', current_database()); END $$"
    );
    connection.execute("SET default_transaction_read_only = off").await?;
    // Leaked, for statements are constants everywhere else.
    let alter: &'static str = alter.leak();
    connection.execute(alter).await?;
    Ok(connection.close().await?)
}

async fn note(db: &Db, name: &str) -> Result<(), Failure> {
    let mut tx = db.begin_own(AT, name).await?;
    tx.execute("INSERT INTO note (name, value) VALUES ($1, 1)", args![name]).await?;
    tx.finish().await.map(drop)
}

#[tokio::test]
async fn a_write_that_a_standby_refuses_is_to_be_tried_again_on_another_connection() -> anyhow::Result<()> {
    let Some(database) = databases().await?.pop() else { anyhow::bail!("no PostgreSQL") };
    sessions(&database.url, "on").await?;
    let connections = u32::try_from(CONNECTIONS)?;
    let config = DatabaseConfig { connections, ..DatabaseConfig::at(database.url.clone()) };
    let db = Db::open("chassis", &config, database.db.env().clone()).await?;
    // All connections that it may have: each would refuse.
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut tx = db.begin_own(AT, "open").await?;
        let row = tx.one("SHOW transaction_read_only", args![]).await?;
        assert_eq!(row.map(|row| row.get::<String>("transaction_read_only")).transpose()?.as_deref(), Some("on"));
        open.push(tx);
    }
    for tx in open {
        tx.abandon().await;
    }

    let refusal = note(&db, "refused").await.unwrap_err();
    assert_eq!(refusal.reason(), Some(Reason::Unavailable), "{refusal}");
    assert_eq!(refusal.metadata().get("service").map(String::as_str), Some("database"));
    let refusal = Status::from(refusal);
    assert_eq!(refusal.code(), Code::Unavailable);
    assert!(refusal.get_details_retry_info().and_then(|info| info.retry_delay).is_some());

    // The primary is found at the same address: every connection that is used from now on is one to it.
    sessions(&database.url, "off").await?;
    for n in 0..3 * CONNECTIONS {
        note(&db, &format!("note-{n}")).await?;
    }
    db.close().await;
    Ok(())
}

#[tokio::test]
async fn a_load_balancer_without_a_server_is_a_database_that_is_away() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    // It takes connections and hangs up.
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    for mode in ["prefer", "require"] {
        let url = format!("postgres://nobody@{address}/none?sslmode={mode}");
        let refusal = Failure::from(PgConnection::connect(&url).await.unwrap_err());
        assert_eq!(refusal.reason(), Some(Reason::Unavailable), "{mode}: {refusal}");
    }
    Ok(())
}
