//! `ReviewService`.

use std::collections::{BTreeMap, BTreeSet};

use chassis::{
    Call, Failure, Faults, Page, answer,
    db::{Record, Scope, Tx},
    gates::TermGates,
};
use proto::{
    Held,
    common::v1::{Phase, Reason, Role},
    enrollment::v1::{
        Barred, CorrectSelectionRequest, CorrectSelectionResponse, GrantOverrideRequest, GrantOverrideResponse,
        ListBarredRequest, ListBarredResponse, Override, ReopenReviewRequest, ReopenReviewResponse,
        ReviewSelectionsRequest, ReviewSelectionsResponse, review_service_server::ReviewService,
    },
};
use tonic::{Request, Response, Status};

use super::{Api, advice::Advice, bar::bars, scope, term_of};
use crate::{
    domain::{
        Desk, Event, Ground, Policy, Selection, State,
        allocation::{Allocation, allocation},
        audience,
        desk::Why,
        eligibility,
        notification::Kind,
        project::Project,
        review::{self, Reviewing, SCHOOL_REVIEWERS},
        state::next,
    },
    store::{desk as store, notifications, notifications::Message, people, roster, rounds, wire},
};

/// Decisions of one call.
const MANY: usize = 500;

#[tonic::async_trait]
impl ReviewService for Api {
    async fn review_selections(
        &self,
        request: Request<ReviewSelectionsRequest>,
    ) -> Result<Response<ReviewSelectionsResponse>, Status> {
        answer(request, |call| decide(self, call)).await
    }

    async fn reopen_review(
        &self,
        request: Request<ReopenReviewRequest>,
    ) -> Result<Response<ReopenReviewResponse>, Status> {
        answer(request, |call| reopen(self, call)).await
    }

    async fn correct_selection(
        &self,
        request: Request<CorrectSelectionRequest>,
    ) -> Result<Response<CorrectSelectionResponse>, Status> {
        answer(request, |call| correct(self, call)).await
    }

    async fn grant_override(
        &self,
        request: Request<GrantOverrideRequest>,
    ) -> Result<Response<GrantOverrideResponse>, Status> {
        answer(request, |call| grant(self, call)).await
    }

    async fn list_barred(&self, request: Request<ListBarredRequest>) -> Result<Response<ListBarredResponse>, Status> {
        answer(request, |call| list_barred(self, call)).await
    }
}

/// Who is there to review, by school.
struct Reviewers {
    paths: BTreeMap<String, Vec<String>>,
    principals: BTreeSet<String>,
    teachers: BTreeMap<String, String>,
    school: Vec<people::Holder>,
    district: BTreeMap<String, Vec<String>>,
}

impl Reviewers {
    async fn load(tx: &mut Tx, desk: &Desk, names: &BTreeSet<String>) -> Result<Self, Failure> {
        let today = tx.gates()?.day(tx.at()).to_string();
        let named = || names.iter().filter_map(|name| desk.selections.get(name));
        let schools: BTreeSet<String> = named().map(|selection| selection.school.clone()).collect();
        let teachers: BTreeSet<String> = named().map(|selection| selection.teacher.clone()).collect();
        let mut paths = BTreeMap::new();
        for school in &schools {
            paths.insert(school.clone(), roster::path(tx, school).await?);
        }
        let list: Vec<String> = schools.iter().cloned().collect();
        Ok(Self {
            paths,
            principals: people::principals(tx, &teachers, &today).await?,
            teachers: roster::accounts(tx, &teachers).await?,
            school: people::holders(tx, SCHOOL_REVIEWERS, &schools, &today).await?,
            district: people::closest(tx, Role::DistrictOfficer, &list, &today).await?,
        })
    }

    fn path(&self, selection: &Selection) -> &[String] {
        self.paths.get(&selection.school).map_or(&[], Vec::as_slice)
    }

