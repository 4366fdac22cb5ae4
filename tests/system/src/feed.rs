//! Reading a feed as a watcher does, and holding it to its word: in order, without a gap, each batch whole, the chain right.

use std::time::Duration;

use anyhow::Context as _;
use chassis::{changes::feed, peer::Peer};
use prost::Message as _;
use proto::common::v1::{Change, Cursor, WatchRequest, WatchResponse, change_service_client::ChangeServiceClient};
use tonic::Streaming;

/// Longer than any service needs for its next message.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a watcher keeps: where it stands, and what it has got.
#[derive(Debug, Clone)]
pub struct Watcher {
    /// After the last change taken.
    pub cursor: Cursor,
    /// Changes with the position of their batch.
    pub changes: Vec<(i64, Change)>,
    /// Messages taken.
    pub messages: usize,
    whole: bool,
    chain: Vec<u8>,
    digest: Vec<u8>,
}

impl Default for Watcher {
    fn default() -> Self {
        Self {
            cursor: Cursor::default(),
            changes: Vec::new(),
            messages: 0,
            whole: true,
            chain: feed::zero(),
            digest: feed::zero(),
        }
    }
}

impl Watcher {
    /// Opens the feed after this watcher's cursor.
    ///
    /// # Errors
    /// The source's refusal.
    pub async fn open(&self, source: Peer) -> anyhow::Result<Streaming<WatchResponse>> {
        let mut client = ChangeServiceClient::new(source).max_decoding_message_size(16 << 20);
        let request = WatchRequest { after: Some(self.cursor), chain: self.chain.clone() };
        Ok(client.watch(request).await?.into_inner())
    }

    /// Takes one message.
    ///
    /// # Errors
    /// If it is not what follows what was taken before.
    pub async fn take(&mut self, feed: &mut Streaming<WatchResponse>) -> anyhow::Result<()> {
        let next = tokio::time::timeout(PATIENCE, feed.message()).await.context("nothing comes any more")?;
        let message = next?.context("the feed has ended")?;
        let expected =
            if self.whole { (self.cursor.position + 1, 0) } else { (self.cursor.position, self.cursor.index) };
        anyhow::ensure!(
            (message.position, message.first) == expected,
            "after {expected:?} came {:?}",
            (message.position, message.first)
        );
        if message.first == 0 {
            self.digest = feed::zero();
        }
        for change in &message.changes {
            self.digest = feed::digest_step(&self.digest, &change.encode_to_vec());
        }
        let taken = message.first + i32::try_from(message.changes.len())?;
        self.cursor = Cursor { position: message.position, index: taken };
        self.whole = taken == message.count;
        anyhow::ensure!(taken <= message.count, "batch {} has more changes than it says", message.position);
        if self.whole {
            anyhow::ensure!(self.digest == message.digest, "the digest of batch {} is wrong", message.position);
            self.chain = feed::chain_step(&self.chain, message.position, &message.digest);
            anyhow::ensure!(self.chain == message.chain, "the chain is broken at {}", message.position);
        }
        self.messages += 1;
        self.changes.extend(message.changes.into_iter().map(|change| (message.position, change)));
        Ok(())
    }

    /// Whether everything up to `head` has been taken.
    #[must_use]
    pub const fn has(&self, head: i64) -> bool {
        self.cursor.position > head || (self.cursor.position == head && self.whole)
    }

    /// Whether the last batch was taken in part only.
    #[must_use]
    pub const fn is_in_a_batch(&self) -> bool {
        !self.whole
    }

    /// Watches until it has everything up to `head`.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub async fn up_to(&mut self, source: Peer, head: i64) -> anyhow::Result<()> {
        let mut feed = self.open(source).await?;
        while !self.has(head) {
            self.take(&mut feed).await?;
        }
        Ok(())
    }
}
