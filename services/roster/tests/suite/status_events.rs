//! Status events and what they do to accounts.

use chassis::testing::person;
use proto::{
    Actor,
    common::v1::{Reason, Role, RoleGrant},
    google::r#type::Date,
    roster::v1::{
        Account, AccountFacts, CreateAccountRequest, GrantRoleRequest, Leave, ListStatusEventsRequest,
        RecordStatusEventRequest, RecordStatusEventResponse, RoleHeld, StatusEvent, TeacherFacts, account::State,
        account_service_server::AccountService as _, status_event::Kind, teacher,
        teacher_service_server::TeacherService as _,
    },
};
use tonic::Status;

use crate::world::{
    AT, COUNTY, DAY, ELSEWHERE, OTHER_SCHOOL, PASSWORD, SCHOOL, World, day, fields, on_both, reason, reply,
    teacher as entry,
};

async fn record(
    world: &World,
    actor: &Actor,
    teacher: &str,
    event: StatusEvent,
) -> Result<RecordStatusEventResponse, Status> {
    let request_id = format!("{:?}", event);
    let message = RecordStatusEventRequest {
        teacher: teacher.into(),
        event: Some(event),
        request_id: request_id[..request_id.len().min(120)].into(),
    };
    // Months after the window for the roster: events are taken at any time.
    let request = world.request_at("TeacherService/RecordStatusEvent", actor, AT + 100 * DAY, message);
    Ok(world.service.record_status_event(request).await?.into_inner())
}

fn event(kind: Kind, on: Date) -> StatusEvent {
    StatusEvent { kind: kind.into(), effective_on: Some(on), reason: "rotation".into(), ..StatusEvent::default() }
}

/// A teacher who is also his school's principal, with an account.
async fn principal(world: &World) -> (String, String) {
    let teacher = world.create_teacher(&world.admin, entry(SCHOOL, 1)).await.unwrap();
    let account = Account {
        login: "principal".into(),
        display_name: "示例教师0001".into(),
        teacher: teacher.name.clone(),
        ..Account::default()
    };
    let message = CreateAccountRequest { account: Some(account), password: PASSWORD.into(), request_id: "p".into() };
    let request = world.request("AccountService/CreateAccount", &world.officer, message);
    let account = reply(world.service.create_account(request).await).account.unwrap();
    assert_eq!(account.roles.len(), 1, "a teacher's account acts as that teacher");
    let grant = RoleGrant { role: Role::Principal.into(), organization: SCHOOL.into() };
    let role = RoleHeld { grant: Some(grant), from: None, until: None };
    let message = GrantRoleRequest { name: account.name.clone(), role: Some(role), request_id: "g".into() };
    let request = world.request("AccountService/GrantRole", &world.officer, message);
    assert_eq!(reply(world.service.grant_role(request).await).account.unwrap().roles.len(), 2);
    assert_eq!(world.last::<TeacherFacts>(&teacher.name).await.1.account, account.name);
    (teacher.name, account.name)
}

fn roles(facts: &AccountFacts) -> Vec<(Role, &str)> {
    let grants = facts.roles.iter().filter_map(|held| held.grant.as_ref());
    grants.map(|grant| (grant.role(), grant.organization.as_str())).collect()
}

#[tokio::test]
async fn a_transfer_takes_the_teacher_and_his_role_along() {
    on_both(async |world| {
        let (name, account) = principal(&world).await;
        let transfer = |school: &str| StatusEvent { school: school.into(), ..event(Kind::Transfer, day(2019, 9, 1)) };
        assert_eq!(fields(record(&world, &world.officer, &name, transfer(COUNTY)).await), ["event.school"]);
        let done = record(&world, &world.admin, &name, transfer(OTHER_SCHOOL)).await.unwrap();
        assert_eq!(done.teacher.unwrap().school, OTHER_SCHOOL);
        let (verb, facts) = world.last::<TeacherFacts>(&name).await;
        assert_eq!((verb.as_str(), facts.path.len()), ("transferred", 3));
        assert_eq!(facts.platform_entered_on, Some(day(2016, 9, 1)), "kept through transfers");
        let facts = world.last::<AccountFacts>(&account).await.1;
        assert_eq!(roles(&facts), [(Role::Teacher, OTHER_SCHOOL)], "the principal's role ended with the school");
        // The old school keeps him no more.
        assert_eq!(
            reason(record(&world, &world.admin, &name, event(Kind::Retirement, day(2019, 9, 2))).await),
            Reason::OutOfScope
        );
    })
    .await;
}

