//! Teachers: created, corrected, listed; who sees what.

use std::collections::BTreeMap;

use chassis::{
    Steps as _,
    db::{Lane, Queries as _},
    testing::person,
};
use prost_types::FieldMask;
use proto::{
    Actor,
    common::v1::{Action, Reason, Role, RunStepRequest},
    roster::v1::{
        ConfirmCorrectionRequest, ListTeachersRequest, RosterPosition, Teacher, TeacherFacts, UpdateTeacherRequest,
        teacher_service_server::TeacherService as _,
    },
};
use roster::{
    Vault,
    api::RosterSteps,
    config::{IdentityConfig, Key},
    store,
};
use tonic::Status;

use crate::world::{
    AT, COUNTY, DAY, ELSEWHERE, OTHER_SCHOOL, SCHOOL, TERM, World, day, fields, identity_number, on_both, reason,
    reply, teacher,
};

async fn update(world: &World, actor: &Actor, given: Teacher, mask: &[&str], id: &str) -> Result<Teacher, Status> {
    let update_mask = Some(FieldMask { paths: mask.iter().map(ToString::to_string).collect() });
    let message = UpdateTeacherRequest { teacher: Some(given), update_mask, request_id: id.into() };
    let request = world.request("TeacherService/UpdateTeacher", actor, message);
    Ok(world.service.update_teacher(request).await?.into_inner().teacher.unwrap())
}

async fn confirm(world: &World, actor: &Actor, name: &str, accepted: bool, id: &str) -> Result<Teacher, Status> {
    let reason = if accepted { String::new() } else { "任职年限不足".into() };
    let message = ConfirmCorrectionRequest { name: name.into(), accepted, reason, request_id: id.into() };
    let request = world.request("TeacherService/ConfirmCorrection", actor, message);
    Ok(world.service.confirm_correction(request).await?.into_inner().teacher.unwrap())
}

fn me(name: &str) -> Actor {
    person("accounts/me", name, &[(Role::Teacher, SCHOOL)])
}

#[tokio::test]
async fn a_teacher_is_created_masked_and_told_without_a_name() {
    on_both(async |world| {
        let created = world.create_teacher(&world.admin, teacher(SCHOOL, 1)).await.unwrap();
        let number = identity_number(1);
        assert_eq!(created.identity_number, format!("{}***********{}", &number[..3], &number[14..]));
        assert_eq!(created.phone, "10000000001", "his school sees the telephone");
        assert_eq!(world.get_teacher(&world.officer, &created.name).await.unwrap().phone, "100****0001");
        assert_eq!(world.get_teacher(&me(&created.name), &created.name).await.unwrap().phone, "10000000001");

        let (verb, facts) = world.last::<TeacherFacts>(&created.name).await;
        assert_eq!((verb.as_str(), facts.birth_year, facts.joined_on), ("created", 1985, Some(day(2019, 6, 17))));
        assert_eq!(facts.path.last().map(String::as_str), Some(SCHOOL));
        let changes = format!("{:?}", world.changes().await);
        let told = world.changes().await.iter().any(|change| {
            let body = change.after.as_ref().map(|after| after.value.clone()).unwrap_or_default();
            ["示例教师0001", "10000000001", number.as_str()]
                .iter()
                .any(|text| body.windows(text.len()).any(|part| part == text.as_bytes()))
        });
        assert!(!told, "a change tells personal data: {changes}");

        // At rest the number is legible nowhere.
        let rows =
            world.service.db.reader().all("SELECT identity_sealed, identity_index FROM teacher", vec![]).await.unwrap();
        let sealed: Vec<u8> = rows[0].get("identity_sealed").unwrap();
        assert!(!sealed.windows(8).any(|part| part == &number.as_bytes()[..8]));
        assert!(!rows[0].get::<String>("identity_index").unwrap().contains(&number[..8]));
    })
    .await;
}

#[tokio::test]
async fn every_fault_at_once_and_nothing_changed() {
    on_both(async |world| {
        let bad = Teacher {
            sex: "3".into(),
            identity_number: "1".into(),
            tier: "leader".into(),
            school: "organizations/none".into(),
            employed_on: Some(day(2019, 2, 30)),
            ..teacher(SCHOOL, 1)
        };
        let outcome = world.create_teacher(&world.admin, bad).await;
        assert_eq!(
            fields(outcome),
            ["teacher.sex", "teacher.identity_number", "teacher.tier", "teacher.employed_on", "teacher.school"],
            "the policy's list has no tier \"leader\""
        );
        assert!(world.changes().await.iter().all(|change| !change.resource.starts_with("teachers/")));
    })
    .await;
}

