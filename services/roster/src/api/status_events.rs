//! Status events of teachers, and what follows from them for their accounts.

use chassis::{
    Call, Failure, Faults,
    db::{Record, Scope, Tx},
};
use proto::{
    common::v1::Role,
    roster::v1::{
        ListStatusEventsRequest, ListStatusEventsResponse, RecordStatusEventRequest, RecordStatusEventResponse,
        account::State, status_event::Kind,
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
        fault::{Defect, Fault},
        field::Field,
        organization::Organization,
        scope,
        status::{Event, Refusal, apply, needs_bureau},
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
    let Found { mut teacher, mut school } = find(&mut tx, &call.message.teacher).await?;
    let actor = tx.actor().clone();
    let held = scope::keeps(&actor, &school.path).ok_or_else(|| Failure::out_of_scope(&teacher.name))?.clone();
    let before = teacher.career();
    let event = Event { kind, effective_on, until, school: given.school.clone() };
    let after = apply(&before, &event, today).map_err(|refusal| refused(&teacher.name, kind, refusal))?;
    if needs_bureau(before.status_on(effective_on), kind) && scope::governs(&actor, &school.path).is_none() {
        return Err(Failure::out_of_scope(&teacher.name));
    }
    if kind == Kind::Transfer {
        let to = organizations::find(&mut tx, &after.school).await?.filter(Organization::is_school);
        school = match to {
            Some(to) => to,
            None => {
                told("event.", [Fault::of("school", Defect::NotFound)]).check()?;
                return Err(Failure::not_found(&after.school));
            }
        };
        // The staff number is the school's own: it goes along where the new school has not given it to another.
        let number = teacher.entry.get(Field::TeacherNumber).to_owned();
        if teachers::by_number(&mut tx, &school.name, &number).await?.is_some() {
            teacher.entry.set(Field::TeacherNumber, "");
        }
    }
    teacher.school.clone_from(&after.school);
    teacher.standing = after.standing;
    teacher.leaves = after.leaves;

    let recorded = StatusEvent {
        name: format!("{}/{}", teacher.name, tx.id("statusEvents")),
        teacher: teacher.name.clone(),
        kind,
        effective_on: Some(effective_on),
        until,
        school: given.school,
        reason: given.reason,
        recorded_at: tx.at(),
        recorded_by: actor.account.clone(),
    };
    history::insert_event(&mut tx, &recorded).await?;
    teachers::put_leaves(&mut tx, &teacher.name, &teacher.leaves).await?;
    write(&mut tx, &mut teacher, &school.path, (verb(kind), &recorded.reason), Some(&held), today).await?;
    move_account(&mut tx, &teacher, kind, &before.school).await?;
    let reply = RecordStatusEventResponse {
        event: Some(wire::status_event(&recorded)),
        teacher: Some(wire::teacher(&teacher, &service.vault, &actor, today)),
    };
    tx.commit(reply).await
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
        account.state = State::Suspended;
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
