//! Two enrollment processes on one PostgreSQL database, under a rush for few places: nothing is given twice, and what one
//! settles the other obeys.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::Context as _;
use chassis::peer::within;
use futures::{StreamExt as _, TryStreamExt as _, future::join_all, stream};
use proto::{
    catalog::v1::{Audience, Session},
    common::v1::{Credit, Role, SettleWindowRequest, gate_service_client::GateServiceClient},
    enrollment::v1::{
        ListSeatsRequest, ListSelectionsRequest, Seats, Selection, SubmitSelectionRequest, selection::State,
        selection_service_client::SelectionServiceClient,
    },
};
use shixun::{
    people::{County, TermFolder},
    progress::Progress,
    rehearse,
};
use system::{World, feed::Watcher, raw::Outcome, replica::Replica};
use tonic::transport::Channel;

const TEACHERS: u32 = 220;
/// Places of every second project; the others have enough for all.
const FEW: i32 = 7;
const MANY: i32 = 1_000;
const DAY: i64 = 86_400_000_000;
const HOUR: i64 = 3_600_000_000;

/// The sample, but that a seat is held at submission in round 1 already.
fn folder() -> anyhow::Result<TermFolder> {
    let mut folder = TermFolder::sample()?;
    let first_come = folder.policy.replace("1 = \"UNCAPPED_THEN_SCREEN\"", "1 = \"FIRST_COME\"");
    anyhow::ensure!(first_come != folder.policy, "the sample's policy no longer says how round 1 is allocated");
    folder.policy = first_come;
    Ok(folder)
}

/// A county whose projects are for everyone and never overlap, one with few places and one with many in turn.
fn county(folder: &TermFolder) -> anyhow::Result<County> {
    let mut county = County::generate(7, TEACHERS, folder);
    let first = folder.zone.to_timestamp("2019-10-08".parse::<jiff::civil::Date>()?.at(18, 0, 0, 0))?.as_microsecond();
    for (n, plan) in (0_i64..).zip(&mut county.projects) {
        let project = &mut plan.project;
        project.audience = Some(Audience::default());
        project.base_credit = Some(Credit { hundredths: 2_400 });
        project.classes.truncate(1);
        let starts = first + n * DAY;
        for class in &mut project.classes {
            class.places = if n % 2 == 0 { FEW } else { MANY };
            class.approved_places = class.places;
            class.sessions = vec![Session {
                starts: Some(proto::timestamp(starts)),
                ends: Some(proto::timestamp(starts + 2 * HOUR)),
            }];
            class.ends_on = Some(proto::jiff_instant(starts).to_zoned_datetime(folder.zone.clone()).date().into());
        }
    }
    Ok(county)
}

/// What came of a submission: the selection's name, or the reason.
type Answer = Result<String, String>;

struct Rush {
    term: String,
    /// The two processes.
    replicas: [Channel; 2],
    /// Teacher and token.
    teachers: Vec<(String, String)>,
    /// All selections that were acknowledged.
    promised: std::sync::Mutex<BTreeSet<String>>,
}

impl Rush {
    async fn submit(&self, replica: usize, teacher: usize, project: &str, request_id: &str) -> Answer {
        let message = SubmitSelectionRequest {
            parent: self.term.clone(),
            project: project.to_owned(),
            teacher: String::new(),
            request_id: request_id.to_owned(),
        };
        let mut request = within(Duration::from_secs(30), message);
        let bearer = format!("Bearer {}", self.teachers[teacher].1);
        request.metadata_mut().insert("authorization", bearer.parse().map_err(|_| "no header".to_owned())?);
        match SelectionServiceClient::new(self.replicas[replica].clone()).submit_selection(request).await {
            Ok(reply) => {
                let name = reply.into_inner().selection.unwrap_or_default().name;
                self.promised.lock().map_err(|_| "poisoned".to_owned())?.insert(name.clone());
                Ok(name)
            }
            Err(status) => {
                let outcome = Outcome::from(status);
                Err(if outcome.reason.is_empty() { format!("{outcome:?}") } else { outcome.reason })
            }
        }
    }

