//! What acts on a project have in common: finding it within the caller's scope, moving it on, recording it.

use chassis::{
    Failure, Faults,
    db::{Queries, Record, Tx},
    gates::TermGates,
};
use proto::{
    Actor, Held,
    common::v1::{Phase, Role},
};

use super::wire;
use crate::{
    domain::{
        Fault, Policy, Project, access,
        lifecycle::{self, Event},
    },
    store::{self, project::Sight},
};

/// The project of that name, held against other writers, for the staff of its provider.
pub async fn of_provider(tx: &mut Tx, name: &str) -> Result<(Project, Held), Failure> {
    let project = store::project::lock(tx, name).await?.ok_or_else(|| Failure::not_found(name))?;
    let path = [project.provider.clone()];
    let held = tx.actor().held_over(&[Role::ProviderStaff], &path).cloned();
    Ok((project, held.ok_or_else(|| Failure::out_of_scope(name))?))
}

/// The project of that name, held against other writers, for an officer of its bureau or of one above it.
pub async fn of_bureau(tx: &mut Tx, name: &str) -> Result<(Project, Held), Failure> {
    let project = store::project::lock(tx, name).await?.ok_or_else(|| Failure::not_found(name))?;
    let path = store::roster::path(tx, &project.accepting_bureau).await?;
    let held = tx.actor().held_over(&[Role::BureauOfficer], &path).cloned();
    Ok((project, held.ok_or_else(|| Failure::out_of_scope(name))?))
}

/// Moves a locked project on, or refuses.
pub fn step(project: &mut Project, event: Event) -> Result<(), Failure> {
    project.state = lifecycle::next(project.state, event)
        .ok_or_else(|| Failure::state(&project.name, project.state.word(), event.word()))?;
    Ok(())
}

/// Writes a locked project as it is now and records what has happened.
pub async fn save(tx: &mut Tx, project: &Project, verb: &str, held: Option<&Held>) -> Result<(), Failure> {
    store::project::save(tx, project).await?;
    let record = Record::of(&project.name, verb, &wire::facts(project)).by(&tx.actor().clone(), held);
    tx.record(record);
    Ok(())
}

/// Keeps a decision with its actor, reason and policy version, then writes and records the project.
pub async fn decide(
    tx: &mut Tx,
    project: &mut Project,
    verb: &str,
    held: Option<&Held>,
    reason: &str,
) -> Result<(), Failure> {
    reason.clone_into(&mut project.decision_reason);
    let actor = tx.actor().acting_as(held);
    let policy_version = tx.gates()?.policy_version();
    store::decision::insert(tx, project, verb, &actor, reason, policy_version).await?;
    save(tx, project, verb, held).await
}

/// Puts an approved project on the menu.
pub async fn publish(tx: &mut Tx, project: &mut Project, held: Option<&Held>) -> Result<(), Failure> {
    step(project, Event::Publish)?;
    project.published_at = Some(tx.at());
    save(tx, project, Event::Publish.verb(), held).await
}

/// Whether a window of one of these phases has opened by now, be it closed again.
pub fn has_opened(gates: impl AsRef<TermGates>, phases: &[Phase], at: i64) -> bool {
    gates.as_ref().windows().iter().any(|window| {
        phases.contains(&window.phase()) && window.opens.as_ref().is_some_and(|opens| proto::instant(opens) <= at)
    })
}

/// The term's policy as the catalog reads it.
pub fn policy(tx: &Tx) -> Result<std::sync::Arc<Policy>, Failure> {
    tx.policy::<Policy>()
}

/// A reason that must be given.
pub fn reason(given: &str) -> Result<&str, Failure> {
    let mut faults = Faults::new();
    if given.trim().is_empty() {
        faults.add("reason", "请说明理由", "give the reason");
    }
    faults.check()?;
    Ok(given)
}

/// Notes a text that is too long; `limit` in characters.
pub fn text_at_most(faults: &mut Faults, field: &str, text: &str, limit: usize) {
    if text.chars().count() > limit {
        faults.add(field, format!("最多 {limit} 个字"), format!("at most {limit} characters"));
    }
}

/// The domain's faults as the caller gets them, after those found already and all at once; `prefix` is where the domain's
/// fields hang in the request.
pub fn check(mut found: Faults, faults: Vec<Fault>, prefix: &str) -> Result<(), Failure> {
    for fault in faults {
        found.add(format!("{prefix}{}", fault.field), fault.zh, fault.en);
    }
    found.check()
}

/// What a person may see of a listing.
pub fn sight(actor: &Actor, menu_open: bool) -> Sight {
    let of = |role| access::organizations_of(actor, role).into_iter().map(str::to_owned).collect();
    Sight {
        menu_open,
        providers: of(Role::ProviderStaff),
        bureaus: of(Role::BureauOfficer),
        expert: if actor.is(Role::Expert) { actor.account.clone() } else { String::new() },
    }
}

/// Projects as `actor` sees them: each with what its view shows. Those he must not see are left out.
pub async fn shown(
    db: &mut impl Queries,
    actor: &Actor,
    menu_open: bool,
    projects: Vec<Project>,
) -> Result<Vec<proto::catalog::v1::Project>, Failure> {
    let names = projects.iter().map(|project| project.name.as_str());
    let mut reviews = store::review::of_projects(db, names).await?;
    let bureaus = projects.iter().map(|project| project.accepting_bureau.as_str());
    let paths = store::roster::paths(db, bureaus).await?;
    let mut all = Vec::with_capacity(projects.len());
    for project in projects {
        let assignments = reviews.remove(&project.name).unwrap_or_default();
        let assigned = assignments.iter().any(|assignment| assignment.expert == actor.account && !assignment.recused);
        let alone = [project.accepting_bureau.clone()];
        let path = paths.get(&project.accepting_bureau).map_or(alone.as_slice(), Vec::as_slice);
        if let Some(view) = access::view(actor, &project, path, assigned, menu_open) {
            all.push(wire::project(&project, &assignments, view, &actor.account));
        }
    }
    Ok(all)
}

/// One project as the acting person sees it.
pub async fn shown_one(tx: &mut Tx, project: Project) -> Result<Option<proto::catalog::v1::Project>, Failure> {
    let actor = tx.actor().clone();
    Ok(shown(tx, &actor, false, vec![project]).await?.pop())
}
