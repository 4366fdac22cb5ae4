//! The stage: waves of acts on the virtual clock. At each wave all clocks move, the sequencer's due steps are done and
//! every mirror has caught up; then the acts of the wave run at once, in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use futures::StreamExt as _;
use proto::catalog::v1::Project;
use proto::common::v1::Role;
use proto::enrollment::v1::Selection;
use proto::gateway::v1::calendar_service_client::CalendarServiceClient;
use proto::gateway::v1::step_service_client::StepServiceClient;
use proto::gateway::v1::{GetCalendarRequest, ListStepsRequest, Step, WatchStepsRequest, step};
use tokio::sync::OnceCell;
use tonic::transport::{Channel, Endpoint};

use super::books::{Books, Refusal};
use super::caller::{Caller, call};
use super::cast::Cast;
use super::journal::Journal;
use super::windows::Windows;
use super::world::{EachChange, World};
use crate::people::{County, Person, TermFolder};

/// Acts of a wave that run at once.
const IN_FLIGHT: usize = 64;
/// Connections to the gateway.
const CONNECTIONS: usize = 4;
/// After so long without a word of the steps, they are listed anew.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Most resources a page.
pub const PAGE: i32 = 1_000;

/// Where the play is played.
pub struct Stage<'a> {
    /// The running system.
    world: &'a dyn World,
    /// The term's documents.
    pub folder: &'a TermFolder,
    /// Everyone.
    pub county: &'a County,
    /// "terms/…"
    pub term: String,
    /// Who plays which part.
    pub cast: Cast<'a>,
    /// What is kept book of.
    pub books: Books,
    /// The calendar in force when the play began.
    pub calendar: Windows,
    /// Who holds a role in a school; the first in order.
    holders: BTreeMap<(&'a str, Role), &'a Person>,
    channels: Vec<Channel>,
    journal: Arc<Journal>,
    /// Where the clocks stand at the beginning, in microseconds since the epoch: waves before it were played already.
    reached: i64,
    seed: u64,
    memory: Mutex<Memory>,
}

/// What the people remember from wave to wave.
#[derive(Default)]
pub struct Memory {
    callers: BTreeMap<String, Arc<OnceCell<Caller>>>,
    /// When the wave is, in microseconds since the epoch.
    pub now: i64,
    /// Projects as declared, by index of their plan.
    pub projects: BTreeMap<usize, Project>,
    /// Selections by index of the teacher, in the order of submission.
    pub selections: BTreeMap<usize, Vec<Selection>>,
    /// The selection of the participant who fails in any case.
    pub weak: Option<String>,
    /// Classes whose results are confirmed.
    pub finished: BTreeSet<String>,
}

