//! `SelectionService`.

use std::{collections::BTreeSet, sync::Arc};

use chassis::{
    Call, Failure, Faults, Page, answer,
    db::{Record, Scope, Tx},
};
use proto::{
    common::v1::{Phase, Reason, Role},
    enrollment::v1::{
        CheckEligibilityRequest, CheckEligibilityResponse, GetSelectionRequest, GetSelectionResponse,
        ListNonSelectorsRequest, ListNonSelectorsResponse, ListSeatsRequest, ListSeatsResponse, ListSelectionsRequest,
        ListSelectionsResponse, OrderSelectionsRequest, OrderSelectionsResponse, SubmitSelectionRequest,
        SubmitSelectionResponse, UrgeTeachersRequest, UrgeTeachersResponse, WatchSeatsRequest,
        WithdrawSelectionRequest, WithdrawSelectionResponse, selection::State,
        selection_service_server::SelectionService,
    },
};
use tonic::{Request, Response, Status};

use super::{Api, advice, bar::bars, refusal, scope, seats, term_of};
use crate::{
    domain::{
        Event, Policy, Selection,
        allocation::{Allocation, allocation},
        desk::Why,
        eligibility::{self, Case},
        notification::Kind,
    },
    intake::{first_round_ends_on, open_selection_window},
    store::{
        catalog, credit, desk as store, notices, notifications,
        notifications::Message,
        roster, rounds, seats as places,
        selections::{self, Filter},
        wire,
    },
};

#[tonic::async_trait]
impl SelectionService for Api {
    async fn check_eligibility(
        &self,
        request: Request<CheckEligibilityRequest>,
    ) -> Result<Response<CheckEligibilityResponse>, Status> {
        answer(request, |call| check(self, call)).await
    }

    async fn submit_selection(
        &self,
        request: Request<SubmitSelectionRequest>,
    ) -> Result<Response<SubmitSelectionResponse>, Status> {
        answer(request, |call| submit(self, call)).await
    }

    async fn order_selections(
        &self,
        request: Request<OrderSelectionsRequest>,
    ) -> Result<Response<OrderSelectionsResponse>, Status> {
        answer(request, |call| order(self, call)).await
    }

    async fn withdraw_selection(
        &self,
        request: Request<WithdrawSelectionRequest>,
    ) -> Result<Response<WithdrawSelectionResponse>, Status> {
        answer(request, |call| withdraw(self, call)).await
    }

    async fn get_selection(
        &self,
        request: Request<GetSelectionRequest>,
    ) -> Result<Response<GetSelectionResponse>, Status> {
        answer(request, |call| get(self, call)).await
    }

    async fn list_selections(
        &self,
        request: Request<ListSelectionsRequest>,
    ) -> Result<Response<ListSelectionsResponse>, Status> {
        answer(request, |call| list(self, call)).await
    }

    async fn list_non_selectors(
        &self,
        request: Request<ListNonSelectorsRequest>,
    ) -> Result<Response<ListNonSelectorsResponse>, Status> {
        answer(request, |call| list_non_selectors(self, call)).await
    }

    async fn urge_teachers(
        &self,
        request: Request<UrgeTeachersRequest>,
    ) -> Result<Response<UrgeTeachersResponse>, Status> {
        answer(request, |call| urge(self, call)).await
    }

    async fn list_seats(&self, request: Request<ListSeatsRequest>) -> Result<Response<ListSeatsResponse>, Status> {
        answer(request, |call| seats::list(self, call)).await
    }

    type WatchSeatsStream = seats::Watched;

    async fn watch_seats(&self, request: Request<WatchSeatsRequest>) -> Result<Response<seats::Watched>, Status> {
        seats::watch(self, request).await.map(Response::new).map_err(Status::from)
    }
}

