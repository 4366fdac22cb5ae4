//! A roster file: whole or not at all, every fault at once, once whatever happens.

use bytes::{BufMut as _, Bytes, BytesMut};
use chassis::{
    db::Engine,
    testing::{person, service},
};
use http_body_util::Full;
use prost::Message as _;
use prost_types::FieldMask;
use proto::{
    Actor,
    common::v1::{Reason, Role},
    roster::v1::{
        AccountFacts, AuthenticateRequest, ImportTeachersRequest, ImportTeachersResponse, ListTeachersRequest,
        RecordStatusEventRequest, StatusEvent, Teacher, TeacherFacts, UpdateTeacherRequest,
        account_service_server::AccountService as _,
        import_teachers_request::{Frame, Header, Rows},
        status_event::Kind,
        teacher_service_server::TeacherService as _,
    },
};
use sha2::{Digest as _, Sha256};
use tonic::{Code, Status, Streaming, codec::Codec as _};
use tonic_types::StatusExt as _;

use crate::world::{AT, DAY, OTHER_SCHOOL, PASSWORD, SCHOOL, World, day, fields, on_both, reason, reply, teacher};

pub fn header(request_id: &str, teachers: &[Teacher]) -> Header {
    let mut digest = Sha256::new();
    teachers.iter().for_each(|teacher| digest.update(teacher.encode_to_vec()));
    Header {
        request_id: request_id.into(),
        digest: digest.finalize().to_vec(),
        row_count: i32::try_from(teachers.len()).unwrap(),
        create_accounts: true,
        initial_password: PASSWORD.into(),
        ..Header::default()
    }
}

pub fn frames(header: Header, teachers: &[Teacher]) -> Vec<ImportTeachersRequest> {
    let rows = teachers.chunks(500).map(|teachers| Frame::Rows(Rows { teachers: teachers.to_vec() }));
    [Frame::Header(header)].into_iter().chain(rows).map(|frame| ImportTeachersRequest { frame: Some(frame) }).collect()
}

async fn send(
    world: &World,
    actor: &Actor,
    frames: Vec<ImportTeachersRequest>,
) -> Result<ImportTeachersResponse, Status> {
    send_at(world, actor, AT, frames).await
}

async fn send_at(
    world: &World,
    actor: &Actor,
    at: i64,
    frames: Vec<ImportTeachersRequest>,
) -> Result<ImportTeachersResponse, Status> {
    let mut body = BytesMut::new();
    for frame in frames {
        let frame = frame.encode_to_vec();
        body.put_u8(0);
        body.put_u32(u32::try_from(frame.len()).unwrap());
        body.extend_from_slice(&frame);
    }
    let decoder = tonic_prost::ProstCodec::<ImportTeachersRequest, ImportTeachersRequest>::default().decoder();
    let stream = Streaming::new_request(decoder, Full::new(Bytes::from(body)), None, None);
    let request = world.request_at("TeacherService/ImportTeachers", actor, at, stream);
    Ok(world.service.import_teachers(request).await?.into_inner())
}

async fn import(
    world: &World,
    actor: &Actor,
    id: &str,
    teachers: &[Teacher],
) -> Result<ImportTeachersResponse, Status> {
    send(world, actor, frames(header(id, teachers), teachers)).await
}

#[tokio::test]
async fn a_file_makes_teachers_and_accounts_and_a_change_for_each() {
    on_both(async |world| {
        let rows: Vec<_> = (1..=1200).map(|n| teacher(if n % 2 == 0 { SCHOOL } else { OTHER_SCHOOL }, n)).collect();
        let before = world.changes().await.len();
        let done = import(&world, &world.officer, "a", &rows).await.unwrap();
        assert_eq!((done.created, done.updated, done.dry_run, done.fault_count), (1200, 0, false, 0));
        let changes = world.changes().await;
        assert_eq!(changes.len() - before, 2400);
        let facts: Vec<TeacherFacts> =
            changes.iter().filter_map(|change| chassis::changes::decode(change).unwrap()).collect();
        assert_eq!(facts.len(), 1200);
        assert!(facts.iter().all(|facts| facts.account.starts_with("accounts/") && facts.path.len() >= 3));

        let again = import(&world, &world.officer, "a", &rows).await.unwrap();
        assert_eq!(again, done, "the same file again gets its first reply");
        assert_eq!(world.changes().await.len(), changes.len());
        assert_eq!(reason(import(&world, &world.officer, "a", &rows[1..]).await), Reason::RequestIdReused);

        let message = AuthenticateRequest { login: "school-a-T00002".into(), password: PASSWORD.into() };
        let request = world.request("AccountService/Authenticate", &service("gateway"), message);
        let identity = world.service.authenticate(request).await.unwrap().into_inner().identity.unwrap();
        assert_eq!(identity.roles.len(), 1);
        assert_eq!(identity.roles[0].role(), Role::Teacher);
        assert_eq!(world.last::<AccountFacts>(&identity.account).await.1.teacher, identity.teacher);
    })
    .await;
}

