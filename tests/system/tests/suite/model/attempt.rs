//! Sending an operation, and sending it again: the system answers as the model says, and carries it out once.

use std::collections::BTreeSet;

use anyhow::Context as _;
use chassis::contract;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use prost::Message;
use system::{
    model::Against,
    raw::{self, Outcome},
};

use super::Play;
use crate::county::Header;

/// Calls in flight that change nothing: those that are repeated, and those that read.
pub(super) const AT_ONCE: usize = 8;

/// An operation.
pub(super) struct Act {
    /// As it is counted.
    pub(super) kind: &'static str,
    /// Whose feed tells of it, and of nothing else meanwhile; `None`, where others are at work too.
    pub(super) service: Option<&'static str>,
    pub(super) header: Header,
    pub(super) path: &'static str,
    pub(super) message: Vec<u8>,
    /// Another body under the same request id.
    pub(super) other: Option<Vec<u8>>,
}

/// An operation that went.
pub(super) struct Went {
    act: Act,
    what: String,
    reply: Outcome,
}

impl Play {
    /// A call through the gateway, or of the service itself.
    pub(super) async fn call(
        &self,
        directly: bool,
        header: &Header,
        path: &str,
        message: Vec<u8>,
    ) -> anyhow::Result<Outcome> {
        let method = contract::method(path).with_context(|| format!("no {path}"))?;
        let server = if directly { method.package.as_str() } else { "gateway" };
        raw::call(self.stage.channel(server)?, method, header.clone(), message).await
    }

    /// What must go.
    pub(super) async fn must<R: Message + Default>(
        &self,
        header: &Header,
        path: &str,
        message: Vec<u8>,
    ) -> anyhow::Result<R> {
        let outcome = self.call(false, header, path, message).await?;
        anyhow::ensure!(outcome.code == tonic::Code::Ok, "{path}: {outcome:?}");
        Ok(R::decode(outcome.reply)?)
    }

    /// One operation: it goes if the model has nothing against it, else it is refused for the same reasons, all of them, and
    /// so once more. What went is sent again by [`Self::repeat`].
    pub(super) async fn attempt(&mut self, act: Act, against: &Against, what: &str) -> anyhow::Result<Outcome> {
        let what = format!("{}, act {}, {what}", act.kind, self.acts);
        if let Some(service) = act.service.filter(|service| !self.heads.contains_key(service)) {
            self.look(service).await?;
        }
        let outcome = self.call(false, &act.header, act.path, act.message.clone()).await?;
        agree(&outcome, against).with_context(|| what.clone())?;
        self.acts += 1;
        let (yes, no) = self.counts.entry(act.kind).or_default();
        if against.is_empty() {
            *yes += 1;
            if let Some(head) = act.service.and_then(|service| self.heads.get_mut(service)) {
                *head += 1;
            }
            self.went.push(Went { act, what, reply: outcome.clone() });
        } else {
            *no += 1;
            let again = self.call(true, &act.header, act.path, act.message).await?;
            anyhow::ensure!(again == outcome, "{what}, twice: {outcome:?}, {again:?}");
        }
        Ok(outcome)
    }

    /// Everything that went since the last time, once more, past the gateway: each gets its first reply, whatever came after
    /// it, and with another body under its id it is refused. Each has left one batch in the feed of its service; what was
    /// refused, or repeated, none.
    pub(super) async fn repeat(&mut self) -> anyhow::Result<()> {
        let went = std::mem::take(&mut self.went);
        let again = went.into_iter().map(async |Went { act, what, reply }| {
            let again = self.call(true, &act.header, act.path, act.message).await?;
            anyhow::ensure!(again == reply, "{what}, twice: {reply:?}, {again:?}");
            if let Some(other) = act.other {
                let reused = self.call(true, &act.header, act.path, other).await?;
                anyhow::ensure!(reused.reason == "REASON_REQUEST_ID_REUSED", "{what}, another body: {reused:?}");
            }
            anyhow::Ok(())
        });
        stream::iter(again).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        for (service, expected) in &self.heads {
            let head = self.stage.world.system.status(service).await?.position;
            anyhow::ensure!(head == *expected, "{service} has {head} batches, not {expected}, by act {}", self.acts);
        }
        Ok(())
    }

    /// Looks at the head of a service's feed; from there on it is known what moves it.
    pub(super) async fn look(&mut self, service: &'static str) -> anyhow::Result<i64> {
        let head = self.stage.world.system.status(service).await?.position;
        self.heads.insert(service, head);
        Ok(head)
    }
}

/// The system and the model agree on why not.
fn agree(outcome: &Outcome, against: &Against) -> anyhow::Result<()> {
    let shut = ["REASON_WINDOW_SETTLED", "REASON_WINDOW_NOT_READY"];
    let name = |reason: &String| {
        if shut.contains(&reason.as_str()) { "REASON_WINDOW_CLOSED".to_owned() } else { reason.clone() }
    };
    let found: BTreeSet<String> = outcome.reasons.iter().map(name).collect();
    let meant: BTreeSet<String> = against.iter().map(|reason| reason.as_str_name().to_owned()).collect();
    anyhow::ensure!(found == meant, "{outcome:?}, the model refuses for {meant:?}");
    anyhow::ensure!(against.is_empty() == (outcome.code == tonic::Code::Ok), "{outcome:?}");
    Ok(())
}
