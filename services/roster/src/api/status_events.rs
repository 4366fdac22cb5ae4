//! Status events of teachers, and what follows from them for their accounts.

use chassis::{
    Call, Failure, Faults,
    db::{Record, Scope, Tx},
};
use jiff::civil::Date;
use proto::{
    Held,
    common::v1::Role,
    roster::v1::{
        ListStatusEventsRequest, ListStatusEventsResponse, RecordStatusEventRequest, RecordStatusEventResponse,
        WithdrawStatusEventRequest, WithdrawStatusEventResponse, account,
        status_event::{Kind, State},
    },
};

use super::{
    Service, facts,
    teachers::{Found, find, write},
    told, wire,
};
use crate::{
    domain::{
        account::RoleHeld,
        career::{self, Career, Event, Refusal},
        fault::{Defect, Fault},
        field::Field,
        organization::Organization,
        scope,
        status::needs_bureau,
        teacher::Teacher,
    },
    store::{
        accounts,
        history::{self, StatusEvent},
        organizations, teachers,
    },
};

pub async fn record(
    service: &Service,
    call: Call<RecordStatusEventRequest>,
) -> Result<RecordStatusEventResponse, Failure> {
    let given = call.message.event.clone().unwrap_or_default();
    let mut faults = Vec::new();
    let kind = Kind::try_from(given.kind).unwrap_or_default();
    let effective_on = wire::day("effective_on", given.effective_on.as_ref(), &mut faults);
    let until = wire::day("until", given.until.as_ref(), &mut faults);
    if given.effective_on.is_none() {
        faults.push(Fault::of("effective_on", Defect::Required));
    }
    let mut faults: Faults = told("event.", faults);
    wire::coded_reason("event.reason", &given.reason, &mut faults);
    faults.check()?;
    let Some(effective_on) = effective_on else { return Err(Failure::internal("a fault was not told")) };

    let mut tx = service.db.begin(&call, Scope::AnyTerm).await?;
    let today = service.term(tx.gates().ok().as_deref(), tx.at())?.today;
    let Found { mut teacher, school } = find(&mut tx, &call.message.teacher).await?;
    let actor = tx.actor().clone();
    let held = scope::keeps(&actor, &school.path).ok_or_else(|| Failure::out_of_scope(&teacher.name))?.clone();
    let before = teacher.career();
    let name = format!("{}/{}", teacher.name, tx.id("statusEvents"));
    let event = Event { name, kind, effective_on, until, school: given.school };
    let after = career::record(&before, &event, today).map_err(|refusal| refused(&teacher.name, kind, refusal))?;
    if needs_bureau(before.status_on(effective_on), kind) && scope::governs(&actor, &school.path).is_none() {
        return Err(Failure::out_of_scope(&teacher.name));
    }
    if kind == Kind::Transfer && school_of(&mut tx, &event).await?.is_none() {
        told("event.", [Fault::of("school", Defect::NotFound)]).check()?;
    }
    let waits = after.coming.iter().any(|coming| coming.name == event.name);
    let recorded = StatusEvent {
        name: event.name.clone(),
        teacher: teacher.name.clone(),
        kind,
        effective_on: Some(effective_on),
        until,
        school: event.school.clone(),
        reason: given.reason,
        recorded_at: tx.at(),
        recorded_by: actor.account.clone(),
        state: if waits { State::Coming } else { State::Done },
    };
    history::insert_event(&mut tx, &recorded).await?;
    for overtaken in before.coming.iter().filter(|coming| !after.coming.contains(coming)) {
        history::settle_event(&mut tx, &overtaken.name, State::Withdrawn, &actor.account).await?;
    }
    if waits {
        teacher.take(after);
        let told = (coming_verb(kind), recorded.reason.as_str());
        write(&mut tx, &mut teacher, &school.path, told, Some(&held), today).await?;
    } else {
        come_to_pass(&mut tx, &mut teacher, &event, after, (&recorded.reason, Some(&held)), today).await?;
    }
    let reply = RecordStatusEventResponse {
        event: Some(wire::status_event(&recorded)),
        teacher: Some(wire::teacher(&teacher, &service.vault, &actor, today)),
    };
    tx.commit(reply).await
}