#[tokio::test]
async fn a_lost_answer_is_given_again_after_the_window_has_closed() {
    on_both(async |world| {
        let rows: Vec<_> = (1..=3).map(|n| teacher(SCHOOL, n)).collect();
        let late = AT + 80 * DAY;
        let sent = frames(header("a", &rows), &rows);
        let unheard = send_at(&world, &world.admin, late, sent.clone()).await;
        assert_eq!(reason(unheard), Reason::WindowClosed, "nothing was answered yet");
        let done = send(&world, &world.admin, sent.clone()).await.unwrap();
        let changes = world.changes().await.len();

        assert_eq!(send_at(&world, &world.admin, late, sent.clone()).await.unwrap(), done);
        assert_eq!(world.changes().await.len(), changes);
        // The answer is the caller's, the request's and the file's.
        let other = send_at(&world, &world.officer, late, sent.clone()).await;
        assert_eq!(reason(other), Reason::WindowClosed);
        for (id, rows) in [("b", &rows[..]), ("a", &rows[1..]), ("", &rows[..])] {
            let refused = send_at(&world, &world.admin, late, frames(header(id, rows), rows)).await;
            assert_eq!(reason(refused), Reason::WindowClosed);
        }
        let dry = Header { dry_run: true, ..header("a", &rows) };
        assert_eq!(reason(send_at(&world, &world.admin, late, frames(dry, &rows)).await), Reason::WindowClosed);
        let no_header = sent[1..].to_vec();
        assert_eq!(reason(send_at(&world, &world.admin, late, no_header).await), Reason::WindowClosed);
        assert_eq!(world.changes().await.len(), changes);
    })
    .await;
}

#[tokio::test]
async fn a_second_file_updates_and_keeps_what_is_kept() {
    on_both(async |world| {
        let rows: Vec<_> = (1..=3).map(|n| teacher(SCHOOL, n)).collect();
        import(&world, &world.admin, "a", &rows).await.unwrap();
        let facts = world
            .changes()
            .await
            .iter()
            .filter_map(|change| chassis::changes::decode::<TeacherFacts>(change).unwrap())
            .next()
            .unwrap();
        // One of them has asked for another tier meanwhile.
        let me = person("accounts/me", &facts.name, &[(Role::Teacher, SCHOOL)]);
        let given = Teacher { name: facts.name.clone(), tier: "backbone".into(), ..Teacher::default() };
        let message = UpdateTeacherRequest {
            teacher: Some(given),
            update_mask: Some(FieldMask { paths: vec!["tier".into()] }),
            request_id: "t".into(),
        };
        world.service.update_teacher(world.request("TeacherService/UpdateTeacher", &me, message)).await.unwrap();

        let again: Vec<_> =
            (1..=4).map(|n| Teacher { title: "414".into(), platform_entered_on: None, ..teacher(SCHOOL, n) }).collect();
        let done = import(&world, &world.admin, "b", &again).await.unwrap();
        assert_eq!((done.created, done.updated), (1, 3));
        let after = world.get_teacher(&world.admin, &facts.name).await.unwrap();
        assert_eq!((after.title.as_str(), after.platform_entered_on), ("414", Some(day(2016, 9, 1))));
        assert_eq!(after.pending_fields, ["tier"], "what he asked for still waits");
        let accounts = world.changes().await.iter().filter(|change| change.resource.starts_with("accounts/")).count();
        assert_eq!(accounts, 4, "who has an account keeps it");

        let fixed = Teacher { platform_entered_on: Some(day(2018, 1, 1)), ..teacher(SCHOOL, 1) };
        let outcome = import(&world, &world.admin, "c", &[fixed]).await;
        assert_eq!(fields(outcome), ["rows[1].platform_entered_on"]);
    })
    .await;
}

#[tokio::test]
async fn of_two_files_at_once_the_second_updates_whom_the_first_has_created() {
    on_both(async |world| {
        let rows: Vec<_> = (1..=40).map(|n| teacher(SCHOOL, n)).collect();
        let before = world.changes().await.len();
        let both = tokio::join!(import(&world, &world.admin, "a", &rows), import(&world, &world.admin, "b", &rows));
        let mut counted = (0, 0);
        for (id, outcome) in [("a", both.0), ("b", both.1)] {
            let done = match outcome {
                Ok(done) => done,
                // Where both can have begun, whoever came second is told that something changed, and taken when he comes again.
                Err(refused) => {
                    assert_eq!(world.service.db.engine(), Engine::Postgres);
                    assert_eq!(reason(Err::<(), _>(refused)), Reason::EtagMismatch);
                    import(&world, &world.admin, id, &rows).await.unwrap()
                }
            };
            counted = (counted.0 + done.created, counted.1 + done.updated);
        }
        assert_eq!(counted, (40, 40));
        let changes = world.changes().await;
        let verbs = changes[before..].iter().filter(|change| change.resource.starts_with("teachers/"));
        let created = verbs.clone().filter(|change| change.verb == "created").count();
        assert_eq!((created, verbs.count()), (40, 80));
    })
    .await;
}

