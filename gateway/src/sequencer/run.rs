//! Carrying steps out: whatever is due and waits for nothing is claimed, done page by page, and its outcome kept. A step
//! that fails is tried again later and holds up what depends on it, never what does not.

use std::{collections::BTreeMap, collections::BTreeSet, time::Duration};

use chassis::{
    CancellationToken, Failure, Host,
    db::{Db, Record},
    peer::{Peer, within},
};
use prost::Message as _;
use proto::{
    common::v1::{
        Action, Gates, GetStatusRequest, PutGatesRequest, Reason, RunStepRequest, SettleWindowRequest,
        WaitMirrorRequest, gate_service_client::GateServiceClient, step_service_client::StepServiceClient,
    },
    gateway::v1::step::State,
};
use tokio::task::JoinSet;
use tonic::Status;
use tonic_types::StatusExt as _;

use super::{Task, api::wire};
use crate::store::{
    steps::{self, Step},
    terms,
};

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(25);
/// A page's bound.
const PATIENCE: Duration = Duration::from_secs(30);
/// A claim is believed for this many seconds after the last sign of life.
const LEASE: i64 = 60;
/// Longest pause between two tries, in seconds.
const LONGEST_PAUSE: i64 = 30;
/// Steps looked at together.
const AT_ONCE: usize = 64;

/// One process's sequencer.
#[derive(Clone)]
pub struct Sequencer {
    db: Db,
    peers: BTreeMap<String, Peer>,
    owner: String,
    shutdown: CancellationToken,
}

impl Sequencer {
    /// The sequencer of this process.
    ///
    /// # Errors
    /// If `peers` lacks the address of a service.
    pub fn new(host: &Host) -> anyhow::Result<Self> {
        let mut peers = BTreeMap::new();
        for service in ["roster", "catalog", "enrollment", "credit", "gateway"] {
            peers.insert(service.to_owned(), host.peer(service)?);
        }
        let owner = hex::encode(host.env().random::<8>()?);
        Ok(Self { db: host.db(), peers, owner, shutdown: host.shutdown() })
    }

    /// Works until shutdown.
    pub async fn work(self) {
        let mut at_work: JoinSet<String> = JoinSet::new();
        let mut names: BTreeSet<String> = BTreeSet::new();
        loop {
            match self.ready(&names).await {
                Ok(steps) => {
                    for step in steps {
                        names.insert(step.planned.name.clone());
                        let sequencer = self.clone();
                        at_work.spawn(async move {
                            let name = step.planned.name.clone();
                            if let Err(failure) = sequencer.carry_out(step).await {
                                tracing::warn!(step = name, %failure, "a step could not be kept book of");
                            }
                            name
                        });
                    }
                }
                Err(failure) => tracing::warn!(%failure, "the steps could not be read"),
            }
            tokio::select! {
                () = self.shutdown.cancelled() => break,
                Some(done) = at_work.join_next() => {
                    if let Ok(name) = done {
                        names.remove(&name);
                    }
                }
                () = tokio::time::sleep(TICK) => {}
            }
        }
        // A page that is under way is repeated by whoever comes next; nothing is lost by leaving it.
        at_work.shutdown().await;
    }

    /// Steps that are due, wait for nothing, and are not at work here.
    async fn ready(&self, at_work: &BTreeSet<String>) -> Result<Vec<Step>, Failure> {
        let mut reader = self.db.reader();
        let open = steps::open(&mut reader, self.db.env().clock.now(), 1000).await?;
        if open.is_empty() {
            return Ok(open);
        }
        let waited_for: Vec<String> = open.iter().flat_map(|step| step.planned.after.clone()).collect();
        let ended: BTreeSet<String> = steps::ended(&mut reader, &waited_for).await?.into_iter().collect();
        let free = |step: &Step| step.planned.after.iter().all(|name| ended.contains(name));
        let room = AT_ONCE.saturating_sub(at_work.len());
        Ok(open.into_iter().filter(|step| free(step) && !at_work.contains(&step.planned.name)).take(room).collect())
    }