pub async fn withdraw(
    service: &Service,
    call: Call<WithdrawStatusEventRequest>,
) -> Result<WithdrawStatusEventResponse, Failure> {
    let message = &call.message;
    let mut faults = Faults::new();
    wire::coded_reason("reason", &message.reason, &mut faults);
    faults.check()?;
    let mut tx = service.db.begin(&call, Scope::AnyTerm).await?;
    let today = service.term(tx.gates().ok().as_deref(), tx.at())?.today;
    let mut event = history::event(&mut tx, &message.name).await?.ok_or_else(|| Failure::not_found(&message.name))?;
    let Found { mut teacher, school } = find(&mut tx, &event.teacher).await?;
    let actor = tx.actor().clone();
    let held = scope::keeps(&actor, &school.path).ok_or_else(|| Failure::out_of_scope(&teacher.name))?;
    let after = career::withdraw(&teacher.career(), &event.name).or_else(|faults| {
        told("", faults).check()?;
        Ok::<_, Failure>(None)
    })?;
    let after = after.ok_or_else(|| Failure::state(&event.name, event.state.as_str_name(), "withdraw_status_event"))?;
    teacher.take(after);
    event.state = State::Withdrawn;
    history::settle_event(&mut tx, &event.name, event.state, &actor.account).await?;
    write(&mut tx, &mut teacher, &school.path, ("event_withdrawn", &message.reason), Some(held), today).await?;
    let reply = WithdrawStatusEventResponse {
        event: Some(wire::status_event(&event)),
        teacher: Some(wire::teacher(&teacher, &service.vault, &actor, today)),
    };
    tx.commit(reply).await
}

/// The next event of `teacher` whose day has come comes to pass, if there still is one; its recorder has told why.
pub(super) async fn carry_out(tx: &mut Tx, teacher: &str, today: Date) -> Result<(), Failure> {
    teachers::lock(tx, teacher).await?;
    let Found { mut teacher, .. } = find(tx, teacher).await?;
    let due = teacher.career().due(today);
    let due = due.map_err(|status| Failure::internal(format!("what waits is impossible: {}", status.as_str_name())))?;
    let Some((event, after)) = due else { return Ok(()) };
    let recorded = history::event(tx, &event.name).await?.ok_or_else(|| Failure::not_found(&event.name))?;
    history::settle_event(tx, &event.name, State::Done, "").await?;
    come_to_pass(tx, &mut teacher, &event, after, (&recorded.reason, None), today).await
}

/// An event is in force: the teacher's row, what it is told as, and his account. He may have another school by then.
async fn come_to_pass(
    tx: &mut Tx,
    teacher: &mut Teacher,
    event: &Event,
    after: Career,
    (reason, held): (&str, Option<&Held>),
    today: Date,
) -> Result<(), Failure> {
    let from = teacher.school.clone();
    teacher.take(after);
    let school = organizations::find(tx, &teacher.school).await?;
    let school = school.ok_or_else(|| Failure::internal("a teacher's school is not there"))?;
    if event.kind == Kind::Transfer {
        // The staff number is the school's own: it goes along where the new school has not given it to another.
        let number = teacher.entry.get(Field::TeacherNumber).to_owned();
        if teachers::by_number(tx, &school.name, &number).await?.is_some() {
            teacher.entry.set(Field::TeacherNumber, "");
        }
    }
    teachers::put_career(tx, teacher).await?;
    write(tx, teacher, &school.path, (verb(event.kind), reason), held, today).await?;
    move_account(tx, teacher, event.kind, &from).await
}

