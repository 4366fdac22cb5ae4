//! `ConfirmationService`.

use std::collections::BTreeSet;

use chassis::{
    Call, Failure, Faults, Page, answer,
    db::{Rows, Scope, Tx},
};
use jiff::civil::Date;
use proto::{
    common::v1::{Phase, Reason, Role},
    enrollment::v1::{
        DecideSelectionsRequest, DecideSelectionsResponse, ListProposedCancellationsRequest,
        ListProposedCancellationsResponse, ListWaitingRequest, ListWaitingResponse, RankSelectionsRequest,
        RankSelectionsResponse, Ranked, Selection as Selected, confirmation_service_server::ConfirmationService,
        provider_decision::Verdict,
    },
};
use tonic::{Request, Response, Status};

use super::{Api, scope, term_of};
use crate::{
    domain::{Event, Project, Selection, State, desk::Why, ranking, seats::Seat},
    store::{catalog, desk as store, needs, roster, seats, selections, training, wire},
};

/// Decisions of one call.
const MANY: usize = 500;

#[tonic::async_trait]
impl ConfirmationService for Api {
    async fn rank_selections(
        &self,
        request: Request<RankSelectionsRequest>,
    ) -> Result<Response<RankSelectionsResponse>, Status> {
        answer(request, |call| rank(self, call)).await
    }

    async fn decide_selections(
        &self,
        request: Request<DecideSelectionsRequest>,
    ) -> Result<Response<DecideSelectionsResponse>, Status> {
        answer(request, |call| decide(self, call)).await
    }

    async fn list_waiting(
        &self,
        request: Request<ListWaitingRequest>,
    ) -> Result<Response<ListWaitingResponse>, Status> {
        answer(request, |call| list_waiting(self, call)).await
    }

    async fn list_proposed_cancellations(
        &self,
        request: Request<ListProposedCancellationsRequest>,
    ) -> Result<Response<ListProposedCancellationsResponse>, Status> {
        answer(request, |call| list_proposed(self, call)).await
    }
}

/// A page, and one row more, of what is already whole and in order, each with its place in it from 1: the key of the listing.
fn part<T>(page: &Page, whole: Vec<T>) -> impl Iterator<Item = (i32, T)> {
    let from = page.after().parse::<usize>().unwrap_or(0);
    (1..).zip(whole).skip(from).take(page.ask())
}

async fn rank(api: &Api, call: Call<RankSelectionsRequest>) -> Result<RankSelectionsResponse, Failure> {
    let message = &call.message;
    let bound = RankSelectionsRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let page = Page::read(message.page_size, &message.page_token, &bound)?;
    let term = term_of(&message.project);
    let mut db = api.db.read(&call, Scope::Term(term)).await?;
    let project = catalog::project(&mut db, &message.project).await?;
    let project = project.ok_or_else(|| Failure::not_found(&message.project))?;
    let actor = db.actor().clone();
    scope::on_project(&mut db, &actor, &project).await?;
    let gates = db.gates()?;
    // As is what the ranking uses: of the day on which the round opened.
    let opened_on = |round: i32| {
        let opens =
            gates.ordinary(Phase::Selection, round).and_then(|window| window.opens.as_ref()).map(proto::instant);
        gates.day(opens.unwrap_or(call.at()))
    };
    let days_left = |round: i32, ends: Date| ends.since(opened_on(round)).map_or(0, |span| span.get_days());
    let undecided = selections::of_project(&mut db, &project.name, State::SchoolApproved.word()).await?;
    let of_round = |selection: &&Selection| message.round == 0 || selection.round == message.round;
    let undecided: Vec<&Selection> = undecided.iter().filter(of_round).collect();
    let ranked = needs::ranked(&mut db, term, &undecided).await?;
    let free = seats::free(&mut db, &BTreeSet::from([project.name.clone()])).await?;
    let total_size = i64::try_from(ranked.len()).unwrap_or(i64::MAX);
    let ranked = part(&page, ranked).map(|(rank, need)| {
        let selection = undecided.iter().find(|one| one.name == need.selection);
        Ranked {
            selection: selection.map(|one| wire::selection(one)),
            rank,
            lacks_intensive: need.lacks_intensive,
            matched: need.matched,
            days_to_cycle_end: selection.zip(need.cycle_ends_on).map_or(0, |(one, ends)| days_left(one.round, ends)),
            cycle_credit: Some(need.cycle_credit.into()),
        }
    });
    let (ranked, next_page_token) = page.cut(ranked.collect(), |last| last.rank.to_string());
    Ok(RankSelectionsResponse {
        ranked,
        next_page_token,
        total_size,
        free: free.get(&project.name).copied().unwrap_or_default(),
    })
}

