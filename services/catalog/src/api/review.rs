//! `ReviewService`: experts are put on projects, score them, or step back.

use chassis::{
    Call, Failure, Faults, Page, answer,
    db::{Record, Scope, Tx},
};
use jiff::civil::Date;
use proto::{
    Held,
    catalog::v1::{review_service_server::ReviewService, *},
    common::v1::{Reason, Role},
};
use tonic::{Request, Response, Status};

use super::{Service, act, wire};
use crate::{
    domain::{
        Project, access,
        lifecycle::State,
        review::{self, Assignment, Scored},
    },
    store,
};

#[tonic::async_trait]
impl ReviewService for Service {
    async fn assign_experts(
        &self,
        request: Request<AssignExpertsRequest>,
    ) -> Result<Response<AssignExpertsResponse>, Status> {
        answer(request, |call| assign(self, call)).await
    }

    async fn score_project(
        &self,
        request: Request<ScoreProjectRequest>,
    ) -> Result<Response<ScoreProjectResponse>, Status> {
        answer(request, |call| score(self, call)).await
    }

    async fn recuse_expert(
        &self,
        request: Request<RecuseExpertRequest>,
    ) -> Result<Response<RecuseExpertResponse>, Status> {
        answer(request, |call| recuse(self, call)).await
    }

    async fn list_assignments(
        &self,
        request: Request<ListAssignmentsRequest>,
    ) -> Result<Response<ListAssignmentsResponse>, Status> {
        answer(request, |call| list(self, call)).await
    }
}

async fn assign(service: &Service, call: Call<AssignExpertsRequest>) -> Result<AssignExpertsResponse, Failure> {
    let name = &call.message.name;
    let mut tx = service.db.begin(&call, Scope::of_name(name)).await?;
    let (project, held) = act::of_bureau(&mut tx, name).await?;
    in_review(&project, "assign_experts")?;
    let assignments = assignments_of(&mut tx, name).await?;
    let day = tx.gates()?.day(tx.at());
    let experts = &call.message.experts;
    let mut faults = Faults::new();
    if experts.is_empty() || experts.len() > 50 {
        faults.add("experts", "请指定 1 至 50 名专家", "name 1 to 50 experts");
    }
    let (mut conflicts, mut added) = (false, Vec::new());
    for (index, expert) in experts.iter().take(50).enumerate() {
        if !call.message.experts.iter().take(index).all(|other| other != expert) {
            faults.add(format!("experts[{index}]"), "专家重复", "this expert is named twice");
            continue;
        }
        match assignments.iter().find(|assignment| assignment.expert == *expert) {
            // Who stepped back does not come again.
            Some(assignment) => conflicts |= assignment.recused,
            None => match conflict(&mut tx, &project, expert, day).await? {
                None => faults.add(format!("experts[{index}]"), "不是在任专家", "not an expert now"),
                Some(true) => conflicts = true,
                Some(false) => added.push(expert),
            },
        }
    }
    faults.check()?;
    if conflicts {
        return Err(Failure::new(Reason::ExpertConflict).with("resource", name));
    }
    for expert in added {
        store::review::assign(&mut tx, &project, expert).await?;
        let assignment = Assignment { expert: expert.clone(), recused: false, score: None };
        record(&mut tx, &project, "assigned", &assignment, &held);
    }
    let project = act::shown_one(&mut tx, project).await?;
    tx.commit(AssignExpertsResponse { project }).await
}

/// Whether an account has an interest in the project; `None`: it is no expert on `day`.
async fn conflict(tx: &mut Tx, project: &Project, account: &str, day: Date) -> Result<Option<bool>, Failure> {
    let paths = store::roster::expert(tx, account, day).await?;
    Ok(paths.map(|paths| access::conflicts(&project.provider, paths.iter().map(Vec::as_slice))))
}