    async fn seats(&self, replica: usize, bearer: &str, projects: &[&str]) -> anyhow::Result<BTreeMap<String, Seats>> {
        let message = ListSeatsRequest {
            parent: self.term.clone(),
            projects: projects.iter().map(|&project| project.to_owned()).collect(),
            page_size: 1000,
            page_token: String::new(),
        };
        let mut request = within(Duration::from_secs(10), message);
        request.metadata_mut().insert("authorization", format!("Bearer {bearer}").parse()?);
        let reply = SelectionServiceClient::new(self.replicas[replica].clone()).list_seats(request).await?.into_inner();
        Ok(reply.seats.into_iter().map(|seats| (seats.project.clone(), seats)).collect())
    }

    async fn live(&self, replica: usize, bearer: &str) -> anyhow::Result<Vec<Selection>> {
        let (mut all, mut page_token) = (Vec::new(), String::new());
        loop {
            let message = ListSelectionsRequest {
                parent: self.term.clone(),
                page_size: 1000,
                page_token,
                ..ListSelectionsRequest::default()
            };
            let mut request = within(Duration::from_secs(10), message);
            request.metadata_mut().insert("authorization", format!("Bearer {bearer}").parse()?);
            let mut client = SelectionServiceClient::new(self.replicas[replica].clone());
            let reply = client.list_selections(request).await?.into_inner();
            all.extend(reply.selections.into_iter().filter(|selection| selection.state() == State::Submitted));
            page_token = reply.next_page_token;
            if page_token.is_empty() {
                return Ok(all);
            }
        }
    }
}