#[tokio::test]
async fn a_leave_is_told_and_a_return_ends_it() {
    on_both(async |world| {
        let (name, _) = principal(&world).await;
        let leave = StatusEvent { until: Some(day(2019, 12, 31)), ..event(Kind::Leave, day(2019, 9, 1)) };
        let done = record(&world, &world.admin, &name, leave).await.unwrap();
        assert_eq!(done.teacher.unwrap().status(), teacher::Status::OnLeave);
        let (verb, facts) = world.last::<TeacherFacts>(&name).await;
        assert_eq!((verb.as_str(), facts.status()), ("leave_granted", teacher::Status::OnLeave));
        assert_eq!(facts.leaves, [Leave { first_on: Some(day(2019, 9, 1)), last_on: Some(day(2019, 12, 31)) }]);
        record(&world, &world.admin, &name, event(Kind::Return, day(2019, 9, 20))).await.unwrap();
        let facts = world.last::<TeacherFacts>(&name).await.1;
        assert_eq!(facts.status(), teacher::Status::Active);
        assert_eq!(facts.leaves, [Leave { first_on: Some(day(2019, 9, 1)), last_on: Some(day(2019, 9, 19)) }]);
        let again = record(&world, &world.admin, &name, event(Kind::Return, day(2019, 9, 21))).await;
        assert_eq!(reason(again), Reason::StateConflict);
        let message = ListStatusEventsRequest { teacher: name };
        let request = world.request("TeacherService/ListStatusEvents", &world.officer, message);
        assert_eq!(reply(world.service.list_status_events(request).await).events.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn who_retires_acts_for_the_school_no_more_and_only_the_bureau_brings_him_back() {
    on_both(async |world| {
        let (name, account) = principal(&world).await;
        record(&world, &world.admin, &name, event(Kind::Retirement, day(2019, 9, 1))).await.unwrap();
        assert_eq!(world.last::<TeacherFacts>(&name).await.1.status(), teacher::Status::Retired);
        assert_eq!(roles(&world.last::<AccountFacts>(&account).await.1), [(Role::Teacher, SCHOOL)]);
        let back = event(Kind::Return, day(2019, 9, 10));
        assert_eq!(reason(record(&world, &world.admin, &name, back.clone()).await), Reason::OutOfScope);
        record(&world, &world.officer, &name, back).await.unwrap();
        assert_eq!(world.last::<TeacherFacts>(&name).await.1.status(), teacher::Status::Active);
        record(&world, &world.officer, &name, event(Kind::Death, day(2019, 9, 20))).await.unwrap();
        assert_eq!(world.last::<AccountFacts>(&account).await.1.state(), State::Suspended);
    })
    .await;
}

#[tokio::test]
async fn bad_events_are_refused_with_every_fault() {
    on_both(async |world| {
        let (name, _) = principal(&world).await;
        let bad = StatusEvent { reason: "调往他校".into(), ..event(Kind::Leave, day(2019, 2, 30)) };
        assert_eq!(fields(record(&world, &world.admin, &name, bad).await), ["event.effective_on", "event.reason"]);
        let bad = StatusEvent {
            school: ELSEWHERE.into(),
            until: Some(day(2030, 1, 1)),
            ..event(Kind::Death, day(2030, 1, 1))
        };
        assert_eq!(
            fields(record(&world, &world.admin, &name, bad).await),
            ["event.effective_on", "event.until", "event.school"]
        );
        let stranger = person("accounts/x", "", &[(Role::SchoolAdmin, OTHER_SCHOOL)]);
        let outcome = record(&world, &stranger, &name, event(Kind::Departure, day(2019, 9, 1))).await;
        assert_eq!(reason(outcome), Reason::OutOfScope);
    })
    .await;
}