async fn decide(api: &Api, call: Call<DecideSelectionsRequest>) -> Result<DecideSelectionsResponse, Failure> {
    let (parent, decisions) = (&call.message.parent, &call.message.decisions);
    let names: BTreeSet<String> = decisions.iter().map(|decision| decision.selection.clone()).collect();
    let mut faults = Faults::new();
    if decisions.is_empty() || decisions.len() > MANY || names.len() != decisions.len() {
        faults.add("decisions", format!("须为 1–{MANY} 条，每条选课一次"), format!("1 to {MANY}, each selection once"));
    }
    for (index, decision) in decisions.iter().enumerate() {
        match decision.verdict() {
            Verdict::Unspecified => {
                faults.add(format!("decisions[{index}].verdict"), "必填", "required");
            }
            Verdict::Decline if decision.reason.trim().is_empty() => {
                faults.add(format!("decisions[{index}].reason"), "不录取须说明理由", "give the reason for declining");
            }
            _ => {}
        }
    }

    let term = term_of(parent);
    let mut tx = api.db.begin(&call, Scope::Term(term)).await?;
    faults.check()?;
    let project = catalog::project(&mut tx, parent).await?.ok_or_else(|| Failure::not_found(parent))?;
    let provider = std::slice::from_ref(&project.provider);
    let held = tx.actor().held_over(&[Role::ProviderStaff], provider).cloned();
    let held = held.ok_or_else(|| Failure::out_of_scope(parent))?;
    let policy_version = tx.gates()?.policy_version();
    let mut desk = store::load_named(&mut tx, term, &names, policy_version).await?;
    let path = roster::path(&mut tx, &project.provider).await?;
    for name in &names {
        let selection = desk.selection(name)?;
        if selection.project != *parent {
            return Err(Failure::out_of_scope(name));
        }
        in_window(&tx, selection, &path)?;
    }
    let of_verdict = |verdict: Verdict| decisions.iter().filter(move |decision| decision.verdict() == verdict);
    let deviating = deviating(
        &mut tx,
        &project,
        desk.books.get(parent).map_or(0, |book| book.free()),
        &of_verdict(Verdict::Confirm).map(|decision| decision.selection.as_str()).collect::<Vec<_>>(),
        &of_verdict(Verdict::Decline).map(|decision| decision.selection.as_str()).collect::<Vec<_>>(),
    )
    .await?;
    for decision in of_verdict(Verdict::Confirm) {
        if deviating.contains(&decision.selection) && decision.reason.trim().is_empty() {
            return Err(Failure::new(Reason::DeviationReasonRequired).with("resource", &decision.selection));
        }
    }
    // What is declined or waits frees what is held before places are given.
    for verdict in [Verdict::Decline, Verdict::Waitlist, Verdict::Confirm] {
        for decision in of_verdict(verdict) {
            let event = match verdict {
                Verdict::Decline => Event::Decline,
                Verdict::Waitlist => Event::Waitlist,
                _ => Event::Confirm,
            };
            let coded = if deviating.contains(&decision.selection) { "deviation" } else { "provider" };
            let why = Why { text: &decision.reason, class: &decision.class, ..Why::coded(coded) };
            desk.apply(&decision.selection, event, &why)?;
        }
    }
    store::finish(&mut tx, term, &mut desk, Some(&held)).await?;
    let decided = decisions.iter().filter_map(|decision| desk.selections.get(&decision.selection));
    let reply = DecideSelectionsResponse { selections: decided.map(wire::selection).collect() };
    tx.commit(reply).await
}

