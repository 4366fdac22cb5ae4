//! A gateway on a database, and the people who call it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use chassis::{CancellationToken, Env, env::Clock, identity, peer, testing};
use gateway::{Config, Gateway};
use jiff::Timestamp;
use proto::gateway::v1::{
    CreateTermRequest, ListStepsRequest, LoginRequest, PutCalendarRequest, PutCalendarResponse, Step, Term,
    WatchStepsRequest, calendar_service_client::CalendarServiceClient, session_service_client::SessionServiceClient,
    step::State, step_service_client::StepServiceClient,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::{Request, Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::fakes::Fake;

pub const TERM: &str = "terms/2019-autumn";
pub const SAMPLE: &str = include_str!("../../../deploy/local/terms/2019-autumn/calendar.toml");
/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn at(instant: &str) -> i64 {
    instant.parse::<Timestamp>().unwrap().as_microsecond()
}

/// The reason of a refusal.
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

pub struct World {
    pub fakes: BTreeMap<&'static str, Fake>,
    pub log: Arc<Mutex<Vec<String>>>,
    pub env: Env,
    keys: tempfile::TempDir,
    database: testing::TestDatabase,
}

/// A gateway that runs.
pub struct Running {
    pub channel: Channel,
    shutdown: CancellationToken,
    serving: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    pub async fn stop(self) {
        self.shutdown.cancel();
        drop(self.channel);
        self.serving.await.unwrap().unwrap();
    }
}

/// A world on each engine, on the morning of the term's first day.
pub async fn worlds() -> Vec<World> {
    chassis::install_crypto();
    let migrations = <Gateway as chassis::Program>::migrations;
    let databases = testing::databases("gateway", migrations, 0).await.unwrap();
    assert_eq!(databases.len(), 2, "SQLite and PostgreSQL");
    let mut worlds = Vec::new();
    for database in databases {
        // The gateway opens it itself.
        database.db.close().await;
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut fakes = BTreeMap::new();
        for service in ["roster", "catalog", "enrollment", "credit"] {
            fakes.insert(service, Fake::start(service, &log).await);
        }
        let env = Env::rehearsal(at("2019-06-16T09:00+08:00"));
        worlds.push(World { fakes, log, env, keys: tempfile::tempdir().unwrap(), database });
    }
    worlds
}

impl World {
    pub fn is_sqlite(&self) -> bool {
        self.database.url.starts_with("sqlite")
    }

    /// A gateway of this world.
    pub async fn start(&self) -> Running {
        let own = identity::ensure_key(self.keys.path(), "gateway").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let config: toml::Table = toml::toml! {
            [database]
            url = "later"
            durable = false
            connections = 6
            [keys]
            own = "later"
            trusted = "later"
            [server]
            drain_seconds = 0
        };
        let mut config: Config = config.try_into().unwrap();
        config.chassis.database.url.clone_from(&self.database.url);
        (config.chassis.keys.own, config.chassis.keys.trusted) = (own, self.keys.path().to_owned());
        config.chassis.peers =
            self.fakes.values().map(|fake| (fake.service.to_owned(), fake.address.clone())).collect();
        config.chassis.peers.insert("gateway".to_owned(), address.clone());
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(chassis::serve::<Gateway>(config, listener, self.env.clone(), shutdown.clone()));
        Running { channel: peer::channel(&address).unwrap(), shutdown, serving }
    }

    pub fn advance(&self, instant: &str) {
        let Clock::Rehearsal(clock) = &self.env.clock else { panic!("a virtual clock") };
        let _ = clock.advance(at(instant), false);
    }

    /// What was done so far, in order.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

/// Someone who is logged in.
#[derive(Clone)]
pub struct Person {
    pub channel: Channel,
    pub token: String,
}

impl Person {
    pub async fn log_in(running: &Running, login: &str) -> Self {
        let request = LoginRequest { login: login.to_owned(), password: "right".to_owned() };
        let reply = SessionServiceClient::new(running.channel.clone()).login(peer::within(PATIENCE, request)).await;
        let session = reply.unwrap().into_inner().session.unwrap();
        Self { channel: running.channel.clone(), token: session.access_token }
    }

    pub fn ask<M>(&self, message: M) -> Request<M> {
        let mut request = self.watch(message);
        request.set_timeout(PATIENCE);
        request
    }

    /// A stream has no end, hence no deadline.
    pub fn watch<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.token).parse().unwrap());
        request
    }

    pub fn calendars(&self) -> CalendarServiceClient<Channel> {
        CalendarServiceClient::new(self.channel.clone())
    }

    pub fn steps(&self) -> StepServiceClient<Channel> {
        StepServiceClient::new(self.channel.clone())
    }

    pub async fn create_term(&self) {
        let term = Term { name: TERM.to_owned(), zone: "Asia/Shanghai".to_owned(), ..Term::default() };
        let request = CreateTermRequest { term: Some(term), request_id: "term".to_owned() };
        self.calendars().create_term(self.ask(request)).await.unwrap();
    }

    pub async fn put(&self, document: &str, follows: i64) -> Result<PutCalendarResponse, Status> {
        let request = put_request(document, follows);
        Ok(self.calendars().put_calendar(self.ask(request)).await?.into_inner())
    }

    pub async fn list(&self) -> BTreeMap<String, Step> {
        let mut all = BTreeMap::new();
        let mut page_token = String::new();
        loop {
            let request = ListStepsRequest { parent: TERM.to_owned(), page_size: 40, page_token, ..Default::default() };
            let reply = self.steps().list_steps(self.ask(request)).await.unwrap().into_inner();
            for step in reply.steps {
                let short = step.name.rsplit('/').next().unwrap().to_owned();
                assert!(all.insert(short, step).is_none(), "a step is on two pages");
            }
            page_token = reply.next_page_token;
            if page_token.is_empty() {
                return all;
            }
        }
    }

    /// Waits until the steps are as wanted, watching them.
    pub async fn wait(&self, wanted: impl Fn(&BTreeMap<String, Step>) -> bool) -> BTreeMap<String, Step> {
        let request = WatchStepsRequest { parent: TERM.to_owned() };
        let mut changes = self.steps().watch_steps(self.watch(request)).await.unwrap().into_inner();
        let mut steps = self.list().await;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !wanted(&steps) {
            let message = tokio::time::timeout_at(deadline, changes.message()).await;
            let Ok(message) = message else {
                let open: Vec<_> = steps.values().filter(|step| step.state() != State::Done).collect();
                panic!("the steps do not become as they should: {open:#?}");
            };
            let step = message.unwrap().unwrap().step.unwrap();
            steps.insert(step.name.rsplit('/').next().unwrap().to_owned(), step);
        }
        steps
    }
}

pub fn put_request(document: &str, follows: i64) -> PutCalendarRequest {
    PutCalendarRequest {
        parent: TERM.to_owned(),
        document: document.to_owned(),
        policy: "[reminder]\ndays_before_close = [1]\n".to_owned(),
        reason: "because".to_owned(),
        follows_version: follows,
        request_id: format!("calendar {follows}"),
    }
}

/// Whether all of them are done.
pub fn all_done(steps: &BTreeMap<String, Step>) -> bool {
    steps.values().all(|step| step.state() == State::Done)
}
