//! Appending to the feed. A transaction's changes are one batch; the last statements of the transaction move the feed's
//! one head row, so that positions are gapless and in commit order on every engine.

use prost::Message as _;
use proto::common::v1::Change;
use sha2::{Digest as _, Sha256};

use super::period;
use crate::{
    db::{Engine, Queries, Rows, Tx, args, insert, row},
    failure::Failure,
    telemetry::traceparent,
};

/// Rows of one INSERT: bounds the size of its argument.
const CHUNK: usize = 1000;

/// The running digest of a batch after one more change, in the encoding that is stored.
#[must_use]
pub fn digest_step(digest: &[u8], body: &[u8]) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(digest);
    hash.update(body);
    hash.finalize().to_vec()
}

/// The chain after a batch: binds it to its position and to everything before.
#[must_use]
pub fn chain_step(chain: &[u8], position: i64, digest: &[u8]) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(chain);
    hash.update(position.to_be_bytes());
    hash.update(digest);
    hash.finalize().to_vec()
}

/// The digest of nothing.
#[must_use]
pub fn zero() -> Vec<u8> {
    vec![0; 32]
}

pub(crate) async fn append(tx: &mut Tx, batch: &str, changes: &[Change]) -> Result<i64, Failure> {
    let mut digest = zero();
    let at = period::instant(changes);
    for (chunk_index, chunk) in changes.chunks(CHUNK).enumerate() {
        let mut rows = Rows::new();
        for (offset, change) in chunk.iter().enumerate() {
            let body = change.encode_to_vec();
            digest = digest_step(&digest, &body);
            rows.push(row![batch, chunk_index * CHUNK + offset, change.resource.as_str(), body]);
        }
        let insert = insert!("change", [batch TEXT, idx BIGINT, resource TEXT, body BYTEA], "");
        tx.insert_later(insert, rows).await?;
    }
    match tx.engine() {
        Engine::Postgres => advance_postgres(tx, batch, changes.len(), digest, at).await,
        Engine::Sqlite => advance_sqlite(tx, batch, changes.len(), digest, at).await,
    }
}

/// From here to the commit every other writer waits: what does as `chain_step` does is the last part of the last statement.
async fn advance_postgres(tx: &mut Tx, batch: &str, count: usize, digest: Vec<u8>, at: i64) -> Result<i64, Failure> {
    tx.write_and_move(
        "UPDATE feed SET position = position + 1, chain = sha256(chain || int8send(position + 1) || $3) WHERE id = 1",
        "position, chain",
        "INSERT INTO change_batch (position, batch, count, digest, chain, trace, at)
         SELECT position, $1, $2, $3, chain, $4, $5 FROM moved RETURNING position",
        args![batch, count, digest, traceparent(), at],
    )
    .await?
    .ok_or_else(headless)?
    .get("position")
}

async fn advance_sqlite(tx: &mut Tx, batch: &str, count: usize, digest: Vec<u8>, at: i64) -> Result<i64, Failure> {
    let head = tx.one("SELECT position + 1 AS position, chain FROM feed WHERE id = 1", args![]).await?;
    let head = head.ok_or_else(headless)?;
    let position: i64 = head.get("position")?;
    let chain = chain_step(&head.get::<Vec<u8>>("chain")?, position, &digest);
    tx.execute(
        "INSERT INTO change_batch (position, batch, count, digest, chain, trace, at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        args![position, batch, count, digest, chain.clone(), traceparent(), at],
    )
    .await?;
    tx.execute("UPDATE feed SET position = $1, chain = $2 WHERE id = 1", args![position, chain]).await?;
    Ok(position)
}

fn headless() -> Failure {
    Failure::internal("the feed has no head")
}

/// The head of the feed.
///
/// # Errors
/// Those of the database.
pub async fn head(queries: &mut impl Queries) -> Result<i64, Failure> {
    Ok(head_and_chain(queries).await?.0)
}

/// The head of the feed, and the chain up to it.
///
/// # Errors
/// Those of the database.
pub(super) async fn head_and_chain(queries: &mut impl Queries) -> Result<(i64, Vec<u8>), Failure> {
    let row = queries.one("SELECT position, chain FROM feed WHERE id = 1", args![]).await?.ok_or_else(headless)?;
    Ok((row.get("position")?, row.get("chain")?))
}
