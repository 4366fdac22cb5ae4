//! Writes that wait for others: seen by whatever is asked next, and carried out together or not at all.

use chassis::{
    changes::verify,
    db::{Db, Queries as _, Rows, Sql, Tx, args, insert, row},
};
use futures::future::try_join_all;

use crate::fixture::{AT, change, counted, databases, number};

const COUNT_UP: &str = "INSERT INTO note (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = note.value + excluded.value";
const MARKS: Sql = insert!("mark", [name TEXT, value BIGINT], "ON CONFLICT DO NOTHING");

async fn own(db: &Db, seed: &str) -> Result<Tx, chassis::Failure> {
    db.begin_own(AT, seed).await
}

fn marks(names: &[&str]) -> Rows {
    let mut rows = Rows::new();
    names.iter().for_each(|name| rows.push(row![*name, 1]));
    rows
}

async fn marked(db: &Db) -> anyhow::Result<i64> {
    number(db, "SELECT COUNT(*) AS n FROM mark").await
}

#[tokio::test]
async fn what_waits_is_seen_by_the_next_statement() -> anyhow::Result<()> {
    for database in databases().await? {
        let db = &database.db;
        let mut tx = own(db, "one").await?;
        tx.later(COUNT_UP, args!["a", 1]).await?;
        tx.insert_new_later(MARKS, marks(&["x", "y"])).await?;
        // The same row again: neither is passed over.
        tx.later(COUNT_UP, args!["a", 2]).await?;
        let seen = tx.one("SELECT value FROM note WHERE name = 'a'", args![]).await?;
        assert_eq!(seen.map(|row| row.get::<i64>("value")).transpose()?, Some(3));
        tx.later(COUNT_UP, args!["a", 4]).await?;
        // Nothing is recorded: it is written all the same.
        tx.finish().await?;
        assert_eq!((counted(db, "a").await?, marked(db).await?), (7, 2));
    }
    Ok(())
}

#[tokio::test]
async fn one_that_is_there_already_is_a_conflict_and_undoes_all() -> anyhow::Result<()> {
    for database in databases().await? {
        let db = &database.db;
        let mut tx = own(db, "before").await?;
        tx.insert_new_later(MARKS, marks(&["x"])).await?;
        tx.finish().await?;
        for recorded in [true, false] {
            let played = async {
                let mut tx = own(db, "after").await?;
                tx.later(COUNT_UP, args!["a", 1]).await?;
                tx.insert_new_later(MARKS, marks(&["w", "x", "y"])).await?;
                if recorded {
                    tx.record(change("organizations/a"));
                }
                tx.finish().await
            };
            assert!(played.await.is_err_and(|failure| failure.is_conflict()), "recorded: {recorded}");
        }
        assert_eq!((counted(db, "a").await?, marked(db).await?), (0, 1));
        assert_eq!(number(db, "SELECT position AS n FROM feed").await?, 0);
    }
    Ok(())
}

#[tokio::test]
async fn many_at_once_add_up_and_leave_one_chain() -> anyhow::Result<()> {
    const WRITERS: i64 = 16;
    for database in databases().await? {
        let db = &database.db;
        let write = |n: i64| async move {
            let mut tx = own(db, &n.to_string()).await?;
            tx.insert_new_later(MARKS, marks(&[&n.to_string()])).await?;
            tx.later(COUNT_UP, args!["a", n]).await?;
            tx.record(change(&format!("organizations/{n}")));
            tx.finish().await
        };
        let mut positions = try_join_all((1..=WRITERS).map(write)).await?;
        positions.sort_unstable();
        assert!(positions.into_iter().eq(1..=WRITERS));
        assert_eq!((counted(db, "a").await?, marked(db).await?), (WRITERS * (WRITERS + 1) / 2, WRITERS));
        assert_eq!(verify(db, &[]).await?.fault, None);
    }
    Ok(())
}
