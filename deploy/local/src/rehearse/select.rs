//! SELECTION: teachers choose, in waves through the round, with the mistakes that people make.

use proto::catalog::v1::project_service_client::ProjectServiceClient;
use proto::catalog::v1::{ListProjectsRequest, Project};
use proto::common::v1::{Reason, Role};
use proto::enrollment::v1::review_service_client::ReviewServiceClient;
use proto::enrollment::v1::selection_service_client::SelectionServiceClient;
use proto::enrollment::v1::{
    CheckEligibilityRequest, GrantOverrideRequest, ListNonSelectorsRequest, OrderSelectionsRequest, Selection,
    SubmitSelectionRequest, UrgeTeachersRequest, WithdrawSelectionRequest,
};
use proto::gateway::v1::GetTodayRequest;
use proto::gateway::v1::calendar_service_client::CalendarServiceClient;

use super::books::Refusal;
use super::caller::{Caller, call};
use super::stage::Stage;
use crate::people::{Person, Plan, all_overlap};

/// Refusals with which a later round meets people who did nothing wrong, or who had been told.
const LATER_ROUNDS: [Reason; 7] = [
    Reason::Round2NotSelected,
    Reason::Round2Rejected,
    Reason::Round2Policy,
    Reason::Full,
    Reason::SessionsOverlap,
    Reason::ProjectNotOpen,
    Reason::AlreadySelected,
];

/// Selects a project, for oneself or for another.
async fn submit(
    stage: &Stage<'_>,
    me: &Caller,
    teacher: &str,
    project: &str,
    request_id: &str,
) -> Result<Selection, Refusal> {
    let request = SubmitSelectionRequest {
        parent: stage.term.clone(),
        project: project.to_owned(),
        teacher: teacher.to_owned(),
        request_id: request_id.to_owned(),
    };
    Ok(call!(me, SelectionServiceClient.submit_selection(request))?.selection.unwrap_or_default())
}

async fn withdraw(me: &Caller, selection: &str, request_id: &str) -> Result<Selection, Refusal> {
    let request = WithdrawSelectionRequest {
        name: selection.to_owned(),
        reason: "时间安排有变".to_owned(),
        request_id: request_id.to_owned(),
    };
    Ok(call!(me, SelectionServiceClient.withdraw_selection(request))?.selection.unwrap_or_default())
}

/// Teachers by index.
fn teachers<'a>(stage: &Stage<'a>) -> impl Iterator<Item = (usize, &'a Person)> {
    (0..).zip(&stage.county.teachers)
}

/// The first teacher with wishes.
fn eager<'a>(stage: &Stage<'a>) -> Option<(usize, &'a Person)> {
    teachers(stage).find(|(_, person)| !person.habits.wishes.is_empty())
}

/// During BROWSING some read the menu and ask what they may choose; nobody selects yet.
pub async fn browse(stage: &Stage<'_>) {
    let readers = teachers(stage).filter(|(n, _)| stage.chance(&format!("browse:{n}"), 2));
    stage
        .all(readers.map(|(_, person)| async move {
            let me = stage.person(&person.login).await?;
            let request = ListProjectsRequest {
                parent: stage.term.clone(),
                query: "研修".to_owned(),
                stage: person.teacher.stage.clone(),
                page_size: 20,
                ..ListProjectsRequest::default()
            };
            let menu = stage.books.must("search the menu", call!(me, ProjectServiceClient.list_projects(request)))?;
            let project = menu.projects.into_iter().next()?.name;
            let request = CheckEligibilityRequest { project, teacher: String::new() };
            stage.books.must("ask for eligibility", call!(me, SelectionServiceClient.check_eligibility(request)))?;
            let today = GetTodayRequest { term: stage.term.clone() };
            stage.books.must("ask what can be done today", call!(me, CalendarServiceClient.get_today(today))).map(drop)
        }))
        .await;
    out_of_time(stage, "select while the menu can only be read", "browse").await;
}

