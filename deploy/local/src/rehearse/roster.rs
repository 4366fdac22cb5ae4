//! The roster moves while the term runs: corrections, and people who go, rest and retire.

use jiff::ToSpan as _;
use proto::common::v1::{Reason, Role, RoleGrant};
use proto::enrollment::v1::selection_service_client::SelectionServiceClient;
use proto::enrollment::v1::{GetSelectionRequest, Selection, selection};
use proto::roster::v1::account_service_client::AccountServiceClient;
use proto::roster::v1::teacher_service_client::TeacherServiceClient;
use proto::roster::v1::{
    ConfirmCorrectionRequest, RecordStatusEventRequest, RevokeRoleRequest, StatusEvent, Teacher, UpdateTeacherRequest,
    status_event::Kind,
};

use super::caller::call;
use super::stage::Stage;
use crate::people::Person;

/// Teachers who correct their own data: one is confirmed, the other refused.
fn correcting<'a>(stage: &Stage<'a>) -> impl Iterator<Item = &'a Person> {
    stage.county.teachers.iter().filter(|person| person.roles.is_empty() && person.teacher.tier == "novice").take(2)
}

/// Two teachers correct their tier; it waits for their schools.
pub async fn correct(stage: &Stage<'_>) {
    stage
        .all(correcting(stage).map(|person| async move {
            let me = stage.person(&person.login).await?;
            let name = person.teacher.name.clone();
            let request = UpdateTeacherRequest {
                request_id: format!("correct-{name}"),
                teacher: Some(Teacher { name, tier: "competent".to_owned(), ..Teacher::default() }),
                update_mask: vec!["tier".to_owned()],
            };
            let reply = call!(me, TeacherServiceClient.update_teacher(request));
            let teacher = stage.books.must("correct one's own tier", reply)?.teacher?;
            if teacher.pending_fields != ["tier"] {
                stage.books.surprise(format!("a correction waits for the school in {:?}", teacher.pending_fields));
            }
            Some(())
        }))
        .await;
}

/// Their schools confirm one and refuse the other; another school has no say.
pub async fn confirm_corrections(stage: &Stage<'_>) -> Option<()> {
    for (n, person) in (0..).zip(correcting(stage)) {
        let confirmation = |request_id: &str| ConfirmCorrectionRequest {
            name: person.teacher.name.clone(),
            accepted: n == 0,
            reason: if n == 0 { String::new() } else { "任职年限不足".to_owned() },
            request_id: format!("{request_id}-{}", person.teacher.name),
        };
        let school = person.teacher.school.as_str();
        if n == 0 {
            let other = stage.schools().into_iter().find(|other| *other != school)?;
            let other = stage.reviewer(other, Role::SchoolAdmin).await?;
            let outcome = call!(other, TeacherServiceClient.confirm_correction(confirmation("confirm-other")));
            let reasons = [Reason::OutOfScope, Reason::NotFound];
            stage.books.mistake("confirm a correction at someone else's school", &reasons, outcome);
        }
        let me = stage.reviewer(school, Role::SchoolAdmin).await?;
        let outcome = call!(me, TeacherServiceClient.confirm_correction(confirmation("confirm")));
        stage.books.must("decide on a correction", outcome)?;
    }
    Some(())
}

/// The school whose reviewers are gone when review opens, so that its district has to act.
pub fn orphaned<'a>(stage: &Stage<'a>) -> Option<&'a str> {
    stage.schools().last().copied()
}

/// Its administrator's and principal's roles end.
pub async fn revoke_reviewers(stage: &Stage<'_>) -> Option<()> {
    let school = orphaned(stage)?;
    let officer = stage.staff(Role::BureauOfficer).await?;
    for role in [Role::SchoolAdmin, Role::Principal] {
        let holder = stage.holder(school, role)?;
        let account = stage.person(&holder.login).await?.account();
        let request = RevokeRoleRequest {
            name: account,
            grant: Some(RoleGrant { role: role.into(), organization: school.to_owned() }),
            request_id: format!("revoke-{}-{school}", role.as_str_name()),
        };
        stage.books.must("revoke a reviewer's role", call!(officer, AccountServiceClient.revoke_role(request)))?;
        stage.forget(&holder.login);
    }
    Some(())
}

