//! Streaming the feed: everything from after a cursor, then whatever is committed, without end.

use std::{collections::BTreeMap, time::Duration};

use prost::Message as _;
use proto::common::v1::{Change, Cursor, Reason, WatchRequest, WatchResponse, change_service_server::ChangeService};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::feed::{self, zero};
use crate::{
    db::{Db, Engine, Queries, Sql, args},
    failure::{Failure, Faults},
};

/// 500 changes at a time; a message holds at most as many. PostgreSQL's planner would scan the whole feed for the plain join,
/// whenever it knows too little of it; LATERAL has it walk the indexes.
pub(crate) const SINCE: Sql = Sql {
    sqlite: "SELECT b.position AS position, b.count AS count, b.digest AS digest, b.chain AS chain, b.trace AS trace,
                    c.idx AS idx, c.body AS body
             FROM change_batch b JOIN change c ON c.batch = b.batch
             WHERE b.position >= $1 AND (b.position > $1 OR c.idx >= $2)
             ORDER BY b.position, c.idx LIMIT 500",
    postgres: "SELECT b.position, b.count, b.digest, b.chain, b.trace, c.idx, c.body
               FROM (SELECT * FROM change_batch WHERE position >= $1 ORDER BY position LIMIT 500) b
               CROSS JOIN LATERAL (SELECT idx, body FROM change
                                   WHERE batch = b.batch AND idx >= CASE WHEN b.position = $1 THEN $2 ELSE 0 END
                                   ORDER BY idx LIMIT 500) c
               ORDER BY b.position, c.idx LIMIT 500",
};
/// Changes of a page after which there may be more: of 500 batches that are looked at, the first may be the one taken last.
const FULL: usize = 499;
/// Bytes of changes after which a message ends: well below the 4 MiB that a message may have.
const BYTES: usize = 1 << 20;
/// Messages waiting for a slow watcher.
const AHEAD: usize = 16;

/// `ChangeService` of every server.
#[derive(Debug, Clone)]
pub(crate) struct ChangeApi {
    pub db: Db,
    pub shutdown: CancellationToken,
}