    /// Under which role the caller may review the selection, in a window that is open for it.
    fn admit(&self, tx: &Tx, selection: &Selection) -> Result<Held, Failure> {
        let path = self.path(selection);
        let own = self.teachers.get(&selection.teacher);
        let other = |account: &String| Some(account) != own && *account != selection.submitted_by;
        let held = review::may_review(&Reviewing {
            actor: tx.actor(),
            selection,
            path,
            of_principal: self.principals.contains(&selection.teacher),
            school_can: self
                .school
                .iter()
                .any(|holder| holder.organization == selection.school && other(&holder.account)),
            district_can: self.district.get(&selection.school).is_some_and(|officers| officers.iter().any(other)),
        })?;
        tx.window(Phase::SchoolReview, selection.round, path)?;
        Ok(held)
    }
}

async fn decide(api: &Api, call: Call<ReviewSelectionsRequest>) -> Result<ReviewSelectionsResponse, Failure> {
    let (term, decisions) = (&call.message.parent, &call.message.decisions);
    let names: BTreeSet<String> = decisions.iter().map(|decision| decision.selection.clone()).collect();
    let mut faults = Faults::new();
    if decisions.is_empty() || decisions.len() > MANY || names.len() != decisions.len() {
        faults.add("decisions", format!("须为 1–{MANY} 条，每条选课一次"), format!("1 to {MANY}, each selection once"));
    }
    for (index, decision) in decisions.iter().enumerate() {
        if !decision.approved && decision.reason.trim().is_empty() {
            faults.add(format!("decisions[{index}].reason"), "驳回须说明理由", "give the reason for rejecting");
        }
    }
    let mut tx = api.db.begin(&call, Scope::Term(term)).await?;
    faults.check()?;
    let (policy, gates) = (tx.policy::<Policy>()?, tx.gates()?);
    let mut desk = store::load_named(&mut tx, term, &names, gates.policy_version()).await?;
    let reviewers = Reviewers::load(&mut tx, &desk, &names).await?;
    let roster_position = roster::position(&mut tx).await?;
    let reviewed = names.iter().filter_map(|name| desk.selections.get(name));
    let teachers = reviewed.map(|selection| selection.teacher.clone()).collect();
    let advice = Advice::load(&mut tx, &gates, &policy, &teachers).await?;
    let (mut first_held, mut unmatched) = (None, Vec::new());
    for decision in decisions {
        let name = &decision.selection;
        let mut selection = desk.selection(name)?.clone();
        let held = reviewers.admit(&tx, &selection)?;
        first_held.get_or_insert(held);
        // As the teacher is now: what is warned of, what takes a reason, and what counts are one.
        if let (Some(teacher), Some(project)) =
            (desk.teachers.get(&selection.teacher), desk.projects.get(&selection.project))
        {
            selection.matched = audience::matches(teacher, &project.audience, &policy.matching);
        }
        if let (true, Some(project)) = (decision.approved, desk.projects.get(&selection.project)) {
            review::may_approve(&selection, project, &policy, &decision.reason)?;
            let selected: Vec<_> = desk.of_teacher(&selection.teacher).collect();
            let deviations = advice.deviations(&selection, &selected, &desk.projects);
            review::may_approve_structure(&deviations, &policy, &decision.reason)?;
            if review::is_unmatched_intensive(&selection, project, &policy) {
                unmatched.push(selection.clone());
            }
        }
        if let Some(reviewed) = desk.selections.get_mut(name) {
            (reviewed.roster_position, reviewed.matched) = (roster_position, selection.matched);
        }
        let event = if decision.approved { Event::Approve } else { Event::Reject };
        desk.apply(name, event, &Why { text: &decision.reason, ..Why::coded("review") })?;
    }
    store::finish(&mut tx, term, &mut desk, first_held.as_ref()).await?;
    report_unmatched(&mut tx, term, &unmatched).await?;
    let reviewed = decisions.iter().filter_map(|decision| desk.selections.get(&decision.selection)).map(|selection| {
        let selected: Vec<_> = desk.of_teacher(&selection.teacher).collect();
        advice.told(selection, &selected, &desk.projects)
    });
    let reply = ReviewSelectionsResponse { selections: reviewed.collect() };
    tx.commit(reply).await
}

