//! More than a system can bear: a closed loop without an end.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use tokio::time::Instant;

use super::{
    client::{Client, histogram, micros},
    shot::{Answer, Shot, fire},
};

/// What came of a flood: how many answers of each kind, and their latencies.
pub type Kinds = BTreeMap<String, Histogram<u64>>;

impl Client {
    /// A closed loop without an end: `callers` send what `shot` makes of the numbers from 0 on, each at once after the answer to
    /// its last, however that was, until `within` is over. Answers are not kept: `kind` tells what to count them as.
    ///
    /// # Errors
    /// If a shot cannot be made.
    pub async fn flood<S, K>(&self, shot: S, kind: K, callers: usize, within: Duration) -> anyhow::Result<Kinds>
    where
        S: Fn(usize) -> anyhow::Result<Shot> + Send + Sync + 'static,
        K: Fn(usize, &Answer) -> String + Send + Sync + 'static,
    {
        let next = AtomicUsize::new(0);
        let kinds = Mutex::new(Kinds::new());
        let shared = Arc::new((shot, kind, next, kinds));
        let began = Instant::now();
        let mut tasks = Vec::with_capacity(callers);
        for caller in 0..callers {
            let mut sender = self.sender(caller).context("a client without connections")?;
            let shared = Arc::clone(&shared);
            tasks.push(tokio::spawn(async move {
                let (shot, kind, next, kinds) = &*shared;
                while began.elapsed() < within {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let shot = shot(index)?;
                    let sent = Instant::now();
                    let answer = fire(&mut sender, &shot).await;
                    let latency = micros(sent.elapsed());
                    let kind = kind(index, &answer);
                    let mut kinds = kinds.lock().unwrap_or_else(PoisonError::into_inner);
                    match kinds.get_mut(&kind) {
                        Some(kind) => kind.record(latency)?,
                        None => {
                            let mut first = histogram()?;
                            first.record(latency)?;
                            kinds.insert(kind, first);
                        }
                    }
                    drop(kinds);
                    if matches!(answer, Answer::Broken(_)) {
                        break;
                    }
                }
                anyhow::Ok(())
            }));
        }
        for task in tasks {
            task.await??;
        }
        let mut kinds = shared.3.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *kinds))
    }
}
