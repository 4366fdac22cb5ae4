//! Every call of the sequencer is lost: once on the way to the service, and once on the way back, after it was carried out.
//! Doors stand between the gateway and all services, itself among them; what people call passes.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use chassis::{contract, identity::Identity, peer::SERVICE_HEADER, peer::within};
use door::{Call, Door, Fate, Keeper};
use prost::Message as _;
use proto::{
    common::v1::{PutGatesRequest, Role, RunStepRequest, TermStatus, WaitMirrorRequest},
    gateway::v1::{
        ListStepsRequest, RetryStepRequest, Step, WatchStepsRequest, step::State,
        step_service_client::StepServiceClient,
    },
};
use tonic::{Request, Status, transport::Channel};

use crate::{World, raw};

const PATIENCE: Duration = Duration::from_secs(20);

/// Where a call was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// It did not arrive.
    OnTheWay,
    /// It was carried out; the sequencer did not learn of it.
    OnTheWayBack,
}

/// A call of the sequencer: its method, and the page of a `RunStep`.
pub type Kind = (String, i32);

#[derive(Debug)]
struct Loss {
    kind: Kind,
    how: How,
}

/// What a service has done, and the sequencer has not learnt.
#[derive(Debug)]
struct Done {
    service: &'static str,
    call: Call,
    answer: Bytes,
}

#[derive(Debug, Default)]
struct Book {
    /// The sequencer is told a loss's number in it.
    losses: Vec<Loss>,
    /// Losses of calls whose message says for which step they are, by service and message.
    by_message: BTreeMap<(&'static str, String, Bytes), usize>,
    /// Losses that steps are known to have met.
    met: BTreeMap<String, BTreeSet<usize>>,
    done: Vec<Done>,
    surprises: Vec<String>,
}

impl Book {
    fn lose(&mut self, kind: Kind, how: How) -> Fate {
        let told = format!("lost, number {}", self.losses.len());
        self.losses.push(Loss { kind, how });
        match how {
            How::OnTheWay => Fate::CallLost(told),
            How::OnTheWayBack => Fate::AnswerLost(told),
        }
    }

    /// By how often the same message came before.
    fn judge_message(&mut self, service: &'static str, call: &Call, page: i32) -> Fate {
        let came = self.by_message.entry((service, call.path.clone(), call.message.clone())).or_default();
        *came += 1;
        let kind = (call.method().to_owned(), page);
        match *came {
            1 => self.lose(kind, How::OnTheWay),
            2 => self.lose(kind, How::OnTheWayBack),
            _ => Fate::Passes,
        }
    }

