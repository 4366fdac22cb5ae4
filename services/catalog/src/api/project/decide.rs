//! What a bureau decides on a project: accept, return, approve, reject, cancel.

use chassis::{
    Call, Failure,
    db::{Scope, Tx},
};
use proto::{
    Held,
    catalog::v1::*,
    common::v1::{Phase, Reason},
};

use crate::{
    api::{Service, act},
    domain::{
        ClassState, Project,
        lifecycle::{self, Event},
        review::{self, Shortfall},
    },
    store,
};

pub async fn accept(service: &Service, call: Call<AcceptProjectRequest>) -> Result<AcceptProjectResponse, Failure> {
    let name = &call.message.name;
    let mut tx = service.db.begin(&call, Scope::of_name(name)).await?;
    let (mut project, held) = act::of_bureau(&mut tx, name).await?;
    decide(&mut tx, &mut project, Event::Accept, &held, "").await?;
    let project = act::shown_one(&mut tx, project).await?;
    tx.commit(AcceptProjectResponse { project }).await
}

pub async fn give_back(service: &Service, call: Call<ReturnProjectRequest>) -> Result<ReturnProjectResponse, Failure> {
    let name = &call.message.name;
    let mut tx = service.db.begin(&call, Scope::of_name(name)).await?;
    let reason = act::reason(&call.message.reason)?;
    let (mut project, held) = act::of_bureau(&mut tx, name).await?;
    decide(&mut tx, &mut project, Event::Return, &held, reason).await?;
    let project = act::shown_one(&mut tx, project).await?;
    tx.commit(ReturnProjectResponse { project }).await
}

pub async fn approve(service: &Service, call: Call<ApproveProjectRequest>) -> Result<ApproveProjectResponse, Failure> {
    let name = &call.message.name;
    let mut tx = service.db.begin(&call, Scope::of_name(name)).await?;
    let reason = call.message.reason.as_str();
    let (mut project, held) = act::of_bureau(&mut tx, name).await?;
    act::step(&mut project, Event::Approve)?;
    if reason.trim().is_empty() {
        carried_by_scores(&mut tx, &project).await?;
    }
    project.fix_approved_places();
    act::decide(&mut tx, &mut project, Event::Approve.verb(), Some(&held), reason).await?;
    // A late decision: the day's publishing may have been already.
    if act::has_opened(tx.gates()?, &[Phase::Publication], tx.at()) {
        act::publish(&mut tx, &mut project, Some(&held)).await?;
    }
    let project = act::shown_one(&mut tx, project).await?;
    tx.commit(ApproveProjectResponse { project }).await
}

/// Refuses unless the experts' scores carry the approval.
async fn carried_by_scores(tx: &mut Tx, project: &Project) -> Result<(), Failure> {
    let policy = act::policy(tx)?;
    let mut reviews = store::review::of_projects(tx, [project.name.as_str()]).await?;
    let assignments = reviews.remove(&project.name).unwrap_or_default();
    review::approval(&policy.review, &review::totals(&assignments)).map_err(|shortfall| match shortfall {
        Shortfall::Count { have, need } => Failure::new(Reason::ScoresMissing).with("have", have).with("need", need),
        Shortfall::Mean { mean, need } => {
            Failure::new(Reason::ScoreTooLow).with("mean", review::decimal(mean)).with("need", need)
        }
    })
}

pub async fn reject(service: &Service, call: Call<RejectProjectRequest>) -> Result<RejectProjectResponse, Failure> {
    let name = &call.message.name;
    let mut tx = service.db.begin(&call, Scope::of_name(name)).await?;
    let reason = act::reason(&call.message.reason)?;
    let (mut project, held) = act::of_bureau(&mut tx, name).await?;
    decide(&mut tx, &mut project, Event::Reject, &held, reason).await?;
    let project = act::shown_one(&mut tx, project).await?;
    tx.commit(RejectProjectResponse { project }).await
}

pub async fn cancel(service: &Service, call: Call<CancelProjectRequest>) -> Result<CancelProjectResponse, Failure> {
    let name = &call.message.name;
    let mut tx = service.db.begin(&call, Scope::of_name(name)).await?;
    let reason = act::reason(&call.message.reason)?;
    let (mut project, held) = act::of_bureau(&mut tx, name).await?;
    decide(&mut tx, &mut project, Event::Cancel, &held, reason).await?;
    let project = act::shown_one(&mut tx, project).await?;
    tx.commit(CancelProjectResponse { project }).await
}

/// One class; with its last class the project goes.
pub async fn cancel_class(service: &Service, call: Call<CancelClassRequest>) -> Result<CancelClassResponse, Failure> {
    let class = &call.message.name;
    let mut tx = service.db.begin(&call, Scope::of_name(class)).await?;
    let reason = act::reason(&call.message.reason)?;
    let name = class.split_once("/classes/").map_or(class.as_str(), |(project, _)| project);
    let (mut project, held) = act::of_bureau(&mut tx, name).await?;
    if !lifecycle::is_live(project.state) {
        return Err(Failure::state(name, project.state.word(), "cancel_class"));
    }
    let found = project.class_mut(class).ok_or_else(|| Failure::not_found(class))?;
    if found.state == ClassState::Cancelled {
        return Err(Failure::state(class, found.state.word(), "cancel_class"));
    }
    found.state = ClassState::Cancelled;
    if project.active_classes().next().is_some() {
        act::decide(&mut tx, &mut project, "class_cancelled", Some(&held), reason).await?;
    } else {
        decide(&mut tx, &mut project, Event::Cancel, &held, reason).await?;
    }
    let project = act::shown_one(&mut tx, project).await?;
    tx.commit(CancelClassResponse { project }).await
}

async fn decide(tx: &mut Tx, project: &mut Project, event: Event, held: &Held, reason: &str) -> Result<(), Failure> {
    act::step(project, event)?;
    act::decide(tx, project, event.verb(), Some(held), reason).await
}
