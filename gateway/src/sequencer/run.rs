//! Carrying steps out: whatever is due and waits for nothing is claimed, done page by page, and its outcome kept. A step
//! that fails is tried again later and holds up what depends on it, never what does not.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use chassis::{
    CancellationToken, Failure, Host,
    db::{Db, Engine, Tx},
    peer::{Peer, within},
    telemetry::{Gauge, KeyValue, meter},
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

use super::{Task, meters, record, refused::Refused};
use crate::store::{
    steps::{self, Claimant, Pending, Step},
    terms,
};

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(25);
/// A page's bound.
const PATIENCE: Duration = Duration::from_secs(30);
/// A claim is believed for this many seconds after the last sign of life.
const LEASE: i64 = 6;
/// How often a process that has claims says that it is alive.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);
/// Longest pause between two tries, in seconds.
const LONGEST_PAUSE: i64 = 30;
/// Steps looked at together.
const LOOKED_AT: usize = 2000;
/// Steps that one service gets at once, so that one that is slow holds up its own steps only.
const AT_ONCE: usize = 32;

/// Steps at work, by the service that is kept busy; never more than `AT_ONCE` each.
static STEPS: LazyLock<Gauge<u64>> = LazyLock::new(|| {
    let meter = meter();
    let gauge = meter.u64_gauge("shixun.sequencer.steps").with_unit("{step}");
    gauge.with_description("Steps at work in a service, 32 at most").build()
});

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
        meters::begin(peers.keys());
        let owner = hex::encode(host.env().random::<8>()?);
        Ok(Self { db: host.db(), peers, owner, shutdown: host.shutdown() })
    }

    /// Works until shutdown.
    pub async fn work(self) {
        if self.db.engine() == Engine::Sqlite {
            // One process at a time holds the file: whoever had steps before has ended.
            self.keep(async |tx| steps::free_all(tx).await).await;
        }
        let mut at_work: JoinSet<String> = JoinSet::new();
        // Names of the steps at work here, and the service that each keeps busy.
        let mut busy: BTreeMap<String, String> = BTreeMap::new();
        let mut alive = tokio::time::interval(SIGN_OF_LIFE);
        loop {
            match self.ready(&busy).await {
                Ok(steps) => {
                    for step in steps {
                        let name = step.planned.name.clone();
                        busy.insert(name.clone(), worker(&step));
                        let sequencer = self.clone();
                        at_work.spawn(async move {
                            if let Err(failure) = sequencer.carry_out(&name).await {
                                tracing::warn!(step = name, %failure, "a step could not be kept book of");
                            }
                            name
                        });
                    }
                }
                Err(failure) => tracing::warn!(%failure, "the steps could not be read"),
            }
            self.show(&busy);
            tokio::select! {
                () = self.shutdown.cancelled() => break,
                Some(done) = at_work.join_next() => {
                    // All that have ended: after each, the steps are read anew.
                    let mut ended = Some(done);
                    while let Some(done) = ended {
                        if let Ok(name) = done {
                            busy.remove(&name);
                        }
                        ended = at_work.try_join_next();
                    }
                }
                _ = alive.tick(), if !busy.is_empty() => {
                    let until = self.claimant().until;
                    self.keep(async |tx| steps::renew(tx, &self.owner, until).await).await;
                }
                () = tokio::time::sleep(TICK) => {}
            }
        }
        // A page that is under way is repeated by whoever comes next; nothing is lost by leaving it.
        at_work.shutdown().await;
        self.keep(async |tx| steps::renew(tx, &self.owner, 0).await).await;
    }

    /// Shows how much each service has to do.
    fn show(&self, busy: &BTreeMap<String, String>) {
        for service in self.peers.keys() {
            let steps = busy.values().filter(|worker| *worker == service).count();
            STEPS.record(u64::try_from(steps).unwrap_or(u64::MAX), &[KeyValue::new("service", service.clone())]);
        }
    }

    /// Housekeeping: should it fail, claims end by themselves.
    async fn keep(&self, work: impl AsyncFnOnce(&mut Tx) -> Result<(), Failure>) {
        let done = async {
            let mut tx = self.db.begin_own(self.db.env().clock.now(), "claims").await?;
            work(&mut tx).await?;
            tx.finish().await
        };
        if let Err(failure) = done.await {
            tracing::warn!(%failure, "claims could not be kept");
        }
    }

    fn claimant(&self) -> Claimant {
        let wall = self.db.env().wall_seconds();
        Claimant { owner: self.owner.clone(), wall, until: wall.saturating_add(LEASE) }
    }

    /// Steps that are due, wait for nothing, and are not at work here; of each service no more than it gets at once.
    async fn ready(&self, busy: &BTreeMap<String, String>) -> Result<Vec<Step>, Failure> {
        let mut reader = self.db.reader();
        let now = self.db.env().clock.now();
        let mut ready = steps::ready(&mut reader, now, &self.claimant(), LOOKED_AT).await?;
        ready.retain(|step| !busy.contains_key(&step.planned.name));
        if ready.is_empty() {
            return Ok(ready);
        }
        let pending = steps::pending(&mut reader, now).await?;
        let mut work: BTreeMap<String, usize> = BTreeMap::new();
        for service in busy.values() {
            *work.entry(service.clone()).or_default() += 1;
        }
        ready.retain(|step| {
            let work = work.entry(worker(step)).or_default();
            let goes = *work < AT_ONCE && !holds_up(&pending, step);
            *work += usize::from(goes);
            goes
        });
        Ok(ready)
    }

    async fn carry_out(&self, name: &str) -> Result<(), Failure> {
        let env = self.db.env();
        let now = env.clock.now();
        let mut tx = self.db.begin_own(now, name).await?;
        let Some(mut step) = steps::claim(&mut tx, name, now, &self.claimant()).await? else {
            tx.abandon().await;
            return Ok(());
        };
        tx.set_at(step.planned.due);
        record(&mut tx, &step, "begun");
        tx.finish().await?;
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
                    let at = env.clock.now();
                    step.done_at = Some(at);
                    if self.save(&step, 0).await? {
                        meters::done(&step, at);
                    }
                    return Ok(());
                }
                Err(refused) => {
                    step.state = State::Failed;
                    step.error = refused.to_string();
                    meters::failed(&step);
                    // At once, then after 1, 2, 4, … seconds.
                    let pause = ((1_i64 << step.attempts.clamp(1, 10)) / 4).min(LONGEST_PAUSE);
                    tracing::warn!(step = name, error = step.error, pause, "a step failed; it is tried again");
                    self.save(&step, env.wall_seconds().saturating_add(pause)).await?;
                    return Ok(());
                }
            }
        }
    }

    async fn save(&self, step: &Step, retry_at: i64) -> Result<bool, Failure> {
        let mut tx = self.db.begin_own(step.planned.due, &step.planned.name).await?;
        let saved = steps::save(&mut tx, step, retry_at, &self.claimant()).await?;
        if saved {
            let verb = match step.state {
                State::Done => "done",
                State::Failed => "failed",
                _ => "continued",
            };
            record(&mut tx, step, verb);
            tx.finish().await?;
        } else {
            tx.abandon().await;
        }
        Ok(saved)
    }

    /// One page. True if another is to follow.
    async fn page(&self, step: &mut Step) -> Result<bool, Refused> {
        match step.planned.task.clone() {
            Task::PutGates { service } => {
                let gates = Some(self.gates(&step.term).await?);
                let request = PutGatesRequest { gates, ..PutGatesRequest::default() };
                GateServiceClient::new(self.peer(&service)?)
                    .put_gates(within(PATIENCE, request))
                    .await
                    .map_err(Refused::by(&service))?;
                Ok(false)
            }
            Task::Settle { service, window } => {
                let gate_version = self.gates(&step.term).await?.version;
                let request = SettleWindowRequest { term: step.term.clone(), window, gate_version };
                GateServiceClient::new(self.peer(&service)?)
                    .settle_window(within(PATIENCE, request))
                    .await
                    .map_err(Refused::by(&service))?;
                Ok(false)
            }
            // It became ready because nothing is left to wait for.
            Task::Recognized => Ok(false),
            Task::Barrier { consumer, source } => {
                if step.position == 0 {
                    let status = GateServiceClient::new(self.peer(&source)?)
                        .get_status(within(PATIENCE, GetStatusRequest {}))
                        .await
                        .map_err(Refused::by(&source))?
                        .into_inner();
                    step.position = status.position;
                }
                let request = WaitMirrorRequest { source, position: step.position };
                GateServiceClient::new(self.peer(&consumer)?)
                    .wait_mirror(within(PATIENCE, request))
                    .await
                    .map_err(Refused::by(&consumer))?;
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
                    cursor: step.cursor.clone(),
                };
                let reply = StepServiceClient::new(self.peer(&service)?)
                    .run_step(within(PATIENCE, request))
                    .await
                    .map_err(Refused::by(&service))?
                    .into_inner();
                for count in reply.counts {
                    let sum = step.outcome.entry(count.key).or_default();
                    *sum = sum.saturating_add(count.value);
                }
                step.page = step.page.saturating_add(1);
                // It may name a person: no longer kept than there is a page to go on with.
                step.cursor = if reply.more { reply.cursor } else { String::new() };
                step.position = step.position.max(reply.position);
                Ok(reply.more)
            }
        }
    }

    fn peer(&self, service: &str) -> Result<Peer, Refused> {
        let peer = self.peers.get(service).cloned();
        peer.ok_or_else(|| Refused::by("gateway")(Failure::internal(format!("no address of {service}")).into()))
    }

    async fn gates(&self, term: &str) -> Result<Gates, Refused> {
        let gates = async {
            let calendar = terms::calendar_of(&mut self.db.reader(), term, 0).await?;
            let calendar = calendar.ok_or_else(|| Failure::new(Reason::TermUnknown).with("term", term))?;
            Gates::decode(calendar.gates.as_slice()).map_err(Failure::internal)
        };
        gates.await.map_err(|failure| Refused::by("gateway")(failure.into()))
    }
}

/// The service whose work a step is.
pub(super) fn worker(step: &Step) -> String {
    step.planned.task.services().first().copied().unwrap_or_default().to_owned()
}

/// Nothing is asked of a service before the calendar's newest gates are there, and compliance is not taken before the
/// results that were confirmed until then have become credit.
fn holds_up(pending: &Pending, step: &Step) -> bool {
    let planned = &step.planned;
    let lacks_gates = |service: &&str| pending.gates.contains(&(step.term.clone(), (*service).to_owned()));
    match planned.task {
        Task::PutGates { .. } => false,
        Task::Recognized => pending.results.get(&step.term).is_some_and(|due| *due <= planned.due),
        _ => planned.task.services().iter().any(lacks_gates),
    }
}

/// Step and page: whoever does the page again does it once. Names that are too long for an id are digested.
fn request_id(step: &Step) -> String {
    use sha2::Digest as _;
    let id = format!("{}/{}", step.planned.name, step.page);
    if id.len() <= 128 { id } else { hex::encode(sha2::Sha256::digest(id)) }
}