/// A selection before its time or after it.
pub async fn out_of_time(stage: &Stage<'_>, what: &str, act: &str) -> Option<()> {
    let (_, person) = eager(stage)?;
    let me = stage.person(&person.login).await?;
    let project = stage.project(*person.habits.wishes.first()?)?;
    let outcome = submit(stage, &me, "", &project, &format!("{act}-{project}")).await;
    stage.books.mistake(what, &[Reason::WindowClosed, Reason::WindowSettled], outcome);
    Some(())
}

/// Those whose pace falls into `pace` log in and choose, each one thing after the other.
pub async fn choose(stage: &Stage<'_>, pace: std::ops::Range<u8>) {
    let here = teachers(stage).filter(|(_, person)| pace.contains(&person.habits.pace));
    stage
        .all(here.filter(|(_, person)| !person.habits.wishes.is_empty()).map(|(n, person)| async move {
            let me = stage.person(&person.login).await?;
            for wish in &person.habits.wishes {
                let project = stage.project(*wish)?;
                let outcome = submit(stage, &me, "", &project, &format!("select-1-{project}")).await;
                if let Some(selection) = stage.books.must("select a project", outcome) {
                    stage.memory().selections.entry(n).or_default().push(selection);
                }
            }
            if person.habits.wishes.len() > 1 && stage.chance(&format!("reorder:{n}"), 10) {
                reorder(stage, &me, n).await?;
            }
            Some(())
        }))
        .await;
}

/// Puts the last choice first.
async fn reorder(stage: &Stage<'_>, me: &Caller, n: usize) -> Option<()> {
    let mine = stage.memory().selections.get(&n).cloned().unwrap_or_default();
    let selections: Vec<String> = mine.iter().rev().map(|selection| selection.name.clone()).collect();
    let request = OrderSelectionsRequest { parent: stage.term.clone(), selections, request_id: format!("order-1-{n}") };
    stage.books.must("order one's selections", call!(me, SelectionServiceClient.order_selections(request))).map(drop)
}

/// The mistakes of the first day, one after the other, by people who have chosen already.
pub async fn mistakes(stage: &Stage<'_>) {
    fourth(stage).await;
    overlapping(stage).await;
    second_intensive(stage).await;
    repeated(stage).await;
    not_for_me(stage).await;
    for_others(stage).await;
    second_thoughts(stage).await;
}

/// Teachers who have chosen all they wished by now, with their selections.
fn chosen<'a>(stage: &Stage<'a>, wishes: usize) -> Vec<(usize, &'a Person, Vec<Selection>)> {
    let memory = stage.memory();
    let all = teachers(stage).filter(|(_, person)| person.habits.wishes.len() >= wishes);
    all.filter_map(|(n, person)| Some((n, person, memory.selections.get(&n)?.clone())))
        .filter(|(_, person, selections)| selections.len() == person.habits.wishes.len())
        .collect()
}

/// Plans on the menu with their names.
fn menu<'a>(stage: &Stage<'a>) -> Vec<(&'a Plan, Project)> {
    let memory = stage.memory();
    let plans = (0..).zip(&stage.county.projects).filter(|(_, plan)| plan.is_published());
    plans.filter_map(|(n, plan)| Some((plan, memory.projects.get(&n)?.clone()))).collect()
}

fn admits(plan: &Plan, person: &Person) -> bool {
    let audience = plan.project.audience.as_ref();
    audience.is_none_or(|audience| {
        let allows = |codes: &[String], code: &String| codes.is_empty() || codes.contains(code);
        allows(&audience.stages, &person.teacher.stage) && allows(&audience.subjects, &person.teacher.subject)
    })
}

/// A mistake for which nobody of this county is in the right place is told, not hidden.
fn nobody(stage: &Stage<'_>, what: &str) {
    stage.books.surprise(format!("{what}: nobody of this county is in the place to try"));
}

