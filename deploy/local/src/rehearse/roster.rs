//! The roster moves while the term runs: corrections, and people who go, rest and retire.

use jiff::ToSpan as _;
use prost_types::FieldMask;
use proto::common::v1::{Role, RoleGrant};
use proto::enrollment::v1::selection_service_client::SelectionServiceClient;
use proto::enrollment::v1::{GetSelectionRequest, selection};
use proto::roster::v1::account_service_client::AccountServiceClient;
use proto::roster::v1::teacher_service_client::TeacherServiceClient;
use proto::roster::v1::{
    ConfirmCorrectionRequest, RecordStatusEventRequest, RevokeRoleRequest, StatusEvent, Teacher, UpdateTeacherRequest,
    status_event::Kind,
};

use super::caller::call;
use super::programme::{
    CONFIRM_ELSEWHERE, CORRECTION_CONFIRMED, CORRECTION_REFUSED, LEAVE, RETIREMENT, REVIEWERS_LEAVE, TRANSFER,
};
use super::stage::Stage;

/// Two teachers correct their tier; it waits for their schools.
pub async fn correct(stage: &Stage<'_>) {
    stage
        .all(stage.cast.correcting.iter().map(|(_, person)| async move {
            let me = stage.person(&person.login).await?;
            let name = person.teacher.name.clone();
            let tier = if person.teacher.tier == "competent" { "backbone" } else { "competent" }.to_owned();
            let request = UpdateTeacherRequest {
                request_id: format!("correct-{name}"),
                teacher: Some(Teacher { name, tier, ..Teacher::default() }),
                update_mask: Some(FieldMask { paths: vec!["tier".to_owned()] }),
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
    for (n, (_, person)) in stage.cast.correcting.iter().enumerate() {
        let confirmation = |request_id: &str| ConfirmCorrectionRequest {
            name: person.teacher.name.clone(),
            accepted: n == 0,
            reason: if n == 0 { String::new() } else { "任职年限不足".to_owned() },
            request_id: format!("{request_id}-{}", person.teacher.name),
        };
        let school = person.teacher.school.as_str();
        if n == 0 {
            let other = stage.county.schools().find(|other| *other != school)?;
            let other = stage.reviewer(other, Role::SchoolAdmin).await?;
            let outcome = call!(other, TeacherServiceClient.confirm_correction(confirmation("confirm-other")));
            stage.books.mistake(CONFIRM_ELSEWHERE, outcome);
        }
        let me = stage.reviewer(school, Role::SchoolAdmin).await?;
        let outcome = call!(me, TeacherServiceClient.confirm_correction(confirmation("confirm")));
        stage.books.must("decide on a correction", outcome)?;
        stage.books.happened(if n == 0 { CORRECTION_CONFIRMED } else { CORRECTION_REFUSED });
    }
    Some(())
}

/// The roles of a school's administrator and principal end.
pub async fn revoke_reviewers(stage: &Stage<'_>) -> Option<()> {
    let school = stage.cast.orphaned?;
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
    stage.books.happened(REVIEWERS_LEAVE);
    Some(())
}

/// A transfer, a leave and a retirement, each of somebody whose selections wait.
pub async fn record_events(stage: &Stage<'_>) -> Option<()> {
    let today = proto::jiff_instant(stage.now()).to_zoned_datetime(stage.folder.zone.clone()).date();
    let event = |kind: Kind, reason: &str| StatusEvent {
        kind: kind.into(),
        effective_on: Some(today.into()),
        reason: reason.to_owned(),
        ..StatusEvent::default()
    };
    let cast = &stage.cast;
    let until = Some(today.saturating_add(180.days()).into());
    let school = cast.destination.map(str::to_owned);
    let transfer = school.map(|school| StatusEvent { school, ..event(Kind::Transfer, "rotation") });
    let leave = StatusEvent { until, ..event(Kind::Leave, "maternity") };
    let acts = [
        (TRANSFER, cast.transferred.zip(transfer)),
        (LEAVE, cast.on_leave.zip(Some(leave))),
        (RETIREMENT, cast.retired.zip(Some(event(Kind::Retirement, "age")))),
    ];
    let officer = stage.staff(Role::BureauOfficer).await?;
    for (mishap, part) in acts {
        let Some(((_, person), event)) = part else { continue };
        let request = RecordStatusEventRequest {
            teacher: person.teacher.name.clone(),
            request_id: format!("event-{}-{}", event.kind, person.teacher.name),
            event: Some(event),
        };
        stage.books.must("record a status event", call!(officer, TeacherServiceClient.record_status_event(request)))?;
        stage.books.happened(mishap);
    }
    Some(())
}

/// What they did to the selections: the transferred one waits at the new school, the retired one's is cancelled.
pub async fn check_events(stage: &Stage<'_>) -> Option<()> {
    let officer = stage.staff(Role::BureauOfficer).await?;
    for (what, part) in [("transferred", stage.cast.transferred), ("retired", stage.cast.retired)] {
        let before = part.and_then(|(n, _)| stage.memory().selections.get(&n)?.first().cloned());
        let Some(before) = before else { continue };
        let request = GetSelectionRequest { name: before.name };
        let reply = call!(officer, SelectionServiceClient.get_selection(request));
        let after = stage.books.must("look at a selection", reply)?.selection?;
        let well = match what {
            "transferred" => Some(after.school.as_str()) == stage.cast.destination,
            _ => after.state() == selection::State::Cancelled,
        };
        if !well {
            stage.books.surprise(format!("the {what} teacher's selection is {:?} at {}", after.state(), after.school));
        }
    }
    Some(())
}
