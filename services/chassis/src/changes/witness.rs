//! Witnesses: who follows a feed keeps its chain, and so can tell when the feed is set back or written anew.

use std::{collections::BTreeMap, fmt, str::FromStr};

use anyhow::Context as _;

use crate::{
    db::{Db, Queries, args},
    failure::Failure,
};

/// The chain of a feed at a position, written `POSITION:CHAIN` (the chain in hexadecimal).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Batches up to here; 0: none.
    pub position: i64,
    /// The chain after them.
    pub chain: Vec<u8>,
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.position, hex::encode(&self.chain))
    }
}

impl FromStr for Witness {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (position, chain) = text.split_once(':').context("a witness is POSITION:CHAIN, as `verify` prints it")?;
        let position = position.parse().context("the position is no number")?;
        let chain = hex::decode(chain).context("the chain is not hexadecimal")?;
        anyhow::ensure!(
            position >= 0 && chain.len() == 32,
            "a witness has a position from 0 up and a chain of 32 bytes"
        );
        Ok(Self { position, chain })
    }
}

/// The head of a database's own feed, to be kept elsewhere.
///
/// # Errors
/// Those of the database.
pub async fn head_of(db: &Db) -> Result<Witness, Failure> {
    let head = db.reader().one("SELECT position, chain FROM feed WHERE id = 1", args![]).await?;
    let head = head.ok_or_else(|| Failure::internal("the feed has no head"))?;
    Ok(Witness { position: head.get("position")?, chain: head.get("chain")? })
}

/// What a database witnesses of the feeds that it mirrors: the last batch that it took whole, by source.
///
/// # Errors
/// Those of the database.
pub async fn witnessed(db: &Db) -> Result<BTreeMap<String, Witness>, Failure> {
    let rows = db.reader().all("SELECT source, position, finished, chain FROM mirror_cursor", args![]).await?;
    rows.iter()
        .map(|row| {
            let behind = 1 - row.get::<i64>("finished")?;
            let witness = Witness { position: row.get::<i64>("position")? - behind, chain: row.get("chain")? };
            Ok((row.get("source")?, witness))
        })
        .collect()
}
