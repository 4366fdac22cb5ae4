//! Who and what is there when the window opens: the sample county with the cases' own projects, set up over the public API
//! and played to the first selection morning; everyone is logged in.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Context as _;
use chassis::peer::channel;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use proto::{
    catalog::v1::{
        Allocation, Audience, Class, ListProjectsRequest, Project, allocation::Policy, project,
        project_service_client::ProjectServiceClient,
    },
    common::v1::{Credit, Role},
    enrollment::v1::{SubmitSelectionRequest, selection_service_client::SelectionServiceClient},
    gateway::v1::{LoginRequest, session_service_client::SessionServiceClient},
};
use shixun::{
    client,
    people::{County, Course, Habits, Plan, TermFolder},
    progress::Progress,
    rehearse,
    up::Reach,
};

use crate::world::World;

/// Projects of the cases that spread.
pub const SPREAD: usize = 500;
/// Selections of a teacher in a round: the sample's policy.
pub const EACH: usize = 3;
/// The county's own projects: one for so many teachers, so few that setting up is short.
const TEACHERS_PER_PROJECT: u32 = 1_000;
/// Most places of a class.
const PLACES: u32 = 10_000;
/// Logins at once.
const AT_ONCE: usize = 64;

/// Projects that the cases add.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lot {
    /// `FIRST_COME`, with places for all: fought over one after the other.
    Hot,
    /// `FIRST_COME`, with places for five of six.
    Short,
    /// `FIRST_COME`, with places for all, from the most popular down.
    Spread,
    /// Without upper limit while selecting, from the most popular down.
    Uncapped,
    /// `FIRST_COME`, without a place left.
    Full,
}

impl Lot {
    const fn word(self) -> &'static str {
        match self {
            Self::Hot => "热门",
            Self::Short => "紧俏",
            Self::Spread => "先到先得",
            Self::Uncapped => "先报后筛",
            Self::Full => "满额",
        }
    }

    fn title(self, n: usize) -> String {
        format!("{}项目{n:03}", self.word())
    }

    /// Places of a project in a county of so many teachers.
    fn places(self, teachers: u32) -> u32 {
        match self {
            Self::Hot | Self::Spread | Self::Uncapped => teachers * 2,
            Self::Short => teachers * 5 / 6,
            Self::Full => 1,
        }
    }

    /// An online project for everyone, below the 90 credits of which only one may be selected: nothing speaks against several.
    fn plan(self, model: &Project, n: usize, teachers: u32) -> Plan {
        let places = self.places(teachers);
        let class = |places: u32| Class {
            places: i32::try_from(places).unwrap_or(i32::MAX),
            approved_places: i32::try_from(places).unwrap_or(i32::MAX),
            sessions: Vec::new(),
            ends_on: model.classes.first().and_then(|class| class.ends_on),
            ..Class::default()
        };
        let whole = (0..places / PLACES).map(|_| class(PLACES));
        let rest = Some(places % PLACES).filter(|rest| *rest > 0).map(class);
        let policy = if self == Self::Uncapped { Policy::UncappedThenScreen } else { Policy::FirstCome };
        let project = Project {
            title: self.title(n),
            form: project::Form::Online.into(),
            audience: Some(Audience::default()),
            base_credit: Some(Credit { hundredths: 2_400 }),
            classes: whole.chain(rest).collect(),
            allocations: vec![Allocation { round: 1, policy: policy.into() }],
            ..model.clone()
        };
        Plan { project, course: Course::Published }
    }
}

/// What a town is to have.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Teachers of the county.
    pub teachers: u32,
    /// Projects of each lot.
    pub lots: BTreeMap<Lot, usize>,
    /// `selection.max_per_round`, where it differs from the sample's policy.
    pub max_per_round: Option<usize>,
    /// The folder of the term's documents; none: the sample of this build.
    pub documents: Option<PathBuf>,
}

impl Layout {
    /// That of the opening hour.
    #[must_use]
    pub fn opening(teachers: u32) -> Self {
        let lots =
            [(Lot::Hot, EACH), (Lot::Short, EACH), (Lot::Spread, SPREAD), (Lot::Uncapped, SPREAD), (Lot::Full, EACH)];
        Self { teachers, lots: lots.into(), max_per_round: None, documents: None }
    }
}

/// The people and projects of the cases.
#[derive(Debug, Clone)]
pub struct Town {
    /// "terms/…"
    pub term: String,
    /// The county as it was drawn: logins and schools.
    pub county: County,
    /// Everyone who has selected nothing yet.
    pub teachers: Vec<Teacher>,
    /// The bureau's officer.
    pub officer: Officer,
    /// Names of the projects of each lot.
    projects: BTreeMap<Lot, Vec<String>>,
    /// Places of a project of each lot.
    places: BTreeMap<Lot, usize>,
}

impl Town {
    /// The projects of a lot.
    #[must_use]
    pub fn projects(&self, lot: Lot) -> &[String] {
        self.projects.get(&lot).map_or(&[], Vec::as_slice)
    }

    /// Places of each project of a lot.
    #[must_use]
    pub fn places(&self, lot: Lot) -> usize {
        self.places.get(&lot).copied().unwrap_or_default()
    }
}

/// A teacher who is logged in.
#[derive(Debug, Clone)]
pub struct Teacher {
    /// "teachers/…"
    pub name: String,
    /// The access token.
    pub token: String,
}

