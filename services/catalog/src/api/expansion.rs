//! `ExpansionService`: a provider asks for more places, the bureau grants or denies.

use chassis::{
    Call, Failure, Faults, Page, answer,
    db::{Record, Scope, Tx},
};
use proto::{
    Held,
    catalog::v1::{expansion_service_server::ExpansionService, *},
    common::v1::Reason,
};
use tonic::{Request, Response, Status};

use super::{Service, act, wire};
use crate::{
    domain::{
        Class,
        expansion::{self, Expansion, State},
        lifecycle,
    },
    store,
};

#[tonic::async_trait]
impl ExpansionService for Service {
    async fn request_expansion(
        &self,
        request: Request<RequestExpansionRequest>,
    ) -> Result<Response<RequestExpansionResponse>, Status> {
        answer(request, |call| ask(self, call)).await
    }

    async fn decide_expansion(
        &self,
        request: Request<DecideExpansionRequest>,
    ) -> Result<Response<DecideExpansionResponse>, Status> {
        answer(request, |call| decide(self, call)).await
    }

    async fn list_expansions(
        &self,
        request: Request<ListExpansionsRequest>,
    ) -> Result<Response<ListExpansionsResponse>, Status> {
        answer(request, |call| list(self, call)).await
    }
}

async fn ask(service: &Service, call: Call<RequestExpansionRequest>) -> Result<RequestExpansionResponse, Failure> {
    let name = &call.message.parent;
    let mut tx = service.db.begin(&call, Scope::of_name(name)).await?;
    let given = call.message.expansion.clone().unwrap_or_default();
    let (project, held) = act::of_provider(&mut tx, name).await?;
    // What is not on the menu has no places to be short of.
    if project.published_at.is_none() || !lifecycle::is_live(project.state) {
        return Err(Failure::state(name, project.state.word(), "request_expansion"));
    }
    let mut faults = Faults::new();
    act::text_at_most(&mut faults, "expansion.reason", &given.reason, 1_000);
    let new_class = given.new_class.as_ref().map(|class| Class {
        // Granted, it gets a name of the system's and the places that were granted.
        name: String::new(),
        places: given.places_requested,
        ..wire::read_class(class, "expansion.new_class", &mut faults)
    });
    let asked = Expansion {
        name: format!("{name}/{}", tx.id("expansions")),
        project: name.clone(),
        class: given.class,
        new_class,
        places_requested: given.places_requested,
        places_granted: 0,
        reason: given.reason,
        state: State::Requested,
        decision_reason: String::new(),
    };
    let (gates, policy) = (tx.gates()?, act::policy(&tx)?);
    act::check(faults, expansion::request_faults(&asked, &project, gates.zone()), "")?;
    if store::expansion::count_of(&mut tx, name).await? >= policy.expansion.requests_per_project {
        return Err(Failure::new(Reason::ExpansionExists).with("resource", name));
    }
    let limit = expansion::limit(&policy.expansion, &project);
    if i64::from(asked.places_requested) > limit {
        return Err(Failure::new(Reason::ExpansionLimit).with("limit", limit));
    }
    store::expansion::insert(&mut tx, &asked, &project.term, gates.policy_version()).await?;
    record(&mut tx, &asked, "requested", Some(&held));
    tx.commit(RequestExpansionResponse { expansion: Some(wire::expansion(&asked)) }).await
}

async fn decide(service: &Service, call: Call<DecideExpansionRequest>) -> Result<DecideExpansionResponse, Failure> {
    let (name, granted) = (&call.message.name, call.message.places_granted);
    let mut tx = service.db.begin(&call, Scope::of_name(name)).await?;
    let reason = call.message.reason.as_str();
    let parent = name.split_once("/expansions/").map_or(name.as_str(), |(project, _)| project);
    let (mut project, held) = act::of_bureau(&mut tx, parent).await?;
    let asked = store::expansion::find(&mut tx, name).await?.ok_or_else(|| Failure::not_found(name))?;
    if asked.state != State::Requested {
        return Err(Failure::state(name, asked.state.word(), "decide"));
    }
    let mut faults = Faults::new();
    let state = expansion::decided(asked.places_requested, granted);
    if state.is_none() {
        let most = asked.places_requested;
        faults.add("places_granted", format!("应在 0 至 {most} 之间"), format!("from 0 to {most}"));
    }
    if state != Some(State::Granted) && reason.trim().is_empty() {
        faults.add("reason", "未全额批准须说明理由", "give the reason for granting less than was asked for");
    }
    faults.check()?;
    let decided = Expansion {
        state: state.unwrap_or(State::Denied),
        places_granted: granted,
        decision_reason: reason.to_owned(),
        ..asked
    };
    if granted > 0 {
        if !lifecycle::is_live(project.state) {
            return Err(Failure::state(parent, project.state.word(), "expand"));
        }
        if !expansion::give(&mut project, &decided, granted) {
            return Err(Failure::state(&decided.class, "cancelled", "expand"));
        }
    }
    settle(&mut tx, &decided, Some(&held)).await?;
    if granted > 0 {
        act::save(&mut tx, &project, "expanded", Some(&held)).await?;
    }
    tx.commit(DecideExpansionResponse { expansion: Some(wire::expansion(&decided)) }).await
}

/// Keeps and records a decision on an open request.
pub async fn settle(tx: &mut Tx, decided: &Expansion, held: Option<&Held>) -> Result<(), Failure> {
    let policy_version = tx.gates()?.policy_version();
    if !store::expansion::decide(tx, decided, policy_version).await? {
        return Err(Failure::state(&decided.name, "decided", "decide"));
    }
    record(tx, decided, decided.state.word(), held);
    Ok(())
}

async fn list(service: &Service, call: Call<ListExpansionsRequest>) -> Result<ListExpansionsResponse, Failure> {
    let asked = call.message.clone();
    let mut db = service.db.read(&call, Scope::Term(&asked.parent)).await?;
    let query = ListExpansionsRequest { page_size: 0, page_token: String::new(), ..asked.clone() };
    let page = Page::read(asked.page_size, &asked.page_token, &query)?;
    let state = State::from_wire(asked.state);
    let mut faults = Faults::new();
    if asked.state != 0 && state.is_none() {
        faults.add("state", "没有此值", "no such value");
    }
    faults.check()?;
    let sight = act::sight(db.actor(), false);
    let found = store::expansion::list(&mut db, &asked.parent, state, &sight, page.after(), page.ask()).await?;
    let found = found.iter().map(wire::expansion).collect();
    let (expansions, next_page_token) = page.cut(found, |last| last.name.clone());
    Ok(ListExpansionsResponse { expansions, next_page_token })
}

fn record(tx: &mut Tx, expansion: &Expansion, verb: &str, held: Option<&Held>) {
    let record = Record::of(&expansion.name, verb, &wire::expansion_facts(expansion));
    tx.record(record.by(&tx.actor().clone(), held));
}
