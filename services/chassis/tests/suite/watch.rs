//! Watching: from any point, late or early, whatever the size of a batch.

use std::time::Duration;

use anyhow::Context as _;
use chassis::{
    changes::{
        feed::{chain_step, digest_step, zero},
        head_of, since,
    },
    db::{Db, args},
    testing::{Changes, change_service},
};
use prost::Message as _;
use proto::common::v1::{Cursor, WatchRequest, WatchResponse, change_service_server::ChangeService as _};
use tokio_stream::StreamExt as _;
use tonic::{Code, Request, Status};

use crate::fixture::{AT, databases, reason, write};

async fn watch(db: &Db, position: i64, index: i32) -> anyhow::Result<Changes> {
    Ok(watch_with(db, position, index, Vec::new()).await?)
}

async fn watch_with(db: &Db, position: i64, index: i32, chain: Vec<u8>) -> Result<Changes, Status> {
    let request = WatchRequest { after: Some(Cursor { position, index }), chain };
    Ok(change_service(db).watch(Request::new(request)).await?.into_inner())
}

/// Takes messages until `count` changes are there.
async fn take(changes: &mut Changes, count: usize) -> anyhow::Result<Vec<WatchResponse>> {
    let mut messages = Vec::new();
    let mut taken = 0;
    while taken < count {
        let next = tokio::time::timeout(Duration::from_secs(20), changes.next()).await;
        let message = next.context("nothing comes")?.context("the stream ended")??;
        taken += message.changes.len();
        messages.push(message);
    }
    anyhow::ensure!(taken == count, "{taken} changes instead of {count}");
    Ok(messages)
}

fn resources(messages: &[WatchResponse]) -> Vec<&str> {
    messages.iter().flat_map(|message| &message.changes).map(|change| change.resource.as_str()).collect()
}

/// Batches of 1, 1203, 1 and 2 changes.
async fn fill(db: &Db) -> anyhow::Result<()> {
    for (prefix, count) in [("a", 1), ("b", 1203), ("c", 1), ("d", 2)] {
        write(db, prefix, count).await?;
    }
    Ok(())
}

#[tokio::test]
async fn from_the_beginning_everything_comes_in_order_and_proves_itself() -> anyhow::Result<()> {
    for database in databases().await? {
        fill(&database.db).await?;
        let messages = take(&mut watch(&database.db, 0, 0).await?, 1207).await?;
        let resources = resources(&messages);
        assert!(resources.is_sorted_by(|a, b| a < b), "in order, each once");

        let (mut chain, mut digest, mut at) = (zero(), zero(), (0, 0));
        for message in &messages {
            if message.first == 0 {
                assert_eq!(message.position, at.0 + 1);
                digest = zero();
            } else {
                assert_eq!((message.position, message.first), at);
            }
            for change in &message.changes {
                digest = digest_step(&digest, &change.encode_to_vec());
            }
            at = (message.position, message.first + i32::try_from(message.changes.len())?);
            if at.1 == message.count {
                chain = chain_step(&chain, message.position, &digest);
                assert_eq!((&message.digest, &message.chain), (&digest, &chain));
            }
        }
        assert_eq!(at, (4, 2));
    }
    Ok(())
}

#[tokio::test]
async fn from_the_middle_of_a_large_batch_the_rest_comes() -> anyhow::Result<()> {
    for database in databases().await? {
        fill(&database.db).await?;
        for index in [1, 499, 500, 501, 1202] {
            let left = usize::try_from(1203 - index)? + 3;
            let messages = take(&mut watch(&database.db, 2, index).await?, left).await?;
            assert_eq!(messages.first().map(|first| (first.position, first.first)), Some((2, index)));
            assert_eq!(resources(&messages).first(), Some(&format!("organizations/b-{index:05}").as_str()));
        }
        // A finished batch is (position, count), or the next one's beginning.
        for (position, index) in [(2, 1203), (3, 0)] {
            let messages = take(&mut watch(&database.db, position, index).await?, 3).await?;
            assert_eq!(resources(&messages).first(), Some(&"organizations/c-00000"));
        }
    }
    Ok(())
}

