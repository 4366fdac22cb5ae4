//! What a feed tells of a period, found by the instants of its batches: whoever asks for a day does not walk through a year.
//!
//! Positions are in the order of commits, instants are not: a step carries the instant at which it was due, a mirror's changes those of
//! their causes. So each batch keeps the first instant of its changes, but for one whose changes are further apart than a minute: what a
//! mirror caught up with. That one is of no instant, as are those of releases that kept none, and is looked at for every period.

use prost::Message as _;
use proto::common::v1::Change;

use crate::{
    db::{Queries, Sql, args},
    failure::Failure,
};

/// How far a batch's changes may be from its first one, in microseconds.
const SPAN: i64 = 60_000_000;
/// The instant of a batch that has none.
const NONE: i64 = 0;
/// Changes of one look; as the statement has it.
const LOOK: usize = 500;

/// PostgreSQL's planner would scan the whole feed for the plain join, whenever it knows too little of it; LATERAL has it walk the indexes.
pub(crate) const PERIOD: Sql = Sql {
    sqlite: "SELECT b.at AS at, b.position AS position, c.idx AS idx, c.body AS body
             FROM change_batch b JOIN change c ON c.batch = b.batch
             WHERE (b.at, b.position) >= ($1, $2) AND b.at < $3 AND (b.at > $1 OR b.position > $2 OR c.idx >= $4)
             ORDER BY b.at, b.position, c.idx LIMIT 500",
    postgres: "SELECT b.at, b.position, c.idx, c.body
               FROM (SELECT at, position, batch FROM change_batch WHERE (at, position) >= ($1, $2) AND at < $3
                     ORDER BY at, position LIMIT 500) b
               CROSS JOIN LATERAL (SELECT idx, body FROM change
                                   WHERE batch = b.batch AND idx >= CASE WHEN (b.at, b.position) = ($1, $2) THEN $4 ELSE 0 END
                                   ORDER BY idx LIMIT 500) c
               ORDER BY b.at, b.position, c.idx LIMIT 500",
};

/// A place among the changes: batches without an instant come first, as the feed has them, then the others by their instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// The batch's instant.
    pub at: i64,
    /// Its position.
    pub position: i64,
    /// How many of its changes were told.
    pub told: i64,
}

/// The instant of a batch of these changes.
pub(super) fn instant(changes: &[Change]) -> i64 {
    let instants = || changes.iter().map(|change| change.at.as_ref().map(proto::instant).unwrap_or_default());
    match (instants().min(), instants().max()) {
        (Some(first), Some(last)) if first > NONE && last.saturating_sub(first) < SPAN => first,
        _ => NONE,
    }
}

/// Whether a batch of these changes may have been kept with this instant: it is found where it belongs.
pub(super) fn is_instant(at: i64, changes: &[Change]) -> bool {
    at == NONE || at == instant(changes)
}

/// A part of what was changed in batches that may reach into `since..until`: each change with the place after it, and the place from
/// which to go on; `None` at the end.
///
/// # Errors
/// Those of the database.
pub async fn period(
    db: &mut impl Queries,
    since: i64,
    until: i64,
    from: Moment,
) -> Result<(Vec<(Change, Moment)>, Option<Moment>), Failure> {
    // The first that has an instant, and may reach into the period.
    let first = Moment { at: since.saturating_sub(SPAN).max(NONE + 1), ..Moment::default() };
    let (from, before, next) = match from.at {
        NONE => (from, NONE + 1, Some(first)),
        at if at < first.at => (first, until, None),
        _ => (from, until, None),
    };
    let rows = db.all(PERIOD, args![from.at, from.position, before, from.told]).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let body: Vec<u8> = row.get("body")?;
        let after = Moment { at: row.get("at")?, position: row.get("position")?, told: row.get::<i64>("idx")? + 1 };
        found.push((Change::decode(body.as_slice()).map_err(Failure::internal)?, after));
    }
    let next = if rows.len() < LOOK { next } else { found.last().map(|(_, after)| *after) };
    Ok((found, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_of_one_instant_if_its_changes_are_near_each_other() {
        let changed = |instants: &[i64]| {
            let change = |at: &i64| Change { at: Some(proto::timestamp(*at)), ..Change::default() };
            instant(&instants.iter().map(change).collect::<Vec<_>>())
        };
        assert_eq!(changed(&[7]), 7);
        assert_eq!(changed(&[9, 7, 8 + SPAN - 2]), 7);
        for apart in [&[7, 7 + SPAN][..], &[0, 7], &[-1], &[i64::MIN / 2, i64::MAX / 2], &[]] {
            assert_eq!(changed(apart), NONE, "{apart:?}");
        }
        assert_eq!(instant(&[Change::default()]), NONE);
    }
}
