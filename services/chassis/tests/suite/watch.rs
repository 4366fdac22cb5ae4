//! Watching: from any point, late or early, whatever the size of a batch.

use std::time::Duration;

use anyhow::Context as _;
use chassis::{
    changes::feed::{chain_step, digest_step, zero},
    db::Db,
    testing::{Changes, change_service},
};
use prost::Message as _;
use proto::common::v1::{Cursor, WatchRequest, WatchResponse, change_service_server::ChangeService as _};
use tokio_stream::StreamExt as _;
use tonic::Request;

use crate::fixture::{databases, write};

async fn watch(db: &Db, position: i64, index: i32) -> anyhow::Result<Changes> {
    let request = WatchRequest { after: Some(Cursor { position, index }) };
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