#[tokio::test]
async fn at_the_head_what_is_written_next_comes() -> anyhow::Result<()> {
    for database in databases().await? {
        fill(&database.db).await?;
        let mut late = watch(&database.db, 4, 2).await?;
        let mut early = watch(&database.db, 0, 0).await?;
        take(&mut early, 1207).await?;
        for n in 0..20 {
            write(&database.db, &format!("e{n:02}"), 1).await?;
            let expected = format!("organizations/e{n:02}-00000");
            assert_eq!(resources(&take(&mut late, 1).await?), [expected.as_str()]);
            assert_eq!(resources(&take(&mut early, 1).await?), [expected.as_str()]);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_cursor_that_the_feed_does_not_hold_is_refused_at_once() -> anyhow::Result<()> {
    for database in databases().await? {
        let db = &database.db;
        fill(db).await?;
        let chains: Vec<_> = since(db, &Cursor::default()).await?.into_iter().map(|message| message.chain).collect();
        let first = chains.first().context("no batch")?;
        let head = head_of(db).await?;
        // Beyond the head: by batches, and within the last one.
        for (position, index) in [(5, 1), (4, 3), (6, 0), (900, 2)] {
            let refused = watch_with(db, position, index, Vec::new()).await.err().context("it waits")?;
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::DataLoss, "REASON_FEED_DIFFERS"));
        }
        // With the chain that a watcher stores: after the last whole batch.
        let stored = [(0, 0, zero()), (1, 0, zero()), (1, 1, first.clone()), (2, 700, first.clone())];
        for (position, index, chain) in stored.into_iter().chain([(4, 2, head.chain.clone()), (5, 0, head.chain)]) {
            watch_with(db, position, index, chain).await.with_context(|| format!("({position}, {index})"))?;
            let refused = watch_with(db, position, index, vec![7; 32]).await.err().context("another past")?;
            assert_eq!(reason(&refused), "REASON_FEED_DIFFERS");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_feed_that_is_cut_under_an_open_stream_is_told() -> anyhow::Result<()> {
    // An older copy; and one that has gone another way since, to the same height.
    let cut = [
        "DELETE FROM change_batch WHERE position = 4",
        "UPDATE feed SET position = 3, chain = (SELECT chain FROM change_batch WHERE position = 3)",
    ];
    let rewritten = ["UPDATE feed SET chain = (SELECT chain FROM change_batch WHERE position = 1)"];
    for tampering in [&cut[..], &rewritten] {
        for database in databases().await? {
            let db = &database.db;
            fill(db).await?;
            let head = head_of(db).await?;
            let mut all = watch(db, 0, 0).await?;
            take(&mut all, 1207).await?;
            let mut stored = watch_with(db, 5, 0, head.chain).await?;
            let mut tx = db.begin_own(AT, "tampering").await?;
            for sql in tampering {
                tx.execute(*sql, args![]).await?;
            }
            tx.finish().await?;
            for changes in [&mut all, &mut stored] {
                let next = tokio::time::timeout(Duration::from_secs(20), changes.next()).await;
                let told = next.context("it waits")?.context("it ended")?.err().context("a message")?;
                assert_eq!((told.code(), reason(&told).as_str()), (Code::DataLoss, "REASON_FEED_DIFFERS"));
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_message_stays_well_below_its_limit() -> anyhow::Result<()> {
    for database in databases().await? {
        let mut tx = database.db.begin_own(0, "large").await?;
        for n in 0..20 {
            let name = format!("{n:02}{}", "x".repeat(150_000));
            tx.record(crate::fixture::change(&name));
        }
        tx.finish().await?;
        let messages = take(&mut watch(&database.db, 0, 0).await?, 20).await?;
        assert!(messages.iter().all(|message| message.encoded_len() < 2 << 20));
        let firsts: Vec<_> = messages.iter().map(|message| usize::try_from(message.first)).collect::<Result<_, _>>()?;
        let lengths = messages.iter().map(|message| message.changes.len());
        let expected: Vec<_> = lengths.scan(0, |at, length| Some(std::mem::replace(at, *at + length))).collect();
        assert_eq!(firsts, expected, "each goes on where the one before ended");
    }
    Ok(())
}

#[tokio::test]
async fn another_replica_writes_and_this_one_tells() -> anyhow::Result<()> {
    let Some(database) = databases().await?.pop() else { anyhow::bail!("no PostgreSQL") };
    let config = chassis::config::DatabaseConfig::at(&database.url);
    let other = Db::open("chassis", &config, database.db.env().clone()).await?;
    let mut changes = watch(&database.db, 0, 0).await?;
    write(&other, "elsewhere", 1).await?;
    assert_eq!(resources(&take(&mut changes, 1).await?), ["organizations/elsewhere-00000"]);
    Ok(())
}
