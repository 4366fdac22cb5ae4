//! SELECTION: teachers choose, in waves through the round, with the mistakes that people make.

use proto::catalog::v1::ListProjectsRequest;
use proto::catalog::v1::project_service_client::ProjectServiceClient;
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
use super::mistakes::{admits, menu};
use super::programme::{BAR_LIFTED, BARRED_ABSTAINER, BARRED_REJECTED, Mistake, REORDERED, SELECT_WHILE_BROWSING};
use super::stage::Stage;
use crate::people::Person;

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
pub(super) async fn submit(
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

pub(super) async fn withdraw(me: &Caller, selection: &str, request_id: &str) -> Result<Selection, Refusal> {
    let request = WithdrawSelectionRequest {
        name: selection.to_owned(),
        reason: "时间安排有变".to_owned(),
        request_id: request_id.to_owned(),
    };
    Ok(call!(me, SelectionServiceClient.withdraw_selection(request))?.selection.unwrap_or_default())
}

/// Teachers by index.
pub(super) fn teachers<'a>(stage: &Stage<'a>) -> impl Iterator<Item = (usize, &'a Person)> {
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
                stage: person.teacher.stages.first().cloned().unwrap_or_default(),
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
    out_of_time(stage, SELECT_WHILE_BROWSING, "browse").await;
}

/// A selection before its time or after it.
pub async fn out_of_time(stage: &Stage<'_>, mistake: Mistake, act: &str) -> Option<()> {
    let (_, person) = eager(stage)?;
    let me = stage.person(&person.login).await?;
    let project = stage.project(*person.habits.wishes.first()?)?;
    let outcome = submit(stage, &me, "", &project, &format!("{act}-{project}")).await;
    stage.books.mistake(mistake, outcome);
    Some(())
}

/// Those whose pace falls into `pace` log in and choose, each one thing after the other.
pub async fn choose(stage: &Stage<'_>, pace: std::ops::Range<u8>) {
    let here = teachers(stage).filter(|(n, person)| pace.contains(&person.habits.pace) && !stage.cast.abstains(*n));
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
    stage.books.must("order one's selections", call!(me, SelectionServiceClient.order_selections(request)))?;
    stage.books.happened(REORDERED);
    Some(())
}

/// Administrators look who has not selected, and urge.
pub async fn urge(stage: &Stage<'_>) {
    let schools = stage.county.schools().filter(|school| Some(*school) != stage.cast.orphaned);
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

/// The bureau lifts a bar.
pub async fn pardon(stage: &Stage<'_>, round: i32) -> Option<()> {
    let (_, person) = stage.cast.pardoned?;
    let officer = stage.staff(Role::BureauOfficer).await?;
    let request = GrantOverrideRequest {
        parent: stage.term.clone(),
        teacher: person.teacher.name.clone(),
        round,
        reason: "第一轮期间因公外出".to_owned(),
        request_id: format!("override-{round}-{}", person.teacher.name),
    };
    let outcome = call!(officer, ReviewServiceClient.grant_override(request));
    stage.books.must("lift the bar of a later round", outcome)?;
    stage.books.happened(BAR_LIFTED);
    Some(())
}

/// The later rounds: who wants another project tries. A seat is held at submission, so those after the same project come
/// one after the other, and the projects side by side. Everyone logs in before.
pub async fn choose_again(stage: &Stage<'_>, round: i32) {
    barred(stage, round).await;
    let mut queues: std::collections::BTreeMap<usize, Vec<(usize, &Person)>> = std::collections::BTreeMap::new();
    for (n, person) in teachers(stage) {
        // One round of second wishes is enough: later rounds are for whoever is left.
        if let Some(wish) = stage.cast.later_wish(n, person).filter(|_| n.is_multiple_of(2) || round == 2) {
            queues.entry(wish).or_default().push((n, person));
        }
    }
    stage.all(queues.values().flatten().map(|(_, person)| stage.person(&person.login))).await;
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
    let menu = menu(stage);
    for (mistake, part) in [(BARRED_ABSTAINER, stage.cast.abstainer), (BARRED_REJECTED, stage.cast.rejected)] {
        let Some((_, person)) = part else { continue };
        let me = stage.person(&person.login).await?;
        let project = menu.iter().find(|(plan, _)| admits(plan, person)).or(menu.first())?.1.name.clone();
        let outcome = submit(stage, &me, "", &project, &format!("barred-{round}")).await;
        stage.books.mistake(mistake, outcome);
    }
    Some(())
}
