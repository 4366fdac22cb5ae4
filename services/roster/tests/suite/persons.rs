//! A person's data: handed out in full to himself, or to an officer who says why; erased for good once he is gone.

use chassis::{
    Steps as _,
    db::{Lane, Queries as _, args},
    testing::person,
};
use prost_types::FieldMask;
use proto::{
    Actor,
    common::v1::{Action, ExportPermit, Reason, Role, RunStepRequest},
    roster::v1::{
        Account, AccountFacts, AuthenticateRequest, ConfirmCorrectionRequest, CreateAccountRequest,
        EraseTeacherRequest, ExportTeacherRequest, ExportedRecord, GrantRoleRequest, OpenExportRequest,
        RecordStatusEventRequest, RoleHeld, StatusEvent, Teacher, TeacherFacts, UpdateTeacherRequest, account::State,
        account_service_server::AccountService as _, exported_record::Record,
        person_service_server::PersonService as _, status_event::Kind, teacher::Status as Standing,
        teacher_service_server::TeacherService as _,
    },
};
use roster::api::RosterSteps;
use tonic::{Code, Status};

use crate::world::{
    AT, COUNTY, DAY, PASSWORD, SCHOOL, TERM, World, day, identity_number, on_both, reason, refusal, reply, teacher,
};

const LOGIN: &str = "teacher-0001";
const ACCOUNT: &str = "accounts/t1";
const NAME: &str = "teachers/t1";

fn me() -> Actor {
    Actor { account: ACCOUNT.into(), ..person(ACCOUNT, NAME, &[(Role::Teacher, SCHOOL)]) }
}

/// A teacher with an account, a correction that was refused, and one that waits.
async fn enter(world: &World) {
    let given = Teacher { name: NAME.into(), ..teacher(SCHOOL, 1) };
    world.create_teacher(&world.admin, given).await.unwrap();
    let account = Account {
        name: ACCOUNT.into(),
        login: LOGIN.into(),
        display_name: "示例教师0001".into(),
        teacher: NAME.into(),
        ..Account::default()
    };
    let message =
        CreateAccountRequest { account: Some(account), password: PASSWORD.into(), request_id: "account".into() };
    reply(world.service.create_account(world.request("AccountService/CreateAccount", &world.officer, message)).await);
    for (n, tier) in ["backbone", "novice"].into_iter().enumerate() {
        let given = Teacher { name: NAME.into(), tier: tier.into(), ..Teacher::default() };
        let message = UpdateTeacherRequest {
            teacher: Some(given),
            update_mask: Some(FieldMask { paths: vec!["tier".into()] }),
            request_id: format!("correct-{n}"),
        };
        reply(world.service.update_teacher(world.request("TeacherService/UpdateTeacher", &me(), message)).await);
        if n == 0 {
            let message = ConfirmCorrectionRequest {
                name: NAME.into(),
                accepted: false,
                reason: "示例教师0001任职年限不足".into(),
                request_id: "refuse".into(),
            };
            let request = world.request("TeacherService/ConfirmCorrection", &world.admin, message);
            reply(world.service.confirm_correction(request).await);
        }
    }
}

async fn leave(world: &World, kind: Kind) {
    let event = StatusEvent { kind: kind.into(), effective_on: Some(day(2019, 6, 10)), ..StatusEvent::default() };
    let request_id = format!("leave-{}", kind.as_str_name());
    let message = RecordStatusEventRequest { teacher: NAME.into(), event: Some(event), request_id };
    reply(
        world
            .service
            .record_status_event(world.request("TeacherService/RecordStatusEvent", &world.admin, message))
            .await,
    );
}

async fn erase(world: &World, actor: &Actor, reason: &str, id: &str) -> Result<Teacher, Status> {
    let message = EraseTeacherRequest { name: NAME.into(), reason: reason.into(), request_id: id.into() };
    let request = world.request("PersonService/EraseTeacher", actor, message);
    Ok(world.service.erase_teacher(request).await?.into_inner().teacher.unwrap())
}

async fn open(world: &World, actor: &Actor, id: &str) -> Result<ExportPermit, Status> {
    let reason = "本人书面申请".to_owned();
    let message = OpenExportRequest { teacher: NAME.into(), reason, request_id: id.into() };
    let request = world.request("PersonService/OpenExport", actor, message);
    Ok(world.service.open_export(request).await?.into_inner().permit.unwrap())
}