/// Unmatched intensive approvals are listed to the bureau (policy `match.consequence`).
async fn report_unmatched(tx: &mut Tx, term: &str, unmatched: &[Selection]) -> Result<(), Failure> {
    if unmatched.is_empty() {
        return Ok(());
    }
    let today = tx.gates()?.day(tx.at()).to_string();
    let schools: BTreeSet<String> = unmatched.iter().map(|selection| selection.school.clone()).collect();
    let schools: Vec<String> = schools.into_iter().collect();
    let bureaus = people::closest(tx, Role::BureauOfficer, &schools, &today).await?;
    let mut messages = Vec::new();
    for selection in unmatched {
        for account in bureaus.get(&selection.school).into_iter().flatten() {
            messages.push(Message {
                account: account.clone(),
                kind: Kind::UnmatchedApproved,
                resource: selection.name.clone(),
                metadata: BTreeMap::from([("selection".to_owned(), selection.name.clone())]),
            });
        }
    }
    notifications::write(tx, term, messages).await
}

async fn reopen(api: &Api, call: Call<ReopenReviewRequest>) -> Result<ReopenReviewResponse, Failure> {
    let ReopenReviewRequest { name, reason, .. } = &call.message;
    let mut faults = Faults::new();
    if reason.trim().is_empty() {
        faults.add("reason", "重新审核须说明理由", "give the reason for reviewing it again");
    }
    let term = term_of(name);
    let names = BTreeSet::from([name.clone()]);
    let mut tx = api.db.begin(&call, Scope::Term(term)).await?;
    faults.check()?;
    let (policy, policy_version) = (tx.policy::<Policy>()?, tx.gates()?.policy_version());
    let mut desk = store::load_named(&mut tx, term, &names, policy_version).await?;
    let reviewers = Reviewers::load(&mut tx, &desk, &names).await?;
    let selection = desk.selection(name)?.clone();
    let held = reviewers.admit(&tx, &selection)?;
    let hold = desk.projects.get(&selection.project).is_some_and(|project| is_first_come(project, &policy, &selection));
    not_selected_again(&desk, &selection)?;
    if next(selection.state, Event::Reopen).is_some() {
        can_come_back(&desk, &selection)?;
    }
    desk.apply(name, Event::Reopen, &Why { text: reason, hold, ..Why::coded("review") })?;
    store::finish(&mut tx, term, &mut desk, Some(&held)).await?;
    let reply = ReopenReviewResponse { selection: desk.selections.get(name).map(wire::selection) };
    tx.commit(reply).await
}

fn is_first_come(project: &Project, policy: &Policy, selection: &Selection) -> bool {
    allocation(project, &policy.allocation, selection.round) == Allocation::FirstCome
}

/// A selection comes back to life only if the teacher has not selected the project again meanwhile.
fn not_selected_again(desk: &Desk, selection: &Selection) -> Result<(), Failure> {
    let other = desk
        .of_teacher(&selection.teacher)
        .find(|other| other.name != selection.name && other.project == selection.project && other.state.is_live());
    match other {
        Some(other) => Err(Ground::new(Reason::AlreadySelected).with("selection", &other.name).into()),
        None => Ok(()),
    }
}

