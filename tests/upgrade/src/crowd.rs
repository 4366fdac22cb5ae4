//! People who read and select while the system is replaced beneath them. Their clients try nothing twice that was sent; what could not
//! be sent, because the connection had just been ended in good order, goes out by the next one, as gRPC's libraries have it (A6,
//! transparent retries). tonic's own channel has not.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use chassis::{peer::within, replicas::Replicas};
use futures::future::try_join_all;
use load::town::{Lot, Town};
use proto::{
    catalog::v1::{ListProjectsRequest, project_service_client::ProjectServiceClient},
    credit::v1::{GetStatementRequest, ledger_service_client::LedgerServiceClient},
    enrollment::v1::{
        CheckEligibilityRequest, ListSelectionsRequest, SubmitSelectionRequest,
        selection_service_client::SelectionServiceClient,
    },
    gateway::v1::{
        GetTodayRequest, LoginRequest, RefreshRequest, calendar_service_client::CalendarServiceClient,
        session_service_client::SessionServiceClient,
    },
    roster::v1::{GetTeacherRequest, teacher_service_client::TeacherServiceClient},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status, transport::Endpoint};
use tonic_types::StatusExt as _;

/// Clients, each with a connection of its own.
const CLIENTS: usize = 8;
/// A client's pause from one call to the next, if the answer was there by then.
const PACE: Duration = Duration::from_millis(60);
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// Logs in and refreshes the session: gateway and roster.
    Login,
    /// Reads his own facts: roster.
    Teacher,
    /// Reads the menu: catalog.
    Menu,
    /// Asks whether he may select: enrollment.
    Check,
    /// Reads his selections: enrollment.
    Selections,
    /// Selects: enrollment.
    Submit,
    /// Reads his statement: credit.
    Statement,
    /// Asks what can be done today: gateway.
    Today,
}

impl Act {
    /// In the order in which they are done; every fourth is a submission.
    const TURN: [Self; 10] = [
        Self::Submit,
        Self::Menu,
        Self::Check,
        Self::Login,
        Self::Submit,
        Self::Teacher,
        Self::Statement,
        Self::Today,
        Self::Submit,
        Self::Selections,
    ];
}

/// What came of it all.
#[derive(Debug, Default)]
pub struct Tally {
    /// Acts that went well.
    pub done: BTreeMap<Act, usize>,
    /// Names of the selections that were acknowledged.
    pub acknowledged: Vec<String>,
    /// Submissions that were rightly told that the project is full.
    pub full: usize,
    /// Everything else.
    pub failed: Vec<String>,
}

/// A crowd that is at it.
#[derive(Debug)]
pub struct Crowd {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<anyhow::Result<Tally>>>,
}

#[derive(Debug)]
struct Shared {
    town: Town,
    gateway: Endpoint,
    given: AtomicUsize,
    answered: AtomicUsize,
    stop: CancellationToken,
}

impl Crowd {
    /// Begins, by this way to the gateway.
    #[must_use]
    pub fn begin(town: Town, gateway: Endpoint) -> Self {
        let (given, answered, stop) = (AtomicUsize::new(0), AtomicUsize::new(0), CancellationToken::new());
        let shared = Arc::new(Shared { town, gateway, given, answered, stop });
        let clients = (0..CLIENTS).map(|client| tokio::spawn(work(Arc::clone(&shared), client))).collect();
        Self { shared, clients }
    }

    /// Waits until so many more calls were answered, well or not.
    pub async fn answers(&self, more: usize) {
        let goal = self.shared.answered.load(Ordering::Relaxed) + more;
        while self.shared.answered.load(Ordering::Relaxed) < goal {
            tokio::time::sleep(PACE).await;
        }
    }

    /// Has everyone go home once he has his answer.
    ///
    /// # Errors
    /// If a client could not go on at all.
    pub async fn end(self) -> anyhow::Result<Tally> {
        self.shared.stop.cancel();
        let mut all = Tally::default();
        for tally in try_join_all(self.clients).await? {
            let tally = tally?;
            tally.done.into_iter().for_each(|(act, count)| *all.done.entry(act).or_default() += count);
            all.acknowledged.extend(tally.acknowledged);
            all.full += tally.full;
            all.failed.extend(tally.failed);
        }
        Ok(all)
    }
}

async fn work(shared: Arc<Shared>, client: usize) -> anyhow::Result<Tally> {
    let gateway = Replicas::from(shared.gateway.connect_lazy());
    let mut tally = Tally::default();
    let mut ticks = tokio::time::interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Not all the same thing at once.
    for number in client.. {
        tokio::select! {
            () = shared.stop.cancelled() => break,
            _ = ticks.tick() => {}
        }
        let act = *Act::TURN.get(number % Act::TURN.len()).context("no act")?;
        let (asked, before) = (Instant::now(), shared.answered.load(Ordering::Relaxed));
        let outcome = shared.attempt(&gateway, act, number).await;
        let others = shared.answered.fetch_add(1, Ordering::Relaxed) - before;
        match outcome {
            Ok(selection) => {
                *tally.done.entry(act).or_default() += 1;
                tally.acknowledged.extend(selection);
            }
            Err(status) if act == Act::Submit && is_full(&status) => tally.full += 1,
            Err(status) => {
                let (code, told, waited) = (status.code(), told(&status), asked.elapsed());
                // A call that hangs alone is another fault than a system that stands still.
                tally.failed.push(format!(
                    "{act:?}: {code:?} {told}, asked after {before} answers, told after {waited:.1?}; others had {others} meanwhile"
                ));
            }
        }
    }
    Ok(tally)
}