async fn check(api: &Api, call: Call<CheckEligibilityRequest>) -> Result<CheckEligibilityResponse, Failure> {
    let message = &call.message;
    let term = term_of(&message.project);
    let mut db = api.db.read(&call, Scope::Term(term)).await?;
    let (gates, policy) = (db.gates()?.clone(), db.policy::<Policy>()?);
    let actor = db.actor().clone();
    let name = if message.teacher.is_empty() { &actor.teacher } else { &message.teacher };
    let teacher = roster::teacher(&mut db, name).await?.ok_or_else(|| Failure::not_found(name))?;
    let own = actor.is(Role::Teacher) && actor.teacher == teacher.name;
    if !own && actor.held_over(scope::OVER_SCHOOLS, &teacher.path).is_none() {
        return Err(Failure::out_of_scope(name));
    }
    let project = catalog::project(&mut db, &message.project).await?;
    let project = project.ok_or_else(|| Failure::not_found(&message.project))?;

    let open = db.usable_windows()?;
    let window = open_selection_window(&open, &teacher.path);
    let round = window.map_or(0, |window| window.round);
    // Outside a window the answer is for the round that opens next, or was last.
    let judged = window.map_or_else(|| next_round(gates.windows(), call.at()), |window| window.round);
    let names = BTreeSet::from([teacher.name.clone()]);
    let selected = selections::of_teachers(&mut db, term, &names).await?;
    let wanted = selected.iter().map(|selection| selection.project.clone()).collect();
    let projects = catalog::projects(&mut db, &wanted).await?;
    let overridden = rounds::overridden(&mut db, term, &names).await?;
    let free = places::free(&mut db, &BTreeSet::from([project.name.clone()])).await?;
    let first_come = allocation(&project, &policy.allocation, judged) == Allocation::FirstCome;
    let position = credit::current(&mut db, &teacher.name).await?;
    let selections: Vec<_> = selected.iter().collect();
    let case = Case {
        teacher: &teacher,
        project: &project,
        round: judged,
        selections: &selections,
        projects: &projects,
        overridden: overridden.contains(&(teacher.name.clone(), judged)),
        first_round_ends_on: first_round_ends_on(&gates),
        free: first_come.then(|| free.get(&project.name).copied().unwrap_or_default()),
        today: gates.day(call.at()),
        cycle_ends_on: position.and_then(|position| position.cycle_ends_on),
        policy: &policy,
        zone: gates.zone(),
    };
    let mut reasons = eligibility::refusals(&case);
    if round == 0 {
        reasons.insert(0, refusal::ground(&db.shut(Phase::Selection)));
    }
    Ok(CheckEligibilityResponse {
        eligible: reasons.is_empty(),
        reasons: reasons.into_iter().map(wire::ground).collect(),
        round,
        warnings: eligibility::warnings(&case).into_iter().map(wire::ground).collect(),
    })
}

/// The round of the selection window that opens next after `at`, else of the last one; 1 if there is none.
fn next_round(windows: &[Arc<proto::common::v1::Window>], at: i64) -> i32 {
    let opens = |window: &proto::common::v1::Window| window.opens.as_ref().map_or(0, proto::instant);
    let mut selecting: Vec<_> = windows
        .iter()
        .filter(|window| window.phase() == Phase::Selection && window.organizations.is_empty())
        .map(|window| (opens(window), window.round))
        .collect();
    selecting.sort_unstable();
    let next = selecting.iter().find(|(opens, _)| *opens > at).or_else(|| selecting.last());
    next.map_or(1, |(_, round)| *round)
}

async fn submit(api: &Api, call: Call<SubmitSelectionRequest>) -> Result<SubmitSelectionResponse, Failure> {
    let mut faults = Faults::new();
    let SubmitSelectionRequest { parent, project, .. } = &call.message;
    faults.required("parent", parent);
    if !project.strip_prefix(parent.as_str()).is_some_and(|rest| rest.starts_with("/projects/")) {
        faults.add("project", "应为该学期的项目名称", "must be the name of a project of that term");
    }
    if call.message.teacher.is_empty() && call.actor().teacher.is_empty() {
        faults.add("teacher", "请指明教师", "name the teacher");
    }
    if !faults.is_empty() {
        // Who comes at the wrong time is told that first.
        match api.db.read(&call, Scope::Term(parent)).await {
            Err(failure) if failure.reason() != Some(Reason::TermUnknown) => return Err(failure),
            _ => faults.check()?,
        }
    }
    api.intake.submit(call).await
}

async fn order(api: &Api, call: Call<OrderSelectionsRequest>) -> Result<OrderSelectionsResponse, Failure> {
    let (term, wanted) = (&call.message.parent, &call.message.selections);
    let mut tx = api.db.begin(&call, Scope::Term(term)).await?;
    let teacher = tx.actor().teacher.clone();
    let policy_version = tx.gates()?.policy_version();
    let mut desk =
        store::load(&mut tx, term, &BTreeSet::from([teacher.clone()]), &BTreeSet::new(), policy_version).await?;
    let named = roster::teacher(&mut tx, &teacher).await?.ok_or_else(|| Failure::not_found(&teacher))?;
    let round = open_selection_window(tx.open_windows(), &named.path).map_or(0, |window| window.round);
    tx.window(Phase::Selection, round, &named.path)?;
    let live: BTreeSet<String> = desk
        .of_teacher(&teacher)
        .filter(|selection| selection.round == round && selection.state.is_live())
        .map(|selection| selection.name.clone())
        .collect();
    let given: BTreeSet<String> = wanted.iter().cloned().collect();
    let mut faults = Faults::new();
    if given != live || given.len() != wanted.len() {
        faults.add(
            "selections",
            "须恰好列出本轮全部有效选课，每条一次",
            "list all your live selections of the round, each once",
        );
    }
    faults.check()?;
    for (index, name) in wanted.iter().enumerate() {
        let Some(selection) = desk.selections.get(name) else { continue };
        let preference = i32::try_from(index).unwrap_or(i32::MAX).saturating_add(1);
        if selection.preference != preference {
            let moved = Selection { preference, ..selection.clone() };
            desk.rewrite("ordered", None, moved);
        }
    }
    store::finish(&mut tx, term, &mut desk, None).await?;
    let ordered = wanted.iter().filter_map(|name| desk.selections.get(name));
    let reply = OrderSelectionsResponse { selections: ordered.map(wire::selection).collect() };
    tx.commit(reply).await
}

