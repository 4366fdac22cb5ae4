//! The bureau's office: a term and its calendar on an empty system, put through the gateway, and the sequencer's steps.

use std::time::Duration;

use anyhow::Context as _;
use chassis::peer::within;
use proto::{
    common::v1::Role,
    gateway::v1::{
        CreateTermRequest, ListStepsRequest, PutCalendarRequest, Step, Term,
        calendar_service_client::CalendarServiceClient, step::State, step_service_client::StepServiceClient,
    },
};
use tonic::{Request, transport::Channel};

use crate::World;

const DEADLINE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
/// A minute of polls.
const POLLS: u32 = 3000;

/// An officer of a term's bureau.
#[derive(Debug)]
pub struct Office<'a> {
    world: &'a World,
    /// "terms/…"
    pub term: String,
    gateway: Channel,
    version: i64,
}

impl<'a> Office<'a> {
    /// Creates the term.
    ///
    /// # Errors
    /// The gateway's refusal.
    pub async fn open(world: &'a World, id: &str, zone: &str) -> anyhow::Result<Self> {
        let office = Self {
            world,
            term: format!("terms/{id}"),
            gateway: chassis::peer::channel(&world.system.gateway())?,
            version: 0,
        };
        let term =
            Term { name: office.term.clone(), display_name: id.to_owned(), zone: zone.to_owned(), ..Term::default() };
        let request = CreateTermRequest { term: Some(term), request_id: format!("create-{id}") };
        let mut client = CalendarServiceClient::new(office.gateway.clone());
        client.create_term(office.signed(request)?).await.context("creating the term")?;
        Ok(office)
    }

    fn signed<M>(&self, message: M) -> anyhow::Result<Request<M>> {
        let token = self.world.token("accounts/office", "", &[(Role::BureauOfficer, "organizations/county")])?;
        let mut request = within(DEADLINE, message);
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
        Ok(request)
    }

    /// Puts a version of the calendar, and returns once every service has its gates.
    ///
    /// # Errors
    /// The gateway's refusal, or gates that do not arrive.
    pub async fn put(&mut self, document: &str, policy: &str) -> anyhow::Result<()> {
        let before = self.gate_versions().await?;
        let request = PutCalendarRequest {
            parent: self.term.clone(),
            document: document.to_owned(),
            policy: policy.to_owned(),
            reason: "测试".to_owned(),
            follows_version: self.version,
            request_id: format!("put-{}", self.version),
        };
        let mut client = CalendarServiceClient::new(self.gateway.clone());
        let reply = client.put_calendar(self.signed(request)?).await.context("putting the calendar")?.into_inner();
        self.version = reply.calendar.context("a calendar was put and not returned")?.version;
        for _ in 0..POLLS {
            let now = self.gate_versions().await?;
            if now.iter().zip(&before).all(|(now, before)| now > before) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        anyhow::bail!("the gates did not reach every service: {:?}", self.gate_versions().await?)
    }

    async fn gate_versions(&self) -> anyhow::Result<Vec<i64>> {
        let mut versions = Vec::new();
        for service in shixun::up::SERVICES {
            let terms = self.world.system.status(service).await?.terms;
            versions.push(terms.iter().find(|term| term.term == self.term).map_or(-1, |term| term.gate_version));
        }
        Ok(versions)
    }

    /// All steps of the term, once each that is due by `at` has ended.
    ///
    /// # Errors
    /// If one does not end.
    pub async fn steps_done(&self, at: i64) -> anyhow::Result<Vec<Step>> {
        let mut client = StepServiceClient::new(self.gateway.clone());
        let mut open = Vec::new();
        for _ in 0..POLLS {
            let (mut steps, mut page_token) = (Vec::new(), String::new());
            loop {
                let request = ListStepsRequest {
                    parent: self.term.clone(),
                    page_size: 1000,
                    page_token,
                    ..ListStepsRequest::default()
                };
                let reply = client.list_steps(self.signed(request)?).await?.into_inner();
                steps.extend(reply.steps);
                page_token = reply.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
            let due = |step: &&Step| step.due.as_ref().is_some_and(|due| proto::instant(due) <= at);
            let undone = |step: &&Step| !matches!(step.state(), State::Done | State::Dropped);
            open = steps.iter().filter(due).filter(undone).cloned().collect();
            if open.is_empty() {
                return Ok(steps);
            }
            tokio::time::sleep(POLL).await;
        }
        anyhow::bail!("steps do not end: {open:?}")
    }
}
