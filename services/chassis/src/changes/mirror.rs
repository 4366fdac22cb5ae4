//! Mirroring a neighbour's facts: its changes are applied and the cursor moved in one transaction, and the chain is
//! checked on the way, so that every consumer is a witness of its source.

use std::{
    sync::{Arc, LazyLock, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use opentelemetry::{
    KeyValue,
    metrics::{Gauge, Histogram},
};
use prost::Message as _;
use proto::common::v1::{
    Change, Cursor, Reason, WatchRequest, WatchResponse, change_service_client::ChangeServiceClient,
};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic_types::StatusExt as _;
use tracing::Instrument as _;

use super::feed::{chain_step, digest_step, zero};
use crate::{
    db::{Db, Queries, Sql, Tx, args},
    failure::Failure,
    peer::Peer,
    telemetry::{SECONDS, following, meter},
};

/// Messages taken from the stream at once when many wait.
const TOGETHER: usize = 64;
/// Changes after which a transaction ends: other writers wait for it.
const RUN: usize = 1000;

/// What a service keeps of a neighbour's facts.
#[tonic::async_trait]
pub trait Mirror: Send + Sync + 'static {
    /// The neighbour, e.g. "roster".
    fn source(&self) -> &'static str;

    /// Takes one change. `tx.at()` is the change's instant, `tx.actor()` this service.
    ///
    /// # Errors
    /// Stops the mirror at this change; it is tried again.
    async fn apply(&self, tx: &mut Tx, change: &Change) -> Result<(), Failure>;

    /// Takes a run of changes, in order. To be overridden where taking them together is faster.
    ///
    /// # Errors
    /// As `apply`.
    async fn apply_all(&self, tx: &mut Tx, changes: &[Change]) -> Result<(), Failure> {
        for change in changes {
            position_at(tx, change);
            self.apply(tx, change).await?;
        }
        Ok(())
    }
}

/// Sets the transaction's instant to the change's.
fn position_at(tx: &mut Tx, change: &Change) {
    if let Some(at) = &change.at {
        tx.set_at(proto::instant(at));
    }
}

/// Before a source that has lost what was taken from it is asked again: a person must help.
const HALTED: Duration = Duration::from_secs(10);

/// 1 while a mirror is halted (see FEED_DIFFERS), by service and source.
static HALTED_MIRRORS: LazyLock<Gauge<u64>> = LazyLock::new(|| {
    meter().u64_gauge("shixun.mirror.halted").with_description("1: the source lost what this service holds").build()
});

/// 1 while a mirror follows its source, 0 while that is away, by service and source.
static FOLLOWING: LazyLock<Gauge<u64>> = LazyLock::new(|| {
    meter().u64_gauge("shixun.mirror.following").with_description("1: the source is followed; 0: it is away").build()
});

/// From a change to its being mirrored, by service and source.
static LAG: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    meter()
        .f64_histogram("shixun.mirror.lag")
        .with_unit("s")
        .with_description("From a change to its being mirrored, in business time; of each message the last one")
        .with_boundaries(SECONDS.to_vec())
        .build()
});

fn labels(db: &Db, source: &'static str) -> [KeyValue; 2] {
    [KeyValue::new("service", db.service()), KeyValue::new("source", source)]
}

/// Where a mirror stands.
struct Position {
    cursor: Cursor,
    finished: bool,
    digest: Vec<u8>,
    chain: Vec<u8>,
}