#[tokio::test]
async fn one_person_and_one_number_once() {
    on_both(async |world| {
        world.create_teacher(&world.admin, teacher(SCHOOL, 1)).await.unwrap();
        let again = world.create_teacher(&world.admin, teacher(SCHOOL, 1)).await.unwrap();
        assert_eq!(again.etag, "v1", "the same request again gets its first reply");
        let same_person = Teacher { teacher_number: "T9".into(), ..teacher(SCHOOL, 1) };
        assert_eq!(reason(world.create_teacher(&world.admin, same_person).await), Reason::IdentityTaken);
        let same_number = Teacher { teacher_number: "T00001".into(), name: "teachers/x".into(), ..teacher(SCHOOL, 2) };
        let message =
            proto::roster::v1::CreateTeacherRequest { teacher: Some(same_number), request_id: "other".into() };
        let request = world.request("TeacherService/CreateTeacher", &world.admin, message);
        assert_eq!(fields(world.service.create_teacher(request).await), ["teacher.teacher_number"]);
        assert!(world.create_teacher(&world.officer, teacher(OTHER_SCHOOL, 3)).await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn other_keys_than_before_are_noticed_by_what_is_there() {
    on_both(async |world| {
        let sealed = async || store::teachers::sealed_by_each_key(&mut world.service.db.reader()).await.unwrap();
        assert!(sealed().await.is_empty());
        for n in 1..=3 {
            world.create_teacher(&world.admin, teacher(SCHOOL, n)).await.unwrap();
        }
        assert_eq!(sealed().await.len(), 2, "the first and the last");
        world.service.vault.fits(&sealed().await).unwrap();
        let keys = BTreeMap::from([("k1".to_owned(), Key([7; 32]))]);
        let identity = IdentityConfig { current: "k1".into(), keys, index_key: Key([2; 32]) };
        let other = Vault::new(&identity, world.service.db.env().clone()).unwrap();
        assert!(other.fits(&sealed().await).unwrap_err().to_string().contains("identity.keys.k1"));
    })
    .await;
}

#[tokio::test]
async fn of_two_at_once_one_creates_the_person() {
    on_both(async |world| {
        let create = async |n: u32| {
            let given = Teacher { teacher_number: format!("T{n}"), ..teacher(SCHOOL, 1) };
            world.create_teacher(&world.admin, given).await
        };
        let (a, b, c) = tokio::join!(create(1), create(2), create(3));
        let outcomes = [a, b, c];
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        for outcome in outcomes.into_iter().filter(Result::is_err) {
            assert_eq!(reason(outcome), Reason::IdentityTaken);
        }
    })
    .await;
}

#[tokio::test]
async fn a_school_and_a_bureau_keep_their_own() {
    on_both(async |world| {
        for school in [OTHER_SCHOOL, ELSEWHERE] {
            assert_eq!(reason(world.create_teacher(&world.admin, teacher(school, 1)).await), Reason::OutOfScope);
        }
        assert_eq!(reason(world.create_teacher(&world.officer, teacher(ELSEWHERE, 1)).await), Reason::OutOfScope);
        let created = world.create_teacher(&world.officer, teacher(OTHER_SCHOOL, 1)).await.unwrap();
        assert_eq!(reason(world.get_teacher(&world.admin, &created.name).await), Reason::OutOfScope);
        let district = person("accounts/d", "", &[(Role::DistrictOfficer, "organizations/district")]);
        assert_eq!(reason(world.get_teacher(&district, &created.name).await), Reason::OutOfScope);
        let own = world.create_teacher(&world.admin, teacher(SCHOOL, 2)).await.unwrap();
        assert!(world.get_teacher(&district, &own.name).await.is_ok());
        assert_eq!(reason(world.get_teacher(&me("teachers/other"), &own.name).await), Reason::OutOfScope);
        assert_eq!(reason(world.get_teacher(&world.officer, "teachers/none").await), Reason::NotFound);
    })
    .await;
}

#[tokio::test]
async fn outside_the_window_nothing_is_entered() {
    on_both(async |world| {
        let message =
            proto::roster::v1::CreateTeacherRequest { teacher: Some(teacher(SCHOOL, 1)), request_id: "late".into() };
        let request = world.request_at("TeacherService/CreateTeacher", &world.admin, AT + 80 * DAY, message);
        assert_eq!(reason(world.service.create_teacher(request).await), Reason::WindowClosed);
    })
    .await;
}

#[tokio::test]
async fn an_own_correction_waits_for_the_school() {
    on_both(async |world| {
        let created = world.create_teacher(&world.admin, teacher(SCHOOL, 1)).await.unwrap();
        let me = me(&created.name);
        let given = Teacher { tier: "backbone".into(), phone: "10099999999".into(), ..created.clone() };
        let asked = update(&world, &me, given.clone(), &["tier", "phone"], "a").await.unwrap();
        assert_eq!((asked.tier.as_str(), asked.phone.as_str()), ("competent", "10099999999"));
        assert_eq!(asked.pending_fields, ["tier"]);
        assert_eq!(world.last::<TeacherFacts>(&created.name).await.1.tier, "competent");

        let stale = update(&world, &world.admin, given.clone(), &["tier"], "b").await;
        assert_eq!(reason(stale), Reason::EtagMismatch);
        let forbidden = Teacher { post: "management".into(), name: created.name.clone(), ..Teacher::default() };
        assert_eq!(fields(update(&world, &me, forbidden, &["post"], "c").await), ["teacher.post"]);
        let unknown = Teacher { name: created.name.clone(), ..Teacher::default() };
        assert_eq!(
            fields(update(&world, &me, unknown, &["school", "colour"], "d").await),
            ["teacher.school", "update_mask.paths[1]"]
        );

        // Nobody confirms his own, not even an administrator.
        let himself = person("accounts/me", &created.name, &[(Role::SchoolAdmin, SCHOOL)]);
        assert_eq!(reason(confirm(&world, &himself, &created.name, true, "e").await), Reason::OwnCorrection);
        let other = person("accounts/b", "", &[(Role::SchoolAdmin, OTHER_SCHOOL)]);
        assert_eq!(reason(confirm(&world, &other, &created.name, true, "f").await), Reason::OutOfScope);

        let refused = confirm(&world, &world.admin, &created.name, false, "g").await.unwrap();
        assert_eq!((refused.tier.as_str(), refused.pending_fields.len()), ("competent", 0));
        assert_eq!(reason(confirm(&world, &world.admin, &created.name, true, "h").await), Reason::StateConflict);
        let given = Teacher { etag: String::new(), ..given };
        update(&world, &me, given, &["tier"], "i").await.unwrap();
        let accepted = confirm(&world, &world.admin, &created.name, true, "j").await.unwrap();
        assert_eq!((accepted.tier.as_str(), accepted.pending_fields.len()), ("backbone", 0));
        let (verb, facts) = world.last::<TeacherFacts>(&created.name).await;
        assert_eq!((verb.as_str(), facts.tier.as_str()), ("correction_confirmed", "backbone"));

        let sql = "SELECT reason, accepted, fields, policy_version FROM correction_decision ORDER BY version";
        let decisions = world.service.db.reader().all(sql, vec![]).await.unwrap();
        assert_eq!(decisions.len(), 2);
        assert_eq!(decisions[0].get::<String>("reason").unwrap(), "任职年限不足");
        assert_eq!(decisions[1].get::<String>("fields").unwrap(), r#"{"tier":"backbone"}"#);
        assert_eq!(decisions[1].get::<i64>("policy_version").unwrap(), 1);
        assert!(
            world.changes().await.iter().all(|change| change.reason.is_ascii()),
            "changes carry coded reasons only"
        );
    })
    .await;
}

#[tokio::test]
async fn a_teacher_of_several_stages_and_subjects() {
    on_both(async |world| {
        let lists = |codes: &[&str]| codes.iter().map(ToString::to_string).collect::<Vec<_>>();
        let given =
            Teacher { stages: lists(&["primary", "junior"]), subjects: lists(&["music", "art"]), ..teacher(SCHOOL, 1) };
        let created = world.create_teacher(&world.admin, given.clone()).await.unwrap();
        assert_eq!((&created.stages, &created.subjects), (&given.stages, &given.subjects));
        let (_, facts) = world.last::<TeacherFacts>(&created.name).await;
        assert_eq!((&facts.stages, &facts.subjects), (&given.stages, &given.subjects));

        // Which one is the main one is the school's to confirm, as everything else in a list.
        let me = me(&created.name);
        let asked = Teacher { subjects: lists(&["art", "music"]), ..created.clone() };
        let pending = update(&world, &me, asked, &["subjects"], "a").await.unwrap();
        assert_eq!((pending.pending_fields, pending.subjects), (lists(&["subjects"]), lists(&["music", "art"])));
        let confirmed = confirm(&world, &world.admin, &created.name, true, "b").await.unwrap();
        assert_eq!(confirmed.subjects, ["art", "music"]);
        assert_eq!(world.last::<TeacherFacts>(&created.name).await.1.subjects, ["art", "music"]);

        let named = |stages: &[&str], subjects: &[&str]| Teacher {
            name: created.name.clone(),
            stages: lists(stages),
            subjects: lists(subjects),
            ..Teacher::default()
        };
        let mask = ["stages", "subjects"];
        let outcome = update(&world, &world.admin, named(&[], &["art", "art"]), &mask, "c").await;
        assert_eq!(fields(outcome), ["teacher.stages", "teacher.subjects"]);
        let outcome = update(&world, &world.admin, named(&["primary", "tertiary"], &[""]), &mask, "d").await;
        assert_eq!(fields(outcome), ["teacher.stages", "teacher.subjects"]);
        let old = update(&world, &world.admin, named(&["primary"], &["art"]), &["stage"], "e").await;
        assert_eq!(fields(old), ["update_mask.paths[0]"]);
        let cell = update(&world, &world.admin, named(&["junior;senior"], &["art"]), &mask, "f").await.unwrap();
        assert_eq!(cell.stages, ["junior", "senior"], "as a roster file's cell has them");
    })
    .await;
}

#[tokio::test]
async fn an_appointment_as_principal_is_the_schools_to_enter() {
    on_both(async |world| {
        let created = world.create_teacher(&world.admin, teacher(SCHOOL, 1)).await.unwrap();
        let appointed = |on| Teacher { name: created.name.clone(), principal_appointed_on: on, ..Teacher::default() };
        let mask = ["principal_appointed_on"];
        let on = Some(day(2019, 8, 1));
        let own = update(&world, &me(&created.name), appointed(on), &mask, "a").await;
        assert_eq!(fields(own), ["teacher.principal_appointed_on"]);
        let updated = update(&world, &world.officer, appointed(on), &mask, "b").await.unwrap();
        assert_eq!(updated.principal_appointed_on, on);
        assert_eq!(world.last::<TeacherFacts>(&created.name).await.1.principal_appointed_on, on);
        let late = update(&world, &world.officer, appointed(Some(day(2021, 8, 1))), &mask, "c").await;
        assert_eq!(fields(late), ["teacher.principal_appointed_on"]);
        let mistaken = update(&world, &world.officer, appointed(None), &mask, "d").await.unwrap();
        assert_eq!(mistaken.principal_appointed_on, None);
    })
    .await;
}

#[tokio::test]
async fn an_administrator_corrects_himself_as_a_teacher_does() {
    on_both(async |world| {
        let created = world.create_teacher(&world.admin, teacher(SCHOOL, 1)).await.unwrap();
        let himself = person("accounts/me", &created.name, &[(Role::Teacher, SCHOOL), (Role::SchoolAdmin, SCHOOL)]);
        let given = Teacher { name: created.name.clone(), tier: "backbone".into(), ..Teacher::default() };
        assert_eq!(update(&world, &himself, given, &["tier"], "a").await.unwrap().pending_fields, ["tier"]);
    })
    .await;
}

#[tokio::test]
async fn a_school_corrects_at_once_even_an_identity_number() {
    on_both(async |world| {
        let created = world.create_teacher(&world.admin, teacher(SCHOOL, 1)).await.unwrap();
        world.create_teacher(&world.admin, teacher(SCHOOL, 2)).await.unwrap();
        let given =
            |n| Teacher { name: created.name.clone(), identity_number: identity_number(n), ..Teacher::default() };
        assert_eq!(
            reason(update(&world, &world.admin, given(2), &["identity_number"], "a").await),
            Reason::IdentityTaken
        );
        let after = update(&world, &world.admin, given(3003), &["identity_number"], "b").await.unwrap();
        assert!(after.identity_number.ends_with(&identity_number(3003)[14..]));
        assert_eq!(after.etag, "v2");
    })
    .await;
}

#[tokio::test]
async fn a_listing_is_scoped_filtered_and_paged() {
    on_both(async |world| {
        for n in 1..=5 {
            world.create_teacher(&world.admin, teacher(SCHOOL, n)).await.unwrap();
        }
        let chinese = Teacher { subjects: vec!["mathematics".into(), "chinese".into()], ..teacher(OTHER_SCHOOL, 6) };
        world.create_teacher(&world.officer, chinese).await.unwrap();
        let list = async |actor: &Actor, message: ListTeachersRequest| {
            let request = world.request("TeacherService/ListTeachers", actor, message);
            world.service.list_teachers(request).await
        };
        let query = ListTeachersRequest { page_size: 2, ..ListTeachersRequest::default() };
        let mut found = Vec::new();
        let mut page_token = String::new();
        loop {
            let page = reply(list(&world.officer, ListTeachersRequest { page_token, ..query.clone() }).await);
            assert_eq!(page.total_size, 6);
            found.extend(page.teachers.into_iter().map(|teacher| teacher.teacher_number));
            page_token = page.next_page_token.clone();
            if page_token.is_empty() {
                break;
            }
            let other_query =
                ListTeachersRequest { page_token: page_token.clone(), stage: "junior".into(), ..query.clone() };
            assert_eq!(reason(list(&world.officer, other_query).await), Reason::PageTokenInvalid);
        }
        found.sort();
        assert_eq!(found, ["T00001", "T00002", "T00003", "T00004", "T00005", "T00006"]);

        let total = async |actor: &Actor, message: ListTeachersRequest| reply(list(actor, message).await).total_size;
        assert_eq!(total(&world.admin, ListTeachersRequest::default()).await, 5);
        let of = |organization: &str, query: &str, subject: &str| ListTeachersRequest {
            organization: organization.into(),
            query: query.into(),
            subject: subject.into(),
            ..ListTeachersRequest::default()
        };
        assert_eq!(total(&world.officer, of(COUNTY, "", "chinese")).await, 1);
        assert_eq!(total(&world.officer, of(COUNTY, "", "mathematics")).await, 6, "any of those taught");
        assert_eq!(total(&world.officer, of(COUNTY, "", "mathe")).await, 0);
        assert_eq!(total(&world.officer, of("", "教师", "")).await, 6);
        assert_eq!(total(&world.officer, of("", "师0003", "")).await, 1);
        assert_eq!(total(&world.officer, of("", "T00004", "")).await, 1);
        assert_eq!(total(&world.officer, of("", "%", "")).await, 0);
        assert_eq!(reason(list(&world.admin, of(OTHER_SCHOOL, "", "")).await), Reason::OutOfScope);
        assert_eq!(reason(list(&world.admin, of(COUNTY, "", "")).await), Reason::OutOfScope);
    })
    .await;
}

#[tokio::test]
async fn the_position_at_which_the_window_closed_is_recorded_and_told_once() {
    on_both(async |world| {
        world.create_teacher(&world.admin, teacher(SCHOOL, 1)).await.unwrap();
        let step = RunStepRequest {
            term: TERM.into(),
            action: Action::RecordRosterPosition.into(),
            window: "roster-update".into(),
            gate_version: 1,
            ..RunStepRequest::default()
        };
        let mut positions = Vec::new();
        for _ in 0..2 {
            let mut tx = world.service.db.batch(TERM, Lane::Main).await.unwrap();
            let outcome = RosterSteps(world.service.clone()).run(&mut tx, &step).await.unwrap();
            positions.push((outcome.changed, outcome.counts["position"]));
            tx.finish().await.unwrap();
        }
        let (_, position) = positions[0];
        assert!(position > 0);
        // The change that tells it has moved the feed; what was recorded stays.
        assert_eq!(positions, [(1, position), (0, position)]);
        let changes = world.changes().await;
        let told: Vec<_> = changes.iter().filter(|change| change.verb == "roster_position_recorded").collect();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].resource, format!("{TERM}/windows/roster-update"));
        let facts = chassis::changes::decode::<RosterPosition>(told[0]).unwrap().unwrap();
        assert_eq!((facts.position, facts.gate_version), (position, 1));
    })
    .await;
}
