//! Appending: gapless and in commit order, however many write at once.

use chassis::{
    changes::verify,
    db::{Db, Queries, args},
};

use crate::fixture::{AT, change, databases, number};

const WRITERS: usize = 24;
const EACH: usize = 12;

/// A writer's transactions, every third of which is given up; returns the positions of the others.
async fn writer(db: Db, writer: usize) -> anyhow::Result<Vec<i64>> {
    let mut positions = Vec::new();
    for n in 0..EACH {
        let mut tx = db.begin_own(AT, &format!("{writer}/{n}")).await?;
        for part in 0..=n % 3 {
            tx.record(change(&format!("organizations/{writer}-{n}-{part}")));
        }
        if n % 3 == 2 {
            tx.abandon().await;
            continue;
        }
        let position = tx.finish().await?;
        // Whoever has seen a position can see all before it: nothing commits into the past.
        let below = db
            .reader()
            .one("SELECT COUNT(*) AS n FROM change_batch WHERE position <= $1", args![position])
            .await?
            .map(|row| row.get::<i64>("n"))
            .transpose()?;
        anyhow::ensure!(below == Some(position), "{below:?} batches up to position {position}");
        positions.push(position);
    }
    Ok(positions)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_make_one_gapless_feed_in_commit_order() -> anyhow::Result<()> {
    for database in databases().await? {
        let db = &database.db;
        let writers: Vec<_> = (0..WRITERS).map(|n| tokio::spawn(writer(db.clone(), n))).collect();
        let mut all = Vec::new();
        for writer in writers {
            let positions = writer.await??;
            assert!(positions.is_sorted_by(|a, b| a < b), "a writer's later batch stands later");
            all.extend(positions);
        }
        all.sort_unstable();
        let committed = i64::try_from(WRITERS * EACH / 3 * 2)?;
        assert_eq!(all, (1..=committed).collect::<Vec<_>>());
        assert_eq!(number(db, "SELECT position AS n FROM feed").await?, committed);

        let verified = verify(db, &[]).await?;
        assert_eq!((verified.batches, verified.fault), (committed, None));
        assert_eq!(verified.changes, number(db, "SELECT COUNT(*) AS n FROM change").await?);
    }
    Ok(())
}

#[tokio::test]
async fn a_batch_keeps_the_order_in_which_it_was_recorded() -> anyhow::Result<()> {
    for database in databases().await? {
        // More than one INSERT takes.
        crate::fixture::write(&database.db, "ordered", 2500).await?;
        let rows = database.db.reader().all("SELECT resource FROM change ORDER BY idx", args![]).await?;
        let resources = rows.iter().map(|row| row.get::<String>("resource")).collect::<Result<Vec<_>, _>>()?;
        assert_eq!(resources.len(), 2500);
        assert!(resources.is_sorted_by(|a, b| a < b));
    }
    Ok(())
}

#[tokio::test]
async fn a_transaction_without_changes_moves_nothing() -> anyhow::Result<()> {
    for database in databases().await? {
        assert_eq!(database.db.begin_own(AT, "idle").await?.finish().await?, 0);
        assert_eq!(number(&database.db, "SELECT position AS n FROM feed").await?, 0);
    }
    Ok(())
}