async fn export(world: &World, actor: &Actor, at: i64, page_size: i32) -> Result<Vec<ExportedRecord>, Status> {
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let message = ExportTeacherRequest { teacher: NAME.into(), page_size, page_token };
        let request = world.request_at("PersonService/ExportTeacher", actor, at, message);
        let reply = world.service.export_teacher(request).await?.into_inner();
        all.extend(reply.records);
        page_token = reply.next_page_token;
        if page_token.is_empty() {
            return Ok(all);
        }
    }
}

/// Tables of the database in which a text occurs, in any column.
async fn found_in(world: &World, text: &str) -> Vec<String> {
    let mut db = world.service.db.reader();
    let mut found = Vec::new();
    // One row as one text shows every column of it, those that a later migration adds too.
    for (table, sql) in [
        (
            "teacher",
            "SELECT display_name || phone || teacher_number || pending AS t, identity_sealed AS b FROM teacher",
        ),
        ("account", "SELECT login || display_name || password AS t, NULL AS b FROM account"),
        ("correction_decision", "SELECT fields || reason AS t, NULL AS b FROM correction_decision"),
        ("export_permit", "SELECT reason AS t, NULL AS b FROM export_permit"),
        ("request", "SELECT body_digest AS t, reply AS b FROM request"),
        ("change", "SELECT resource AS t, body AS b FROM change"),
    ] {
        let rows = db.all(sql, args![]).await.unwrap();
        let holds = rows.iter().any(|row| {
            let bytes = if ["request", "change"].contains(&table) {
                row.get::<Option<Vec<u8>>>("b").unwrap().unwrap_or_default()
            } else {
                Vec::new()
            };
            row.get::<String>("t").unwrap().contains(text)
                || bytes.windows(text.len()).any(|part| part == text.as_bytes())
        });
        if holds {
            found.push(table.to_owned());
        }
    }
    found
}

#[tokio::test]
async fn all_of_it_to_himself_in_pages_of_any_size() {
    on_both(async |world| {
        enter(&world).await;
        let all = export(&world, &me(), AT, 0).await.unwrap();
        for size in [1, 2, 3] {
            assert_eq!(export(&world, &me(), AT, size).await.unwrap(), all, "in pages of {size}");
        }
        let kinds: Vec<_> = all.iter().filter_map(|one| one.record.as_ref()).collect();
        let Some(Record::Teacher(shown)) = kinds.first() else { panic!("{kinds:?}") };
        assert_eq!((shown.identity_number.as_str(), shown.phone.as_str()), (&*identity_number(1), "10000000001"));
        assert!(kinds.iter().any(|one| matches!(one, Record::Account(account) if account.login == LOGIN)));
        assert!(kinds.iter().any(|one| matches!(one, Record::Role(role) if role.revoked_at.is_none())));
        assert!(kinds.iter().any(|one| matches!(one, Record::PendingCorrection(it) if it.fields["tier"] == "novice")));
        assert!(kinds.iter().any(
            |one| matches!(one, Record::Correction(it) if it.fields["tier"] == "backbone" && it.reason.contains("年限"))
        ));
        let verbs: Vec<_> = kinds
            .iter()
            .filter_map(|one| if let Record::Change(change) = one { Some(change.verb.as_str()) } else { None })
            .collect();
        assert_eq!(
            verbs,
            ["created", "created", "updated", "correction_requested", "correction_refused", "correction_requested"]
        );
        let other = person("accounts/other", "teachers/other", &[(Role::Teacher, SCHOOL)]);
        assert_eq!(reason(export(&world, &other, AT, 0).await), Reason::OutOfScope);
    })
    .await;
}