fn count(answers: &[Answer], reason: &str) -> usize {
    answers.iter().filter(|answer| answer.as_ref().is_err_and(|refusal| refusal == reason)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_on_one_database_never_give_anything_twice() -> anyhow::Result<()> {
    let folder = folder()?;
    let county = county(&folder)?;
    let begin = proto::jiff_instant(rehearse::before_the_term(&folder)?).to_string();
    let world = World::start_for("postgres", &begin, &county.password).await?;
    let opening = "2019-08-26T00:00:00+08:00".parse()?;
    rehearse::play_until(
        &world.system,
        &county,
        &folder,
        Some(opening),
        Progress::hidden(),
        rehearse::Journal::default(),
    )
    .await?;
    let url = world.system.databases().find(|(service, _)| *service == "enrollment").context("no enrollment")?.1;
    let second = Replica::start(&world, url).await?;

    let teachers = county.teachers.iter().map(|person| {
        let school = person.teacher.school.as_str();
        let account = person.teacher.name.replace("teachers/", "accounts/rush-");
        let token = world.token(&account, &person.teacher.name, &[(Role::Teacher, school)])?;
        Ok((person.teacher.name.clone(), token))
    });
    let rush = Rush {
        term: folder.name(),
        replicas: [chassis::peer::channel(&world.system.address("enrollment"))?, second.channel()?],
        teachers: teachers.collect::<anyhow::Result<_>>()?,
        promised: std::sync::Mutex::default(),
    };
    let bureau = county.staff_with(Role::BureauOfficer).context("no officer")?;
    let bureau = world.token(&bureau.account, "", &[(Role::BureauOfficer, &bureau.organization)])?;
    let seats = rush.seats(1, &bureau, &[]).await?;
    let with =
        |places: i32| seats.values().filter(move |seats| seats.capacity == places).map(|seats| seats.project.as_str());
    let (few, many): (Vec<_>, Vec<_>) = (with(FEW).collect(), with(MANY).collect());
    anyhow::ensure!(few.len() >= 2 && many.len() >= 8, "the menu is too small: {seats:?}");
    anyhow::ensure!(rush.teachers.len() >= 200, "only {} teachers", rush.teachers.len());

    few_places(&rush, few[0]).await;
    spread_over_both(&rush, few[1]).await;
    no_fourth(&rush, &many).await?;
    not_the_same_twice(&rush, &many).await?;
    settled_is_settled(&world, &second, &rush, many[7]).await?;

    // Both tell the same, and it is what was promised.
    let (one, other) = (rush.live(0, &bureau).await?, rush.live(1, &bureau).await?);
    assert_eq!(one, other);
    let promised = rush.promised.lock().map_err(|_| anyhow::anyhow!("poisoned"))?.clone();
    assert_eq!(one.iter().map(|selection| selection.name.clone()).collect::<BTreeSet<_>>(), promised);
    let pairs: BTreeSet<_> = one.iter().map(|selection| (&selection.teacher, &selection.project)).collect();
    assert_eq!(pairs.len(), one.len(), "a teacher holds two selections of one project");
    for seats in rush.seats(0, &bureau, &[]).await?.values() {
        let live = one.iter().filter(|selection| selection.project == seats.project).count();
        assert_eq!(usize::try_from(seats.held)?, live, "{seats:?}");
        assert!(seats.held + seats.granted <= seats.capacity, "oversold: {seats:?}");
    }

    // Gapless from either, the same from both, and every promise in it once.
    let head = second.position(&world).await?;
    let (mut first, mut other) = (Watcher::default(), Watcher::default());
    first.up_to(world.system.peer("enrollment")?, head).await?;
    other.up_to(second.peer(&world, "local")?, head).await?;
    assert_eq!(first.changes, other.changes);
    let submitted: Vec<_> = first
        .changes
        .iter()
        .filter(|(_, change)| change.verb == "submitted")
        .map(|(_, change)| &change.resource)
        .collect();
    assert_eq!(submitted.len(), promised.len(), "a selection was written twice");

    second.stop().await?;
    world.verify().await
}

/// Everyone wants one of few places, and sends the same request to both at once.
async fn few_places(rush: &Rush, project: &str) {
    let calls = (0..rush.teachers.len()).map(|teacher| async move {
        let id = format!("few-{teacher}");
        let (one, other) = tokio::join!(rush.submit(0, teacher, project, &id), rush.submit(1, teacher, project, &id));
        // One effect, one answer.
        assert_eq!(one, other, "{}", rush.teachers[teacher].0);
        one
    });
    let answers = join_all(calls).await;
    let names: BTreeSet<_> = answers.iter().flatten().collect();
    assert_eq!(names.len(), FEW as usize, "{answers:?}");
    assert_eq!(count(&answers, "REASON_FULL"), rush.teachers.len() - FEW as usize, "{answers:?}");
}

/// The same with a request for each, every second to the other process.
async fn spread_over_both(rush: &Rush, project: &str) {
    let calls = (0..rush.teachers.len())
        .map(|teacher| async move { rush.submit(teacher % 2, teacher, project, &format!("spread-{teacher}")).await });
    let answers = join_all(calls).await;
    assert_eq!(answers.iter().flatten().collect::<BTreeSet<_>>().len(), FEW as usize, "{answers:?}");
    assert_eq!(count(&answers, "REASON_FULL"), rush.teachers.len() - FEW as usize, "{answers:?}");
}

/// Thirty teachers without a selection send six submissions each, three to either process: three are taken.
async fn no_fourth(rush: &Rush, many: &[&str]) -> anyhow::Result<()> {
    let free = without_selection(rush).await?;
    let calls = free.iter().take(30).map(|&teacher| async move {
        let six = many
            .iter()
            .take(6)
            .enumerate()
            .map(|(n, project)| async move { rush.submit(n % 2, teacher, project, &format!("fourth-{n}")).await });
        let answers = join_all(six).await;
        assert_eq!(answers.iter().flatten().count(), 3, "{answers:?}");
        assert_eq!(count(&answers, "REASON_SELECTION_LIMIT"), 3, "{answers:?}");
    });
    join_all(calls).await;
    Ok(())
}

/// One project twice under different ids, one id with different bodies: once each.
async fn not_the_same_twice(rush: &Rush, many: &[&str]) -> anyhow::Result<()> {
    let free = without_selection(rush).await?;
    let twice = free.iter().take(30).map(|&teacher| async move {
        let answers =
            join_all([0, 1].map(|n| async move { rush.submit(n, teacher, many[0], &format!("twice-{n}")).await }))
                .await;
        assert_eq!(answers.iter().flatten().count(), 1, "{answers:?}");
        assert_eq!(count(&answers, "REASON_ALREADY_SELECTED"), 1, "{answers:?}");
        let answers =
            join_all([0, 1].map(|n| async move { rush.submit(n, teacher, many[n + 1], "one-id").await })).await;
        assert_eq!(answers.iter().flatten().count(), 1, "{answers:?}");
        assert_eq!(count(&answers, "REASON_REQUEST_ID_REUSED"), 1, "{answers:?}");
    });
    join_all(twice).await;
    Ok(())
}

/// Who holds nothing.
async fn without_selection(rush: &Rush) -> anyhow::Result<Vec<usize>> {
    let numbers = 0..rush.teachers.len();
    let held = numbers.map(|teacher| async move {
        let message = ListSelectionsRequest {
            parent: rush.term.clone(),
            teacher: rush.teachers[teacher].0.clone(),
            page_size: 1,
            ..ListSelectionsRequest::default()
        };
        let mut request = within(Duration::from_secs(10), message);
        request.metadata_mut().insert("authorization", format!("Bearer {}", rush.teachers[teacher].1).parse()?);
        let mut client = SelectionServiceClient::new(rush.replicas[teacher % 2].clone());
        let held = client.list_selections(request).await?.into_inner().selections;
        anyhow::Ok(held.is_empty().then_some(teacher))
    });
    let known: Vec<Option<usize>> = stream::iter(held).buffered(16).try_collect().await?;
    Ok(known.into_iter().flatten().collect())
}

/// A window that is settled at one process in the middle of a rush: nothing of it commits at either after that.
async fn settled_is_settled(world: &World, second: &Replica, rush: &Rush, project: &str) -> anyhow::Result<()> {
    let status = world.system.status("enrollment").await?;
    let gate_version = status.terms.iter().find(|term| term.term == rush.term).context("no gates")?.gate_version;
    let accepted = AtomicUsize::new(0);
    let free = without_selection(rush).await?;
    anyhow::ensure!(free.len() >= 60, "only {} teachers are left", free.len());
    let submissions = async {
        let calls = free.iter().map(|&teacher| {
            let accepted = &accepted;
            async move {
                let answer = rush.submit(teacher % 2, teacher, project, "settle").await;
                accepted.fetch_add(usize::from(answer.is_ok()), Ordering::Relaxed);
                (teacher, answer)
            }
        });
        // A few at once, so that the settling falls among them.
        stream::iter(calls.collect::<Vec<_>>()).buffer_unordered(8).collect::<Vec<_>>().await
    };
    let settling = async {
        while accepted.load(Ordering::Relaxed) < 10 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let request = SettleWindowRequest { term: rush.term.clone(), window: "selection-1".to_owned(), gate_version };
        let mut client = GateServiceClient::new(second.peer(world, "gateway")?);
        let position = client.settle_window(within(Duration::from_secs(20), request)).await?.into_inner().position;
        // From the answer on nobody gets in, neither here nor there.
        let last = *free.last().context("nobody is left")?;
        for replica in [0, 1] {
            let late = rush.submit(replica, last, project, &format!("late-{replica}")).await;
            assert_eq!(late, Err("REASON_WINDOW_SETTLED".to_owned()));
        }
        anyhow::Ok(position)
    };
    let (answers, position) = tokio::join!(submissions, settling);
    let position = position?;
    let (owner, first) = answers.iter().find(|(_, answer)| answer.is_ok()).cloned().context("nothing was taken")?;
    let answers: Vec<_> = answers.into_iter().map(|(_, answer)| answer).collect();
    let taken = answers.iter().flatten().count();
    assert_eq!(taken + count(&answers, "REASON_WINDOW_SETTLED"), answers.len(), "{answers:?}");
    assert!(taken < answers.len(), "the rush was over before the window was settled");

    let head = second.position(world).await?;
    let mut watcher = Watcher::default();
    watcher.up_to(second.peer(world, "local")?, head).await?;
    let after: Vec<_> =
        watcher.changes.iter().filter(|(at, change)| *at > position && change.verb == "submitted").collect();
    assert!(after.is_empty(), "committed after the window was settled at {position}: {after:?}");
    // A promise that was given stays given: the same request gets its answer, from either.
    for replica in [0, 1] {
        assert_eq!(rush.submit(replica, owner, project, "settle").await, first);
    }
    Ok(())
}