#[tonic::async_trait]
impl ChangeService for ChangeApi {
    type WatchStream = ReceiverStream<Result<WatchResponse, Status>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let WatchRequest { after, chain } = request.into_inner();
        let after = after.unwrap_or_default();
        check_cursor(&after)?;
        check_held(&self.db, &after, &chain).await?;
        let (sender, receiver) = mpsc::channel(AHEAD);
        let api = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = api.shutdown.cancelled() => {
                    // A watcher begins again elsewhere, from its cursor.
                    let ended = Failure::away(api.db.service());
                    let _ = sender.try_send(Err(ended.into()));
                }
                result = stream(&api.db, Taken { after, chain }, &sender) => {
                    if let Err(failure) = result {
                        let _ = sender.send(Err(failure.into())).await;
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// # Errors
/// A cursor that no feed has given out.
fn check_cursor(after: &Cursor) -> Result<(), Failure> {
    let mut faults = Faults::new();
    for (field, value) in [("after.position", after.position), ("after.index", i64::from(after.index))] {
        if value < 0 {
            faults.add(
                field,
                "不得为负；从头观看请留空",
                "is never negative; leave it out to watch from the beginning",
            );
        }
    }
    faults.check()
}

/// Whether the feed holds what a watcher took of it: else there would be nothing to tell for long, and then something else.
async fn check_held(db: &Db, after: &Cursor, chain: &[u8]) -> Result<(), Failure> {
    let mut counts = BTreeMap::new();
    let mut chains = BTreeMap::from([(0, zero())]);
    let last_two = "SELECT position, count, chain FROM change_batch WHERE position = $1 OR position = $1 - 1";
    for row in db.reader().all(last_two, args![after.position]).await? {
        let position: i64 = row.get("position")?;
        counts.insert(position, row.get::<i64>("count")?);
        chains.insert(position, row.get::<Vec<u8>>("chain")?);
    }
    let (taken, count) = (i64::from(after.index), counts.get(&after.position).copied());
    let known = taken == 0 || count.is_some_and(|count| taken <= count);
    let whole = if taken > 0 && count == Some(taken) { after.position } else { after.position.saturating_sub(1) };
    let stands = chains.get(&whole.max(0)).is_some_and(|held| chain.is_empty() || chain == held);
    if known && stands {
        return Ok(());
    }
    Err(differs(db, after, feed::head(&mut db.reader()).await?))
}

fn differs(db: &Db, after: &Cursor, head: i64) -> Failure {
    let failure = Failure::new(Reason::FeedDiffers).with("service", db.service()).with("position", after.position);
    failure.with("head", head)
}

/// What a watcher has been given.
struct Taken {
    after: Cursor,
    /// The chain after the last batch that was given whole; empty where it is not known.
    chain: Vec<u8>,
}

impl Taken {
    fn take(&mut self, message: &WatchResponse) {
        let index = message.first + i32::try_from(message.changes.len()).unwrap_or(i32::MAX);
        self.after = Cursor { position: message.position, index };
        self.chain = if index >= message.count { message.chain.clone() } else { Vec::new() };
    }

    /// Whether a feed that has nothing more to give, and ends here, is the one that was given. One that was cut and has grown
    /// past this place meanwhile tells it by its next batch, which does not follow.
    fn is_held(&self, head: i64, chain: &[u8]) -> bool {
        // Of a batch of which nothing was taken it is known only that it comes next.
        let last = if self.after.index == 0 { self.after.position.saturating_sub(1) } else { self.after.position };
        head > last || head == last && (self.chain.is_empty() || self.chain == chain)
    }
}

async fn stream(
    db: &Db,
    mut taken: Taken,
    sender: &mpsc::Sender<Result<WatchResponse, Status>>,
) -> Result<(), Failure> {
    let mut head = db.inner().head.subscribe();
    // What other replicas commit does not wake this process; embedded there are no others.
    let poll = match db.engine() {
        Engine::Sqlite => Duration::from_secs(2),
        Engine::Postgres => Duration::from_millis(100),
    };
    let mut woken = false;
    loop {
        head.mark_unchanged();
        let messages = since(db, &taken.after).await?;
        let count: usize = messages.iter().map(|message| message.changes.len()).sum();
        for message in messages {
            taken.take(&message);
            if sender.send(Ok(message)).await.is_err() {
                return Ok(());
            }
        }
        if count >= FULL {
            continue;
        }
        // Who was woken for what he has already been given need not look whether it is still there.
        if count == 0 && !woken {
            // Its database may have been exchanged for an older copy under an open stream.
            let (end, chain) = feed::head_and_chain(&mut db.reader()).await?;
            if !taken.is_held(end, &chain) {
                return Err(differs(db, &taken.after, end));
            }
        }
        woken = tokio::select! {
            changed = head.changed() => changed.is_ok(),
            () = tokio::time::sleep(poll) => false,
            () = sender.closed() => return Ok(()),
        };
    }
}

/// One page of the feed after a cursor, a message for each batch or part of one.
///
/// # Errors
/// Those of the database.
pub async fn since(db: &Db, after: &Cursor) -> Result<Vec<WatchResponse>, Failure> {
    let rows = db.reader().all(SINCE, args![after.position, after.index]).await?;
    let mut messages: Vec<WatchResponse> = Vec::new();
    let mut bytes = 0;
    for row in &rows {
        let position: i64 = row.get("position")?;
        let body: Vec<u8> = row.get("body")?;
        let change = Change::decode(body.as_slice()).map_err(Failure::internal)?;
        bytes += body.len();
        match messages.last_mut() {
            Some(message) if message.position == position && bytes <= BYTES => message.changes.push(change),
            _ => {
                bytes = body.len();
                messages.push(WatchResponse {
                    position,
                    first: i32::try_from(row.get::<i64>("idx")?).map_err(Failure::internal)?,
                    changes: vec![change],
                    count: i32::try_from(row.get::<i64>("count")?).map_err(Failure::internal)?,
                    digest: row.get("digest")?,
                    chain: row.get("chain")?,
                    trace: row.get("trace")?,
                });
            }
        }
    }
    Ok(messages)
}