async fn score(service: &Service, call: Call<ScoreProjectRequest>) -> Result<ScoreProjectResponse, Failure> {
    let name = &call.message.name;
    let mut tx = service.db.begin(&call, Scope::of_name(name)).await?;
    let (project, held, assignment) = of_expert(&mut tx, name).await?;
    in_review(&project, "score")?;
    // He may have joined the provider since he was assigned.
    let day = tx.gates()?.day(tx.at());
    if assignment.recused || conflict(&mut tx, &project, &assignment.expert, day).await? == Some(true) {
        return Err(Failure::new(Reason::ExpertConflict).with("resource", name));
    }
    let mut faults = Faults::new();
    act::text_at_most(&mut faults, "comment", &call.message.comment, 2_000);
    let policy = act::policy(&tx)?;
    let criteria: Vec<(String, i32)> =
        call.message.criteria.iter().map(|criterion| (criterion.key.clone(), criterion.points)).collect();
    let (total_hundredths, wrong) = match review::total(&policy.review, &criteria) {
        Ok(total) => (total, Vec::new()),
        Err(wrong) => (0, wrong),
    };
    act::check(faults, wrong, "")?;
    let scored = Scored { criteria, total_hundredths, comment: call.message.comment.clone() };
    let policy_version = tx.gates()?.policy_version();
    store::review::score(&mut tx, &project, &assignment.expert, &scored, policy_version).await?;
    let assignment = Assignment { score: Some(scored), ..assignment };
    record(&mut tx, &project, "scored", &assignment, &held);
    tx.commit(ScoreProjectResponse { score: Some(wire::score(&assignment)) }).await
}

async fn recuse(service: &Service, call: Call<RecuseExpertRequest>) -> Result<RecuseExpertResponse, Failure> {
    let (name, named) = (&call.message.name, &call.message.expert);
    let mut tx = service.db.begin(&call, Scope::of_name(name)).await?;
    let reason = act::reason(&call.message.reason)?;
    let (project, held, assignment) = if named.is_empty() || *named == tx.actor().account {
        of_expert(&mut tx, name).await?
    } else {
        let (project, held) = act::of_bureau(&mut tx, name).await?;
        let found = assignments_of(&mut tx, name).await?.into_iter().find(|assignment| assignment.expert == *named);
        (project, held, found.ok_or_else(|| Failure::not_found(named))?)
    };
    in_review(&project, "recuse")?;
    store::review::recuse(&mut tx, &project, &assignment.expert, reason).await?;
    record(&mut tx, &project, "recused", &Assignment { recused: true, ..assignment }, &held);
    let project = act::shown_one(&mut tx, project).await?;
    tx.commit(RecuseExpertResponse { project }).await
}

async fn list(service: &Service, call: Call<ListAssignmentsRequest>) -> Result<ListAssignmentsResponse, Failure> {
    let asked = call.message.clone();
    let mut db = service.db.read(&call, Scope::Term(&asked.parent)).await?;
    let query = ListAssignmentsRequest { page_size: 0, page_token: String::new(), ..asked.clone() };
    let page = Page::read(asked.page_size, &asked.page_token, &query)?;
    let actor = db.actor().clone();
    let sight = act::sight(&actor, false);
    let found = store::project::assigned(&mut db, &asked.parent, &sight, page.after(), page.ask()).await?;
    let (projects, next_page_token) =
        page.cut(act::shown(&mut db, &actor, false, found).await?, |last| last.name.clone());
    Ok(ListAssignmentsResponse { projects, next_page_token })
}

/// The project of that name, held against other writers, for an expert who was put on it.
async fn of_expert(tx: &mut Tx, name: &str) -> Result<(Project, Held, Assignment), Failure> {
    let project = store::project::lock(tx, name).await?.ok_or_else(|| Failure::not_found(name))?;
    let account = tx.actor().account.clone();
    let held = tx.actor().roles.iter().find(|held| held.role == Role::Expert).cloned();
    let own = assignments_of(tx, name).await?.into_iter().find(|assignment| assignment.expert == account);
    held.zip(own).map(|(held, own)| (project, held, own)).ok_or_else(|| Failure::out_of_scope(name))
}

async fn assignments_of(tx: &mut Tx, project: &str) -> Result<Vec<Assignment>, Failure> {
    Ok(store::review::of_projects(tx, [project]).await?.remove(project).unwrap_or_default())
}

/// Experts judge what is formally in order and not yet decided.
fn in_review(project: &Project, event: &str) -> Result<(), Failure> {
    if project.state == State::Accepted {
        Ok(())
    } else {
        Err(Failure::state(&project.name, project.state.word(), event))
    }
}

/// A score has a name of its own in the feed: "«project»/scores/«expert»". What an expert says in words stays here.
fn record(tx: &mut Tx, project: &Project, verb: &str, assignment: &Assignment, held: &Held) {
    let expert = assignment.expert.rsplit('/').next().unwrap_or_default();
    let score = Score { comment: String::new(), ..wire::score(assignment) };
    let record = Record::of(&format!("{}/scores/{expert}", project.name), verb, &score);
    tx.record(record.by(&tx.actor().clone(), Some(held)));
}
