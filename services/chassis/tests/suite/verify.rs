//! `verify` finds whatever was done to a feed behind the service's back.

use chassis::{
    changes::{Witness, head_of, verify},
    db::{Db, args},
};

use crate::fixture::{AT, databases, write};

/// Ways to tamper with five batches of three changes, and what is found.
const TAMPERINGS: [(&str, &str); 12] = [
    (
        "UPDATE change SET body = unhex('00') WHERE resource = 'organizations/3-00001'",
        "position 3: a change was altered",
    ),
    (
        "UPDATE change SET resource = 'organizations/other' WHERE resource = 'organizations/3-00001'",
        "position 3: what a change is about was altered",
    ),
    ("DELETE FROM change WHERE resource = 'organizations/3-00001'", "position 3: a change is missing"),
    ("DELETE FROM change WHERE resource = 'organizations/3-00002'", "position 3: changes were added or cut off"),
    ("DELETE FROM change_batch WHERE position = 3", "position 4: the batch before it is missing"),
    ("DELETE FROM change_batch WHERE position = 5", "the head is not at the end of the chain"),
    ("UPDATE feed SET position = 4", "the head is not at the end of the chain"),
    ("UPDATE feed SET chain = unhex('00')", "the head is not at the end of the chain"),
    ("UPDATE change_batch SET chain = unhex('00') WHERE position = 2", "position 2: the chain was altered"),
    ("UPDATE change_batch SET digest = unhex('00') WHERE position = 2", "position 2: a change was altered"),
    ("UPDATE change_batch SET at = at + 1 WHERE position = 2", "position 2: the instant of its changes was altered"),
    (
        "INSERT INTO change (batch, idx, resource, body) VALUES ('stray', 0, 'organizations/stray', unhex('00'))",
        "there are changes that are not in the chain",
    ),
];

async fn tamper(db: &Db, sql: &'static str) -> anyhow::Result<()> {
    let mut tx = db.begin_own(AT, "tampering").await?;
    assert_eq!(tx.execute(sql, args![]).await?, 1, "{sql}");
    tx.finish().await?;
    Ok(())
}

#[tokio::test]
async fn every_tampering_is_found() -> anyhow::Result<()> {
    for (sql, expected) in TAMPERINGS {
        for database in databases().await? {
            let db = &database.db;
            for n in 1..=5 {
                write(db, &n.to_string(), 3).await?;
            }
            assert_eq!(verify(db, &[]).await?.fault, None);
            tamper(db, sql).await?;
            let fault = verify(db, &[]).await?.fault.unwrap_or_default();
            assert!(fault.starts_with(expected), "{sql} gave: {fault}");
        }
    }
    Ok(())
}

/// Cut together with its head, a feed is whole in itself: only who saw more of it can tell.
#[tokio::test]
async fn a_witness_finds_a_cut_tail_and_another_past() -> anyhow::Result<()> {
    for database in databases().await? {
        let db = &database.db;
        let mut seen = vec![head_of(db).await?];
        for n in 1..=5 {
            write(db, &n.to_string(), 3).await?;
            // As an operator copies it from one terminal to the other.
            seen.push(head_of(db).await?.to_string().parse::<Witness>()?);
        }
        assert_eq!(verify(db, &seen).await?.fault, None);
        let stranger = Witness { position: 3, chain: vec![7; 32] };
        let fault = verify(db, &[stranger]).await?.fault.unwrap_or_default();
        assert!(fault.starts_with("position 3: a witness saw another chain"), "{fault}");

        tamper(db, "DELETE FROM change_batch WHERE position = 5").await?;
        for resource in [
            "DELETE FROM change WHERE resource = 'organizations/5-00000'",
            "DELETE FROM change WHERE resource = 'organizations/5-00001'",
            "DELETE FROM change WHERE resource = 'organizations/5-00002'",
            "UPDATE feed SET position = 4, chain = (SELECT chain FROM change_batch WHERE position = 4)",
        ] {
            tamper(db, resource).await?;
        }
        assert_eq!(verify(db, &seen[..5]).await?.fault, None, "whole in itself");
        let fault = verify(db, &seen).await?.fault.unwrap_or_default();
        assert!(fault.starts_with("a witness saw position 5, the head is 4"), "{fault}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_meanwhile_is_no_fault() -> anyhow::Result<()> {
    for database in databases().await? {
        let db = &database.db;
        write(db, "before", 3).await?;
        let writing = tokio::spawn({
            let db = db.clone();
            async move {
                for n in 0..100 {
                    write(&db, &n.to_string(), 1).await?;
                }
                Ok::<_, chassis::Failure>(())
            }
        });
        while !writing.is_finished() {
            assert_eq!(verify(db, &[]).await?.fault, None);
        }
        writing.await??;
        assert_eq!(verify(db, &[]).await?.batches, 101);
    }
    Ok(())
}
