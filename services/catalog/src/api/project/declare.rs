//! What a provider does with its project: draft, revise, submit, withdraw, ask to cancel.

use std::collections::BTreeSet;

use chassis::{
    Call, Failure, Faults,
    db::{Record, Scope, Tx},
};
use proto::{
    Actor, Credit,
    catalog::v1::{self as pb, *},
    common::v1::{Phase, Reason, Role},
};

use crate::{
    api::{Service, act, wire},
    domain::{
        Audience, Project, access,
        draft::{self, Known, Terms},
        lifecycle::{self, Event, State},
    },
    store,
};

pub async fn create(service: &Service, call: Call<CreateProjectRequest>) -> Result<CreateProjectResponse, Failure> {
    let term = &call.message.parent;
    let mut tx = service.db.begin(&call, Scope::Term(term)).await?;
    if tx.term() != term {
        return Err(Failure::new(Reason::TermUnknown).with("term", term));
    }
    let given = call.message.project.clone().unwrap_or_default();
    let provider = provider_of(tx.actor(), &given)?;
    let mut project = blank(format!("{term}/{}", tx.id("projects")), term, provider);
    let mut faults = Faults::new();
    wire::write_fields(&mut project, &given, &["*".to_owned()], &mut faults);
    act::check(faults, draft::shape_faults(&project), "project.")?;
    store::project::insert(&mut tx, &project).await?;
    let actor = tx.actor().clone();
    let held = actor.held_over(&[Role::ProviderStaff], std::slice::from_ref(&project.provider));
    tx.record(Record::of(&project.name, "created", &wire::facts(&project)).by(&actor, held));
    let project = act::shown_one(&mut tx, project).await?;
    tx.commit(CreateProjectResponse { project }).await
}

/// The provider for which the caller declares: the one he names, or the only one for which he acts.
fn provider_of(actor: &Actor, given: &pb::Project) -> Result<String, Failure> {
    let own = access::organizations_of(actor, Role::ProviderStaff);
    match (given.provider.as_str(), own.as_slice()) {
        ("", [only]) => Ok((*only).to_owned()),
        ("", _) => {
            let mut faults = Faults::new();
            faults.add("project.provider", "请指定培训机构", "name the provider");
            faults.check().map(|()| String::new())
        }
        (named, own) if own.contains(&named) => Ok(named.to_owned()),
        (named, _) => Err(Failure::out_of_scope(named)),
    }
}

fn blank(name: String, term: &str, provider: String) -> Project {
    Project {
        name,
        term: term.to_owned(),
        provider,
        accepting_bureau: String::new(),
        title: String::new(),
        description: String::new(),
        level: None,
        form: None,
        audience: Audience::default(),
        base_credit: Credit::ZERO,
        difficulty_percent: 0,
        restricted_elective: false,
        ethics_hours: 0,
        practice_hours: 0,
        total_hours: 0,
        classes: Vec::new(),
        allocations: std::collections::BTreeMap::new(),
        state: State::Draft,
        decision_reason: String::new(),
        cancellation_requested: false,
        cancellation_reason: String::new(),
        published_at: None,
        revision: 1,
    }
}

pub async fn update(service: &Service, call: Call<UpdateProjectRequest>) -> Result<UpdateProjectResponse, Failure> {
    let given = call.message.project.clone().unwrap_or_default();
    let mut tx = service.db.begin(&call, Scope::of_name(&given.name)).await?;
    let (mut project, held) = act::of_provider(&mut tx, &given.name).await?;
    // The revision counts this write already.
    let before = project.revision.saturating_sub(1).to_string();
    if !given.etag.is_empty() && given.etag != before {
        return Err(Failure::new(Reason::EtagMismatch).with("resource", &project.name));
    }
    if !lifecycle::is_editable(project.state) {
        return Err(Failure::state(&project.name, project.state.word(), "update"));
    }
    in_time(&tx, &project)?;
    let mut faults = Faults::new();
    let mask = call.message.update_mask.clone().unwrap_or_default().paths;
    if mask.is_empty() {
        faults.add("update_mask", "请指定要修改的字段", "name the fields to change");
    }
    let bureau = project.accepting_bureau.clone();
    wire::write_fields(&mut project, &given, &mask, &mut faults);
    if project.state == State::Returned && project.accepting_bureau != bureau {
        let (zh, en) = ("退回的项目不能更换受理单位", "a returned project stays with its bureau");
        faults.add("project.accepting_bureau", zh, en);
    }
    act::check(faults, draft::shape_faults(&project), "project.")?;
    store::project::index(&mut tx, &project).await?;
    act::save(&mut tx, &project, "updated", Some(&held)).await?;
    let project = act::shown_one(&mut tx, project).await?;
    tx.commit(UpdateProjectResponse { project }).await
}