async fn fourth(stage: &Stage<'_>) -> Option<()> {
    let what = "a fourth selection";
    for (_, person, selections) in chosen(stage, 3) {
        let taken = |project: &Project| selections.iter().any(|selection| selection.project == project.name);
        let fitting = menu(stage).into_iter().find(|(plan, project)| admits(plan, person) && !taken(project));
        let Some((_, project)) = fitting else { continue };
        let me = stage.person(&person.login).await?;
        let outcome = submit(stage, &me, "", &project.name, "a-fourth").await;
        stage.books.mistake(what, &[Reason::SelectionLimit], outcome);
        return Some(());
    }
    nobody(stage, what);
    None
}

async fn overlapping(stage: &Stage<'_>) -> Option<()> {
    let what = "overlapping sessions";
    for (_, person, selections) in chosen(stage, 1) {
        let mine: Vec<&Plan> =
            person.habits.wishes.iter().filter_map(|wish| stage.county.projects.get(*wish)).collect();
        let taken = |project: &Project| selections.iter().any(|selection| selection.project == project.name);
        let clashing = menu(stage).into_iter().find(|(plan, project)| {
            admits(plan, person) && !taken(project) && mine.iter().any(|other| all_overlap(plan, other))
        });
        let Some((_, project)) = clashing else { continue };
        let me = stage.person(&person.login).await?;
        let outcome = submit(stage, &me, "", &project.name, "overlapping").await;
        stage.books.mistake(what, &[Reason::SessionsOverlap], outcome);
        return Some(());
    }
    nobody(stage, what);
    None
}

async fn second_intensive(stage: &Stage<'_>) -> Option<()> {
    let what = "a second intensive project";
    for (_, person, selections) in chosen(stage, 1) {
        let mine = person.habits.wishes.iter().filter_map(|wish| stage.county.projects.get(*wish));
        if !mine.clone().any(Plan::is_intensive) {
            continue;
        }
        let taken = |project: &Project| selections.iter().any(|selection| selection.project == project.name);
        let second = menu(stage).into_iter().find(|(plan, project)| plan.is_intensive() && !taken(project));
        let Some((_, project)) = second else { continue };
        let me = stage.person(&person.login).await?;
        let outcome = submit(stage, &me, "", &project.name, "second-intensive").await;
        stage.books.mistake(what, &[Reason::IntensiveLimit], outcome);
        return Some(());
    }
    nobody(stage, what);
    None
}

/// The same request again; the same project under another id; another project under the same id.
async fn repeated(stage: &Stage<'_>) -> Option<()> {
    let (_, person, selections) = chosen(stage, 1).into_iter().next()?;
    let me = stage.person(&person.login).await?;
    let first = selections.first()?;
    let id = format!("select-1-{}", first.project);
    let again = stage.books.must("repeat a selection's request", submit(stage, &me, "", &first.project, &id).await)?;
    if again.name != first.name {
        stage.books.surprise("a repeated request made a second selection");
    }
    let twice = submit(stage, &me, "", &first.project, "twice").await;
    stage.books.mistake("select a project twice", &[Reason::AlreadySelected], twice);
    let (_, other) = menu(stage).into_iter().find(|(_, project)| project.name != first.project)?;
    let reused = submit(stage, &me, "", &other.name, &id).await;
    stage.books.mistake("another selection under a repeated request id", &[Reason::RequestIdReused], reused);
    Some(())
}

