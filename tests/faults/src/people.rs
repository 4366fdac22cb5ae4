//! What people do in the first round, and what they meet.

use std::time::Duration;

use anyhow::Context as _;
use chassis::peer::{channel, within};
use proto::{
    catalog::v1::{ListProjectsRequest, project_service_client::ProjectServiceClient},
    common::v1::Window,
    credit::v1::{GetStatementRequest, ledger_service_client::LedgerServiceClient},
    enrollment::v1::{
        Decision, ListSelectionsRequest, ReviewSelectionsRequest, SubmitSelectionRequest, WatchSeatsRequest,
        WatchSeatsResponse, WithdrawSelectionRequest, review_service_client::ReviewServiceClient,
        selection_service_client::SelectionServiceClient,
    },
    gateway::v1::{
        GetCalendarRequest, GetTodayRequest, ListStepsRequest, LoginRequest, RefreshRequest, Step,
        calendar_service_client::CalendarServiceClient, session_service_client::SessionServiceClient, step,
        step_service_client::StepServiceClient,
    },
};
use tokio::time::Instant;
use tonic::{Code, Request, Status, Streaming, transport::Channel};
use tonic_types::StatusExt as _;

use crate::{
    stage::Stage,
    table::{Act, GOES_ON, Meets},
};

/// How long a person's client waits.
pub const PATIENCE: Duration = GOES_ON;
/// The same while nobody is expected to answer.
pub const NO_HOPE: Duration = Duration::from_secs(2);

/// What came of an act.
#[derive(Debug)]
pub struct Met {
    /// The refusal, if there was one.
    pub refusal: Option<Status>,
    /// How long it took.
    pub took: Duration,
}