async fn withdraw(api: &Api, call: Call<WithdrawSelectionRequest>) -> Result<WithdrawSelectionResponse, Failure> {
    let WithdrawSelectionRequest { name, reason, .. } = &call.message;
    let term = term_of(name);
    let mut tx = api.db.begin(&call, Scope::Term(term)).await?;
    let policy_version = tx.gates()?.policy_version();
    let mut desk = store::load_named(&mut tx, term, &BTreeSet::from([name.clone()]), policy_version).await?;
    let selection = desk.selection(name)?.clone();
    let path = roster::path(&mut tx, &selection.school).await?;
    let actor = tx.actor().clone();
    let own = actor.roles.iter().find(|held| held.role == Role::Teacher && actor.teacher == selection.teacher).cloned();
    let bureau = actor.held_over(&[Role::BureauOfficer], &path).cloned();
    let school = actor.held_over(&[Role::SchoolAdmin, Role::Principal], &path).cloned();
    let own_open = own.is_some() && tx.window(Phase::Selection, selection.round, &path).is_ok();
    let held = match (own, school, bureau) {
        (Some(own), _, _) if own_open => own,
        (_, _, Some(bureau)) => bureau,
        (_, Some(school), None) => {
            through_school(&mut tx, &selection).await?;
            school
        }
        (Some(_), None, None) => {
            // His round has closed: why, in the window's own words.
            tx.window(Phase::Selection, selection.round, &path)?;
            return Err(Failure::out_of_scope(name));
        }
        (None, None, None) => return Err(Failure::out_of_scope(name)),
    };
    if held.role == Role::BureauOfficer && reason.trim().is_empty() {
        // Past every window: an act in office, which tells why.
        let mut faults = Faults::new();
        faults.add("reason", "教育局撤回须说明理由", "the bureau gives the reason for withdrawing it");
        faults.check()?;
    }
    let coded = match held.role {
        Role::Teacher => "teacher",
        Role::BureauOfficer => "bureau",
        _ => "school",
    };
    desk.apply(name, Event::Withdraw, &Why { text: reason, ..Why::coded(coded) })?;
    store::finish(&mut tx, term, &mut desk, Some(&held)).await?;
    let reply = WithdrawSelectionResponse { selection: desk.selections.get(name).map(wire::selection) };
    tx.commit(reply).await
}

/// Withdrawal through the school goes until the notice of the class is issued.
async fn through_school(tx: &mut Tx, selection: &Selection) -> Result<(), Failure> {
    if !selection.class.is_empty() && notices::of_class(tx, &selection.class).await?.is_some() {
        return Err(Failure::new(Reason::NoticeIssued).with("class", &selection.class));
    }
    Ok(())
}

async fn get(api: &Api, call: Call<GetSelectionRequest>) -> Result<GetSelectionResponse, Failure> {
    let name = &call.message.name;
    let mut db = api.db.read(&call, Scope::Term(term_of(name))).await?;
    let selection = selections::find(&mut db, name).await?.ok_or_else(|| Failure::not_found(name))?;
    let project = catalog::project(&mut db, &selection.project).await?;
    let view = scope::view(db.actor());
    if !scope::may_see(&mut db, &view, &selection, project.as_ref()).await? {
        return Err(Failure::out_of_scope(name));
    }
    let (gates, policy) = (db.gates()?, db.policy::<Policy>()?);
    let found = std::slice::from_ref(&selection);
    let told = advice::selections(&mut db, term_of(name), (&gates, &policy), &view, found).await?;
    Ok(GetSelectionResponse { selection: told.into_iter().next() })
}