/// Projects of another stage, and such as never came onto the menu; and calls of the wrong role.
async fn not_for_me(stage: &Stage<'_>) -> Option<()> {
    let (_, person, _) = chosen(stage, 1).into_iter().next()?;
    let me = stage.person(&person.login).await?;
    let (_, foreign) = menu(stage).into_iter().find(|(plan, _)| !admits(plan, person))?;
    let outcome = submit(stage, &me, "", &foreign.name, "foreign").await;
    stage.books.mistake("a project for others", &[Reason::AudienceMismatch], outcome);

    let hidden = (0..).zip(&stage.county.projects).find(|(_, plan)| !plan.is_published())?.0;
    let outcome = submit(stage, &me, "", &stage.project(hidden)?, "hidden").await;
    stage.books.mistake("a project that is not on the menu", &[Reason::ProjectNotOpen, Reason::NotFound], outcome);

    let provider = stage.staff_of(&foreign.provider).await?;
    let outcome = submit(stage, &provider, &person.teacher.name, &foreign.name, "provider").await;
    stage.books.mistake("a provider selects for a teacher", &[Reason::RoleNotAllowed], outcome);
    Some(())
}

/// Administrators select for teachers: of their school, which is allowed, and of another, which is not.
async fn for_others(stage: &Stage<'_>) -> Option<()> {
    let helped = helped(stage)?;
    let me = stage.reviewer(&helped.1.teacher.school, Role::SchoolAdmin).await?;
    let (_, project) = menu(stage).into_iter().find(|(plan, _)| admits(plan, helped.1))?;
    let outcome = submit(stage, &me, &helped.1.teacher.name, &project.name, "for-another").await;
    if let Some(selection) = stage.books.must("an administrator selects for a teacher", outcome) {
        stage.memory().selections.entry(helped.0).or_default().push(selection);
    }
    let stranger = stage.county.teachers.iter().find(|other| other.teacher.school != helped.1.teacher.school)?;
    let outcome = submit(stage, &me, &stranger.teacher.name, &project.name, "for-a-stranger").await;
    let reasons = [Reason::OutOfScope, Reason::NotFound];
    stage.books.mistake("an administrator selects for someone else's teacher", &reasons, outcome);
    Some(())
}

/// A teacher who selects nothing himself, and for whom the administrator does.
pub fn helped<'a>(stage: &Stage<'a>) -> Option<(usize, &'a Person)> {
    let menu = menu(stage);
    teachers(stage).find(|(_, person)| {
        let plain = person.habits.wishes.is_empty() && person.roles.is_empty();
        plain && menu.iter().any(|(plan, _)| admits(plan, person))
    })
}

/// One withdraws and selects the same again; another's selection is not his to withdraw.
async fn second_thoughts(stage: &Stage<'_>) -> Option<()> {
    let chosen = chosen(stage, 1);
    let (n, person, selections) = chosen.get(2)?;
    let me = stage.person(&person.login).await?;
    let first = selections.first()?;
    stage.books.must("withdraw a selection", withdraw(&me, &first.name, "withdraw").await)?;
    let outcome = submit(stage, &me, "", &first.project, "select-1-again").await;
    let again = stage.books.must("select again what was withdrawn", outcome)?;
    if let Some(mine) = stage.memory().selections.get_mut(n).and_then(|mine| mine.first_mut()) {
        *mine = again;
    }
    let (_, _, others) = chosen.get(1)?;
    let outcome = withdraw(&me, &others.first()?.name, "withdraw-others").await;
    stage.books.mistake("withdraw another's selection", &[Reason::OutOfScope, Reason::NotFound], outcome);
    Some(())
}

/// Administrators look who has not selected, and urge.
pub async fn urge(stage: &Stage<'_>) {
    let orphaned = super::roster::orphaned(stage);
    let schools = stage.schools().into_iter().filter(|school| Some(*school) != orphaned);
    stage
        .all(schools.map(|school| async move {
            let me = stage.reviewer(school, Role::SchoolAdmin).await?;
            let request = ListNonSelectorsRequest {
                parent: stage.term.clone(),
                organization: school.to_owned(),
                round: 1,
                page_size: 1,
                page_token: String::new(),
            };
            let missing = call!(me, SelectionServiceClient.list_non_selectors(request));
            let missing = stage.books.must("list who has not selected", missing)?;
            if missing.total_size == 0 {
                return Some(());
            }
            let request = UrgeTeachersRequest {
                parent: stage.term.clone(),
                organization: school.to_owned(),
                round: 1,
                teachers: Vec::new(),
                request_id: format!("urge-1-{school}"),
            };
            stage
                .books
                .must("urge those who have not selected", call!(me, SelectionServiceClient.urge_teachers(request)))
                .map(drop)
        }))
        .await;
}

