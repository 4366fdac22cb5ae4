//! Sessions that have expired are of no use to anybody: they are deleted in the background.

use std::time::Duration;

use chassis::{CancellationToken, Failure, db::Db};

use crate::store::sessions;

/// How often the gateway looks.
pub const EVERY: Duration = Duration::from_secs(600);
/// Sessions of one transaction, so that a login never waits long for it.
const BATCH: usize = 500;

/// Purges now and then until shutdown. What fails is done the next time.
pub async fn purge_expired(db: Db, every: Duration, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(every);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            purged = purge(&db) => {
                if let Err(failure) = purged {
                    tracing::warn!(%failure, "expired sessions could not be purged");
                }
            }
        }
    }
}

async fn purge(db: &Db) -> Result<(), Failure> {
    let env = db.env();
    loop {
        let mut tx = db.begin_own(env.clock.now(), "expired sessions").await?;
        let purged = sessions::purge(&mut tx, env.wall_seconds(), BATCH).await?;
        tx.finish().await?;
        if purged < BATCH {
            return Ok(());
        }
        // Who waits for the writer goes first.
        tokio::task::yield_now().await;
    }
}
