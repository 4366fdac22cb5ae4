//! What a feed tells of some resources: read in parts, so that nobody's history is one long look at everybody's.

use std::collections::BTreeSet;

use prost::Message as _;
use proto::common::v1::Change;

use super::feed;
use crate::{
    db::{Queries, Rows, args},
    failure::Failure,
};

/// Batches that one part looks through.
const PART: i64 = 2_000;

/// The changes of `resources` in the part of the feed that follows `after` (a position), and the position from which to go on;
/// `None` at the head.
///
/// # Errors
/// Those of the database.
pub async fn history(
    db: &mut impl Queries,
    resources: &BTreeSet<String>,
    after: i64,
) -> Result<(Vec<Change>, Option<i64>), Failure> {
    let (head, until) = (feed::head(db).await?, after.saturating_add(PART));
    let rows = db
        .all(
            "SELECT b.position AS position, c.idx AS idx, c.body AS body
             FROM change_batch b JOIN change c ON c.batch = b.batch
             WHERE b.position > $1 AND b.position <= $2 AND c.resource IN (SELECT value ->> 0 FROM json_each($3))
             ORDER BY b.position, c.idx",
            args![after, until, Rows::texts(resources).json()],
        )
        .await?;
    let read = |body: Vec<u8>| Change::decode(body.as_slice()).map_err(Failure::internal);
    let changes = rows.iter().map(|row| read(row.get("body")?)).collect::<Result<_, _>>()?;
    Ok((changes, (until < head).then_some(until)))
}