#[tokio::test]
async fn one_faulty_row_and_nothing_is_taken() {
    on_both(async |world| {
        let mut rows: Vec<_> = (1..=100).map(|n| teacher(SCHOOL, n)).collect();
        rows[2].stages.push("tertiary".into());
        rows[2].identity_number = "70001".into();
        rows[6].school = OTHER_SCHOOL.into();
        rows[8].teacher_number = rows[7].teacher_number.clone();
        let before = world.changes().await.len();
        let outcome = import(&world, &world.admin, "a", &rows).await;
        let Err(status) = &outcome else { panic!("it was taken") };
        assert_eq!(status.get_details_error_info().unwrap().metadata.get("count").map(String::as_str), Some("4"));
        assert_eq!(reason(outcome.clone()), Reason::ImportFaults);
        assert_eq!(
            fields(outcome),
            ["rows[3].identity_number", "rows[3].stages", "rows[7].school", "rows[9].teacher_number"]
        );
        assert_eq!(world.changes().await.len(), before);

        let header = Header { dry_run: true, ..header("a", &rows) };
        let dry = send(&world, &world.admin, frames(header.clone(), &rows)).await.unwrap();
        assert_eq!((dry.dry_run, dry.created, dry.fault_count), (true, 100, 4));
        assert_eq!(dry.faults[1].fault, "stages.unknown_code");
        assert_eq!(dry.faults[1].row, 3);
        assert_eq!(world.changes().await.len(), before);
        // Neither the refusal nor the dry run has used up the id.
        let good: Vec<_> = (1..=100).map(|n| teacher(SCHOOL, n)).collect();
        assert_eq!(import(&world, &world.admin, "a", &good).await.unwrap().created, 100);
    })
    .await;
}

#[tokio::test]
async fn a_file_full_of_faults_is_listed_whole_by_a_dry_run_and_in_part_by_a_refusal() {
    on_both(async |world| {
        let rows: Vec<_> = (1..=1500).map(|n| Teacher { sex: "x".into(), ..teacher(SCHOOL, n) }).collect();
        let dry = Header { dry_run: true, ..header("a", &rows) };
        let dry = send(&world, &world.admin, frames(dry, &rows)).await.unwrap();
        assert_eq!((dry.faults.len(), dry.fault_count, dry.next_row, dry.faults_left_out), (1500, 1500, 0, 0));
        let outcome = import(&world, &world.admin, "a", &rows).await;
        assert_eq!(fields(outcome.clone()).len(), 40);
        let refusal = outcome.unwrap_err();
        assert!(refusal.details().len() < 8192, "it has to fit in a header: {}", refusal.details().len());
        assert!(refusal.message().contains("has 1500 faults, of which 40 are listed here and all by a dry run"));
        let zh = refusal.get_details_localized_message().unwrap().message;
        assert!(zh.contains("共有 1500 处错误（此处列出前 40 处，试导入可列出全部）"), "{zh}");
    })
    .await;
}