/// Who goes, rests and retires between selection and review: each with a selection that waits.
struct Events<'a> {
    transferred: (&'a Person, Selection),
    on_leave: (&'a Person, Selection),
    retired: (&'a Person, Selection),
}

fn events<'a>(stage: &Stage<'a>) -> Option<Events<'a>> {
    let orphaned = orphaned(stage)?;
    let memory = stage.memory();
    let mut waiting = memory.selections.iter().filter_map(|(n, selections)| {
        let person = stage.county.teachers.get(*n)?;
        let plain = person.roles.is_empty() && person.teacher.school != orphaned;
        plain.then_some((person, selections.first()?.clone()))
    });
    // Far apart, so that they are of different schools.
    let all = waiting.by_ref().count();
    let mut waiting = memory.selections.iter().filter_map(|(n, selections)| {
        let person = stage.county.teachers.get(*n)?;
        let plain = person.roles.is_empty() && person.teacher.school != orphaned;
        plain.then_some((person, selections.first()?.clone()))
    });
    let transferred = waiting.nth(all / 5)?;
    let on_leave = waiting.nth(all / 5)?;
    let retired = waiting.nth(all / 5)?;
    Some(Events { transferred, on_leave, retired })
}

/// Where the transferred teacher goes: another school of the same stage, or any other.
fn destination<'a>(stage: &Stage<'a>, person: &Person) -> Option<&'a str> {
    let orphaned = orphaned(stage)?;
    let others = || stage.county.teachers.iter().filter(|other| other.teacher.school != person.teacher.school);
    let other = others().find(|other| other.teacher.stage == person.teacher.stage && other.teacher.school != orphaned);
    other.or_else(|| others().next()).map(|other| other.teacher.school.as_str())
}

/// A transfer, a leave and a retirement.
pub async fn record_events(stage: &Stage<'_>) -> Option<()> {
    let Some(Events { transferred, on_leave, retired }) = events(stage) else {
        stage.books.surprise("too few selections for the events between selection and review");
        return None;
    };
    let today = proto::jiff_instant(stage.now()).to_zoned_datetime(stage.folder.zone.clone()).date();
    let event = |kind: Kind, reason: &str| StatusEvent {
        kind: kind.into(),
        effective_on: Some(today.into()),
        reason: reason.to_owned(),
        ..StatusEvent::default()
    };
    let school = destination(stage, transferred.0)?.to_owned();
    let until = today.saturating_add(180.days());
    let acts = [
        (transferred.0, StatusEvent { school, ..event(Kind::Transfer, "rotation") }),
        (on_leave.0, StatusEvent { until: Some(until.into()), ..event(Kind::Leave, "maternity") }),
        (retired.0, event(Kind::Retirement, "age")),
    ];
    let officer = stage.staff(Role::BureauOfficer).await?;
    for (person, event) in acts {
        let request = RecordStatusEventRequest {
            teacher: person.teacher.name.clone(),
            request_id: format!("event-{}-{}", event.kind, person.teacher.name),
            event: Some(event),
        };
        stage.books.must("record a status event", call!(officer, TeacherServiceClient.record_status_event(request)))?;
    }
    Some(())
}

/// What they did to the selections: the transferred one waits at the new school, the retired one's is cancelled.
pub async fn check_events(stage: &Stage<'_>) -> Option<()> {
    let Events { transferred, retired, .. } = events(stage)?;
    let officer = stage.staff(Role::BureauOfficer).await?;
    for (what, (person, before)) in [("transferred", transferred), ("retired", retired)] {
        let request = GetSelectionRequest { name: before.name.clone() };
        let reply = call!(officer, SelectionServiceClient.get_selection(request));
        let after = stage.books.must("look at a selection", reply)?.selection?;
        let well = match what {
            "transferred" => Some(after.school.as_str()) == destination(stage, person),
            _ => after.state() == selection::State::Cancelled,
        };
        if !well {
            stage.books.surprise(format!("the {what} teacher's selection is {:?} at {}", after.state(), after.school));
        }
    }
    Some(())
}
