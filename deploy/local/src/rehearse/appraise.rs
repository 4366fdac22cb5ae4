//! PROJECT_REVIEW and PUBLICATION: experts score, bureaus decide, the sequencer publishes.

use proto::catalog::v1::project_service_client::ProjectServiceClient;
use proto::catalog::v1::review_service_client::ReviewServiceClient;
use proto::catalog::v1::{
    ApproveProjectRequest, AssignExpertsRequest, Criterion, ListProjectsRequest, RecuseExpertRequest,
    RejectProjectRequest, ScoreProjectRequest, project,
};
use proto::common::v1::Role;

use super::caller::{Caller, call};
use super::programme::{
    APPROVE_POOR, APPROVE_UNSCORED, ASSIGN_PARTIAL_EXPERT, DECIDE_ABOVE, DECIDED_LATE, EXPERT_STEPS_BACK,
};
use super::stage::Stage;
use crate::people::{Course, Plan, Staff};

/// Projects that were accepted, by index and name.
fn accepted<'a>(stage: &'a Stage<'_>) -> impl Iterator<Item = (usize, &'a Plan, String)> {
    let judged = |course| !matches!(course, Course::Forgotten | Course::Withdrawn);
    let plans = (0..).zip(&stage.county.projects).filter(move |(_, plan)| judged(plan.course));
    plans.filter_map(|(n, plan)| Some((n, plan, stage.project(n)?)))
}

/// The two experts of a project: none of its provider.
fn experts<'a>(stage: &'a Stage<'_>, n: usize, plan: &'a Plan) -> Vec<&'a Staff> {
    let impartial = |staff: &&Staff| staff.role == Role::Expert && staff.organization != plan.project.provider;
    let all: Vec<&Staff> = stage.county.staff.iter().filter(impartial).collect();
    let start = n.wrapping_mul(2) % all.len().max(1);
    all.iter().cycle().skip(start).take(all.len().min(2)).copied().collect()
}

/// The first project whose first expert steps back.
fn recused(stage: &Stage<'_>) -> Option<usize> {
    accepted(stage).find(|(_, plan, _)| plan.course == Course::Published).map(|(n, ..)| n)
}

/// The project on which its bureau decides late: on the day of publication.
fn late<'a>(stage: &'a Stage<'_>) -> Option<(usize, &'a Plan, String)> {
    accepted(stage).filter(|(_, plan, _)| plan.course == Course::Published).nth(1)
}

/// Bureaus assign two experts to each project.
pub async fn assign(stage: &Stage<'_>) {
    stage
        .all(accepted(stage).map(|(n, plan, name)| async move {
            let me = stage.staff_of(&plan.project.accepting_bureau).await?;
            let experts = experts(stage, n, plan).into_iter().map(|expert| expert.account.clone()).collect();
            let request_id = format!("assign-{name}");
            let request = AssignExpertsRequest { name, experts, request_id };
            stage.books.must("assign experts", call!(me, ReviewServiceClient.assign_experts(request))).map(drop)
        }))
        .await;
    assign_partial(stage).await;
}

/// A mistake: an expert for a project of his own organisation.
async fn assign_partial(stage: &Stage<'_>) -> Option<()> {
    let own = |staff: &&Staff| staff.role == Role::Expert && staff.organization.contains("/provider-");
    let expert = stage.county.staff.iter().find(own)?;
    let (_, plan, name) = accepted(stage).find(|(_, plan, _)| plan.project.provider == expert.organization)?;
    let me = stage.staff_of(&plan.project.accepting_bureau).await?;
    let request =
        AssignExpertsRequest { name, experts: vec![expert.account.clone()], request_id: "assign-partial".to_owned() };
    let outcome = call!(me, ReviewServiceClient.assign_experts(request));
    stage.books.mistake(ASSIGN_PARTIAL_EXPERT, outcome);
    Some(())
}

