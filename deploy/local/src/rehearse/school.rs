//! SCHOOL_REVIEW: administrators review, principals the administrators', the bureau the principals', a district where
//! nobody else can.

use std::collections::BTreeSet;

use proto::catalog::v1::Project;
use proto::common::v1::Role;
use proto::enrollment::v1::review_service_client::ReviewServiceClient;
use proto::enrollment::v1::selection_service_client::SelectionServiceClient;
use proto::enrollment::v1::{
    Decision, ListSelectionsRequest, ReopenReviewRequest, ReviewSelectionsRequest, Selection, selection,
};

use super::books::Refusal;
use super::caller::{Caller, call};
use super::cast::Cast;
use super::programme::{
    IDLE_SCHOOL, REVIEW_AS_TEACHER, REVIEW_ELSEWHERE, REVIEW_OWN, REVIEW_UNMATCHED, REVOKED_DECISION,
};
use super::stage::{PAGE, Stage};
use crate::people::Person;

/// Decisions in one call.
const BATCH: usize = 200;
/// Selections that schools reject, in percent.
const REJECTED: u64 = 4;

/// The selections of a round in a state, in or under an organisation, as a reviewer sees them.
async fn list(
    stage: &Stage<'_>,
    me: &Caller,
    organization: &str,
    state: selection::State,
    round: i32,
) -> Option<Vec<Selection>> {
    let selections = stage.pages(|page_token| {
        let request = ListSelectionsRequest {
            parent: stage.term.clone(),
            organization: organization.to_owned(),
            state: state.into(),
            round,
            page_size: PAGE,
            page_token,
            ..ListSelectionsRequest::default()
        };
        async move {
            let reply = call!(me, SelectionServiceClient.list_selections(request))?;
            Ok((reply.selections, reply.next_page_token))
        }
    });
    stage.books.must("list selections", selections.await)
}

async fn decide(stage: &Stage<'_>, me: &Caller, decisions: &[Decision], request_id: &str) -> Result<(), Refusal> {
    let request = ReviewSelectionsRequest {
        parent: stage.term.clone(),
        decisions: decisions.to_vec(),
        request_id: request_id.to_owned(),
    };
    call!(me, ReviewServiceClient.review_selections(request)).map(drop)
}

/// What the school thinks of a selection: a few are rejected; what does not match is approved with its reason.
fn decision(stage: &Stage<'_>, selection: &Selection) -> Decision {
    let Cast { rejected, spared, .. } = stage.cast;
    let fated = [rejected, spared].into_iter().any(|part| of(part.map(|(_, person)| person))(selection));
    let approved = !fated && !stage.chance(&format!("reject:{}:{}", selection.teacher, selection.project), REJECTED);
    let reason = match (approved, selection.matched) {
        (false, _) => "与岗位需要不符",
        (true, false) => "学校近期安排其转岗",
        (true, true) => "",
    };
    Decision { selection: selection.name.clone(), approved, reason: reason.to_owned() }
}

async fn review_all(stage: &Stage<'_>, me: &Caller, selections: &[Selection], act: &str) -> Option<()> {
    let decisions: Vec<Decision> = selections.iter().map(|selection| decision(stage, selection)).collect();
    for (n, batch) in decisions.chunks(BATCH).enumerate() {
        let outcome = decide(stage, me, batch, &format!("{act}-{n}")).await;
        stage.books.must("review selections", outcome)?;
    }
    Some(())
}

fn of<'s>(person: Option<&'s Person>) -> impl Fn(&Selection) -> bool + 's {
    move |selection| person.is_some_and(|person| selection.teacher == person.teacher.name)
}

/// Each school's administrator reviews all but his own and what he submitted for others; the principal reviews those.
pub async fn review(stage: &Stage<'_>, round: i32) {
    let (orphaned, idle) = (stage.cast.orphaned, stage.cast.idle.filter(|_| round == 1));
    let reviewing = |school: &&str| Some(*school) != orphaned && Some(*school) != idle;
    stage.all(stage.county.schools().filter(reviewing).map(|school| review_school(stage, school, round))).await;
    if round == 1 {
        review_elsewhere(stage).await;
        review_as_teacher(stage).await;
        if idle.is_some() {
            stage.books.happened(IDLE_SCHOOL);
        }
    }
}

