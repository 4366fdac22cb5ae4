//! A PostgreSQL that falls silent: its connections stay, and nothing answers on them any more. Who waits is told, and when the address
//! leads to a server that answers, everything goes on: what was begun on a silent connection holds nobody's place.

use std::{net::SocketAddr, str::FromStr as _, time::Duration};

use anyhow::Context as _;
use chassis::{
    Failure,
    config::DatabaseConfig,
    db::{Db, Lane, Queries as _, Tx, args},
    testing::{TestDatabase, put_gates},
};
use futures::future::join_all;
use proto::common::v1::Reason;
use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};

use crate::fixture::{AT, TERM, databases, gates, number, until};

/// Places in the pool of the calls, and in that of each lane of batches.
const CONNECTIONS: u32 = 3;
const BATCHES: usize = 2;
/// Within this everything goes on.
const BACK: Duration = Duration::from_secs(10);
/// A caller's patience, in the midst of a statement.
const PATIENCE: Duration = Duration::from_millis(200);
/// Bytes that no connection takes on their way to somebody who does not read.
const MUCH: usize = 32 << 20;

/// The way to a server.
struct Way {
    address: SocketAddr,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy)]
struct State {
    /// How often it has fallen silent: nothing passes on a connection from before.
    silences: usize,
    /// Whether it takes connections that come now anywhere.
    leads: bool,
}

impl Way {
    async fn to(server: String) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (state, watched) = watch::channel(State { silences: 0, leads: true });
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(pass(connection, server.clone(), watched.clone()));
            }
        });
        Ok(Self { address, state })
    }

    fn fall_silent(&self, leads: bool) {
        self.state.send_modify(|state| *state = State { silences: state.silences + 1, leads });
    }
}

async fn pass(mut connection: TcpStream, server: String, mut state: watch::Receiver<State>) {
    let first = *state.borrow_and_update();
    let passing = async {
        if first.leads
            && let Ok(mut server) = TcpStream::connect(server).await
        {
            // Either end's end is the other's.
            drop(copy_bidirectional(&mut connection, &mut server).await);
        } else {
            std::future::pending::<()>().await;
        }
    };
    let silent = async { state.wait_for(|now| now.silences != first.silences).await.is_ok() };
    let falls_silent = tokio::select! {
        () = passing => false,
        silent = silent => silent,
    };
    if falls_silent {
        // It stays, and nothing is heard of it; the test's end lets it go.
        while state.changed().await.is_ok() {}
    }
}

/// A transaction in each place of either pool.
async fn everywhere(db: &Db) -> Result<Vec<Tx>, Failure> {
    let calls = join_all((0..CONNECTIONS).map(|_| db.begin_own(AT, "silence"))).await;
    let lanes = [Lane::Main, Lane::Aside].into_iter().flat_map(|lane| [lane; BATCHES]);
    let batches = join_all(lanes.map(|lane| db.batch(TERM, lane))).await;
    calls.into_iter().chain(batches).collect()
}

async fn asked(mut tx: Tx) -> Result<(), Failure> {
    tx.one("SELECT value FROM note", args![]).await.map(drop)
}

/// The database behind a way, with notes and a term.
async fn behind_a_way(statement_seconds: u64) -> anyhow::Result<(TestDatabase, Way, Db)> {
    let database = databases().await?.pop().context("no PostgreSQL")?;
    put_gates(&database.db, gates(1, Vec::new())).await?;
    let options = PgConnectOptions::from_str(&database.url)?;
    let server = format!("{}:{}", options.get_host(), options.get_port());
    let way = Way::to(server.clone()).await?;
    let url = database.url.replace(&server, &way.address.to_string());
    let config = DatabaseConfig { connections: CONNECTIONS, statement_seconds, ..DatabaseConfig::at(url) };
    let db = Db::open("chassis", &config, database.db.env().clone()).await?;
    Ok((database, way, db))
}

/// All places can be had again.
async fn goes_on(db: &Db) -> anyhow::Result<()> {
    let all = async {
        loop {
            match everywhere(db).await {
                Ok(all) => break Ok(all),
                Err(failure) if failure.reason() == Some(Reason::Unavailable) => sleep(PATIENCE).await,
                Err(failure) => break Err(failure),
            }
        }
    };
    for tx in timeout(BACK, all).await.context("places are held for ever")?? {
        asked(tx).await?;
    }
    Ok(())
}

#[tokio::test]
async fn who_waits_for_a_silent_server_is_told_and_holds_no_place_when_it_is_replaced() -> anyhow::Result<()> {
    let (_database, way, db) = behind_a_way(60).await?;
    let all = everywhere(&db).await?;
    way.fall_silent(false);
    let told = timeout(BACK, join_all(all.into_iter().map(asked))).await.context("nobody is told")?;
    for outcome in told {
        assert_eq!(outcome.unwrap_err().reason(), Some(Reason::Unavailable));
    }
    way.state.send_modify(|state| state.leads = true);
    goes_on(&db).await
}

#[tokio::test]
async fn who_gives_up_on_a_silent_server_holds_no_place_though_another_one_answers_all_others() -> anyhow::Result<()> {
    let (database, way, db) = behind_a_way(60).await?;
    let mut calls = everywhere(&db).await?;
    // In the place of one of them, who reads.
    drop(calls.swap_remove(0));
    let mut reader = db.reader();
    let asleep = tokio::spawn(async move { reader.one("SELECT pg_sleep(60)", args![]).await });
    let asleep_there = "SELECT count(*) AS n FROM pg_stat_activity
                        WHERE datname = current_database() AND state = 'active' AND query = 'SELECT pg_sleep(60)'";
    until("somebody reads", async || Ok(number(&database.db, asleep_there).await? > 0)).await?;

    way.fall_silent(true);
    let much = "x".repeat(MUCH);
    let given_up = calls.into_iter().map(async |mut tx| {
        timeout(PATIENCE, tx.one("SELECT value FROM note WHERE name = $1", args![&much])).await.map(drop)
    });
    assert!(join_all(given_up).await.iter().all(Result::is_err), "it answers");
    asleep.abort();
    goes_on(&db).await
}

/// As who works in the background does: he has no deadline, and others prove that the server is there.
#[tokio::test]
async fn who_waits_without_a_deadline_on_a_dead_connection_is_told_though_another_one_answers() -> anyhow::Result<()> {
    let (_database, way, db) = behind_a_way(1).await?;
    let all = everywhere(&db).await?;
    way.fall_silent(true);
    let told = timeout(BACK, join_all(all.into_iter().map(asked))).await.context("nobody is told")?;
    for outcome in told {
        assert_eq!(outcome.unwrap_err().reason(), Some(Reason::Unavailable));
    }
    goes_on(&db).await
}
