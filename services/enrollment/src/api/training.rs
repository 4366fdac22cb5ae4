//! `TrainingService`.

use std::collections::BTreeSet;

use chassis::{
    Call, Failure, Faults, Page, answer,
    db::{Record, Scope, Tx},
    gates::TermGates,
};
use proto::{
    Actor, Held,
    common::v1::{Reason, Role},
    enrollment::v1::{
        ClassResults, ConfirmResultsRequest, ConfirmResultsResponse, CorrectResultRequest, CorrectResultResponse,
        ListParticipantsRequest, ListParticipantsResponse, Participant, RecordAttendanceRequest,
        RecordAttendanceResponse, RecordResultsRequest, RecordResultsResponse, ResultFacts,
        training_service_server::TrainingService,
    },
};
use tonic::{Request, Response, Status};

use super::{Api, project_of, scope, term_of};
use crate::{
    domain::{Class, Desk, Event, Policy, Project, Selection, State, desk::Why, results, seats::Seat},
    store::{catalog, desk as store, selections, training, wire},
};

/// Participants of one call.
const MANY: usize = 500;
/// Highest result coefficient.
const MAX_COEFFICIENT: i32 = 200;

#[tonic::async_trait]
impl TrainingService for Api {
    async fn record_attendance(
        &self,
        request: Request<RecordAttendanceRequest>,
    ) -> Result<Response<RecordAttendanceResponse>, Status> {
        answer(request, |call| attendance(self, call)).await
    }

    async fn record_results(
        &self,
        request: Request<RecordResultsRequest>,
    ) -> Result<Response<RecordResultsResponse>, Status> {
        answer(request, |call| record(self, call)).await
    }

    async fn confirm_results(
        &self,
        request: Request<ConfirmResultsRequest>,
    ) -> Result<Response<ConfirmResultsResponse>, Status> {
        answer(request, |call| confirm(self, call)).await
    }

    async fn correct_result(
        &self,
        request: Request<CorrectResultRequest>,
    ) -> Result<Response<CorrectResultResponse>, Status> {
        answer(request, |call| correct(self, call)).await
    }

    async fn list_participants(
        &self,
        request: Request<ListParticipantsRequest>,
    ) -> Result<Response<ListParticipantsResponse>, Status> {
        answer(request, |call| list(self, call)).await
    }
}

/// A class and its project.
struct Taught {
    project: Project,
    class: Class,
}

impl Taught {
    async fn find(db: &mut impl chassis::db::Queries, class: &str) -> Result<Self, Failure> {
        let missing = || Failure::not_found(class);
        let project = catalog::project(db, project_of(class)).await?.ok_or_else(missing)?;
        let class = project.classes.get(class).cloned().ok_or_else(missing)?;
        Ok(Self { project, class })
    }

    fn sessions(&self) -> i32 {
        i32::try_from(self.class.sessions.len()).unwrap_or(i32::MAX)
    }

    /// Results are confirmed once for all, so not before the last session has ended.
    fn is_over(&self, gates: &TermGates, at: i64) -> Result<(), Failure> {
        match self.class.sessions.iter().map(|(_, ends)| *ends).max() {
            Some(ends) if at < ends => {
                let ends = proto::jiff_instant(ends).to_zoned_datetime(gates.zone().clone()).strftime("%F %R %Z");
                Err(Failure::new(Reason::ClassNotOver).with("class", &self.class.name).with("ends", ends))
            }
            _ => Ok(()),
        }
    }

    fn participant(&self, selection: &Selection) -> Participant {
        Participant {
            selection: Some(wire::selection(selection)),
            sessions: self.sessions(),
            sessions_attended: selection.sessions_attended.max(0),
            passed: selection.passed.unwrap_or(false),
            coefficient_percent: selection.coefficient_percent,
        }
    }

    fn facts(&self, selection: &Selection) -> ResultFacts {
        ResultFacts {
            selection: selection.name.clone(),
            teacher: selection.teacher.clone(),
            project: self.project.name.clone(),
            class: self.class.name.clone(),
            state: wire::state(selection.state).into(),
            coefficient_percent: selection.coefficient_percent,
            sessions: self.sessions(),
            sessions_attended: selection.sessions_attended.max(0),
            base_credit: Some(self.project.base_credit.into()),
            difficulty_percent: self.project.difficulty_percent,
            effective_on: self.class.ends_on.map(Into::into),
        }
    }
}