fn is_full(status: &Status) -> bool {
    status.get_details_error_info().is_some_and(|info| info.reason == "REASON_FULL")
}

/// A refusal in full: what lies beneath it, too.
fn told(status: &Status) -> String {
    let info = status.get_details_error_info().map(|info| format!(" {} {:?}", info.reason, info.metadata));
    let beneath = std::error::Error::source(status).map(|source| format!(" ({source:?})"));
    format!("{}{}{}", status.message(), info.unwrap_or_default(), beneath.unwrap_or_default())
}

impl Shared {
    /// Does it; of a submission, the selection's name.
    async fn attempt(&self, gateway: &Replicas, act: Act, number: usize) -> Result<Option<String>, Status> {
        let somebody = number % self.town.teachers.len();
        let nobody = || Status::internal("nobody");
        let teacher = self.town.teachers.get(somebody).ok_or_else(nobody)?;
        let gateway = gateway.clone();
        let term = self.town.term.clone();
        match act {
            Act::Login => {
                let person = self.town.county.teachers.get(somebody).ok_or_else(nobody)?;
                let request = LoginRequest { login: person.login.clone(), password: self.town.county.password.clone() };
                let mut client = SessionServiceClient::new(gateway);
                let session = client.login(within(PATIENCE, request)).await?.into_inner().session.ok_or_else(nobody)?;
                client.refresh(within(PATIENCE, RefreshRequest { refresh_token: session.refresh_token })).await?;
            }
            Act::Teacher => {
                let request = signed(&teacher.token, GetTeacherRequest { name: teacher.name.clone() })?;
                TeacherServiceClient::new(gateway).get_teacher(request).await?;
            }
            Act::Menu => {
                let request = ListProjectsRequest { parent: term, page_size: 20, ..Default::default() };
                let reply = ProjectServiceClient::new(gateway).list_projects(signed(&teacher.token, request)?).await?;
                if reply.into_inner().projects.is_empty() {
                    return Err(Status::internal("an empty menu"));
                }
            }
            Act::Check => {
                let project = self.town.projects(Lot::Short).first().ok_or_else(nobody)?.clone();
                let request = signed(&teacher.token, CheckEligibilityRequest { project, teacher: String::new() })?;
                SelectionServiceClient::new(gateway).check_eligibility(request).await?;
            }
            Act::Selections => {
                let request = ListSelectionsRequest {
                    parent: term,
                    teacher: teacher.name.clone(),
                    page_size: 50,
                    ..Default::default()
                };
                SelectionServiceClient::new(gateway).list_selections(signed(&teacher.token, request)?).await?;
            }
            Act::Submit => return self.submit(gateway).await.map(Some),
            Act::Statement => {
                let request = GetStatementRequest { teacher: teacher.name.clone(), ..Default::default() };
                LedgerServiceClient::new(gateway).get_statement(signed(&teacher.token, request)?).await?;
            }
            Act::Today => {
                let request = signed(&teacher.token, GetTodayRequest { term })?;
                let reply = CalendarServiceClient::new(gateway).get_today(request).await?;
                if reply.into_inner().windows.is_empty() {
                    return Err(Status::internal("nothing to do on the first selection day"));
                }
            }
        }
        Ok(None)
    }

    /// The next pair of teacher and project that nobody has submitted.
    async fn submit(&self, gateway: Replicas) -> Result<String, Status> {
        let given = self.given.fetch_add(1, Ordering::Relaxed);
        let all = self.town.teachers.len();
        let used_up = || Status::internal("everyone has selected everything");
        let project = self.town.projects(Lot::Short).get(given / all).ok_or_else(used_up)?;
        let teacher = self.town.teachers.get(given % all).ok_or_else(used_up)?;
        let request = SubmitSelectionRequest {
            parent: self.town.term.clone(),
            project: project.clone(),
            teacher: String::new(),
            request_id: format!("submit-{given}"),
        };
        let reply = SelectionServiceClient::new(gateway).submit_selection(signed(&teacher.token, request)?).await?;
        Ok(reply.into_inner().selection.ok_or_else(|| Status::internal("no selection"))?.name)
    }
}

fn signed<M>(token: &str, message: M) -> Result<Request<M>, Status> {
    let mut request = within(PATIENCE, message);
    let header = format!("Bearer {token}").parse().map_err(|_| Status::internal("no header"))?;
    request.metadata_mut().insert("authorization", header);
    Ok(request)
}