async fn correct(api: &Api, call: Call<CorrectSelectionRequest>) -> Result<CorrectSelectionResponse, Failure> {
    let CorrectSelectionRequest { name, reason, state, .. } = &call.message;
    let wanted = wire::state_from(*state);
    let mut faults = Faults::new();
    if reason.trim().is_empty() {
        faults.add("reason", "更正须说明理由", "give the reason for the correction");
    }
    let event = match wanted {
        Some(State::Submitted) => Some(Event::CorrectToSubmitted),
        Some(State::SchoolApproved) => Some(Event::CorrectToApproved),
        _ => None,
    };
    if event.is_none() {
        let (zh, en) = (
            "只能更正为“已提交”或“学校审核通过”",
            "a selection is corrected to submitted, or to approved by the school",
        );
        faults.add("state", zh, en);
    }
    faults.check()?;
    let Some(event) = event else { return Err(Failure::internal("a correction without an event")) };

    let term = term_of(name);
    let mut tx = api.db.begin(&call, Scope::Term(term)).await?;
    let (policy, gates) = (tx.policy::<Policy>()?, tx.gates()?);
    let names = BTreeSet::from([name.clone()]);
    let mut desk = store::load_named(&mut tx, term, &names, gates.policy_version()).await?;
    let selection = desk.selection(name)?.clone();
    let actor = tx.actor().clone();
    let held = scope::over(&mut tx, &actor, &[Role::BureauOfficer], &selection.school, name).await?;
    scope::not_erased(&mut tx, &selection.teacher).await?;
    // To correct it is to review it in the school's place.
    review::not_his_own(&actor, &selection)?;
    let school = desk.teachers.get(&selection.teacher).map_or(&selection.school, |teacher| &teacher.school);
    not_selected_again(&desk, &selection)?;
    if next(selection.state, event).is_some() {
        if event == Event::CorrectToSubmitted {
            review_to_come(&gates, &selection, school, tx.at())?;
        }
        can_come_back(&desk, &selection)?;
    }
    let project = desk.projects.get(&selection.project).ok_or_else(|| Failure::not_found(&selection.project))?;
    // Once its confirmation is settled, only a seat that is kept for it can still become a place.
    let settled =
        gates.ordinary(Phase::ProviderConfirmation, selection.round).is_some_and(|window| gates.is_settled(&window.id));
    let undecidable =
        !is_to_come(&gates, Phase::ProviderConfirmation, &project.provider, tx.at(), |round| round >= selection.round);
    let hold = settled || undecidable || is_first_come(project, &policy, &selection);
    let why = Why { text: reason, hold, ..Why::coded("correction") };
    desk.apply(name, event, &why)?;
    if event == Event::CorrectToApproved && undecidable {
        // No provider could confirm it any more: the bureau's correction gives the place itself.
        desk.apply(name, Event::Confirm, &why)?;
    }
    store::finish(&mut tx, term, &mut desk, Some(&held)).await?;
    let reply = CorrectSelectionResponse { selection: desk.selections.get(name).map(wire::selection) };
    tx.commit(reply).await
}

/// What is over comes back only into a project that is held, for a teacher who can come.
fn can_come_back(desk: &Desk, selection: &Selection) -> Result<(), Failure> {
    let missing = || Failure::not_found(&selection.project);
    let project = desk.projects.get(&selection.project).ok_or_else(missing)?;
    Ok(eligibility::can_come_back(project, desk.teachers.get(&selection.teacher), &desk.zone)?)
}

/// Whether a window of `phase`, in `rounds`, is open or to come for this school or provider.
fn is_to_come(gates: &TermGates, phase: Phase, organization: &str, at: i64, rounds: impl Fn(i32) -> bool) -> bool {
    gates.windows().iter().any(|window| {
        let named = window.organizations.is_empty() || window.organizations.iter().any(|one| one == organization);
        let closes = window.closes.as_ref().map_or(i64::MIN, proto::instant);
        window.phase() == phase && rounds(window.round) && named && at < closes && !gates.is_settled(&window.id)
    })
}

/// A selection waits for its teacher's school only where that can still review it; else nothing would ever move it on.
fn review_to_come(gates: &TermGates, selection: &Selection, school: &str, at: i64) -> Result<(), Failure> {
    if is_to_come(gates, Phase::SchoolReview, school, at, |round| round == selection.round) {
        return Ok(());
    }
    Err(Failure::new(Reason::ReviewOver).with("resource", &selection.name).with("round", selection.round))
}