/// Names of one call, each once and not too many.
fn names<'a>(field: &str, given: impl Iterator<Item = &'a String>, faults: &mut Faults) -> BTreeSet<String> {
    let given: Vec<&String> = given.collect();
    let names: BTreeSet<String> = given.iter().map(|name| (*name).clone()).collect();
    if given.is_empty() || given.len() > MANY || names.len() != given.len() {
        faults.add(field, format!("须为 1–{MANY} 条，每条选课一次"), format!("1 to {MANY}, each selection once"));
    }
    names
}

/// The class, the role under which the caller keeps its records, and its named participants on the desk.
async fn open(tx: &mut Tx, class: &str, names: &BTreeSet<String>) -> Result<(Taught, Held, Desk), Failure> {
    let taught = Taught::find(tx, class).await?;
    let held = tx.actor().held_over(&[Role::ProviderStaff], std::slice::from_ref(&taught.project.provider)).cloned();
    let held = held.ok_or_else(|| Failure::out_of_scope(class))?;
    let policy_version = tx.gates()?.policy_version();
    let desk = store::load_named(tx, term_of(class), names, policy_version).await?;
    for name in names {
        if desk.selection(name)?.class != class {
            return Err(Failure::not_found(name));
        }
    }
    unconfirmed(tx, class).await?;
    Ok((taught, held, desk))
}

async fn unconfirmed(tx: &mut Tx, class: &str) -> Result<(), Failure> {
    match training::results(tx, class).await? {
        Some(_) => Err(Failure::new(Reason::ResultsConfirmed).with("class", class)),
        None => Ok(()),
    }
}

async fn attendance(api: &Api, call: Call<RecordAttendanceRequest>) -> Result<RecordAttendanceResponse, Failure> {
    let RecordAttendanceRequest { class, attendance, .. } = &call.message;
    let mut faults = Faults::new();
    let names = names("attendance", attendance.iter().map(|one| &one.selection), &mut faults);
    let mut tx = api.db.begin(&call, Scope::Term(term_of(class))).await?;
    faults.check()?;
    let (taught, held, mut desk) = open(&mut tx, class, &names).await?;
    let sessions = taught.sessions();
    let mut faults = Faults::new();
    for (index, one) in attendance.iter().enumerate() {
        if one.sessions_attended < 0 || one.sessions_attended > sessions {
            let field = format!("attendance[{index}].sessions_attended");
            faults.add(field, format!("须在 0 与 {sessions} 之间"), format!("between 0 and {sessions}"));
        }
    }
    faults.check()?;
    for one in attendance {
        let state = desk.selection(&one.selection)?.state;
        if !matches!(state, State::Confirmed | State::Attended) {
            return Err(Failure::state(&one.selection, state.word(), Event::Attend.word()));
        }
        let Some(selection) = desk.selections.get_mut(&one.selection) else { continue };
        selection.sessions_attended = one.sessions_attended;
        if state == State::Confirmed && one.sessions_attended > 0 {
            desk.apply(&one.selection, Event::Attend, &Why::coded("attendance"))?;
        } else {
            let counted = selection.clone();
            desk.rewrite("attendance", None, counted);
        }
    }
    store::finish(&mut tx, term_of(class), &mut desk, Some(&held)).await?;
    let participants = attendance.iter().filter_map(|one| desk.selections.get(&one.selection));
    let reply = RecordAttendanceResponse { participants: participants.map(|one| taught.participant(one)).collect() };
    tx.commit(reply).await
}