#[tokio::test]
async fn an_officer_says_why_before_and_may_for_a_day() {
    on_both(async |world| {
        enter(&world).await;
        assert_eq!(
            refusal(export(&world, &world.officer, AT, 0).await),
            (Code::PermissionDenied, Reason::ExportNotOpened)
        );
        let elsewhere = person("accounts/e", "", &[(Role::BureauOfficer, "organizations/elsewhere")]);
        assert_eq!(reason(open(&world, &elsewhere, "open-elsewhere").await), Reason::OutOfScope);
        let permit = open(&world, &world.officer, "open").await.unwrap();
        assert_eq!(open(&world, &world.officer, "open").await.unwrap(), permit, "the same request again");
        assert_eq!(proto::instant(permit.expires_at.as_ref().unwrap()), AT + DAY);
        let (verb, told) = world.last::<ExportPermit>(&permit.name).await;
        assert_eq!((verb.as_str(), &told), ("opened", &permit));
        assert_eq!(found_in(&world, "本人书面申请").await, ["export_permit"], "the reason is told to no other service");

        let all = export(&world, &world.officer, AT, 0).await.unwrap();
        assert!(all.iter().any(
            |one| matches!(&one.record, Some(Record::Teacher(shown)) if shown.identity_number == identity_number(1))
        ));
        // Whose data it is sees who looked, and why.
        let of_his = export(&world, &me(), AT, 0).await.unwrap();
        assert!(of_his.iter().any(
            |one| matches!(&one.record, Some(Record::Export(it)) if it.reason == "本人书面申请" && it.permit.as_ref() == Some(&permit))
        ));
        let colleague = person("accounts/colleague", "", &[(Role::BureauOfficer, COUNTY)]);
        assert_eq!(reason(export(&world, &colleague, AT, 0).await), Reason::ExportNotOpened, "it is his alone");
        assert_eq!(reason(export(&world, &world.officer, AT + DAY, 0).await), Reason::ExportNotOpened);
    })
    .await;
}

#[tokio::test]
async fn who_is_gone_is_erased_and_stays_so() {
    on_both(async |world| {
        enter(&world).await;
        open(&world, &world.officer, "open").await.unwrap();
        assert_eq!(
            refusal(erase(&world, &world.officer, "requested", "too-early").await),
            (Code::FailedPrecondition, Reason::StillOnRoster)
        );
        leave(&world, Kind::Departure).await;
        assert_eq!(reason(erase(&world, &world.officer, "因本人要求", "prose").await), Reason::InvalidArgument);
        let elsewhere = person("accounts/e", "", &[(Role::BureauOfficer, "organizations/elsewhere")]);
        assert_eq!(reason(erase(&world, &elsewhere, "requested", "elsewhere").await), Reason::OutOfScope);
        let personal = ["示例教师0001", "10000000001", "T00001", LOGIN, "本人书面申请"];
        for text in personal {
            assert!(!found_in(&world, text).await.is_empty(), "{text} is nowhere: this would prove nothing");
        }
        let sealed = "SELECT identity_sealed, identity_index FROM teacher";
        let before = world.service.db.reader().all(sealed, args![]).await.unwrap();
        assert!(!before[0].get::<Vec<u8>>("identity_sealed").unwrap().is_empty());

        let left = erase(&world, &world.officer, "requested", "erase").await.unwrap();
        assert_eq!((left.erased, left.status(), left.display_name.as_str()), (true, Standing::Departed, ""));
        assert_eq!((left.tier.as_str(), left.school.as_str()), ("competent", SCHOOL), "coded facts stay");
        assert_eq!(erase(&world, &world.officer, "requested", "erase").await.unwrap(), left, "the same request again");
        assert_eq!(reason(erase(&world, &world.officer, "requested", "again").await), Reason::PersonErased);
        for text in personal {
            assert_eq!(found_in(&world, text).await, [""; 0], "{text}");
        }
        let after = world.service.db.reader().all(sealed, args![]).await.unwrap();
        assert!(after[0].get::<Vec<u8>>("identity_sealed").unwrap().is_empty());

        let (verb, facts) = world.last::<TeacherFacts>(NAME).await;
        assert_eq!((verb.as_str(), facts.erased, facts.account.as_str()), ("erased", true, ACCOUNT));
        let (verb, facts) = world.last::<AccountFacts>(ACCOUNT).await;
        assert_eq!(
            (verb.as_str(), facts.erased, facts.state(), facts.roles.len()),
            ("erased", true, State::Suspended, 0)
        );

        // No login leads to it any more, least of all its name.
        for login in [LOGIN, ACCOUNT] {
            for password in [PASSWORD, ""] {
                let message = AuthenticateRequest { login: login.into(), password: password.into() };
                let gateway = Actor { service: "gateway".into(), ..Actor::default() };
                let request = world.request_at("AccountService/Authenticate", &gateway, AT + 30 * DAY, message);
                assert_eq!(reason(world.service.authenticate(request).await), Reason::BadCredentials, "{login}");
            }
        }
        stays_erased(&world).await;
    })
    .await;
}

