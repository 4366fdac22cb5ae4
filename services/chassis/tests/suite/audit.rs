//! The audit view of a period tells what was done in it, in whichever order it was written, and by whichever release.

use chassis::{
    audit::{Wanted, acts},
    db::{Db, args},
};

use crate::fixture::{AT, HOUR, change, databases};

/// Writes one batch with a change for each of these instants, which are named by their hours from `AT`.
async fn write(db: &Db, hours: &[i64]) -> anyhow::Result<()> {
    let mut tx = db.begin_own(AT, "audit").await?;
    for hour in hours {
        tx.set_at(AT + hour * HOUR);
        tx.record(change(&format!("organizations/{hour}")));
    }
    tx.finish().await?;
    Ok(())
}

async fn told(db: &Db, since: i64, until: i64) -> anyhow::Result<Vec<String>> {
    let wanted = Wanted { account: None, about: None, since, until };
    Ok(acts(db, &wanted).await?.into_iter().map(|act| act.about).collect())
}

fn hours(hours: impl IntoIterator<Item = i64>) -> Vec<String> {
    hours.into_iter().map(|hour| format!("organizations/{hour}")).collect()
}

#[tokio::test]
async fn a_period_has_what_was_done_in_it() -> anyhow::Result<()> {
    for database in databases().await? {
        let db = &database.db;
        for hour in [1, 2, 3, 6] {
            write(db, &[hour]).await?;
        }
        // A step that was late, a mirror that caught up, and a release that kept no instants.
        write(db, &[0]).await?;
        write(db, &[4, 7, 9]).await?;
        write(db, &[5, 8]).await?;
        let mut older = db.begin_own(AT, "older").await?;
        older.execute("UPDATE change_batch SET at = 0 WHERE position IN (2, 4)", args![]).await?;
        older.finish().await?;

        assert_eq!(told(db, i64::MIN, i64::MAX).await?, hours(0..10));
        for since in 0..10 {
            for until in since..=10 {
                // To the microsecond.
                assert_eq!(told(db, AT + since * HOUR, AT + until * HOUR).await?, hours(since..until));
                assert_eq!(
                    told(db, AT + since * HOUR + 1, AT + until * HOUR + 1).await?,
                    hours(since + 1..=until.min(9))
                );
            }
        }
    }
    Ok(())
}

/// More than one look finds, in one transaction and in many, with instants and without.
#[tokio::test]
async fn many_acts_are_told_once() -> anyhow::Result<()> {
    for database in databases().await? {
        let db = &database.db;
        write(db, &[1; 1_200]).await?;
        write(db, &(0..700).collect::<Vec<_>>()).await?;
        for _ in 0..20 {
            write(db, &[2; 60]).await?;
        }
        assert_eq!(told(db, i64::MIN, i64::MAX).await?.len(), 1_200 + 700 + 1_200);
        assert_eq!(told(db, AT + HOUR, AT + 2 * HOUR).await?.len(), 1_200 + 1);
        assert_eq!(told(db, AT + 2 * HOUR, AT + 3 * HOUR).await?.len(), 1_200 + 1);
        assert_eq!(told(db, AT + 2 * HOUR, AT + 2 * HOUR).await?.len(), 0);
    }
    Ok(())
}