/// Follows the source until shutdown, beginning again wherever the stream breaks.
pub(crate) async fn run(db: Db, mirror: Arc<dyn Mirror>, peer: Peer, shutdown: CancellationToken) {
    let mut delay = Duration::from_millis(50);
    let mut standing = Standing::default();
    loop {
        let moved = tokio::select! {
            () = shutdown.cancelled() => return,
            moved = follow(&db, mirror.as_ref(), &peer, &mut standing) => moved,
        };
        FOLLOWING.record(0, &labels(&db, mirror.source()));
        match moved {
            Ok(true) => delay = Duration::from_millis(50),
            Ok(false) => {}
            Err(error) if error.reason() == Some(Reason::FeedDiffers) => {
                tracing::error!(source = mirror.source(), %error, "mirror halted");
                delay = HALTED;
            }
            Err(error) => tracing::warn!(source = mirror.source(), %error, "mirror interrupted"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(delay) => {}
        }
        delay = (delay * 2).min(Duration::from_secs(2));
    }
}

/// What the source's feed was last seen to be.
#[derive(Default)]
struct Standing {
    /// It does not hold what was taken from it.
    behind: bool,
    /// What it tells next does not follow from that.
    broken: bool,
}

impl Standing {
    fn show(&self, db: &Db, source: &'static str) {
        let halted = self.behind || self.broken;
        {
            let mut all = db.inner().halted.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = if halted { all.insert(source) } else { all.remove(source) };
        }
        HALTED_MIRRORS.record(u64::from(halted), &labels(db, source));
        db.inner().mirrored.send_modify(|moves| *moves = moves.wrapping_add(1));
    }
}

/// Whether a source refuses because its feed is not the one that was followed.
fn differs(status: &Status) -> bool {
    status.get_details_error_info().is_some_and(|info| info.reason == Reason::FeedDiffers.as_str_name())
}

/// Follows one stream to its end. Returns whether anything was taken.
async fn follow(db: &Db, mirror: &dyn Mirror, peer: &Peer, standing: &mut Standing) -> Result<bool, Failure> {
    enlist(db, mirror.source()).await?;
    let position = read_position(&mut db.reader(), POSITION.into(), mirror.source()).await?;
    let at = position.cursor.position;
    let request = WatchRequest { after: Some(position.cursor), chain: position.chain };
    let mut client = ChangeServiceClient::new(peer.clone()).max_decoding_message_size(16 << 20);
    let stream = match client.watch(request).await {
        Ok(response) => response.into_inner(),
        Err(status) if differs(&status) => {
            standing.behind = true;
            standing.show(db, mirror.source());
            return Err(feed_differs(mirror.source(), at));
        }
        Err(status) => {
            tracing::debug!(source = mirror.source(), code = ?status.code(), "source is away");
            return Ok(false);
        }
    };
    FOLLOWING.record(1, &labels(db, mirror.source()));
    standing.behind = false;
    standing.show(db, mirror.source());
    let mut ready = stream.ready_chunks(TOGETHER);
    let mut moved = false;
    while let Some(messages) = ready.next().await {
        let mut whole = Vec::with_capacity(messages.len());
        let mut broken = false;
        for message in messages {
            match message {
                Ok(message) => whole.push(message),
                Err(_) => {
                    broken = true;
                    break;
                }
            }
        }
        if !whole.is_empty() {
            for some in runs(&whole) {
                let causes = some.iter().map(|message| message.trace.as_str());
                let span = following(mirror.source(), causes);
                let taken = take(db, mirror, some).instrument(span).await;
                let broken = taken.as_ref().is_err_and(|failure| failure.reason() == Some(Reason::FeedDiffers));
                if broken != standing.broken {
                    standing.broken = broken;
                    standing.show(db, mirror.source());
                }
                taken?;
            }
            moved = true;
        }
        if broken {
            break;
        }
    }
    Ok(moved)
}

/// Cuts messages into runs, a transaction each.
fn runs(messages: &[WatchResponse]) -> impl Iterator<Item = &[WatchResponse]> {
    let mut changes = 0;
    messages.chunk_by(move |message, next| {
        changes += message.changes.len();
        let fits = changes + next.changes.len() <= RUN;
        if !fits {
            changes = 0;
        }
        fits
    })
}

/// From the first moment on the database tells that it mirrors this source, though nothing has come yet.
async fn enlist(db: &Db, source: &str) -> Result<(), Failure> {
    if db.reader().one(POSITION, args![source]).await?.is_some() {
        return Ok(());
    }
    let mut tx = db.begin_own(db.env().clock.now(), source).await?;
    tx.execute(
        "INSERT INTO mirror_cursor (source, position, idx, finished, digest, chain)
         VALUES ($1, 0, 0, 1, $2, $2) ON CONFLICT DO NOTHING",
        args![source, zero()],
    )
    .await?;
    tx.finish().await?;
    Ok(())
}

const POSITION: &str = "SELECT position, idx, finished, digest, chain FROM mirror_cursor WHERE source = $1";
const POSITION_LOCKED: Sql = Sql {
    sqlite: POSITION,
    postgres: "SELECT position, idx, finished, digest, chain FROM mirror_cursor WHERE source = $1 FOR UPDATE",
};

async fn read_position(queries: &mut impl Queries, sql: Sql, source: &str) -> Result<Position, Failure> {
    Ok(match queries.one(sql, args![source]).await? {
        Some(row) => Position {
            cursor: Cursor {
                position: row.get("position")?,
                index: i32::try_from(row.get::<i64>("idx")?).map_err(Failure::internal)?,
            },
            finished: row.get::<i64>("finished")? == 1,
            digest: row.get("digest")?,
            chain: row.get("chain")?,
        },
        None => Position { cursor: Cursor::default(), finished: true, digest: zero(), chain: zero() },
    })
}

fn feed_differs(source: &str, position: i64) -> Failure {
    Failure::new(Reason::FeedDiffers).with("service", source).with("position", position)
}

/// Applies a run of messages and moves the cursor, in one transaction.
async fn take(db: &Db, mirror: &dyn Mirror, messages: &[WatchResponse]) -> Result<(), Failure> {
    let source = mirror.source();
    let mut tx = db.begin_own(db.env().clock.now(), source).await?;
    let mut at = read_position(&mut tx, POSITION_LOCKED, source).await?;
    for message in messages {
        let continues = message.position == at.cursor.position && message.first == at.cursor.index;
        let follows = at.finished && message.position == at.cursor.position + 1 && message.first == 0;
        if !continues && !follows {
            // Another replica was faster: begin again from where the database stands.
            tx.abandon().await;
            return Ok(());
        }
        tx.seed_ids(&format!("{source}/{}/{}", message.position, message.first));
        let mut digest = if message.first == 0 { zero() } else { at.digest };
        for change in &message.changes {
            digest = digest_step(&digest, &change.encode_to_vec());
        }
        let index = message.first + i32::try_from(message.changes.len()).map_err(Failure::internal)?;
        let finished = index >= message.count;
        if finished && (digest != message.digest || chain_step(&at.chain, message.position, &digest) != message.chain) {
            tx.abandon().await;
            return Err(feed_differs(source, message.position));
        }
        mirror.apply_all(&mut tx, &message.changes).await?;
        let chain = if finished { message.chain.clone() } else { at.chain };
        at = Position { cursor: Cursor { position: message.position, index }, finished, digest, chain };
    }
    tx.execute(
        "UPDATE mirror_cursor SET position = $2, idx = $3, finished = $4, digest = $5, chain = $6 WHERE source = $1",
        args![source, at.cursor.position, at.cursor.index, i64::from(at.finished), at.digest, at.chain],
    )
    .await?;
    tx.finish().await?;
    db.inner().mirrored.send_modify(|moves| *moves = moves.wrapping_add(1));
    let now = db.env().clock.now();
    for at in messages.iter().filter_map(|message| message.changes.last()?.at.as_ref()) {
        let lag = Duration::from_micros(now.saturating_sub(proto::instant(at)).max(0).unsigned_abs());
        LAG.record(lag.as_secs_f64(), &labels(db, source));
    }
    Ok(())
}
