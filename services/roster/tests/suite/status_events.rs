//! Status events and what they do to accounts.

use chassis::testing::person;
use proto::{
    Actor,
    common::v1::{Reason, Role, RoleGrant},
    google::r#type::Date,
    roster::v1::{
        Account, AccountFacts, CreateAccountRequest, GrantRoleRequest, Leave, ListStatusEventsRequest,
        RecordStatusEventRequest, RecordStatusEventResponse, RoleHeld, StatusEvent, TeacherFacts,
        WithdrawStatusEventRequest, WithdrawStatusEventResponse,
        account::State,
        account_service_server::AccountService as _,
        status_event::{self, Kind},
        teacher,
        teacher_service_server::TeacherService as _,
    },
};
use roster::api::Coming;
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

async fn withdraw(world: &World, actor: &Actor, name: &str) -> Result<WithdrawStatusEventResponse, Status> {
    let request_id = format!("withdraw {name} {}", actor.account);
    let message = WithdrawStatusEventRequest { name: name.into(), reason: "mistake".into(), request_id };
    let request = world.request_at("TeacherService/WithdrawStatusEvent", actor, AT + 100 * DAY, message);
    Ok(world.service.withdraw_status_event(request).await?.into_inner())
}

impl World {
    /// Midnight comes, so many days after AT's day, and what is due is carried out, by two replicas at once.
    async fn comes(&self, days: i64) {
        let midnight = AT - 9 * 3_600_000_000 + days * DAY;
        let (one, other) = (Coming(self.service.clone()), Coming(self.service.clone()));
        let (one, other) = tokio::join!(one.carry_out_at(midnight), other.carry_out_at(midnight));
        one.unwrap();
        other.unwrap();
    }

    /// Verbs of a resource's changes.
    async fn verbs(&self, resource: &str) -> Vec<String> {
        let changes = self.changes().await.into_iter().filter(|change| change.resource == resource);
        changes.map(|change| change.verb).collect()
    }
}

fn stays(facts: &TeacherFacts) -> Vec<(String, &str, teacher::Status)> {
    let stays = facts.stays.iter();
    stays.map(|stay| (proto::date_text(stay.from_on.as_ref()), stay.school.as_str(), stay.status())).collect()
}

// Recorded on 2019-09-25, which is day 100.
#[tokio::test]
async fn what_is_to_come_waits_for_its_day() {
    on_both(async |world| {
        let (name, account) = principal(&world).await;
        let retirement = event(Kind::Retirement, day(2019, 10, 5));
        let done = record(&world, &world.admin, &name, retirement).await.unwrap();
        assert_eq!(done.event.unwrap().state(), status_event::State::Coming);
        let told = done.teacher.unwrap();
        assert_eq!((told.status(), told.coming_events.len()), (teacher::Status::Active, 1));
        let transfer = StatusEvent { school: OTHER_SCHOOL.into(), ..event(Kind::Transfer, day(2019, 10, 1)) };
        let told = record(&world, &world.admin, &name, transfer).await.unwrap().teacher.unwrap();
        let waits: Vec<_> = told.coming_events.iter().map(|event| event.kind()).collect();
        assert_eq!((told.school.as_str(), waits), (SCHOOL, vec![Kind::Transfer, Kind::Retirement]));
        let (verb, facts) = world.last::<TeacherFacts>(&name).await;
        assert_eq!(
            (verb.as_str(), facts.school.as_str(), facts.status()),
            ("transfer_coming", SCHOOL, teacher::Status::Active)
        );
        let (active, retired) = (teacher::Status::Active, teacher::Status::Retired);
        let foreseen = [
            (String::new(), SCHOOL, active),
            ("2019-10-01".into(), OTHER_SCHOOL, active),
            ("2019-10-05".into(), OTHER_SCHOOL, retired),
        ];
        assert_eq!(stays(&facts), foreseen);
        assert_eq!(roles(&world.last::<AccountFacts>(&account).await.1).len(), 2, "he acts as before");

        world.comes(105).await;
        assert_eq!(world.get_teacher(&world.officer, &name).await.unwrap().school, SCHOOL, "the eve");
        world.comes(106).await;
        let (verb, facts) = world.last::<TeacherFacts>(&name).await;
        assert_eq!((verb.as_str(), facts.school.as_str(), facts.status()), ("transferred", OTHER_SCHOOL, active));
        assert_eq!(stays(&facts), foreseen);
        assert_eq!(roles(&world.last::<AccountFacts>(&account).await.1), [(Role::Teacher, OTHER_SCHOOL)]);
        world.comes(110).await;
        let (verb, facts) = world.last::<TeacherFacts>(&name).await;
        assert_eq!((verb.as_str(), facts.status()), ("retired", retired));
        assert_eq!(stays(&facts), foreseen);
        let verbs = world.verbs(&name).await;
        assert_eq!(verbs[verbs.len() - 4..], ["retirement_coming", "transfer_coming", "transferred", "retired"]);
        let message = ListStatusEventsRequest { teacher: name };
        let request = world.request("TeacherService/ListStatusEvents", &world.officer, message);
        let events = reply(world.service.list_status_events(request).await).events;
        assert!(events.iter().all(|event| event.state() == status_event::State::Done), "{events:?}");
    })
    .await;
}