async fn record(api: &Api, call: Call<RecordResultsRequest>) -> Result<RecordResultsResponse, Failure> {
    let RecordResultsRequest { class, results, .. } = &call.message;
    let mut faults = Faults::new();
    let names = names("results", results.iter().map(|one| &one.selection), &mut faults);
    for (index, one) in results.iter().enumerate() {
        coefficient(&format!("results[{index}].coefficient_percent"), one.coefficient_percent, &mut faults);
    }
    let mut tx = api.db.begin(&call, Scope::Term(term_of(class))).await?;
    faults.check()?;
    let policy = tx.policy::<Policy>()?;
    let (taught, held, mut desk) = open(&mut tx, class, &names).await?;
    for one in results {
        let selection = desk.selection(&one.selection)?;
        if selection.state != State::Attended {
            let event = if one.passed { Event::Pass } else { Event::Fail };
            return Err(Failure::state(&one.selection, selection.state.word(), event.word()));
        }
        if one.passed {
            results::may_pass(selection.sessions_attended, taught.sessions(), &policy.attendance)
                .map_err(|ground| ground.with("resource", &one.selection))?;
        }
        let judged =
            Selection { passed: Some(one.passed), coefficient_percent: one.coefficient_percent, ..selection.clone() };
        desk.rewrite("judged", None, judged);
    }
    store::finish(&mut tx, term_of(class), &mut desk, Some(&held)).await?;
    let participants = results.iter().filter_map(|one| desk.selections.get(&one.selection));
    let reply = RecordResultsResponse { participants: participants.map(|one| taught.participant(one)).collect() };
    tx.commit(reply).await
}

fn coefficient(field: &str, percent: i32, faults: &mut Faults) {
    if !(0..=MAX_COEFFICIENT).contains(&percent) {
        let (zh, en) = (format!("须在 0 与 {MAX_COEFFICIENT} 之间"), format!("between 0 and {MAX_COEFFICIENT}"));
        faults.add(field, zh, en);
    }
}

async fn confirm(api: &Api, call: Call<ConfirmResultsRequest>) -> Result<ConfirmResultsResponse, Failure> {
    let class = &call.message.class;
    let term = term_of(class);
    let mut tx = api.db.begin(&call, Scope::Term(term)).await?;
    let (policy, gates) = (tx.policy::<Policy>()?, tx.gates()?);
    let policy_version = gates.policy_version();
    let taught = Taught::find(&mut tx, class).await?;
    let actor = tx.actor().clone();
    let held = scope::on_project(&mut tx, &actor, &taught.project).await?;
    let placed = selections::of_class(&mut tx, &taught.project.name, class, "", i64::MAX).await?;
    let teachers = placed.iter().map(|selection| selection.teacher.clone()).collect();
    let projects = BTreeSet::from([taught.project.name.clone()]);
    let mut desk = store::load(&mut tx, term, &teachers, &projects, policy_version).await?;
    // Under the project's lock: a second confirmation of the class comes here after the first.
    unconfirmed(&mut tx, class).await?;
    taught.is_over(&gates, tx.at())?;
    let verdicts: Vec<(String, Option<Event>)> = desk
        .selections
        .values()
        .filter(|selection| {
            selection.class == *class
                && selection.seat == Seat::Granted
                && matches!(selection.state, State::Confirmed | State::Attended)
        })
        .map(|one| (one.name.clone(), results::verdict(one, taught.sessions(), &policy.attendance)))
        .collect();
    let missing = verdicts.iter().filter(|(_, verdict)| verdict.is_none()).count();
    if missing > 0 {
        return Err(Failure::new(Reason::ResultsMissing).with("class", class).with("count", missing));
    }
    for (name, event) in &verdicts {
        let Some(event) = event else { continue };
        if let Some(selection) = desk.selections.get_mut(name) {
            selection.passed = Some(*event == Event::Pass);
        }
        desk.apply(name, *event, &Why::coded("results"))?;
    }
    store::finish(&mut tx, term, &mut desk, Some(&held)).await?;
    let judged: Vec<&Selection> = verdicts.iter().filter_map(|(name, _)| desk.selections.get(name)).collect();
    for selection in &judged {
        announce(&mut tx, &taught, selection, &actor, &held);
    }
    let count = |state| i32::try_from(judged.iter().filter(|one| one.state == state).count()).unwrap_or(i32::MAX);
    let results = ClassResults {
        class: class.clone(),
        passed: count(State::Passed),
        failed: count(State::Failed),
        no_show: count(State::NoShow),
        confirmed_at: Some(proto::timestamp(tx.at())),
        revision: 1,
    };
    training::write_results(&mut tx, term, &taught.project.name, &results).await?;
    tx.record(Record::of(class, "results_confirmed", &results).term(term).by(&actor, Some(&held)));
    tx.commit(ConfirmResultsResponse { results: Some(results) }).await
}