impl Met {
    /// What is wrong with it, if it is not what is written.
    #[must_use]
    pub fn differs(&self, expected: Meets, within: Duration) -> Option<String> {
        let what = match (&self.refusal, expected) {
            (None, Meets::GoesOn) => None,
            (Some(refusal), Meets::Away(service)) => away(refusal, service),
            (Some(refusal), Meets::Nobody) => {
                let reason = refusal.get_details_error_info().map(|info| info.reason);
                reason.map(|reason| format!("somebody answered {reason}"))
            }
            (None, _) => Some("it goes on".to_owned()),
            (Some(refusal), Meets::GoesOn) => Some(told(refusal)),
        };
        let late = (self.took > within).then(|| format!("after {:?}", self.took));
        (what.is_some() || late.is_some()).then(|| [what, late].into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

fn told(refusal: &Status) -> String {
    let info = refusal.get_details_error_info();
    let (reason, metadata) = info.map(|info| (info.reason, info.metadata)).unwrap_or_default();
    format!("{:?} {reason} {metadata:?} {:?}", refusal.code(), refusal.message())
}

/// What is wrong with being told that a service is away.
pub(crate) fn away(refusal: &Status, service: &str) -> Option<String> {
    let info = refusal.get_details_error_info();
    let named = info.is_some_and(|info| {
        info.reason == "REASON_UNAVAILABLE" && info.metadata.get("service").is_some_and(|named| named == service)
    });
    if refusal.code() != Code::Unavailable || !named {
        return Some(told(refusal));
    }
    if refusal.get_details_retry_info().and_then(|info| info.retry_delay).is_none() {
        return Some("it does not say when to try again".to_owned());
    }
    None
}

/// A submission or a withdrawal: to be repeated until it goes well.
#[derive(Debug, Clone)]
pub struct Errand {
    /// The teacher's number in the town.
    pub teacher: usize,
    /// Of the project to select, or of the selection to withdraw.
    pub name: String,
    /// Always the same.
    pub request_id: String,
}

/// What is got ready before a fault, once for each act that needs it.
#[derive(Debug)]
pub struct Ready {
    /// To be submitted.
    pub submit: Errand,
    /// To be withdrawn.
    pub withdraw: Errand,
    /// To be refreshed.
    refresh_token: String,
    /// A school's administrator, logged in.
    administrator: String,
    /// A watcher.
    pub watching: Option<Streaming<WatchSeatsResponse>>,
}

/// The people's side. Cheap to clone.
#[derive(Debug, Clone)]
pub struct People {
    gateway: Channel,
    term: String,
    school: String,
    administrator: String,
    password: String,
    teachers: Vec<Teacher>,
}

/// A teacher, logged in before.
#[derive(Debug, Clone)]
struct Teacher {
    name: String,
    school: String,
    login: String,
    token: String,
    /// Has no other role.
    is_plain: bool,
}

impl People {
    /// Those of a stage.
    ///
    /// # Errors
    /// If nobody is there.
    pub fn of(stage: &Stage) -> anyhow::Result<Self> {
        let (administrator, school) = stage.administrator()?;
        // Of the county's, the town's are the first ones.
        let teachers = stage.town.teachers.iter().zip(&stage.town.county.teachers).map(|(one, person)| Teacher {
            name: one.name.clone(),
            school: person.teacher.school.clone(),
            login: person.login.clone(),
            token: one.token.clone(),
            is_plain: person.roles.is_empty(),
        });
        Ok(Self {
            gateway: channel(&format!("http://{}", stage.entrance()))?,
            term: stage.town.term.clone(),
            school: school.to_owned(),
            administrator: administrator.to_owned(),
            password: stage.town.county.password.clone(),
            teachers: teachers.collect(),
        })
    }

    fn teacher(&self, number: usize) -> Result<&Teacher, Status> {
        self.teachers.get(number).ok_or_else(|| Status::internal("no such teacher"))
    }

    fn signed<M>(patience: Duration, token: &str, message: M) -> Result<Request<M>, Status> {
        let mut request = within(patience, message);
        let header = format!("Bearer {token}").parse().map_err(|_| Status::internal("no header"))?;
        request.metadata_mut().insert("authorization", header);
        Ok(request)
    }

    async fn login(&self, login: &str, patience: Duration) -> Result<proto::gateway::v1::Session, Status> {
        let request = LoginRequest { login: login.to_owned(), password: self.password.clone() };
        let reply = SessionServiceClient::new(self.gateway.clone()).login(within(patience, request)).await?;
        reply.into_inner().session.ok_or_else(|| Status::internal("no session"))
    }

    /// Selects; the selection's name.
    ///
    /// # Errors
    /// The refusal.
    pub async fn submit(&self, errand: &Errand, patience: Duration) -> Result<String, Status> {
        let request = SubmitSelectionRequest {
            parent: self.term.clone(),
            project: errand.name.clone(),
            teacher: String::new(),
            request_id: errand.request_id.clone(),
        };
        let request = Self::signed(patience, &self.teacher(errand.teacher)?.token, request)?;
        let reply = SelectionServiceClient::new(self.gateway.clone()).submit_selection(request).await?.into_inner();
        Ok(reply.selection.ok_or_else(|| Status::internal("no selection"))?.name)
    }

    /// Withdraws.
    ///
    /// # Errors
    /// The refusal.
    pub async fn withdraw(&self, errand: &Errand, patience: Duration) -> Result<(), Status> {
        let request = WithdrawSelectionRequest {
            name: errand.name.clone(),
            reason: String::new(),
            request_id: errand.request_id.clone(),
        };
        let request = Self::signed(patience, &self.teacher(errand.teacher)?.token, request)?;
        SelectionServiceClient::new(self.gateway.clone()).withdraw_selection(request).await.map(drop)
    }

    /// The calendar's windows.
    pub(crate) async fn windows(&self, officer: &str) -> anyhow::Result<Vec<Window>> {
        let request = GetCalendarRequest { name: format!("{}/calendar", self.term), version: 0 };
        let mut client = CalendarServiceClient::new(self.gateway.clone());
        let reply = client.get_calendar(Self::signed(PATIENCE, officer, request)?).await?.into_inner();
        Ok(reply.calendar.context("no calendar")?.windows)
    }

    /// The steps that are due and not done.
    pub(crate) async fn undone(&self, officer: &str, at: i64) -> anyhow::Result<Vec<String>> {
        let request = ListStepsRequest { parent: self.term.clone(), page_size: 1000, ..Default::default() };
        let mut client = StepServiceClient::new(self.gateway.clone());
        let reply = client.list_steps(Self::signed(PATIENCE, officer, request)?).await?.into_inner();
        let due = |step: &Step| step.due.as_ref().is_some_and(|due| proto::instant(due) <= at);
        let undone = |step: &Step| !matches!(step.state(), step::State::Done | step::State::Dropped);
        let steps = reply.steps.into_iter().filter(|step| due(step) && undone(step));
        Ok(steps.map(|step| format!("{} {:?} {}", step.name, step.state(), step.error)).collect())
    }

    /// Whether the teacher of an errand is at the administrator's school, and only a teacher: the school decides on him.
    pub(crate) fn is_at_the_school(&self, errand: &Errand) -> bool {
        let teacher = self.teachers.get(errand.teacher);
        teacher.is_some_and(|teacher| teacher.school == self.school && teacher.is_plain)
    }

    /// The token of the school's administrator.
    pub(crate) async fn administrator_token(&self) -> anyhow::Result<String> {
        Ok(self.login(&self.administrator, PATIENCE).await?.access_token)
    }

    /// The school approves of a selection.
    pub(crate) async fn review(&self, administrator: &str, selection: &str) -> Result<(), Status> {
        let decision = Decision { selection: selection.to_owned(), approved: true, reason: "同意".to_owned() };
        let request = ReviewSelectionsRequest {
            parent: self.term.clone(),
            decisions: vec![decision],
            request_id: "review".to_owned(),
        };
        let request = Self::signed(PATIENCE, administrator, request)?;
        ReviewServiceClient::new(self.gateway.clone()).review_selections(request).await.map(drop)
    }

    async fn watch(&self, patience: Duration) -> Result<Streaming<WatchSeatsResponse>, Status> {
        let request = WatchSeatsRequest { parent: self.term.clone(), projects: Vec::new() };
        // A stream has no deadline of its own: it is to last.
        let mut request = Request::new(request);
        let header = format!("Bearer {}", self.teacher(0)?.token).parse().map_err(|_| Status::internal("no header"))?;
        request.metadata_mut().insert("authorization", header);
        let mut client = SelectionServiceClient::new(self.gateway.clone());
        let first = async {
            let mut stream = client.watch_seats(request).await?.into_inner();
            stream.message().await?.ok_or_else(|| Status::internal("an empty stream"))?;
            Ok(stream)
        };
        tokio::time::timeout(patience, first).await.unwrap_or_else(|_| Err(Status::cancelled("nothing came")))
    }

    /// Gets ready for one of each act. `taken` is a selection that may be withdrawn.
    ///
    /// # Errors
    /// If the system refuses something.
    pub async fn ready(&self, submit: Errand, withdraw: Errand, watch: bool) -> anyhow::Result<Ready> {
        let login = &self.teacher(submit.teacher)?.login;
        let session = self.login(login, PATIENCE).await.context("logging in")?;
        let administrator = self.login(&self.administrator, PATIENCE).await.context("logging in")?.access_token;
        let watching = if watch { Some(self.watch(PATIENCE).await.context("watching")?) } else { None };
        Ok(Ready { submit, withdraw, refresh_token: session.refresh_token, administrator, watching })
    }

    /// Does one act. Of a submission, the selection's name.
    pub async fn act(&self, act: Act, ready: &Ready, patience: Duration) -> (Met, Option<String>) {
        let began = Instant::now();
        let done = self.attempt(act, ready, patience).await;
        let took = began.elapsed();
        match done {
            Ok(name) => (Met { refusal: None, took }, name),
            Err(refusal) => (Met { refusal: Some(refusal), took }, None),
        }
    }

    async fn attempt(&self, act: Act, ready: &Ready, patience: Duration) -> Result<Option<String>, Status> {
        let Teacher { name: teacher, token, login, .. } = self.teacher(ready.submit.teacher)?;
        let gateway = self.gateway.clone();
        match act {
            Act::Login => self.login(login, patience).await.map(drop)?,
            Act::Refresh => {
                let request = RefreshRequest { refresh_token: ready.refresh_token.clone() };
                SessionServiceClient::new(gateway).refresh(within(patience, request)).await?;
            }
            Act::Menu => {
                let request = ListProjectsRequest { parent: self.term.clone(), page_size: 20, ..Default::default() };
                let reply =
                    ProjectServiceClient::new(gateway).list_projects(Self::signed(patience, token, request)?).await?;
                if reply.into_inner().projects.is_empty() {
                    return Err(Status::internal("an empty menu"));
                }
            }
            Act::Submit => return self.submit(&ready.submit, patience).await.map(Some),
            Act::Withdraw => self.withdraw(&ready.withdraw, patience).await?,
            Act::Review => {
                let request = ListSelectionsRequest {
                    parent: self.term.clone(),
                    organization: self.school.clone(),
                    page_size: 50,
                    ..Default::default()
                };
                let request = Self::signed(patience, &ready.administrator, request)?;
                SelectionServiceClient::new(gateway).list_selections(request).await?;
            }
            Act::Statement => {
                let request = GetStatementRequest { teacher: teacher.clone(), ..Default::default() };
                LedgerServiceClient::new(gateway).get_statement(Self::signed(patience, token, request)?).await?;
            }
            Act::Today => {
                let request = GetTodayRequest { term: self.term.clone() };
                let reply =
                    CalendarServiceClient::new(gateway).get_today(Self::signed(patience, token, request)?).await?;
                if reply.into_inner().windows.is_empty() {
                    return Err(Status::internal("nothing to do on the first selection day"));
                }
            }
            Act::Seats => drop(self.watch(patience).await?),
            Act::Watching => return Err(Status::internal("a watcher is looked at, not asked")),
        }
        Ok(None)
    }
}

/// What a watcher meets within `patience`: a refusal, or that the stream goes on.
pub async fn look(watching: &mut Streaming<WatchSeatsResponse>, patience: Duration) -> Met {
    let began = Instant::now();
    let ended = async {
        loop {
            match watching.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::internal("the stream ended without a word"),
                Err(refusal) => return refusal,
            }
        }
    };
    let refusal = tokio::time::timeout(patience, ended).await.ok();
    // That it goes on takes no time to be seen.
    let took = if refusal.is_some() { began.elapsed() } else { Duration::ZERO };
    Met { refusal, took }
}