#[tokio::test]
async fn several_days_may_have_passed() {
    on_both(async |world| {
        let (name, _) = principal(&world).await;
        let transfer = |school: &str, on| StatusEvent { school: school.into(), ..event(Kind::Transfer, on) };
        for event in [
            transfer(OTHER_SCHOOL, day(2019, 10, 1)),
            transfer(ELSEWHERE, day(2019, 11, 1)),
            event(Kind::Departure, day(2019, 12, 1)),
            event(Kind::Return, day(2020, 2, 1)),
        ] {
            record(&world, &world.officer, &name, event).await.unwrap();
        }
        world.comes(400).await;
        let verbs = world.verbs(&name).await;
        assert_eq!(verbs[verbs.len() - 4..], ["transferred", "transferred", "departed", "returned"]);
        let facts = world.last::<TeacherFacts>(&name).await.1;
        assert_eq!((facts.school.as_str(), facts.status(), facts.stays.len()), (ELSEWHERE, teacher::Status::Active, 5));
    })
    .await;
}

#[tokio::test]
async fn what_waits_is_withdrawn_and_stays_possible() {
    on_both(async |world| {
        let (name, _) = principal(&world).await;
        let leave = StatusEvent { until: Some(day(2019, 12, 31)), ..event(Kind::Leave, day(2019, 9, 1)) };
        record(&world, &world.admin, &name, leave).await.unwrap();
        let retirement = record(&world, &world.admin, &name, event(Kind::Retirement, day(2019, 11, 1))).await.unwrap();
        let retirement = retirement.event.unwrap().name;
        // By then he will be gone: no departure, and no leave.
        let departure = event(Kind::Departure, day(2019, 10, 15));
        assert_eq!(fields(record(&world, &world.admin, &name, departure.clone()).await), ["event.effective_on"]);
        let leave = event(Kind::Leave, day(2019, 11, 2));
        assert_eq!(reason(record(&world, &world.admin, &name, leave).await), Reason::StateConflict);
        let stranger = person("accounts/x", "", &[(Role::SchoolAdmin, OTHER_SCHOOL)]);
        assert_eq!(reason(withdraw(&world, &stranger, &retirement).await), Reason::OutOfScope);
        let none = format!("{name}/statusEvents/none");
        assert_eq!(reason(withdraw(&world, &world.admin, &none).await), Reason::NotFound);
        let done = withdraw(&world, &world.admin, &retirement).await.unwrap();
        assert_eq!(done.event.unwrap().state(), status_event::State::Withdrawn);
        let told = done.teacher.unwrap();
        assert_eq!((told.status(), told.coming_events.len()), (teacher::Status::OnLeave, 0));
        let (verb, facts) = world.last::<TeacherFacts>(&name).await;
        assert_eq!(
            (verb.as_str(), stays(&facts)),
            ("event_withdrawn", vec![(String::new(), SCHOOL, teacher::Status::Active)])
        );
        assert_eq!(facts.leaves[0].last_on, Some(day(2019, 12, 31)), "the leave is as it was");
        assert_eq!(reason(withdraw(&world, &world.officer, &retirement).await), Reason::StateConflict);
        let past = record(&world, &world.admin, &name, departure).await.unwrap().event.unwrap().name;
        world.comes(140).await;
        assert_eq!(world.last::<TeacherFacts>(&name).await.0, "departed", "not retired");
        assert_eq!(reason(withdraw(&world, &world.officer, &past).await), Reason::StateConflict, "it has come to pass");
    })
    .await;
}

#[tokio::test]
async fn what_is_dated_back_counts_from_its_day() {
    on_both(async |world| {
        let (name, _) = principal(&world).await;
        let transfer = StatusEvent { school: OTHER_SCHOOL.into(), ..event(Kind::Transfer, day(2019, 3, 1)) };
        let done = record(&world, &world.officer, &name, transfer).await.unwrap();
        assert_eq!(done.event.unwrap().state(), status_event::State::Done);
        let (verb, facts) = world.last::<TeacherFacts>(&name).await;
        assert_eq!((verb.as_str(), facts.school.as_str()), ("transferred", OTHER_SCHOOL));
        let active = teacher::Status::Active;
        assert_eq!(stays(&facts), [(String::new(), SCHOOL, active), ("2019-03-01".into(), OTHER_SCHOOL, active)]);
        // What has come to pass is not altered by something of an earlier day.
        let before = event(Kind::Retirement, day(2019, 2, 1));
        assert_eq!(fields(record(&world, &world.officer, &name, before).await), ["event.effective_on"]);
    })
    .await;
}