/// Nothing is written of an erased person, and a repeated request does not bring him back.
async fn stays_erased(world: &World) {
    let given = Teacher { name: NAME.into(), ..teacher(SCHOOL, 1) };
    let again = world.create_teacher(&world.admin, given.clone()).await;
    assert_eq!(refusal(again), (Code::AlreadyExists, Reason::ReplyErased), "the request that entered him");
    let message =
        proto::roster::v1::CreateTeacherRequest { teacher: Some(given.clone()), request_id: "anew-with-his-id".into() };
    let request = world.request("TeacherService/CreateTeacher", &world.admin, message);
    assert_eq!(reason(world.service.create_teacher(request).await), Reason::AlreadyExists, "an id is given once");
    let message = UpdateTeacherRequest {
        teacher: Some(given.clone()),
        update_mask: Some(FieldMask { paths: vec!["phone".into()] }),
        request_id: "phone".into(),
    };
    let request = world.request("TeacherService/UpdateTeacher", &world.admin, message);
    assert_eq!(reason(world.service.update_teacher(request).await), Reason::PersonErased);
    let event =
        StatusEvent { kind: Kind::Return.into(), effective_on: Some(day(2019, 6, 11)), ..StatusEvent::default() };
    let message = RecordStatusEventRequest { teacher: NAME.into(), event: Some(event), request_id: "back".into() };
    let request = world.request("TeacherService/RecordStatusEvent", &world.officer, message);
    assert_eq!(reason(world.service.record_status_event(request).await), Reason::PersonErased);
    let grant = proto::common::v1::RoleGrant { role: Role::SchoolAdmin.into(), organization: SCHOOL.into() };
    let role = RoleHeld { grant: Some(grant), from: None, until: None };
    let message = GrantRoleRequest { name: ACCOUNT.into(), role: Some(role), request_id: "role".into() };
    let request = world.request("AccountService/GrantRole", &world.officer, message);
    assert_eq!(reason(world.service.grant_role(request).await), Reason::PersonErased);
    // He himself may come back, as a new teacher with his old number.
    let anew = Teacher { name: "teachers/t1-anew".into(), ..given };
    let message = proto::roster::v1::CreateTeacherRequest { teacher: Some(anew), request_id: "anew".into() };
    let request = world.request("TeacherService/CreateTeacher", &world.admin, message);
    assert_eq!(reply(world.service.create_teacher(request).await).teacher.unwrap().name, "teachers/t1-anew");
}

#[tokio::test]
async fn the_term_s_end_erases_who_has_been_gone_long_enough() {
    on_both(async |world| {
        enter(&world).await;
        for n in 2..60 {
            let given = Teacher { name: format!("teachers/u{n}"), ..teacher(SCHOOL, n) };
            world.create_teacher(&world.admin, given).await.unwrap();
            let event = StatusEvent {
                kind: Kind::Retirement.into(),
                effective_on: Some(day(2019, 6, 10)),
                ..StatusEvent::default()
            };
            let message = RecordStatusEventRequest {
                teacher: format!("teachers/u{n}"),
                event: Some(event),
                request_id: format!("retire-{n}"),
            };
            let request = world.request("TeacherService/RecordStatusEvent", &world.admin, message);
            reply(world.service.record_status_event(request).await);
        }
        leave(&world, Kind::Departure).await;
        let step = RunStepRequest { term: TERM.into(), action: Action::EraseDue.into(), ..RunStepRequest::default() };
        // The defaults: five years to the day.
        for (due, expected) in [("2024-06-09T12:00:00Z", 0), ("2024-06-10T12:00:00Z", 59), ("2024-06-10T12:00:00Z", 0)]
        {
            let due = due.parse::<jiff::Timestamp>().unwrap().as_microsecond();
            let (mut erased, mut pages) = (0, 0);
            loop {
                let mut tx = world.service.db.batch(TERM, Lane::Main).await.unwrap();
                tx.set_at(due);
                let outcome = RosterSteps(world.service.clone()).run(&mut tx, &step).await.unwrap();
                tx.finish().await.unwrap();
                erased += outcome.changed;
                pages += 1;
                if !outcome.more {
                    break;
                }
            }
            assert_eq!((erased, pages), (expected, if expected == 0 { 1 } else { 3 }));
        }
        let (verb, facts) = world.last::<TeacherFacts>("teachers/u59").await;
        assert_eq!((verb.as_str(), facts.erased), ("erased", true));
        assert_eq!(found_in(&world, "示例教师00").await, [""; 0]);
    })
    .await;
}
