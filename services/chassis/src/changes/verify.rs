//! Verifying a feed: whether any change was altered, removed or cut since it was written.

use prost::Message as _;
use proto::common::v1::Change;

use super::{
    feed::{chain_step, digest_step, zero},
    period,
    witness::{Witness, head_of},
};
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

/// Reads the feed up to its head and checks every digest, the chain and the head. What is written meanwhile is left to the
/// next time.
///
/// Whoever cuts a feed's end together with its head, or rewrites it consistently, is found by its witnesses: each mirror keeps
/// the chain as it saw it.
///
/// # Errors
/// Those of the database.
pub async fn verify(db: &Db, witnesses: &[Witness]) -> Result<Verified, Failure> {
    let mut reader = db.reader();
    let mut found = Verified { batches: 0, changes: 0, fault: None };
    let Witness { position: end, chain: end_chain } = head_of(db).await?;
    let mut chain = zero();
    let contradicts = |position: i64, chain: &[u8]| {
        let other = witnesses.iter().any(|witness| witness.position == position && witness.chain != chain);
        other.then(|| format!("position {position}: a witness saw another chain: the feed was written anew"))
    };
    found.fault = contradicts(0, &chain);
    if found.fault.is_some() {
        return Ok(found);
    }
    while found.batches < end {
        let batches = reader
            .all(
                "SELECT position, batch, count, digest, chain, at FROM change_batch
                 WHERE position > $1 AND position <= $2 ORDER BY position LIMIT 500",
                args![found.batches, end],
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
            let bodies = reader
                .all("SELECT idx, resource, body FROM change WHERE batch = $1 ORDER BY idx", args![name.as_str()])
                .await?;
            let (mut digest, mut misnamed, mut changes) = (zero(), false, Vec::new());
            for (expected, row) in (0_i64..).zip(&bodies) {
                if row.get::<i64>("idx")? != expected {
                    found.fault = fault("a change is missing");
                    return Ok(found);
                }
                let body: Vec<u8> = row.get("body")?;
                digest = digest_step(&digest, &body);
                // Beside the body for whoever looks for a resource; digested with the body alone.
                let told = Change::decode(body.as_slice()).unwrap_or_default();
                misnamed |= row.get::<String>("resource")? != told.resource;
                changes.push(told);
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
            if misnamed {
                found.fault = fault("what a change is about was altered");
                return Ok(found);
            }
            // Another one would hide it from whoever asks for a period.
            if !period::is_instant(batch.get("at")?, &changes) {
                found.fault = fault("the instant of its changes was altered");
                return Ok(found);
            }
            chain = chain_step(&chain, position, &digest);
            if chain != batch.get::<Vec<u8>>("chain")? {
                found.fault = fault("the chain was altered");
                return Ok(found);
            }
            found.fault = contradicts(position, &chain);
            if found.fault.is_some() {
                return Ok(found);
            }
            found.batches = position;
            found.changes += count;
        }
    }
    if found.batches != end || chain != end_chain {
        found.fault = Some("the head is not at the end of the chain: batches were cut off".to_owned());
        return Ok(found);
    }
    if let Some(last) = witnesses.iter().map(|witness| witness.position).filter(|position| *position > end).max() {
        found.fault =
            Some(format!("a witness saw position {last}, the head is {end}: batches were cut off with the head"));
        return Ok(found);
    }
    let stray = reader
        .one(
            "SELECT batch FROM change c WHERE NOT EXISTS (SELECT 1 FROM change_batch b WHERE b.batch = c.batch) LIMIT 1",
            args![],
        )
        .await?;
    let beyond = reader
        .one(
            "SELECT b.position AS position FROM change_batch b
             WHERE b.position > (SELECT f.position FROM feed f WHERE f.id = 1) OR b.position < 1 LIMIT 1",
            args![],
        )
        .await?;
    if stray.is_some() || beyond.is_some() {
        found.fault =
            Some("there are changes that are not in the chain: a batch was removed, or added past it".to_owned());
    }
    Ok(found)
}