/// An officer who is logged in.
#[derive(Debug, Clone)]
pub struct Officer {
    /// "organizations/…"
    pub bureau: String,
    /// The access token.
    pub token: String,
}

/// Sets an empty world up; it does not run afterwards.
///
/// # Errors
/// What the system refused.
pub async fn settle(world: &mut World, layout: &Layout) -> anyhow::Result<Town> {
    let mut folder = layout.documents.as_deref().map_or_else(TermFolder::sample, TermFolder::read)?;
    folder.projects.size.teachers_per_project = TEACHERS_PER_PROJECT;
    if let Some(limit) = layout.max_per_round {
        let usual = format!("max_per_round = {EACH}");
        anyhow::ensure!(folder.policy.contains(&usual), "the sample's policy does not say {usual:?}");
        folder.policy = folder.policy.replace(&usual, &format!("max_per_round = {limit}"));
    }
    let mut county = County::generate(1, layout.teachers, &folder);
    // Nobody selects anything before the cases do.
    county.teachers.iter_mut().for_each(|person| person.habits = Habits::default());
    let model = county.projects.first().context("a county without projects")?.project.clone();
    for (lot, count) in &layout.lots {
        county.projects.extend((1..=*count).map(|n| lot.plan(&model, n, layout.teachers)));
    }
    world.configure(&county.password)?;
    let reach = world.start().await?;
    // All clocks stand at 0 on empty databases.
    reach.advance(rehearse::before_the_term(&folder)?, false).await?;
    let at =
        rehearse::play_until(&reach, &county, &folder, None, Progress::visible(), rehearse::Journal::default()).await?;
    reach.advance(at, true).await?;

    let named = projects(&reach, &county, &folder).await?;
    let named = |lot: Lot, n: usize| {
        let title = lot.title(n);
        named.get(&title).cloned().with_context(|| format!("{title} was not published"))
    };
    let mut projects = BTreeMap::new();
    for (lot, count) in &layout.lots {
        projects.insert(*lot, (1..=*count).map(|n| named(*lot, n)).collect::<anyhow::Result<Vec<_>>>()?);
    }
    let places = layout.lots.keys().map(|lot| (*lot, lot.places(layout.teachers) as usize)).collect();
    let officer = officer(&reach, &county).await?;
    let teachers = log_in(&reach, &county).await?;
    let mut town = Town { county, term: folder.name(), teachers, officer, projects, places };
    let full = town.projects(Lot::Full).to_vec();
    let takers = town.teachers.split_off(town.teachers.len().saturating_sub(full.len()));
    fill(&reach, &town.term, &full, &takers).await?;
    reach.catch_up().await?;
    world.stop().await?;
    world.databases().tidy()?;
    Ok(town)
}

/// The published projects by title.
async fn projects(reach: &Reach, county: &County, folder: &TermFolder) -> anyhow::Result<BTreeMap<String, String>> {
    let gateway = channel(&reach.gateway())?;
    let teacher = county.teachers.first().context("a county without teachers")?;
    let person = client::Person::login(&gateway, &teacher.login, &county.password).await?;
    let mut client = ProjectServiceClient::new(person.wire());
    let mut found = BTreeMap::new();
    let mut page_token = String::new();
    loop {
        let request = ListProjectsRequest { parent: folder.name(), page_size: 1_000, page_token, ..Default::default() };
        let reply = client.list_projects(request).await?.into_inner();
        found.extend(reply.projects.into_iter().map(|project| (project.title, project.name)));
        page_token = reply.next_page_token;
        if page_token.is_empty() {
            return Ok(found);
        }
    }
}

async fn officer(reach: &Reach, county: &County) -> anyhow::Result<Officer> {
    let staff = county.staff_with(Role::BureauOfficer).context("a county without a bureau officer")?;
    let request = LoginRequest { login: staff.login.clone(), password: county.password.clone() };
    let reply = SessionServiceClient::new(channel(&reach.gateway())?).login(request).await?.into_inner();
    let token = reply.session.context("no session")?.access_token;
    Ok(Officer { bureau: staff.organization.clone(), token })
}

async fn log_in(reach: &Reach, county: &County) -> anyhow::Result<Vec<Teacher>> {
    let gateway = channel(&reach.gateway())?;
    let logins = county.teachers.iter().map(|person| {
        let request = LoginRequest { login: person.login.clone(), password: county.password.clone() };
        let mut client = SessionServiceClient::new(gateway.clone());
        async move {
            let session = client.login(request).await?.into_inner().session.context("no session")?;
            anyhow::Ok(Teacher { name: session.teacher, token: session.access_token })
        }
    });
    // Made first: a closure over borrowed items is not general enough inside the stream.
    let logins: Vec<_> = logins.collect();
    stream::iter(logins).buffered(AT_ONCE).try_collect().await
}

/// Takes the one place of each full project.
async fn fill(reach: &Reach, term: &str, full: &[String], takers: &[Teacher]) -> anyhow::Result<()> {
    let gateway = channel(&reach.gateway())?;
    for (project, taker) in full.iter().zip(takers) {
        let mut request = tonic::Request::new(SubmitSelectionRequest {
            parent: term.to_owned(),
            project: project.clone(),
            teacher: String::new(),
            request_id: format!("fill-{project}"),
        });
        request.metadata_mut().insert("authorization", format!("Bearer {}", taker.token).parse()?);
        SelectionServiceClient::new(gateway.clone()).submit_selection(request).await.context("filling a project")?;
    }
    Ok(())
}