impl<'a> Stage<'a> {
    /// Sets the stage in a system that has the county and the term, and has played as far as the journal has it.
    ///
    /// # Errors
    /// The gateway cannot be reached, or has no calendar of the term.
    pub async fn set(
        world: &'a dyn World,
        folder: &'a TermFolder,
        county: &'a County,
        journal: Journal,
    ) -> anyhow::Result<Self> {
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            let endpoint = Endpoint::from_shared(world.gateway())?;
            // Connected by the first call, which is tried again if the gateway is away.
            channels.push(endpoint.connect_lazy());
        }
        let mut holders = BTreeMap::new();
        for person in &county.teachers {
            for role in &person.roles {
                holders.entry((person.teacher.school.as_str(), *role)).or_insert(person);
            }
        }
        let mut stage = Self {
            world,
            folder,
            county,
            term: folder.name(),
            cast: Cast::of(county),
            books: Books::default(),
            calendar: Windows::default(),
            holders,
            channels,
            journal: Arc::new(journal),
            reached: world.now().await?,
            seed: county.seed,
            memory: Mutex::default(),
        };
        let officer = stage.staff(Role::BureauOfficer).await.context("no bureau officer can log in")?;
        let request = GetCalendarRequest { name: format!("{}/calendar", stage.term), version: 0 };
        let reply = call!(officer, CalendarServiceClient.get_calendar(request));
        let reply = reply.map_err(|refusal| anyhow::anyhow!("no calendar of {}: {refusal:?}", stage.term))?;
        stage.calendar = Windows(reply.calendar.context("no calendar in the reply")?.windows);
        Ok(stage)
    }

    /// What people remember. Never held across an await.
    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The wave's instant, in microseconds since the epoch.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.memory().now
    }

    /// Moves the clocks to a wave: its edges' steps are done and their consequences known everywhere. Past waves of a play
    /// that goes on are only remembered.
    ///
    /// # Errors
    /// A step that fails for good, a system that has gone, or a journal that cannot be written.
    pub async fn move_to(&self, at: i64) -> anyhow::Result<()> {
        self.journal.settle().await;
        self.journal.check()?;
        if at < self.reached {
            self.memory().now = at;
            return Ok(());
        }
        self.quiet().await?;
        self.world.advance(at).await?;
        self.memory().now = at;
        self.quiet().await
    }

    /// Returns once nothing is left to do: every step due is done and every mirror caught up, twice in a row alike,
    /// since what is mirrored may bring up a step, and what a step does is mirrored.
    ///
    /// # Errors
    /// As [`Self::move_to`].
    pub async fn quiet(&self) -> anyhow::Result<()> {
        let mut before = None;
        loop {
            let steps = self.steps_done().await?;
            self.world.caught_up().await?;
            if before == Some(steps) {
                return Ok(());
            }
            before = Some(steps);
        }
    }

    /// Waits until every step that is due is done; how many there are by now. The gateway may be restarted meanwhile.
    async fn steps_done(&self) -> anyhow::Result<usize> {
        let operator = self.staff(Role::Operator).await.context("the operator cannot log in")?;
        let now = self.now();
        let due = |step: &&Step| step.due.is_some_and(|due| proto::instant(&due) <= now);
        let open =
            |step: &&Step| !matches!(step.state(), step::State::Done | step::State::Skipped | step::State::Dropped);
        let mut lookings = 0;
        loop {
            // Watch first, so that no change between is missed.
            let request = WatchStepsRequest { parent: self.term.clone() };
            let watched = operator.stream(request, |channel, request| async move {
                StepServiceClient::new(channel).watch_steps(request).await
            });
            let mut changes =
                watched.await.map_err(|refusal| anyhow::anyhow!("steps cannot be watched: {refusal:?}"))?;
            let mut steps: BTreeMap<String, Step> =
                self.steps().await?.into_iter().map(|step| (step.name.clone(), step)).collect();
            while steps.values().any(|step| due(&step) && open(&step)) {
                match tokio::time::timeout(LOOK_AGAIN, changes.message()).await {
                    Ok(Ok(Some(reply))) => steps.extend(reply.step.map(|step| (step.name.clone(), step))),
                    // The stream broke off, or nothing was told for long: look again.
                    _ => break,
                }
            }
            let stuck: Vec<&Step> = steps.values().filter(due).filter(open).collect();
            if stuck.is_empty() {
                return Ok(steps.values().filter(due).count());
            }
            lookings += 1;
            let stuck: Vec<String> =
                stuck.iter().map(|step| format!("{} {:?} {}", step.title, step.state(), step.error)).collect();
            anyhow::ensure!(lookings < 60, "steps are stuck: {}", stuck.join("; "));
        }
    }

    /// All steps of the term.
    ///
    /// # Errors
    /// The gateway refuses to list them.
    pub async fn steps(&self) -> anyhow::Result<Vec<Step>> {
        let operator = self.staff(Role::Operator).await.context("the operator cannot log in")?;
        let steps = self.pages(|page_token| {
            let request = ListStepsRequest {
                parent: self.term.clone(),
                page_size: PAGE,
                page_token,
                ..ListStepsRequest::default()
            };
            let operator = operator.clone();
            async move {
                // How the steps stand now, not what they were when it was last asked.
                let reply = operator.ask(request, |channel, request| async move {
                    StepServiceClient::new(channel).list_steps(request).await
                });
                let reply = reply.await?;
                Ok((reply.steps, reply.next_page_token))
            }
        });
        steps.await.map_err(|refusal| anyhow::anyhow!("steps cannot be listed: {refusal:?}"))
    }

    /// Tells `each` all changes of all services: (service, change).
    ///
    /// # Errors
    /// A service that cannot be watched.
    pub async fn changes(&self, each: &mut EachChange<'_>) -> anyhow::Result<()> {
        self.world.changes(each).await
    }

    /// Acts that commute, many at once.
    pub async fn all<Act: Future>(&self, acts: impl IntoIterator<Item = Act>) {
        futures::stream::iter(acts).buffer_unordered(IN_FLIGHT).for_each(|_| std::future::ready(())).await;
    }

    /// All pages of a list.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn pages<T, Page>(&self, mut page: impl FnMut(String) -> Page) -> Result<Vec<T>, Refusal>
    where
        Page: Future<Output = Result<(Vec<T>, String), Refusal>>,
    {
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let (items, next) = page(token).await?;
            all.extend(items);
            if next.is_empty() {
                return Ok(all);
            }
            token = next;
        }
    }

    /// A person by login; logs in the first time, and once, however many acts of a wave are his.
    pub async fn person(&self, login: &str) -> Option<Caller> {
        let known = self.memory().callers.entry(login.to_owned()).or_default().clone();
        let log_in = async || {
            let channel = self.channels.get(usize::from(mark(login) as u8) % CONNECTIONS).cloned().ok_or(())?;
            let outcome = Caller::log_in(channel, login, &self.county.password, self.journal.clone()).await;
            self.books.must(&format!("log in as {login}"), outcome).ok_or(())
        };
        known.get_or_try_init(log_in).await.ok().cloned()
    }

    /// Has a person log in anew, for roles that were granted or taken since.
    pub fn forget(&self, login: &str) {
        self.memory().callers.remove(login);
    }

    /// The first of the staff with a role.
    pub async fn staff(&self, role: Role) -> Option<Caller> {
        // The county's officers are meant, not the city's.
        let mut staff = self.county.staff.iter().filter(|staff| staff.role == role);
        let staff = staff.clone().find(|staff| staff.organization.ends_with("/county")).or_else(|| staff.next())?;
        self.person(&staff.login).await
    }

    /// The first of the staff of an organisation: a provider's, a bureau's, a district's.
    pub async fn staff_of(&self, organization: &str) -> Option<Caller> {
        let of = |staff: &&crate::people::Staff| staff.organization == organization && staff.role != Role::Expert;
        self.person(&self.county.staff.iter().filter(of).find(|staff| staff.role != Role::Operator)?.login).await
    }

    /// Who holds a role in a school: the administrator, the principal.
    #[must_use]
    pub fn holder(&self, school: &str, role: Role) -> Option<&'a Person> {
        self.holders.get(&(school, role)).copied()
    }

    /// Who holds a role in a school, logged in.
    pub async fn reviewer(&self, school: &str, role: Role) -> Option<Caller> {
        self.person(&self.holder(school, role)?.login).await
    }

    /// A project by its plan, once it is declared.
    #[must_use]
    pub fn project(&self, plan: usize) -> Option<String> {
        self.memory().projects.get(&plan).map(|project| project.name.clone())
    }

    /// The county's seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// True in `percent` of cases, always the same for the same key.
    #[must_use]
    pub fn chance(&self, key: &str, percent: u64) -> bool {
        mark(&format!("{}:{key}", self.seed)) % 100 < percent
    }
}

/// A number from a text, the same on every machine (FNV-1a, its bits mixed).
fn mark(text: &str) -> u64 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ (hash >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 17
}