/// A draft is written and submitted while DECLARATION is open, also where the review has begun; what was returned has
/// until the review closes.
fn in_time(tx: &Tx, project: &Project) -> Result<(), Failure> {
    if project.state == State::Draft {
        tx.window(Phase::Declaration, 0, std::slice::from_ref(&project.provider))?;
    }
    Ok(())
}

pub async fn submit(service: &Service, call: Call<SubmitProjectRequest>) -> Result<SubmitProjectResponse, Failure> {
    let name = &call.message.name;
    let mut tx = service.db.begin(&call, Scope::of_name(name)).await?;
    let (mut project, held) = act::of_provider(&mut tx, name).await?;
    in_time(&tx, &project)?;
    act::step(&mut project, Event::Submit)?;
    check(&mut tx, &project).await?;
    act::save(&mut tx, &project, Event::Submit.verb(), Some(&held)).await?;
    let project = act::shown_one(&mut tx, project).await?;
    tx.commit(SubmitProjectResponse { project }).await
}

/// Refuses a project with everything for which it cannot be submitted.
async fn check(tx: &mut Tx, project: &Project) -> Result<(), Failure> {
    let (gates, policy) = (tx.gates()?, act::policy(tx)?);
    let rounds: BTreeSet<i32> =
        gates.windows().iter().filter(|window| window.phase() == Phase::Selection).map(|window| window.round).collect();
    let named = project.audience.organizations.iter().chain([&project.accepting_bureau]);
    let known = store::roster::known(tx, named.map(String::as_str)).await?;
    let terms = Terms { rounds: &rounds, zone: gates.zone(), codes: &policy.codes };
    let faults = draft::faults(project, &terms, |name| known.get(name).copied().unwrap_or(Known::No));
    act::check(Faults::new(), faults, "project.")
}

pub async fn withdraw(
    service: &Service,
    call: Call<WithdrawProjectRequest>,
) -> Result<WithdrawProjectResponse, Failure> {
    let name = &call.message.name;
    let mut tx = service.db.begin(&call, Scope::of_name(name)).await?;
    let reason = call.message.reason.as_str();
    let (mut project, held) = act::of_provider(&mut tx, name).await?;
    act::step(&mut project, Event::Withdraw)?;
    act::decide(&mut tx, &mut project, Event::Withdraw.verb(), Some(&held), reason).await?;
    let project = act::shown_one(&mut tx, project).await?;
    tx.commit(WithdrawProjectResponse { project }).await
}

pub async fn request_cancellation(
    service: &Service,
    call: Call<RequestCancellationRequest>,
) -> Result<RequestCancellationResponse, Failure> {
    let name = &call.message.name;
    let mut tx = service.db.begin(&call, Scope::of_name(name)).await?;
    let reason = act::reason(&call.message.reason)?;
    let (mut project, held) = act::of_provider(&mut tx, name).await?;
    if !matches!(project.state, State::Published | State::Running) {
        return Err(Failure::state(name, project.state.word(), "request_cancellation"));
    }
    project.cancellation_requested = true;
    reason.clone_into(&mut project.cancellation_reason);
    act::save(&mut tx, &project, "cancellation_requested", Some(&held)).await?;
    let project = act::shown_one(&mut tx, project).await?;
    tx.commit(RequestCancellationResponse { project }).await
}