/// Someone who abstained asks the bureau, and is let into the later round.
fn pardoned<'a>(stage: &Stage<'a>) -> Option<(usize, &'a Person)> {
    let helped = helped(stage).map(|(n, _)| n);
    let wanting = |person: &Person| person.habits.wishes.is_empty() && person.habits.second.is_some();
    teachers(stage).find(|(n, person)| wanting(person) && Some(*n) != helped)
}

/// The bureau lifts a bar.
pub async fn pardon(stage: &Stage<'_>, round: i32) -> Option<()> {
    let (_, person) = pardoned(stage)?;
    let officer = stage.staff(Role::BureauOfficer).await?;
    let request = GrantOverrideRequest {
        parent: stage.term.clone(),
        teacher: person.teacher.name.clone(),
        round,
        reason: "第一轮期间因公外出".to_owned(),
        request_id: format!("override-{round}-{}", person.teacher.name),
    };
    stage
        .books
        .must("lift the bar of a later round", call!(officer, ReviewServiceClient.grant_override(request)))
        .map(drop)
}

/// The later rounds: who wants another project tries. A seat is held at submission, so those after the same project come
/// one after the other, and the projects side by side.
pub async fn choose_again(stage: &Stage<'_>, round: i32) {
    barred(stage, round).await;
    let mut queues: std::collections::BTreeMap<usize, Vec<(usize, &Person)>> = std::collections::BTreeMap::new();
    for (n, person) in teachers(stage) {
        // One round of second wishes is enough: later rounds are for whoever is left.
        if let Some(wish) = person.habits.second.filter(|_| n.is_multiple_of(2) || round == 2) {
            queues.entry(wish).or_default().push((n, person));
        }
    }
    stage
        .all(queues.into_iter().map(|(wish, queue)| async move {
            let project = stage.project(wish)?;
            for (n, person) in queue {
                let me = stage.person(&person.login).await?;
                let outcome = submit(stage, &me, "", &project, &format!("select-{round}-{project}")).await;
                let allowed = [LATER_ROUNDS.as_slice(), &[Reason::TeacherNotActive, Reason::OnLeave]].concat();
                if let Some(selection) = stage.books.may("select in a later round", &allowed, outcome) {
                    stage.memory().selections.entry(n).or_default().push(selection);
                }
            }
            Some(())
        }))
        .await;
}

/// Two who are barred try all the same: one selected nothing, the other's school rejected him.
async fn barred(stage: &Stage<'_>, round: i32) -> Option<()> {
    let pardoned = pardoned(stage).map(|(n, _)| n);
    let none = {
        let memory = stage.memory();
        teachers(stage).find(|(n, _)| !memory.selections.contains_key(n) && Some(*n) != pardoned)
    };
    let rejected = super::school::unlucky(stage);
    let menu = menu(stage);
    for (what, reason, who) in [
        ("round 2 after selecting nothing", Reason::Round2NotSelected, none),
        ("round 2 after the school's rejection", Reason::Round2Rejected, rejected),
    ] {
        let Some((_, person)) = who else {
            nobody(stage, what);
            continue;
        };
        let me = stage.person(&person.login).await?;
        let project = menu.iter().find(|(plan, _)| admits(plan, person)).or(menu.first())?.1.name.clone();
        let outcome = submit(stage, &me, "", &project, &format!("barred-{round}")).await;
        stage.books.mistake(what, &[reason], outcome);
    }
    Some(())
}