    /// By what the steps lack any of which may be the caller: none gets through before all have met both.
    fn judge_steps(&mut self, call: &Call, steps: &[Step]) -> Fate {
        if steps.is_empty() {
            self.surprises.push(format!("{} without a step that needs it", call.method()));
        }
        for step in steps {
            self.met.entry(step.name.clone()).or_default().extend(number(&step.error));
        }
        let kind = (call.method().to_owned(), 0);
        let lacks = |how: How| {
            let met = |loss: &usize| self.losses.get(*loss).is_some_and(|loss| loss.kind == kind && loss.how == how);
            steps.iter().any(|step| !self.met.get(&step.name).is_some_and(|losses| losses.iter().any(met)))
        };
        match [How::OnTheWay, How::OnTheWayBack].into_iter().find(|how| lacks(*how)) {
            Some(how) => self.lose(kind, how),
            None => Fate::Passes,
        }
    }
}

/// The number of the loss that a step's error tells of.
fn number(error: &str) -> Option<usize> {
    error.rsplit_once("lost, number ")?.1.parse().ok()
}

/// See the module.
#[derive(Debug)]
pub struct Losses {
    term: String,
    gateway: Channel,
    identity: Identity,
    book: Mutex<Book>,
}

/// Keeps the door before a service.
struct AtDoor(&'static str, Arc<Losses>);

#[tonic::async_trait]
impl Keeper for AtDoor {
    async fn judge(&self, call: &Call) -> Fate {
        let Self(service, losses) = self;
        match losses.for_steps(service, call).await {
            Ok(fate) => fate,
            Err(error) => {
                losses.book().surprises.push(format!("{}: {error:#}", call.method()));
                Fate::Passes
            }
        }
    }

    async fn answered(&self, call: &Call, answer: Result<Bytes, Status>) {
        let Self(service, losses) = self;
        let mut book = losses.book();
        match answer {
            Ok(answer) => book.done.push(Done { service, call: call.clone(), answer }),
            Err(status) => book.surprises.push(format!("{} was refused: {status}", call.method())),
        }
    }
}

impl Losses {
    /// Starts the gateway anew, behind doors.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn between(world: &mut World, term: &str) -> anyhow::Result<Arc<Self>> {
        let losses = Arc::new(Self {
            term: term.to_owned(),
            gateway: chassis::peer::channel(&world.system.gateway())?,
            identity: world.identity("gateway")?,
            book: Mutex::default(),
        });
        let mut detours = BTreeMap::new();
        for service in shixun::up::SERVICES {
            let address: SocketAddr = world.system.address(service).trim_start_matches("http://").parse()?;
            let door = Door::before(address, Arc::new(AtDoor(service, losses.clone()))).await?;
            detours.insert(service, door.address);
        }
        world.system.restart_by("gateway", &detours).await?;
        Ok(losses)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signed<M>(&self, message: M) -> anyhow::Result<Request<M>> {
        let roles = vec![(Role::Operator as i32, "organizations/county".to_owned())];
        let (token, _) = self.identity.issue("accounts/watch", "", roles, 900)?;
        let mut request = within(PATIENCE, message);
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
        Ok(request)
    }

    async fn for_steps(&self, service: &'static str, call: &Call) -> anyhow::Result<Fate> {
        if !call.path.starts_with("/shixun.common.v1.") {
            return Ok(Fate::Passes);
        }
        match call.method() {
            "RunStep" => {
                let page = RunStepRequest::decode(call.message.clone())?.page;
                Ok(self.book().judge_message(service, call, page))
            }
            "SettleWindow" => Ok(self.book().judge_message(service, call, 0)),
            // Whoever puts a calendar has its policy checked first: that is no step's call.
            "PutGates" if PutGatesRequest::decode(call.message.clone())?.validate_only => Ok(Fate::Passes),
            "PutGates" => Ok(self.book().judge_message(service, call, 0)),
            // A barrier's two calls do not say whose they are.
            "GetStatus" => {
                let steps = self.running(&format!("-mirrors-{service}")).await?;
                // Who starts asks once, to know when it is ready: that is no step's call either.
                if steps.is_empty() { Ok(Fate::Passes) } else { Ok(self.book().judge_steps(call, &steps)) }
            }
            "WaitMirror" => {
                let source = WaitMirrorRequest::decode(call.message.clone())?.source;
                let steps = self.running(&format!("-{service}-mirrors-{source}")).await?;
                Ok(self.book().judge_steps(call, &steps))
            }
            _ => Ok(Fate::Passes),
        }
    }

    /// The steps at work whose names end like this.
    async fn running(&self, ending: &str) -> anyhow::Result<Vec<Step>> {
        let request = ListStepsRequest {
            parent: self.term.clone(),
            state: State::Running.into(),
            page_size: 1000,
            ..ListStepsRequest::default()
        };
        let reply = StepServiceClient::new(self.gateway.clone()).list_steps(self.signed(request)?).await;
        let reply = match reply.map_err(raw::Outcome::from) {
            // Who starts asks before there is the term.
            Err(refused) if refused.reason == "REASON_TERM_UNKNOWN" => return Ok(Vec::new()),
            reply => reply.map_err(|refused| anyhow::anyhow!("the steps are not listed: {refused:?}"))?,
        };
        Ok(reply.into_inner().steps.into_iter().filter(|step| step.name.ends_with(ending)).collect())
    }

    /// Has every step that has failed tried again at once. Does not end by itself.
    ///
    /// # Errors
    /// The gateway's refusal.
    pub async fn retry(&self) -> anyhow::Result<()> {
        let mut client = StepServiceClient::new(self.gateway.clone());
        let mut watch = Request::new(WatchStepsRequest::default());
        *watch.metadata_mut() = self.signed(())?.metadata().clone();
        watch.metadata_mut().remove("grpc-timeout");
        let mut steps = client.watch_steps(watch).await?.into_inner();
        let mut number = 0;
        while let Some(reply) = steps.message().await? {
            let Some(step) = reply.step.filter(|step| step.state() == State::Failed) else { continue };
            number += 1;
            let request = RetryStepRequest { name: step.name, request_id: format!("again-{number}") };
            match client.retry_step(self.signed(request)?).await.map_err(raw::Outcome::from) {
                // It is being tried already.
                Err(refused) if refused.reason == "REASON_STATE_CONFLICT" => {}
                Err(refused) => anyhow::bail!("a step is not tried again: {refused:?}"),
                Ok(_) => {}
            }
        }
        anyhow::bail!("the steps can be watched no more")
    }

    /// Asks for everything once more that services have done since the last time, as the sequencer would: each gives its
    /// first answer, and nothing changes. Returns how many calls that were.
    ///
    /// # Errors
    /// If an answer is another one, or something has changed.
    pub async fn repeat(&self, world: &World) -> anyhow::Result<usize> {
        let done = std::mem::take(&mut self.book().done);
        let before = stands(world).await?;
        let mut repeated = 0;
        for Done { service, call, answer } in &done {
            let method = contract::method(&call.path).with_context(|| format!("no {}", call.path))?;
            if matches!(call.method(), "GetStatus" | "WaitMirror") {
                continue;
            }
            let channel = chassis::peer::channel(&world.system.address(service))?;
            let header = Some((SERVICE_HEADER, self.identity.own_token()?));
            let again = raw::call(channel, method, header, call.message.to_vec()).await?;
            anyhow::ensure!(again.code == tonic::Code::Ok, "{} of {service} again: {again:?}", call.path);
            // The position at which a window was settled may be told later than it was: nothing rests on it.
            let same = call.method() == "SettleWindow" || again.reply == *answer;
            anyhow::ensure!(same, "{} of {service} again: {again:?}, first {answer:?}", call.path);
            repeated += 1;
        }
        anyhow::ensure!(before == stands(world).await?, "something was done twice: {done:?}");
        Ok(repeated)
    }

    /// What each step has met, by what the gateway's feed tells of its failures; each loss was met by one step.
    ///
    /// # Errors
    /// If a loss was met by none or by several, or something was surprising.
    pub fn met(&self, failures: &[Step]) -> anyhow::Result<BTreeMap<String, BTreeSet<(Kind, How)>>> {
        let book = self.book();
        anyhow::ensure!(book.surprises.is_empty(), "{}", book.surprises.join("; "));
        let mut numbers = BTreeSet::new();
        let mut met: BTreeMap<String, BTreeSet<(Kind, How)>> = BTreeMap::new();
        for step in failures {
            let number = number(&step.error);
            let loss = number.and_then(|number| book.losses.get(number));
            let loss = loss.with_context(|| format!("{} failed by itself: {}", step.name, step.error))?;
            anyhow::ensure!(numbers.insert(number), "two steps met one loss: {step:?}");
            met.entry(step.name.clone()).or_default().insert((loss.kind.clone(), loss.how));
        }
        anyhow::ensure!(numbers.len() == book.losses.len(), "of {} losses some did no harm", book.losses.len());
        Ok(met)
    }
}

/// Where every service stands.
async fn stands(world: &World) -> anyhow::Result<Vec<(i64, Vec<TermStatus>)>> {
    let mut all = Vec::new();
    for service in shixun::up::SERVICES {
        let status = world.system.status(service).await?;
        all.push((status.position, status.terms));
    }
    Ok(all)
}