async fn list(api: &Api, call: Call<ListSelectionsRequest>) -> Result<ListSelectionsResponse, Failure> {
    let message = &call.message;
    let bound = ListSelectionsRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let page = Page::read(message.page_size, &message.page_token, &bound)?;
    let mut faults = Faults::new();
    faults.enumerated::<State>("state", message.state);
    faults.check()?;
    let mut db = api.db.read(&call, Scope::Term(&message.parent)).await?;
    let view = scope::view(db.actor());
    let mut filter = Filter {
        term: &message.parent,
        teacher: &message.teacher,
        organization: &message.organization,
        project: &message.project,
        state: wire::state_from(message.state).map_or("", crate::domain::State::word),
        round: message.round,
    };
    if view.organizations.is_empty() && view.providers.is_empty() && filter.teacher.is_empty() {
        // A teacher sees his own: the index by teacher finds them.
        filter.teacher = &view.teacher;
    }
    let unasked = filter.teacher.is_empty() && filter.project.is_empty() && filter.organization.is_empty();
    if let (true, "", [own], []) = (unasked, view.teacher.as_str(), &view.organizations[..], &view.providers[..]) {
        // Who has one organisation sees that one: the index by school finds it.
        filter.organization = own;
    }
    let (found, total_size) = selections::list(&mut db, &filter, &view, page.after(), page.ask()).await?;
    let (gates, policy) = (db.gates()?, db.policy::<Policy>()?);
    let told = advice::selections(&mut db, filter.term, (&gates, &policy), &view, &found).await?;
    let (selections, next_page_token) = page.cut(told, |last| last.name.clone());
    Ok(ListSelectionsResponse { selections, next_page_token, total_size })
}

async fn list_non_selectors(
    api: &Api,
    call: Call<ListNonSelectorsRequest>,
) -> Result<ListNonSelectorsResponse, Failure> {
    let message = &call.message;
    let bound = ListNonSelectorsRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let page = Page::read(message.page_size, &message.page_token, &bound)?;
    let term = &message.parent;
    let mut db = api.db.read(&call, Scope::Term(term)).await?;
    let actor = db.actor().clone();
    let (organization, _) = scope::organization(&mut db, &actor, &message.organization).await?;
    let round = message.round.max(1);
    let fixed = rounds::is_final(&mut db, term, round).await?;
    let today = db.gates()?.day(db.at()).to_string();
    let limit = page.limit().saturating_add(1);
    let (mut teachers, total_size) =
        rounds::non_selectors(&mut db, (term, round), &organization, fixed, &today, page.after(), limit).await?;
    let last = page.limit().checked_sub(1).and_then(|last| teachers.get(last)).cloned();
    let next_page_token = page.next(teachers.len(), || last.unwrap_or_default());
    teachers.truncate(page.limit());
    Ok(ListNonSelectorsResponse { teachers, next_page_token, total_size, r#final: fixed })
}

async fn urge(api: &Api, call: Call<UrgeTeachersRequest>) -> Result<UrgeTeachersResponse, Failure> {
    let message = &call.message;
    let term = &message.parent;
    let mut tx = api.db.begin(&call, Scope::Term(term)).await?;
    let actor = tx.actor().clone();
    let (organization, held) = scope::organization(&mut tx, &actor, &message.organization).await?;
    let path = roster::path(&mut tx, &organization).await?;
    let round = match message.round {
        0 => open_selection_window(tx.open_windows(), &path).map_or(1, |window| window.round),
        round => round,
    };
    tx.window(Phase::Selection, round, &path)?;
    let (gates, policy) = (tx.gates()?, tx.policy::<Policy>()?);
    let today = gates.day(tx.at());
    let (all, _) =
        rounds::non_selectors(&mut tx, (term, round), &organization, false, &today.to_string(), "", 100_000).await?;
    let named: BTreeSet<&String> = message.teachers.iter().collect();
    let mut urged: BTreeSet<String> = all.into_iter().filter(|name| named.is_empty() || named.contains(name)).collect();
    // Who may not select, or has his place, is not told to hurry.
    if round > 1 {
        let teachers: Vec<_> = roster::teachers(&mut tx, &urged).await?.into_values().collect();
        let barred = bars(&mut tx, term, round, (&gates, &policy), &teachers, today).await?;
        let placed = selections::of_teachers(&mut tx, term, &urged).await?;
        urged.retain(|name| !barred.contains_key(name));
        for selection in placed.iter().filter(|selection| selection.round < round && selection.state.is_live()) {
            urged.remove(&selection.teacher);
        }
    }
    rounds::urge(&mut tx, term, round, &urged, &actor.account).await?;
    let accounts = roster::accounts(&mut tx, &urged).await?;
    let metadata = std::collections::BTreeMap::from([("round".to_owned(), round.to_string())]);
    let message_to = |account: String| Message {
        account,
        kind: Kind::Urged,
        resource: organization.clone(),
        metadata: metadata.clone(),
    };
    let messages = accounts.into_values().map(message_to).collect();
    notifications::write(&mut tx, term, messages).await?;
    let reply = UrgeTeachersResponse { urged: i32::try_from(urged.len()).unwrap_or(i32::MAX) };
    tx.record(Record::of(&organization, "urged", &reply).term(term).by(&actor, Some(&held)));
    tx.commit(reply).await
}
