//! Many streams that are listened to.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use anyhow::Context as _;
use tokio::{sync::mpsc, task::JoinSet};

use super::{client::Client, shot::Shot};

impl Client {
    /// Opens a stream with each shot and listens to all of them until the listeners are dropped. Every stream has had its first
    /// message when this returns.
    ///
    /// # Errors
    /// If one is refused.
    pub async fn listen(&self, shots: &[Shot]) -> anyhow::Result<Listeners> {
        let messages = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        let (first, mut firsts) = mpsc::unbounded_channel();
        for (caller, shot) in shots.iter().enumerate() {
            let mut sender = self.sender(caller).context("a client without connections")?;
            futures::future::poll_fn(|context| sender.poll_ready(context)).await?;
            let (answer, mut stream) = sender.send_request(shot.request(), false)?;
            stream.send_data(shot.body.clone(), true)?;
            let (messages, first) = (Arc::clone(&messages), first.clone());
            tasks.spawn(async move {
                let mut body = answer.await?.into_body();
                let mut first = Some(first);
                while let Some(chunk) = body.data().await {
                    let chunk = chunk?;
                    body.flow_control().release_capacity(chunk.len())?;
                    messages.fetch_add(1, Ordering::Relaxed);
                    if let Some(first) = first.take() {
                        let _ = first.send(());
                    }
                }
                anyhow::Ok(())
            });
        }
        drop(first);
        for _ in shots {
            firsts.recv().await.context("a stream ended before its first message")?;
        }
        Ok(Listeners { messages, tasks })
    }
}

/// Streams that are listened to.
#[derive(Debug)]
pub struct Listeners {
    messages: Arc<AtomicUsize>,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Listeners {
    /// Chunks of messages that have come so far.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.messages.load(Ordering::Relaxed)
    }

    /// Streams that have ended meanwhile.
    #[must_use]
    pub fn ended(&mut self) -> usize {
        std::iter::from_fn(|| self.tasks.try_join_next()).count()
    }
}