async fn grant(api: &Api, call: Call<GrantOverrideRequest>) -> Result<GrantOverrideResponse, Failure> {
    let GrantOverrideRequest { parent: term, teacher, round, reason, .. } = &call.message;
    let mut faults = Faults::new();
    faults.required("teacher", teacher);
    if reason.trim().is_empty() {
        faults.add("reason", "须说明理由", "give the reason");
    }
    if *round < 2 {
        faults.add("round", "只有第 2 轮及以后有限制", "only round 2 and later have a bar");
    }
    faults.check()?;
    let mut tx = api.db.begin(&call, Scope::Term(term)).await?;
    let known = roster::teacher(&mut tx, teacher).await?.ok_or_else(|| Failure::not_found(teacher))?;
    let actor = tx.actor().clone();
    let held = actor.held_over(&[Role::BureauOfficer], &known.path).cloned();
    let held = held.ok_or_else(|| Failure::out_of_scope(teacher))?;
    scope::not_erased(&mut tx, teacher).await?;
    let granted = rounds::Override {
        name: tx.id(&format!("{term}/overrides")),
        teacher: teacher.clone(),
        round: *round,
        reason: reason.clone(),
        granted_at: tx.at(),
    };
    let granted = rounds::grant(&mut tx, term, &granted).await?;
    let metadata = BTreeMap::from([("round".to_owned(), round.to_string())]);
    let message = Message { account: known.account, kind: Kind::Overridden, resource: granted.name.clone(), metadata };
    notifications::write(&mut tx, term, vec![message]).await?;
    let whole = Override {
        name: granted.name,
        teacher: granted.teacher,
        round: granted.round,
        reason: granted.reason,
        granted_at: Some(proto::timestamp(granted.granted_at)),
    };
    let facts = Override { reason: String::new(), ..whole.clone() };
    tx.record(Record::of(&whole.name, "granted", &facts).term(term).by(&actor, Some(&held)));
    tx.commit(GrantOverrideResponse { r#override: Some(whole) }).await
}

/// Teachers taken from the roster at a time.
const RUN: usize = 2000;

async fn list_barred(api: &Api, call: Call<ListBarredRequest>) -> Result<ListBarredResponse, Failure> {
    let message = &call.message;
    let bound = ListBarredRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let page = Page::read(message.page_size, &message.page_token, &bound)?;
    let (term, round) = (&message.parent, if message.round == 0 { 2 } else { message.round });
    let mut db = api.db.read(&call, Scope::Term(term)).await?;
    let actor = db.actor().clone();
    let (organization, _) = scope::organization(&mut db, &actor, &message.organization).await?;
    let (gates, policy) = (db.gates()?.clone(), db.policy::<Policy>()?);
    let today = gates.day(call.at());
    // The first page looks at everybody and counts; its tokens take the number along, and the next pages look no further
    // than they must.
    let (counted, name) = page.after().split_once(' ').unwrap_or_default();
    let counted = counted.parse::<i64>().ok();
    let (mut barred, mut total, mut after) = (Vec::new(), 0_i64, name.to_owned());
    loop {
        let run = roster::active_under(&mut db, &organization, &today.to_string(), &after, RUN).await?;
        let bars = bars(&mut db, term, round, (&gates, &policy), &run, today).await?;
        for (teacher, ground) in bars {
            total = total.saturating_add(1);
            if barred.len() < page.ask() {
                barred.push(Barred { teacher, reason: Some(wire::ground(ground)) });
            }
        }
        match run.last() {
            Some(last) if run.len() == RUN && (counted.is_none() || barred.len() < page.ask()) => {
                after.clone_from(&last.name);
            }
            _ => break,
        }
    }
    let total = counted.unwrap_or(total);
    let (barred, next_page_token) = page.cut(barred, |last| format!("{total} {}", last.teacher));
    Ok(ListBarredResponse { barred, next_page_token, total_size: total })
}