#[tokio::test]
async fn what_a_reply_does_not_hold_is_asked_for_by_its_row() {
    on_both(async |world| {
        // Nothing of such a row is right.
        let rows = vec![Teacher::default(); 12_000];
        let mut header = Header { dry_run: true, ..header("a", &rows) };
        let (mut faults, mut replies) = (Vec::new(), 0);
        loop {
            let dry = send(&world, &world.admin, frames(header.clone(), &rows)).await.unwrap();
            assert!(dry.encoded_len() < 4 << 20);
            replies += 1;
            faults.extend(dry.faults);
            assert_eq!(usize::try_from(dry.fault_count - dry.faults_left_out).unwrap(), faults.len());
            if dry.next_row == 0 {
                break;
            }
            header.faults_from_row = dry.next_row;
        }
        assert!(replies > 1);
        let of_row = |n: i32| faults.iter().filter(|fault| fault.row == n).count();
        assert_eq!(faults.len(), 12_000 * of_row(1));
        assert!(faults.is_sorted_by_key(|fault| fault.row) && of_row(12_000) == of_row(1));
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_not_whole_is_refused() {
    on_both(async |world| {
        let rows: Vec<_> = (1..=3).map(|n| teacher(SCHOOL, n)).collect();
        let good = header("a", &rows);
        let cut = send(&world, &world.admin, frames(good.clone(), &rows[..2])).await;
        assert_eq!(fields(cut), ["header.row_count", "header.digest"]);
        let no_header = frames(good.clone(), &rows).split_off(1);
        assert_eq!(fields(send(&world, &world.admin, no_header).await), ["frame"]);
        assert_eq!(fields(send(&world, &world.admin, vec![]).await), ["header"]);
        let weak = Header { initial_password: "short".into(), ..good.clone() };
        assert_eq!(fields(send(&world, &world.admin, frames(weak, &rows)).await), ["header.initial_password"]);
        let nameless = Header { request_id: String::new(), ..good };
        let outcome = send(&world, &world.admin, frames(nameless, &rows)).await;
        assert_eq!(outcome.unwrap_err().code(), Code::InvalidArgument);
    })
    .await;
}

#[tokio::test]
async fn what_no_row_may_hold_is_told_with_the_rows_other_faults() {
    on_both(async |world| {
        let mut rows: Vec<_> = (1..=50).map(|n| teacher(SCHOOL, n)).collect();
        rows[1].display_name = "王\0五".into();
        rows[1].sex = "x".into();
        rows[2].stages.push("pri\0mary".into());
        rows[3].school.push('\0');
        rows[4].name = "teachers/\0".into();
        for row in &mut rows[5..] {
            row.post.push('\0');
        }
        let before = world.changes().await.len();
        let nameless = import(&world, &world.officer, "", &rows).await;
        assert_eq!(fields(nameless), ["header.request_id"], "the header comes first");
        let refused = import(&world, &world.officer, "a", &rows).await;
        assert!(refused.as_ref().unwrap_err().message().contains("has 50 faults, of which 40"), "{refused:?}");
        let listed = fields(refused);
        let first = ["rows[2].display_name", "rows[2].sex", "rows[3].stages[1]", "rows[4].school", "rows[5].name"];
        assert_eq!((listed.len(), listed[..5].iter().map(String::as_str).collect::<Vec<_>>()), (40, first.to_vec()));
        let dry = Header { dry_run: true, ..header("a", &rows) };
        let dry = send(&world, &world.officer, frames(dry, &rows)).await.unwrap();
        assert_eq!((dry.faults.len(), dry.fault_count, dry.next_row), (50, 50, 0));
        let zeros = dry.faults.iter().filter(|fault| fault.fault.ends_with(".zero_character")).count();
        assert_eq!(zeros, 49, "all but the one with a code that there is not: {:?}", dry.faults);
        assert_eq!(world.changes().await.len(), before);
    })
    .await;
}

#[tokio::test]
async fn a_file_brings_nobody_back() {
    on_both(async |world| {
        let teachers = [teacher(SCHOOL, 1), teacher(SCHOOL, 2)];
        import(&world, &world.admin, "first", &teachers).await.unwrap();
        let message = ListTeachersRequest { organization: SCHOOL.into(), query: "T00002".into(), ..Default::default() };
        let found = reply(
            world.service.list_teachers(world.request("TeacherService/ListTeachers", &world.admin, message)).await,
        );
        let gone = found.teachers[0].name.clone();
        let happens = async |kind: Kind, on: i32, officer: &Actor| {
            let event =
                StatusEvent { kind: kind.into(), effective_on: Some(day(2019, 6, on)), ..StatusEvent::default() };
            let message = RecordStatusEventRequest {
                teacher: gone.clone(),
                event: Some(event),
                request_id: format!("{} {on}", kind.as_str_name()),
            };
            let request = world.request("TeacherService/RecordStatusEvent", officer, message);
            reply(world.service.record_status_event(request).await);
        };
        let dry = || Header { dry_run: true, ..header("", &teachers) };
        // One by one: retired, departed, deceased; each may come back, the last by mistake.
        for (number, kind) in [Kind::Retirement, Kind::Departure, Kind::Death].into_iter().enumerate() {
            let on = i32::try_from(number).unwrap() * 2 + 1;
            happens(kind, on, &world.admin).await;
            let told = send(&world, &world.admin, frames(dry(), &teachers)).await.unwrap();
            let faults: Vec<_> = told.faults.iter().map(|fault| (fault.row, fault.fault.as_str())).collect();
            assert_eq!(faults, [(2, "status.left")]);
            let before = world.changes().await.len();
            let id = format!("again {number}");
            let refused = import(&world, &world.admin, &id, &teachers).await.unwrap_err();
            assert_eq!(fields(Err::<(), _>(refused)), ["rows[2].status"]);
            assert_eq!(world.changes().await.len(), before, "nothing of the file was taken");
            happens(Kind::Return, on + 1, &world.officer).await;
            let taken = import(&world, &world.admin, &id, &teachers).await.unwrap();
            assert_eq!((taken.created, taken.updated), (0, 2));
        }
    })
    .await;
}