/// A confirmation window of the selection's round or a later one must be open for the provider.
fn in_window(tx: &Tx, selection: &Selection, path: &[String]) -> Result<(), Failure> {
    let later = tx
        .open_windows()
        .iter()
        .filter(|window| window.phase() == Phase::ProviderConfirmation && window.round > selection.round)
        .any(|window| window.organizations.is_empty() || window.organizations.iter().any(|one| path.contains(one)));
    if later { Ok(()) } else { tx.window(Phase::ProviderConfirmation, selection.round, path).map(|_| ()) }
}

/// Those to be confirmed for whose sake others are passed over. Who holds a seat takes nobody's.
async fn deviating(
    tx: &mut Tx,
    project: &Project,
    free: i32,
    confirmed: &[&str],
    declined: &[&str],
) -> Result<BTreeSet<String>, Failure> {
    let undecided = selections::of_project(tx, &project.name, State::SchoolApproved.word()).await?;
    let open: Vec<&Selection> = undecided
        .iter()
        .filter(|selection| selection.seat == Seat::None && !declined.contains(&selection.name.as_str()))
        .collect();
    // Who waits with a settled place comes first, then need.
    let mut waiting = selections::of_project(tx, &project.name, State::Waitlisted.word()).await?;
    waiting.retain(|selection| selection.waiting_position > 0 && !declined.contains(&selection.name.as_str()));
    waiting.sort_by_key(|selection| (selection.round, selection.waiting_position));
    let mut ranked: Vec<String> = waiting.into_iter().map(|selection| selection.name).collect();
    ranked.extend(needs::ranked(tx, &project.term, &open).await?.into_iter().map(|need| need.selection));
    Ok(ranking::passing_over(&ranked, confirmed, free).into_iter().map(str::to_owned).collect())
}

async fn list_waiting(api: &Api, call: Call<ListWaitingRequest>) -> Result<ListWaitingResponse, Failure> {
    let message = &call.message;
    let bound = ListWaitingRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let page = Page::read(message.page_size, &message.page_token, &bound)?;
    let mut db = api.db.read(&call, Scope::Term(term_of(&message.project))).await?;
    let project = catalog::project(&mut db, &message.project).await?;
    let project = project.ok_or_else(|| Failure::not_found(&message.project))?;
    let actor = db.actor().clone();
    scope::on_project(&mut db, &actor, &project).await?;
    let mut waiting = selections::of_project(&mut db, &project.name, State::Waitlisted.word()).await?;
    // Whom the provider put on the list has no place in it before the settlement.
    let place =
        |selection: &Selection| if selection.waiting_position > 0 { selection.waiting_position } else { i32::MAX };
    waiting.sort_by(|a, b| (a.round, place(a), &a.name).cmp(&(b.round, place(b), &b.name)));
    let waiting: Vec<_> = part(&page, waiting).collect();
    let place = |name: &str| waiting.iter().find(|(_, one)| one.name == name).map_or(0, |(place, _)| *place);
    let selections = waiting.iter().map(|(place, selection)| {
        let waiting_position = if selection.waiting_position > 0 { *place } else { selection.waiting_position };
        Selected { waiting_position, ..wire::selection(selection) }
    });
    let (selections, next_page_token) = page.cut(selections.collect(), |last| place(&last.name).to_string());
    Ok(ListWaitingResponse { selections, next_page_token })
}

async fn list_proposed(
    api: &Api,
    call: Call<ListProposedCancellationsRequest>,
) -> Result<ListProposedCancellationsResponse, Failure> {
    let message = &call.message;
    let bound = ListProposedCancellationsRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let page = Page::read(message.page_size, &message.page_token, &bound)?;
    let mut db = api.db.read(&call, Scope::Term(&message.parent)).await?;
    let view = scope::view(db.actor());
    let (providers, organizations) = (Rows::texts(&view.providers).json(), Rows::texts(&view.organizations).json());
    let proposals =
        training::proposals(&mut db, &message.parent, &providers, &organizations, page.after(), page.ask()).await?;
    let (proposals, next_page_token) = page.cut(proposals, |last| last.class.clone());
    Ok(ListProposedCancellationsResponse { proposals, next_page_token })
}