/// The change that credit lives on.
fn announce(tx: &mut Tx, taught: &Taught, selection: &Selection, actor: &Actor, held: &Held) {
    let record = Record::of(&selection.name, selection.state.word(), &taught.facts(selection));
    tx.record(record.reason(&selection.reason).by(actor, Some(held)));
}

async fn correct(api: &Api, call: Call<CorrectResultRequest>) -> Result<CorrectResultResponse, Failure> {
    let CorrectResultRequest { name, passed, coefficient_percent, reason, .. } = &call.message;
    let mut faults = Faults::new();
    if reason.trim().is_empty() {
        faults.add("reason", "更正须说明理由", "give the reason for the correction");
    }
    coefficient("coefficient_percent", *coefficient_percent, &mut faults);
    faults.check()?;
    let term = term_of(name);
    let mut tx = api.db.begin(&call, Scope::Term(term)).await?;
    let policy_version = tx.gates()?.policy_version();
    let mut desk = store::load_named(&mut tx, term, &BTreeSet::from([name.clone()]), policy_version).await?;
    let selection = desk.selection(name)?.clone();
    let actor = tx.actor().clone();
    let held = scope::over(&mut tx, &actor, &[Role::BureauOfficer], &selection.school, name).await?;
    scope::not_erased(&mut tx, &selection.teacher).await?;
    let event = if *passed { Event::Pass } else { Event::Fail };
    // Before the confirmation the provider's own records can still be changed; the ledger's entry must be reversed first.
    let confirmed = training::results(&mut tx, &selection.class).await?;
    let (Some(mut class_results), State::Passed | State::Failed) = (confirmed, selection.state) else {
        return Err(Failure::state(name, selection.state.word(), event.word()));
    };
    let taught = Taught::find(&mut tx, &selection.class).await?;
    if let Some(selection) = desk.selections.get_mut(name) {
        selection.passed = Some(*passed);
        selection.coefficient_percent = *coefficient_percent;
    }
    let why = Why { text: reason, ..Why::coded("correction") };
    if (selection.state == State::Passed) == *passed {
        let again = desk.selection(name)?;
        let again = Selection { reason: why.reason.to_owned(), reason_text: reason.clone(), ..again.clone() };
        desk.rewrite("corrected", None, again);
    } else {
        desk.apply(name, event, &why)?;
        let moved = if *passed { 1 } else { -1 };
        class_results.passed = class_results.passed.saturating_add(moved);
        class_results.failed = class_results.failed.saturating_sub(moved);
    }
    class_results.revision = class_results.revision.saturating_add(1);
    store::finish(&mut tx, term, &mut desk, Some(&held)).await?;
    let corrected = desk.selection(name)?.clone();
    announce(&mut tx, &taught, &corrected, &actor, &held);
    training::write_results(&mut tx, term, &taught.project.name, &class_results).await?;
    let record = Record::of(&class_results.class, "results_corrected", &class_results);
    tx.record(record.reason(why.reason).by(&actor, Some(&held)));
    tx.commit(CorrectResultResponse { participant: Some(taught.participant(&corrected)) }).await
}

async fn list(api: &Api, call: Call<ListParticipantsRequest>) -> Result<ListParticipantsResponse, Failure> {
    let message = &call.message;
    let bound = ListParticipantsRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let page = Page::read(message.page_size, &message.page_token, &bound)?;
    let mut db = api.db.read(&call, Scope::Term(term_of(&message.class))).await?;
    let taught = Taught::find(&mut db, &message.class).await?;
    let actor = db.actor().clone();
    scope::on_project(&mut db, &actor, &taught.project).await?;
    let limit = i64::try_from(page.ask()).unwrap_or(i64::MAX);
    let placed = selections::of_class(&mut db, &taught.project.name, &message.class, page.after(), limit).await?;
    let placed = placed.iter().map(|selection| taught.participant(selection)).collect();
    let (participants, next_page_token) =
        page.cut(placed, |last| last.selection.as_ref().map_or_else(String::new, |selection| selection.name.clone()));
    Ok(ListParticipantsResponse { participants, next_page_token })
}