/// Experts score what they were given; one steps back.
pub async fn score(stage: &Stage<'_>) {
    let policy: toml::Table = stage.folder.policy.parse().unwrap_or_default();
    let rubric = policy.get("review").and_then(|review| review.get("rubric")).and_then(toml::Value::as_table);
    let rubric: Vec<String> = rubric.map(|rubric| rubric.keys().cloned().collect()).unwrap_or_default();
    let (rubric, recused) = (&rubric, recused(stage));
    let scores = accepted(stage).flat_map(|(n, plan, name)| {
        let experts = (0_usize..).zip(experts(stage, n, plan));
        experts.map(move |(seat, expert)| (n, plan, name.clone(), seat, expert)).collect::<Vec<_>>()
    });
    stage
        .all(scores.map(|(n, plan, name, seat, expert)| async move {
            let me = stage.person(&expert.login).await?;
            if recused == Some(n) && seat == 0 {
                let request_id = format!("recuse-{name}");
                let request = RecuseExpertRequest {
                    name,
                    reason: "曾参与该项目策划".to_owned(),
                    request_id,
                    ..Default::default()
                };
                let outcome = call!(me, ReviewServiceClient.recuse_expert(request));
                stage.books.must("step back as expert", outcome)?;
                stage.books.happened(EXPERT_STEPS_BACK);
                return Some(());
            }
            let base = if plan.course == Course::Rejected { 42 } else { 74 };
            let points = |key: &str| (0..20).filter(|n| stage.chance(&format!("{name}:{seat}:{key}:{n}"), 50)).count();
            let criteria = rubric
                .iter()
                .map(|key| Criterion { key: key.clone(), points: base + i32::try_from(points(key)).unwrap_or(0) })
                .collect();
            let request_id = format!("score-{name}");
            let request = ScoreProjectRequest { name, criteria, comment: String::new(), request_id };
            stage.books.must("score a project", call!(me, ReviewServiceClient.score_project(request))).map(drop)
        }))
        .await;
}

/// Bureaus approve and reject; a few they never decide.
pub async fn decide(stage: &Stage<'_>) {
    decide_mistakes(stage).await;
    let recused = recused(stage);
    let late = late(stage).map(|(n, ..)| n);
    stage
        .all(accepted(stage).map(|(n, plan, name)| async move {
            let me = stage.staff_of(&plan.project.accepting_bureau).await?;
            match plan.course {
                Course::Undecided => None,
                _ if late == Some(n) => None,
                Course::Rejected => {
                    let approved = approve(&me, &name, "", "approve-poor").await;
                    stage.books.mistake(APPROVE_POOR, approved);
                    let request_id = format!("reject-{name}");
                    let request = RejectProjectRequest { name, reason: "专家评分过低".to_owned(), request_id };
                    stage
                        .books
                        .must("reject a project", call!(me, ProjectServiceClient.reject_project(request)))
                        .map(drop)
                }
                _ if recused == Some(n) => {
                    let approved = approve(&me, &name, "", "approve-unscored").await;
                    stage.books.mistake(APPROVE_UNSCORED, approved);
                    let approved = approve(&me, &name, "一名专家回避，另一名评分优秀", "approve").await;
                    stage.books.must("approve a project with a reason", approved)
                }
                _ => stage.books.must("approve a project", approve(&me, &name, "", "approve").await),
            }
        }))
        .await;
}

async fn approve(me: &Caller, name: &str, reason: &str, act: &str) -> Result<(), super::books::Refusal> {
    let request =
        ApproveProjectRequest { name: name.to_owned(), reason: reason.to_owned(), request_id: format!("{act}-{name}") };
    call!(me, ProjectServiceClient.approve_project(request)).map(drop)
}

/// An officer of the county decides on a project that the city accepts.
async fn decide_mistakes(stage: &Stage<'_>) -> Option<()> {
    let county = stage.staff(Role::BureauOfficer).await?;
    let mut above = accepted(stage).filter(|(_, plan, _)| plan.project.accepting_bureau.ends_with("/city"));
    let (.., name) = above.find(|(_, plan, _)| plan.course == Course::Published)?;
    let approved = approve(&county, &name, "", "approve-above").await;
    stage.books.mistake(DECIDE_ABOVE, approved);
    Some(())
}

/// A late decision is still taken on the day of publication, and published at once.
pub async fn decide_late(stage: &Stage<'_>) -> Option<()> {
    let (_, plan, name) = late(stage)?;
    let me = stage.staff_of(&plan.project.accepting_bureau).await?;
    stage.books.must("approve a project on the day of publication", approve(&me, &name, "", "approve").await)?;
    stage.books.happened(DECIDED_LATE);
    Some(())
}

/// The menu of the day of publication holds what was approved, and nothing else.
pub async fn published(stage: &Stage<'_>) -> Option<()> {
    let of_city = |staff: &&Staff| staff.role == Role::BureauOfficer && staff.organization.ends_with("/city");
    let officer = stage.person(&stage.county.staff.iter().find(of_city)?.login).await?;
    let request = ListProjectsRequest {
        parent: stage.term.clone(),
        state: project::State::Published.into(),
        page_size: 1,
        ..ListProjectsRequest::default()
    };
    let menu = stage.books.must("read the menu", call!(officer, ProjectServiceClient.list_projects(request)))?;
    let meant = stage.county.projects.iter().filter(|plan| plan.is_published()).count();
    if usize::try_from(menu.total_size).ok() != Some(meant) {
        stage.books.surprise(format!("{} projects are published instead of {meant}", menu.total_size));
    }
    Some(())
}
