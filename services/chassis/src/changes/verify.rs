//! Verifying a feed: whether any change was altered, removed or cut since it was written.

use super::feed::{chain_step, digest_step, zero};
use crate::{
    db::{Db, Queries, args},
    failure::Failure,
};

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Batches read.
    pub batches: i64,
    /// Changes read.
    pub changes: i64,
    /// The first thing that is wrong; `None` if all is well.
    pub fault: Option<String>,
}

/// Reads the whole feed and checks every digest, the chain, and the head; and the mirrors' cursors against nothing less
/// than what they claim to have seen.
///
/// # Errors
/// Those of the database.
pub async fn verify(db: &Db) -> Result<Verified, Failure> {
    let mut reader = db.reader();
    let mut found = Verified { batches: 0, changes: 0, fault: None };
    let mut chain = zero();
    loop {
        let batches = reader
            .all(
                "SELECT position, batch, count, digest, chain FROM change_batch
                 WHERE position > $1 ORDER BY position LIMIT 500",
                args![found.batches],
            )
            .await?;
        if batches.is_empty() {
            break;
        }
        for batch in &batches {
            let position: i64 = batch.get("position")?;
            let fault = |what: &str| Some(format!("position {position}: {what}"));
            if position != found.batches + 1 {
                found.fault = fault("the batch before it is missing");
                return Ok(found);
            }
            let name: String = batch.get("batch")?;
            let bodies =
                reader.all("SELECT idx, body FROM change WHERE batch = $1 ORDER BY idx", args![name.as_str()]).await?;
            let mut digest = zero();
            for (expected, row) in (0_i64..).zip(&bodies) {
                if row.get::<i64>("idx")? != expected {
                    found.fault = fault("a change is missing");
                    return Ok(found);
                }
                digest = digest_step(&digest, &row.get::<Vec<u8>>("body")?);
            }
            let count = i64::try_from(bodies.len()).map_err(Failure::internal)?;
            if count != batch.get::<i64>("count")? {
                found.fault = fault("changes were added or cut off");
                return Ok(found);
            }
            if digest != batch.get::<Vec<u8>>("digest")? {
                found.fault = fault("a change was altered");
                return Ok(found);
            }
            chain = chain_step(&chain, position, &digest);
            if chain != batch.get::<Vec<u8>>("chain")? {
                found.fault = fault("the chain was altered");
                return Ok(found);
            }
            found.batches = position;
            found.changes += count;
        }
    }
    let head = reader.one("SELECT position, chain FROM feed WHERE id = 1", args![]).await?;
    match head {
        Some(head) if head.get::<i64>("position")? == found.batches && head.get::<Vec<u8>>("chain")? == chain => {}
        _ => found.fault = Some("the head is not at the end of the chain: batches were cut off".to_owned()),
    }
    Ok(found)
}