    async fn carry_out(&self, step: Step) -> Result<(), Failure> {
        let env = self.db.env();
        let name = step.planned.name.clone();
        let mut tx = self.db.begin_own(step.planned.due, &name).await?;
        let claimed = steps::claim(&mut tx, &name, &self.owner, env.wall_seconds(), env.wall_seconds() + LEASE).await?;
        if !claimed {
            tx.abandon().await;
            return Ok(());
        }
        tx.finish().await?;
        // As it is now: another process may have done pages of it.
        let Some(mut step) = steps::find(&mut self.db.reader(), &name).await? else { return Ok(()) };
        loop {
            match self.page(&mut step).await {
                Ok(true) => {
                    if !self.save(&step, 0).await? {
                        return Ok(());
                    }
                }
                Ok(false) => {
                    step.state = State::Done;
                    step.error.clear();
                    step.done_at = Some(env.clock.now());
                    self.save(&step, 0).await?;
                    return Ok(());
                }
                Err(status) => {
                    step.state = State::Failed;
                    step.error = shown(&status);
                    let pause = (1_i64 << step.attempts.clamp(1, 6)).saturating_sub(2).min(LONGEST_PAUSE);
                    tracing::warn!(step = name, error = step.error, pause, "a step failed; it is tried again");
                    self.save(&step, env.wall_seconds() + pause).await?;
                    return Ok(());
                }
            }
        }
    }

    async fn save(&self, step: &Step, retry_at: i64) -> Result<bool, Failure> {
        let mut tx = self.db.begin_own(step.planned.due, &step.planned.name).await?;
        let until = self.db.env().wall_seconds() + LEASE;
        let saved = steps::save(&mut tx, step, &self.owner, retry_at, until).await?;
        if saved {
            let verb = match step.state {
                State::Done => "done",
                State::Failed => "failed",
                _ => "continued",
            };
            tx.record(Record::of(&step.planned.name, verb, &wire(step)).term(&step.term));
            tx.finish().await?;
        } else {
            tx.abandon().await;
        }
        Ok(saved)
    }

    /// One page. True if another is to follow.
    async fn page(&self, step: &mut Step) -> Result<bool, Status> {
        match step.planned.task.clone() {
            Task::PutGates { service } => {
                let request = PutGatesRequest { gates: Some(self.gates(&step.term).await?), validate_only: false };
                GateServiceClient::new(self.peer(&service)?).put_gates(within(PATIENCE, request)).await?;
                Ok(false)
            }
            Task::Settle { service, window } => {
                let gate_version = self.gates(&step.term).await?.version;
                let request = SettleWindowRequest { term: step.term.clone(), window, gate_version };
                GateServiceClient::new(self.peer(&service)?).settle_window(within(PATIENCE, request)).await?;
                Ok(false)
            }
            Task::Barrier { consumer, source } => {
                if step.position == 0 {
                    let status = GateServiceClient::new(self.peer(&source)?)
                        .get_status(within(PATIENCE, GetStatusRequest {}))
                        .await?
                        .into_inner();
                    step.position = status.position;
                }
                let request = WaitMirrorRequest { source, position: step.position };
                GateServiceClient::new(self.peer(&consumer)?).wait_mirror(within(PATIENCE, request)).await?;
                Ok(false)
            }
            Task::Run { service, action, window, round, subject } => {
                let action = Action::from_str_name(&action).unwrap_or(Action::Unspecified);
                let request = RunStepRequest {
                    term: step.term.clone(),
                    action: action.into(),
                    window,
                    round,
                    due: Some(proto::timestamp(step.planned.due)),
                    gate_version: self.gates(&step.term).await?.version,
                    page: i32::try_from(step.page).unwrap_or(i32::MAX),
                    subject,
                    request_id: request_id(step),
                };
                let reply = StepServiceClient::new(self.peer(&service)?)
                    .run_step(within(PATIENCE, request))
                    .await?
                    .into_inner();
                for count in reply.counts {
                    let sum = step.outcome.entry(count.key).or_default();
                    *sum = sum.saturating_add(count.value);
                }
                step.page = step.page.saturating_add(1);
                step.position = step.position.max(reply.position);
                Ok(reply.more)
            }
        }
    }

    fn peer(&self, service: &str) -> Result<Peer, Status> {
        let peer = self.peers.get(service).cloned();
        peer.ok_or_else(|| Failure::internal(format!("no address of {service}")).into())
    }

    async fn gates(&self, term: &str) -> Result<Gates, Status> {
        let calendar = terms::calendar_of(&mut self.db.reader(), term, 0).await?;
        let calendar = calendar.ok_or_else(|| Failure::new(Reason::TermUnknown).with("term", term))?;
        Gates::decode(calendar.gates.as_slice()).map_err(|error| Failure::internal(error).into())
    }
}

/// Step and page: whoever does the page again does it once. Names that are too long for an id are digested.
fn request_id(step: &Step) -> String {
    use sha2::Digest as _;
    let id = format!("{}/{}", step.planned.name, step.page);
    if id.len() <= 128 { id } else { hex::encode(sha2::Sha256::digest(id)) }
}

/// A failure as operators see it: code and reason, and the message, which never holds personal data.
fn shown(status: &Status) -> String {
    let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    format!("{:?} {reason} {}", status.code(), status.message())
}