/// The school to which an event leads, if there is one.
async fn school_of(tx: &mut Tx, event: &Event) -> Result<Option<Organization>, Failure> {
    Ok(organizations::find(tx, &event.school).await?.filter(Organization::is_school))
}

fn refused(teacher: &str, kind: Kind, refusal: Refusal) -> Failure {
    match refusal {
        Refusal::State(status) => Failure::state(teacher, status.as_str_name(), kind.as_str_name()),
        Refusal::Faults(faults) => match told("event.", faults).check() {
            Err(failure) => failure,
            Ok(()) => Failure::internal("a refusal without a fault"),
        },
    }
}

const fn verb(kind: Kind) -> &'static str {
    match kind {
        Kind::Unspecified => "updated",
        Kind::Transfer => "transferred",
        Kind::Leave => "leave_granted",
        Kind::Return => "returned",
        Kind::Retirement => "retired",
        Kind::Departure => "departed",
        Kind::Death => "died",
    }
}

/// As changes tell of what waits for its day.
const fn coming_verb(kind: Kind) -> &'static str {
    match kind {
        Kind::Transfer => "transfer_coming",
        Kind::Return => "return_coming",
        Kind::Retirement => "retirement_coming",
        Kind::Departure => "departure_coming",
        // Nobody's death is foretold, and a leave waits for nothing.
        Kind::Death | Kind::Leave | Kind::Unspecified => "updated",
    }
}

/// What an event means for the teacher's account: the teacher's role goes with him; who leaves a school acts for it no
/// more, but may still read what is his own; a dead person's account is suspended.
async fn move_account(tx: &mut Tx, teacher: &Teacher, kind: Kind, from: &str) -> Result<(), Failure> {
    let leaves_school = matches!(kind, Kind::Transfer | Kind::Retirement | Kind::Departure | Kind::Death);
    if !leaves_school || teacher.account.is_empty() {
        return Ok(());
    }
    let Some(mut account) = accounts::find(tx, &teacher.account).await? else { return Ok(()) };
    let at = tx.at();
    let acted_for_it = |held: &RoleHeld| {
        held.organization == from
            && (matches!(held.role, Role::SchoolAdmin | Role::Principal)
                || held.role == Role::Teacher && kind == Kind::Transfer)
    };
    let was_teacher = account.roles.iter().any(|held| held.role == Role::Teacher && held.organization == from);
    let (ended, mut kept): (Vec<_>, Vec<_>) = account.roles.iter().cloned().partition(acted_for_it);
    for held in &ended {
        accounts::revoke(tx, &account.name, held.role, &held.organization, at).await?;
    }
    if kind == Kind::Transfer && was_teacher {
        let held = RoleHeld { role: Role::Teacher, organization: teacher.school.clone(), from: None, until: None };
        accounts::put_roles(tx, &[(account.name.as_str(), &held)]).await?;
        kept.push(held);
    }
    if kind == Kind::Death {
        account.state = account::State::Suspended;
    } else if ended.is_empty() {
        return Ok(());
    }
    kept.sort();
    account.roles = kept;
    account.version = account.version.saturating_add(1);
    if !accounts::update(tx, &account).await? {
        return Err(wire::changed(&account.name));
    }
    let actor = tx.actor().clone();
    tx.record(Record::of(&account.name, "updated", &facts::account(&account)).reason(verb(kind)).by(&actor, None));
    Ok(())
}

pub async fn list(service: &Service, call: Call<ListStatusEventsRequest>) -> Result<ListStatusEventsResponse, Failure> {
    let mut db = service.db.read(&call, Scope::AnyTerm).await?;
    let Found { teacher, school } = find(&mut db, &call.message.teacher).await?;
    if !scope::reads(db.actor(), &teacher.name, &school.path) {
        return Err(Failure::out_of_scope(&teacher.name));
    }
    let events = history::events(&mut db, &teacher.name).await?;
    Ok(ListStatusEventsResponse { events: events.iter().map(wire::status_event).collect() })
}