async fn review_school(stage: &Stage<'_>, school: &str, round: i32) -> Option<()> {
    let me = stage.reviewer(school, Role::SchoolAdmin).await?;
    let (admin, principal) = (stage.holder(school, Role::SchoolAdmin), stage.holder(school, Role::Principal));
    let account = me.account();
    let waiting = list(stage, &me, school, selection::State::Submitted, round).await?;
    let own = |selection: &Selection| of(admin)(selection) || selection.submitted_by == account;
    let (mut for_principal, mut for_me) = (Vec::new(), Vec::new());
    for selection in waiting {
        if of(principal)(&selection) {
            // The bureau reviews it.
        } else if own(&selection) {
            for_principal.push(selection);
        } else {
            for_me.push(selection);
        }
    }
    if let Some(first) = for_principal.first() {
        let outcome = decide(stage, &me, &[approval(first)], &format!("own-{round}-{school}")).await;
        stage.books.mistake(REVIEW_OWN, outcome);
    }
    let intensive = intensive(stage);
    let unmatched = |selection: &&Selection| intensive.contains(&selection.project) && !selection.matched;
    if let Some(unmatched) = for_me.iter().find(unmatched) {
        let approval = Decision { selection: unmatched.name.clone(), approved: true, reason: String::new() };
        let outcome = decide(stage, &me, &[approval], &format!("unmatched-{round}-{school}")).await;
        stage.books.mistake(REVIEW_UNMATCHED, outcome);
    }
    review_all(stage, &me, &for_me, &format!("review-{round}-{school}")).await?;
    let principal = stage.reviewer(school, Role::Principal).await?;
    review_all(stage, &principal, &for_principal, &format!("review-admin-{round}-{school}")).await
}

/// Projects of 90 base credits or more.
fn intensive(stage: &Stage<'_>) -> BTreeSet<String> {
    let memory = stage.memory();
    let intensive = |project: &&Project| project.base_credit.is_some_and(|credit| credit.hundredths >= 9_000);
    memory.projects.values().filter(intensive).map(|project| project.name.clone()).collect()
}

fn approval(selection: &Selection) -> Decision {
    Decision { selection: selection.name.clone(), approved: true, reason: "同意".to_owned() }
}

/// Everything that was selected.
fn selected(stage: &Stage<'_>) -> Vec<Selection> {
    stage.memory().selections.values().flatten().cloned().collect()
}

/// An administrator takes another school for his own.
async fn review_elsewhere(stage: &Stage<'_>) -> Option<()> {
    // One of those who still are.
    let here = stage.county.schools().filter(|school| Some(*school) != stage.cast.orphaned).last()?;
    let reviewer = stage.reviewer(here, Role::SchoolAdmin).await?;
    let stranger = selected(stage).into_iter().find(|selection| selection.school != here)?;
    let outcome = decide(stage, &reviewer, &[approval(&stranger)], "review-elsewhere").await;
    stage.books.mistake(REVIEW_ELSEWHERE, outcome);
    Some(())
}

/// A teacher takes himself for a reviewer.
async fn review_as_teacher(stage: &Stage<'_>) -> Option<()> {
    let teacher = stage.county.teachers.iter().find(|person| person.roles.is_empty())?;
    let teacher = stage.person(&teacher.login).await?;
    let selection = selected(stage).into_iter().next()?;
    let outcome = decide(stage, &teacher, &[approval(&selection)], "review-as-teacher").await;
    stage.books.mistake(REVIEW_AS_TEACHER, outcome);
    Some(())
}

/// What the schools could not review: principals' own by the bureau, the orphaned school's by its district; and a
/// decision is taken back.
pub async fn review_rest(stage: &Stage<'_>, round: i32) -> Option<()> {
    let officer = stage.staff(Role::BureauOfficer).await?;
    let principals = stage.county.teachers.iter().filter(|person| person.roles.contains(&Role::Principal));
    let principals: BTreeSet<&str> = principals.map(|person| person.teacher.name.as_str()).collect();
    let bureau = "organizations/county";
    let waiting = list(stage, &officer, bureau, selection::State::Submitted, round).await?;
    let theirs = |selection: &&Selection| principals.contains(selection.teacher.as_str());
    let here = |selection: &&Selection| Some(selection.school.as_str()) != stage.cast.orphaned;
    let mine: Vec<Selection> = waiting.iter().filter(theirs).filter(here).cloned().collect();
    review_all(stage, &officer, &mine, &format!("review-principals-{round}")).await?;
    review_orphaned(stage, round).await;
    if round == 1 {
        take_back(stage).await;
    }
    Some(())
}

/// The district reviews where the school has nobody to do it.
async fn review_orphaned(stage: &Stage<'_>, round: i32) -> Option<()> {
    let orphaned = stage.cast.orphaned?;
    let district = stage.county.organizations.iter().find(|one| one.name == orphaned)?.parent.clone();
    let officer = stage.staff_of(&district).await?;
    let left = list(stage, &officer, orphaned, selection::State::Submitted, round).await?;
    review_all(stage, &officer, &left, &format!("review-orphaned-{round}")).await
}

/// A school takes a rejection back and approves.
async fn take_back(stage: &Stage<'_>) -> Option<()> {
    let (n, person) = stage.cast.spared?;
    let selection = stage.memory().selections.get(&n)?.first()?.clone();
    let me = stage.reviewer(&person.teacher.school, Role::SchoolAdmin).await?;
    let request = ReopenReviewRequest {
        name: selection.name.clone(),
        reason: "教师补充了说明".to_owned(),
        request_id: "take-back".to_owned(),
    };
    stage.books.must("take a decision back", call!(me, ReviewServiceClient.reopen_review(request)))?;
    let approval = Decision { selection: selection.name, approved: true, reason: "补充说明后同意".to_owned() };
    stage.books.must("approve after all", decide(stage, &me, &[approval], "after-all").await)?;
    stage.books.happened(REVOKED_DECISION);
    Some(())
}
