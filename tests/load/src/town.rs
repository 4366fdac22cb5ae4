//! Who and what is there when the window opens: the sample county with the cases' own projects, set up over the public API
//! and played to the first selection morning; everyone is logged in.

use std::collections::BTreeMap;

use anyhow::Context as _;
use chassis::peer::channel;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use proto::{
    catalog::v1::{
        Allocation, Audience, Class, ListProjectsRequest, Project, allocation::Policy, project,
        project_service_client::ProjectServiceClient,
    },
    common::v1::Credit,
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

/// Projects on which everyone comes at once: one after the other, as many as a teacher may select in a round.
const HOT: usize = 3;
/// Projects of the cases that spread.
pub const SPREAD: usize = 500;
/// Projects without a place left.
const FULL: usize = 10;
/// The county's own projects: one for so many teachers, so few that setting up is short.
const TEACHERS_PER_PROJECT: u32 = 1_000;
/// Places of a class, and classes of a project that is never full.
const PLACES: i32 = 10_000;
const CLASSES: usize = 2;
/// Logins at once.
const AT_ONCE: usize = 64;

/// The people and projects of the cases.
#[derive(Debug, Clone)]
pub struct Town {
    /// "terms/…"
    pub term: String,
    /// Everyone who may still select three projects.
    pub teachers: Vec<Teacher>,
    /// `FIRST_COME`, with places for all: one after the other fought over.
    pub hot: Vec<String>,
    /// `FIRST_COME`, with places for all, from the most popular down.
    pub spread: Vec<String>,
    /// Without upper limit while selecting, from the most popular down.
    pub uncapped: Vec<String>,
    /// `FIRST_COME`, without a place left.
    pub full: Vec<String>,
}

/// A teacher who is logged in.
#[derive(Debug, Clone)]
pub struct Teacher {
    /// "teachers/…"
    pub name: String,
    /// The access token.
    pub token: String,
}

/// The kinds of projects that the cases add: word in the title, how many, places of a class, classes, policy.
const KINDS: [(&str, usize, i32, usize, Policy); 4] = [
    ("热门", HOT, PLACES, CLASSES, Policy::FirstCome),
    ("先到先得", SPREAD, PLACES, CLASSES, Policy::FirstCome),
    ("先报后筛", SPREAD, PLACES, CLASSES, Policy::UncappedThenScreen),
    ("满额", FULL, 1, 1, Policy::FirstCome),
];

/// Sets an empty world up, and keeps it as it then is; it does not run afterwards.
///
/// # Errors
/// What the system refused.
pub async fn settle(world: &mut World, teachers: u32) -> anyhow::Result<Town> {
    let mut folder = TermFolder::sample()?;
    folder.projects.size.teachers_per_project = TEACHERS_PER_PROJECT;
    let mut county = County::generate(1, teachers, &folder);
    // Nobody selects anything before the cases do.
    county.teachers.iter_mut().for_each(|person| person.habits = Habits::default());
    let model = county.projects.first().context("a county without projects")?.project.clone();
    for (word, count, places, classes, policy) in KINDS {
        county.projects.extend((1..=count).map(|n| plan(&model, title(word, n), places, classes, policy)));
    }
    world.configure(&county.password)?;
    let reach = world.start().await?;
    // All clocks stand at 0 on empty databases.
    reach.advance(rehearse::before_the_term(&folder)?, false).await?;
    let at = rehearse::play_until(&reach, &county, &folder, None, Progress::visible()).await?;
    reach.advance(at, true).await?;
    let named = projects(&reach, &county, &folder).await?;
    let of = |word: &str, count: usize| -> anyhow::Result<Vec<String>> {
        let name = |n| named.get(&title(word, n)).cloned().with_context(|| format!("{word} {n} was not published"));
        (1..=count).map(name).collect()
    };
    let [hot, spread, uncapped, full] = KINDS.map(|(word, count, ..)| of(word, count));
    let full = full?;
    let mut teachers = log_in(&reach, &county).await?;
    let takers = teachers.split_off(teachers.len().saturating_sub(FULL));
    fill(&reach, &folder.name(), &full, &takers).await?;
    reach.catch_up().await?;
    world.stop().await?;
    world.keep()?;
    Ok(Town { term: folder.name(), teachers, hot: hot?, spread: spread?, uncapped: uncapped?, full })
}

fn title(word: &str, n: usize) -> String {
    format!("{word}项目{n:03}")
}

/// An online project for everyone, below the 90 credits of which only one may be selected: nothing speaks against three.
fn plan(model: &Project, title: String, places: i32, classes: usize, policy: Policy) -> Plan {
    let class = Class {
        places,
        approved_places: places,
        sessions: Vec::new(),
        ends_on: model.classes.first().and_then(|class| class.ends_on),
        ..Class::default()
    };
    let project = Project {
        title,
        form: project::Form::Online.into(),
        audience: Some(Audience::default()),
        base_credit: Some(Credit { hundredths: 2_400 }),
        classes: vec![class; classes],
        allocations: vec![Allocation { round: 1, policy: policy.into() }],
        ..model.clone()
    };
    Plan { project, course: Course::Published }
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
