//! The store suite: what the service does with a database, on both engines.

#![allow(clippy::expect_used, clippy::panic, reason = "tests say what they expect by failing")]

mod support;

use chassis::{db::Queries as _, testing};
use enrollment::api::Api;
use proto::{
    common::v1::{Action, Reason, Role},
    credit::v1::{Entry, entry},
    enrollment::v1::{
        Attendance, CheckEligibilityRequest, ConfirmResultsRequest, CorrectResultRequest, CorrectSelectionRequest,
        GrantOverrideRequest, IssueNoticeRequest, ListBarredRequest, ListNonSelectorsRequest, ListNotificationsRequest,
        ListSelectionsRequest, OrderSelectionsRequest, RecordAttendanceRequest, RecordResultsRequest, ResultFacts,
        Selection, UrgeTeachersRequest, inbox_service_server::InboxService as _,
        notice_service_server::NoticeService as _, provider_decision::Verdict,
        review_service_server::ReviewService as _, selection, selection_service_server::SelectionService as _,
        training_service_server::TrainingService as _,
    },
    roster::v1::{Leave, teacher},
};
use support::{
    CONFIRMATION_1, DAY, Menu, OPENS, OTHER, REVIEW_1, REVIEW_2, SCHOOL, SELECTION_1, SELECTION_2, TRAINING, World,
    admin, as_teacher, bureau, databases, intake, other_admin, provider, reason, reasons, teacher,
};

const fn at(days: i64) -> i64 {
    OPENS + days * DAY
}

fn menu() -> Vec<Menu> {
    let item = |id, places, credits, day| Menu { id, places, credits, day, sessions: 10 };
    vec![
        item("a", 2, 30, 40),
        item("b", 30, 30, 45),
        item("c", 30, 90, 60),
        item("d", 30, 120, 80),
        item("e", 30, 30, 100),
        item("f", 30, 30, 120),
    ]
}

macro_rules! on_both_engines {
    ($($name:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            for (index, database) in databases().await.iter().enumerate() {
                suite::$name(&database.db, &format!("terms/{}-{index}", stringify!($name))).await;
            }
        }
    )*};
}
on_both_engines!(
    selecting,
    one_request_once,
    the_last_places_under_many_replicas,
    reviewing,
    settling_and_waiting,
    from_place_to_credit,
    people_come_and_go,
    projects_go,
    round_two,
    steps_run_twice,
    the_bureau_corrects,
);

mod suite {
    use chassis::db::{Db, args};

    use super::*;

    pub async fn selecting(db: &Db, term: &str) {
        let world = World::new(db, term, &["t1", "t2", "other1"], &menu()).await;
        let when = at(SELECTION_1);
        let a = world.submit("t1", "a", when).await.expect("a");
        assert_eq!(a.state(), selection::State::Submitted);
        assert_eq!((a.preference, a.policy_version, a.school.as_str()), (1, 3, SCHOOL));
        assert_eq!(reason(world.submit("t1", "b", when).await), Reason::SessionsOverlap);
        assert_eq!(reason(world.submit("t1", "a", when).await), Reason::AlreadySelected);
        world.submit("t1", "c", when).await.expect("c");
        assert_eq!(reason(world.submit("t1", "d", when).await), Reason::IntensiveLimit);
        let e = world.submit("t1", "e", when).await.expect("e");
        assert_eq!(reasons(world.submit("t1", "d", when).await), ["REASON_SELECTION_LIMIT", "REASON_INTENSIVE_LIMIT"]);
        assert_eq!(reason(world.submit("t1", "f", when).await), Reason::SelectionLimit);
        assert_eq!(reason(world.submit("t2", "nothing", when).await), Reason::NotFound);
        assert_eq!(reason(world.submit("t2", "a", at(16)).await), Reason::WindowClosed);

        // An administrator selects for a teacher of his school, who is told; nobody else does.
        let mut for_t2 = world.submission("a");
        for_t2.teacher = "teachers/t2".to_owned();
        let refused = world.submit_as(&world.api, &other_admin(), for_t2.clone(), when).await;
        assert_eq!(reason(refused), Reason::OutOfScope);
        world.submit_as(&world.api, &admin(), for_t2, when).await.expect("for t2");
        let inbox = world
            .api
            .list_notifications(world.request(
                "/shixun.enrollment.v1.InboxService/ListNotifications",
                &as_teacher("t2"),
                when,
                ListNotificationsRequest::default(),
            ))
            .await
            .expect("an inbox")
            .into_inner();
        assert_eq!(inbox.total_size, 1);
        assert_eq!(inbox.notifications[0].kind, "selection_submitted");
        assert!(inbox.notifications[0].zh.contains("/projects/a"));

        // Withdrawing makes room; ordering names every live selection once.
        world.withdraw(&as_teacher("t1"), &a.name, when).await.expect("withdrawn");
        assert_eq!(reason(world.withdraw(&as_teacher("t1"), &a.name, when).await), Reason::StateConflict);
        assert_eq!(reason(world.withdraw(&as_teacher("t2"), &e.name, when).await), Reason::OutOfScope);
        let again = world.submit("t1", "a", when).await.expect("again");
        assert_ne!(again.name, a.name);
        let mine = listed(&world, &as_teacher("t1"), ListSelectionsRequest::default()).await;
        assert_eq!(mine.len(), 4);
        let mut live: Vec<String> =
            mine.iter().filter(|one| one.state() == selection::State::Submitted).map(|one| one.name.clone()).collect();
        live.sort_by(|x, y| y.cmp(x));
        let order = |selections: Vec<String>| OrderSelectionsRequest {
            parent: world.term.clone(),
            selections,
            request_id: world.next(),
        };
        let path = "/shixun.enrollment.v1.SelectionService/OrderSelections";
        let short = world.request(path, &as_teacher("t1"), when, order(live[1..].to_vec()));
        assert_eq!(reason(world.api.order_selections(short).await), Reason::InvalidArgument);
        let whole = world.request(path, &as_teacher("t1"), when, order(live.clone()));
        let ordered = world.api.order_selections(whole).await.expect("ordered").into_inner().selections;
        assert_eq!(ordered.iter().map(|one| one.preference).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(ordered.iter().map(|one| one.name.clone()).collect::<Vec<_>>(), live);

        // Each sees his own scope.
        world.submit("other1", "b", when).await.expect("b");
        assert_eq!(listed(&world, &admin(), ListSelectionsRequest::default()).await.len(), 5);
        assert_eq!(listed(&world, &other_admin(), ListSelectionsRequest::default()).await.len(), 1);
        assert_eq!(listed(&world, &bureau(), ListSelectionsRequest::default()).await.len(), 6);
        assert_eq!(listed(&world, &provider(), ListSelectionsRequest::default()).await.len(), 6);
        let foreign = ListSelectionsRequest { teacher: "teachers/t1".to_owned(), ..ListSelectionsRequest::default() };
        assert!(listed(&world, &as_teacher("t2"), foreign).await.is_empty());

        // Who has selected nothing: nobody but those who did not.
        let path = "/shixun.enrollment.v1.SelectionService/CheckEligibility";
        let check = CheckEligibilityRequest { project: world.project("d"), teacher: String::new() };
        let checked = world.api.check_eligibility(world.request(path, &as_teacher("t1"), when, check.clone())).await;
        let checked = checked.expect("checked").into_inner();
        assert_eq!((checked.eligible, checked.round, checked.reasons.len()), (false, 1, 2));
        let late = world.api.check_eligibility(world.request(path, &as_teacher("t1"), at(-3), check)).await;
        let late = late.expect("checked").into_inner();
        assert_eq!((late.round, late.reasons[0].reason()), (0, Reason::WindowClosed));
        world.check_seats().await;
    }

    async fn listed(world: &World, actor: &proto::Actor, message: ListSelectionsRequest) -> Vec<Selection> {
        let path = "/shixun.enrollment.v1.SelectionService/ListSelections";
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let message = ListSelectionsRequest {
                parent: world.term.clone(),
                page_size: 2,
                page_token: token,
                ..message.clone()
            };
            let page = world.api.list_selections(world.request(path, actor, at(SELECTION_1), message)).await;
            let page = page.expect("a page").into_inner();
            all.extend(page.selections);
            token = page.next_page_token;
            if token.is_empty() {
                assert_eq!(i64::try_from(all.len()), Ok(page.total_size));
                return all;
            }
        }
    }

    pub async fn one_request_once(db: &Db, term: &str) {
        let world = World::new(db, term, &["t1"], &menu()).await;
        let message = world.submission("a");
        let actor = as_teacher("t1");
        // Together in one batch, and after it; the refused may be tried again under its id.
        let (one, two) = tokio::join!(
            world.submit_as(&world.api, &actor, message.clone(), at(SELECTION_1)),
            world.submit_as(&world.api, &actor, message.clone(), at(SELECTION_1)),
        );
        let (one, two) = (one.expect("one"), two.expect("two"));
        assert_eq!(one, two);
        let late = world.submit_as(&world.api, &actor, message.clone(), at(17)).await.expect("a replay");
        assert_eq!(one, late, "answered before, whatever has closed since");
        let mut other = message;
        other.project = world.project("c");
        assert_eq!(reason(world.submit_as(&world.api, &actor, other, at(SELECTION_1)).await), Reason::RequestIdReused);
        let refused = world.submission("b");
        let outcome = world.submit_as(&world.api, &actor, refused.clone(), at(SELECTION_1)).await;
        assert_eq!(reason(outcome), Reason::SessionsOverlap);
        world.withdraw(&actor, &one.name, at(SELECTION_1)).await.expect("withdrawn");
        world.submit_as(&world.api, &actor, refused, at(SELECTION_1)).await.expect("possible now");
    }

    pub async fn the_last_places_under_many_replicas(db: &Db, term: &str) {
        let ids: Vec<String> = (0..60).map(|index| format!("t{index}")).collect();
        let teachers: Vec<&str> = ids.iter().map(String::as_str).collect();
        let menu = [Menu { id: "hot", places: 25, credits: 30, day: 40, sessions: 3 }];
        let world = World::new(db, term, &teachers, &menu).await;
        // FIRST_COME in round 1 by the project's own allocation.
        let mut facts = world.facts(&menu[0]);
        facts.allocations = vec![proto::catalog::v1::Allocation {
            round: 1,
            policy: proto::catalog::v1::allocation::Policy::FirstCome.into(),
        }];
        world.publish(&facts).await;
        let replicas: Vec<Api> = (0..3).map(|_| Api::new(db.clone(), intake(db))).collect();
        let world = std::sync::Arc::new(world);
        let tries = teachers.iter().enumerate().map(|(index, id)| {
            let (world, api, id) = (world.clone(), replicas[index % 3].clone(), (*id).to_owned());
            tokio::spawn(async move {
                world.submit_as(&api, &as_teacher(&id), world.submission("hot"), at(SELECTION_1)).await
            })
        });
        let mut taken = 0;
        for one in tries.collect::<Vec<_>>() {
            match one.await.expect("a task") {
                Ok(_) => taken += 1,
                Err(status) => assert_eq!(reason(Err::<(), _>(status)), Reason::Full),
            }
        }
        assert_eq!(taken, 25);
        world.check_seats().await;

        // One teacher through three replicas at once: three selections and no fourth.
        let four = ["p", "q", "r", "s"];
        for (index, id) in four.iter().enumerate() {
            let day = 60 + 10 * i64::try_from(index).expect("small");
            world.publish(&world.facts(&Menu { id, places: 9, credits: 10, day, sessions: 2 })).await;
        }
        let tries = four.iter().enumerate().map(|(index, id)| {
            let (world, api, id) = (world.clone(), replicas[index % 3].clone(), (*id).to_owned());
            let actor = as_teacher("t59");
            tokio::spawn(async move { world.submit_as(&api, &actor, world.submission(&id), at(SELECTION_1)).await })
        });
        let mut accepted = 0;
        for one in tries.collect::<Vec<_>>() {
            accepted += i32::from(one.await.expect("a task").is_ok());
        }
        let before: i32 = i32::from(
            !db.reader()
                .all(
                    "SELECT name FROM selection WHERE teacher = 'teachers/t59' AND project = $1",
                    args![world.project("hot")],
                )
                .await
                .expect("rows")
                .is_empty(),
        );
        assert_eq!(accepted, 3 - before);
    }

    pub async fn reviewing(db: &Db, term: &str) {
        let world = World::new(db, term, &["t1", "t2", "head"], &menu()).await;
        world
            .account(&support::account(
                "accounts/head",
                "teachers/head",
                &[(Role::Teacher, SCHOOL), (Role::Principal, SCHOOL)],
            ))
            .await;
        let when = at(7);
        let mut unmatched = world.facts(&menu()[2]);
        unmatched.audience = Some(proto::catalog::v1::Audience {
            tiers: vec!["leader".to_owned()],
            ..proto::catalog::v1::Audience::default()
        });
        world.publish(&unmatched).await;
        let one = world.submit("t1", "a", when).await.expect("a");
        let differs = world.submit("t1", "c", when).await.expect("c warns only");
        assert!(!differs.matched);
        let own = world.submit("head", "a", when).await.expect("a");

        let approve = |name: &str| vec![(name.to_owned(), true, String::new())];
        let review = async |actor: &proto::Actor, decisions: Vec<(String, bool, String)>| {
            let decisions: Vec<(&str, bool, &str)> =
                decisions.iter().map(|(name, yes, why)| (name.as_str(), *yes, why.as_str())).collect();
            world.review(actor, &decisions, when).await
        };
        assert_eq!(reason(review(&other_admin(), approve(&one.name)).await), Reason::OutOfScope);
        assert_eq!(reason(review(&admin(), approve(&own.name)).await), Reason::ReviewedByBureau);
        let principal = testing::person("accounts/head", "teachers/head", &[(Role::Principal, SCHOOL)]);
        assert_eq!(reason(review(&principal, approve(&own.name)).await), Reason::OwnSelection);
        assert_eq!(reason(review(&bureau(), approve(&one.name)).await), Reason::ReviewedBySchool);
        assert_eq!(reason(review(&admin(), approve(&differs.name)).await), Reason::MatchReasonRequired);
        let bare = vec![(one.name.clone(), false, " ".to_owned())];
        assert_eq!(reason(review(&admin(), bare).await), Reason::InvalidArgument);
        let both = vec![(one.name.clone(), true, String::new()), (differs.name.clone(), true, "教研组需要".to_owned())];
        let reviewed = review(&admin(), both).await.expect("both");
        assert!(reviewed.iter().all(|one| one.state() == selection::State::SchoolApproved));
        assert_eq!(reviewed[1].reason_text, "教研组需要");
        review(&bureau(), approve(&own.name)).await.expect("the bureau reviews principals");

        // Taken back while the window is open, and not after it.
        let path = "/shixun.enrollment.v1.ReviewService/ReopenReview";
        let reopen = |when| {
            let message = proto::enrollment::v1::ReopenReviewRequest {
                name: one.name.clone(),
                reason: String::new(),
                request_id: world.next(),
            };
            world.api.reopen_review(world.request(path, &admin(), when, message))
        };
        reopen(when).await.expect("reopened");
        assert_eq!(world.state(&one.name).await, "submitted");
        assert_eq!(reason(reopen(at(16)).await), Reason::WindowClosed);

        // What a change carries has nothing that a person wrote.
        let rows = db.reader().all("SELECT body FROM change", args![]).await.expect("changes");
        let wrote = "教研组需要".as_bytes();
        assert!(rows.iter().all(|row| {
            let body: Vec<u8> = row.get("body").expect("bytes");
            !body.windows(wrote.len()).any(|part| part == wrote)
        }));
    }

    pub async fn settling_and_waiting(db: &Db, term: &str) {
        let world = World::new(db, term, &["t1", "t2", "t3", "t4", "t5"], &menu()).await;
        let mut names = Vec::new();
        for (index, id) in ["t1", "t2", "t3", "t4", "t5"].iter().enumerate() {
            let when = at(7) + i64::try_from(index).expect("small");
            names.push(world.submit(id, "a", when).await.expect("no upper limit").name);
        }
        let all: Vec<_> = names.iter().map(|name| (name.as_str(), true, "")).collect();
        world.review(&admin(), &all, at(8)).await.expect("approved");
        let when = at(CONFIRMATION_1) + 1;
        // Two places: confirming the last without a reason passes the first over.
        let passing = world.decide("a", &[(&names[4], Verdict::Confirm, "")], when).await;
        assert_eq!(reason(passing), Reason::DeviationReasonRequired);
        world.decide("a", &[(&names[4], Verdict::Confirm, "定向名额")], when).await.expect("with a reason");
        let over =
            world.decide("a", &[(&names[0], Verdict::Confirm, ""), (&names[1], Verdict::Confirm, "")], when).await;
        assert_eq!(reason(over), Reason::Full);
        assert_eq!(world.state(&names[0]).await, "school_approved", "all or nothing");
        let counts = world.step(Action::SettleConfirmation, "provider-confirmation-1", 19).await;
        assert_eq!((counts["confirmed"], counts["waitlisted"]), (1, 3));
        assert_eq!(world.state(&names[0]).await, "confirmed");
        world.check_seats().await;
        // A freed seat goes to the first who waits.
        let confirmed = world.withdraw(&bureau(), &names[0], at(20)).await.expect("the bureau, at any time");
        assert_eq!(confirmed.state(), selection::State::Withdrawn);
        assert_eq!(world.state(&names[1]).await, "confirmed");
        assert_eq!(world.state(&names[2]).await, "waitlisted");
        world.check_seats().await;
        // So do new places.
        let more = world.facts(&Menu { places: 3, ..menu().remove(0) });
        world.publish(&more).await;
        assert_eq!(world.state(&names[2]).await, "confirmed");
        let counts = world.step(Action::FreezeWaiting, "provider-confirmation-2", 28).await;
        assert_eq!(counts["frozen"], 1);
        assert_eq!(world.state(&names[3]).await, "expired");
        world.check_seats().await;
    }

    async fn placed(world: &World, ids: &[&str], project: &str) -> Vec<String> {
        let mut names = Vec::new();
        for id in ids {
            names.push(world.submit(id, project, at(7)).await.expect("submitted").name);
        }
        let all: Vec<_> = names.iter().map(|name| (name.as_str(), true, "")).collect();
        world.review(&admin(), &all, at(8)).await.expect("approved");
        world.step(Action::SettleConfirmation, "provider-confirmation-1", 19).await;
        names
    }

    pub async fn from_place_to_credit(db: &Db, term: &str) {
        let world = World::new(db, term, &["t1", "t2", "t3"], &menu()).await;
        let names = placed(&world, &["t1", "t2", "t3"], "b").await;
        let class = world.class("b");
        let path = "/shixun.enrollment.v1.NoticeService/IssueNotice";
        let notice =
            || IssueNoticeRequest { class: class.clone(), text: "带身份证".to_owned(), request_id: world.next() };
        let issued = world.api.issue_notice(world.request(path, &provider(), at(25), notice())).await;
        let issued = issued.expect("issued").into_inner().notice.expect("a notice");
        assert_eq!(issued.recipients, 3);
        let twice = world.api.issue_notice(world.request(path, &provider(), at(25), notice())).await;
        assert_eq!(reason(twice), Reason::AlreadyExists);
        let due = world.step(Action::IssueDueNotices, "provider-confirmation-2", 28).await;
        assert_eq!(due["issued"], 0, "the provider has issued it");
        assert_eq!(reason(world.withdraw(&admin(), &names[0], at(25)).await), Reason::NoticeIssued);

        let path = "/shixun.enrollment.v1.TrainingService/RecordAttendance";
        let attend = |pairs: &[(usize, i32)]| {
            let one = |(index, sessions_attended): &(usize, i32)| Attendance {
                selection: names[*index].clone(),
                sessions_attended: *sessions_attended,
            };
            let message = RecordAttendanceRequest {
                class: class.clone(),
                attendance: pairs.iter().map(one).collect(),
                request_id: world.next(),
            };
            world.api.record_attendance(world.request(path, &provider(), at(TRAINING), message))
        };
        assert_eq!(reason(attend(&[(0, 11)]).await), Reason::InvalidArgument);
        attend(&[(0, 10), (1, 8)]).await.expect("recorded");
        let path = "/shixun.enrollment.v1.TrainingService/RecordResults";
        let judge = |index: usize, passed| {
            let result =
                proto::enrollment::v1::Result { selection: names[index].clone(), passed, coefficient_percent: 110 };
            let message =
                RecordResultsRequest { class: class.clone(), results: vec![result], request_id: world.next() };
            world.api.record_results(world.request(path, &provider(), at(TRAINING), message))
        };
        assert_eq!(reason(judge(1, true).await), Reason::AttendanceTooLow);
        let path = "/shixun.enrollment.v1.TrainingService/ConfirmResults";
        let confirm = || {
            let message = ConfirmResultsRequest { class: class.clone(), request_id: world.next() };
            world.api.confirm_results(world.request(path, &provider(), at(TRAINING), message))
        };
        assert_eq!(reason(confirm().await), Reason::ResultsMissing);
        judge(0, true).await.expect("judged");
        let results = confirm().await.expect("confirmed").into_inner().results.expect("results");
        assert_eq!((results.passed, results.failed, results.no_show, results.revision), (1, 1, 1, 1));
        assert_eq!(reason(confirm().await), Reason::ResultsConfirmed);
        assert_eq!(reason(judge(0, false).await), Reason::ResultsConfirmed);
        assert_eq!(world.state(&names[2]).await, "no_show");

        // Credit lives on the facts in the feed, and answers in its own.
        let facts = result_facts(db).await;
        let passed = facts.iter().find(|one| one.selection == names[0]).expect("in the feed");
        assert_eq!((passed.coefficient_percent, passed.sessions_attended), (110, 10));
        assert_eq!(passed.base_credit.map(|credit| credit.hundredths), Some(3000));
        let mut entry = Entry {
            name: "teachers/t1/entries/1".to_owned(),
            kind: entry::Kind::Project.into(),
            source: names[0].clone(),
            ..Entry::default()
        };
        world.credit("teachers/t1/entries/1", &entry).await;
        assert_eq!(world.state(&names[0]).await, "credited");
        let path = "/shixun.enrollment.v1.TrainingService/CorrectResult";
        let correct = |index: usize, passed| {
            let message = CorrectResultRequest {
                name: names[index].clone(),
                passed,
                coefficient_percent: 100,
                reason: "复核".to_owned(),
                request_id: world.next(),
            };
            world.api.correct_result(world.request(path, &bureau(), at(TRAINING), message))
        };
        assert_eq!(reason(correct(0, false).await), Reason::StateConflict);
        entry.kind = entry::Kind::Reversal.into();
        entry.reverses = std::mem::replace(&mut entry.name, "teachers/t1/entries/2".to_owned());
        world.credit("teachers/t1/entries/2", &entry).await;
        assert_eq!(world.state(&names[0]).await, "passed");
        correct(0, false).await.expect("corrected");
        correct(1, true).await.expect("corrected");
        assert_eq!((world.state(&names[0]).await, world.state(&names[1]).await), ("failed".into(), "passed".into()));
        world.check_seats().await;
    }

    async fn result_facts(db: &Db) -> Vec<ResultFacts> {
        use prost::Message as _;
        let rows = db.reader().all("SELECT body FROM change ORDER BY batch, idx", args![]).await.expect("changes");
        rows.iter()
            .filter_map(|row| {
                let body: Vec<u8> = row.get("body").expect("bytes");
                let change = proto::common::v1::Change::decode(body.as_slice()).expect("a change");
                chassis::changes::decode::<ResultFacts>(&change).expect("readable")
            })
            .collect()
    }

    pub async fn people_come_and_go(db: &Db, term: &str) {
        let world = World::new(db, term, &["t1", "t2", "t3"], &menu()).await;
        let gone = placed(&world, &["t1"], "b").await.remove(0);
        let away = world.submit("t2", "c", at(7)).await.expect("c").name;
        let moving = world.submit("t3", "e", at(7)).await.expect("e").name;
        world
            .roster(&proto::roster::v1::TeacherFacts { status: teacher::Status::Retired.into(), ..teacher("t1") })
            .await;
        assert_eq!(world.state(&gone).await, "cancelled");
        let date = |text: &str| text.parse::<jiff::civil::Date>().ok().map(Into::into);
        let leave = Leave { first_on: date("2019-11-10"), last_on: None };
        world.roster(&proto::roster::v1::TeacherFacts { leaves: vec![leave], ..teacher("t2") }).await;
        assert_eq!(world.state(&away).await, "submitted", "the leave begins after the sessions");
        let leave = Leave { first_on: date("2019-10-26"), last_on: date("2019-10-26") };
        world.roster(&proto::roster::v1::TeacherFacts { leaves: vec![leave], ..teacher("t2") }).await;
        assert_eq!(world.state(&away).await, "cancelled");
        let moved = proto::roster::v1::TeacherFacts {
            school: OTHER.to_owned(),
            path: support::path_of(OTHER),
            ..teacher("t3")
        };
        world.roster(&moved).await;
        assert_eq!(reason(world.review(&admin(), &[(&moving, true, "")], at(8)).await), Reason::OutOfScope);
        world.review(&other_admin(), &[(&moving, true, "")], at(8)).await.expect("the new school reviews");
        world.check_seats().await;
    }

    pub async fn projects_go(db: &Db, term: &str) {
        let world = World::new(db, term, &["t1", "t2"], &menu()).await;
        let names = placed(&world, &["t1", "t2"], "b").await;
        let other = world.submit("t1", "c", at(7)).await.expect("c").name;
        let mut facts = world.facts(&menu()[1]);
        facts.classes[0].state = proto::catalog::v1::class::State::Cancelled.into();
        world.publish(&facts).await;
        for name in &names {
            assert_eq!(world.state(name).await, "cancelled");
        }
        assert_eq!(world.state(&other).await, "submitted");
        let mut facts = world.facts(&menu()[2]);
        facts.state = proto::catalog::v1::project::State::Cancelled.into();
        world.publish(&facts).await;
        assert_eq!(world.state(&other).await, "cancelled");
        world.check_seats().await;
        let seats = world.seats().await;
        assert_eq!((seats[&world.project("b")].capacity, seats[&world.project("c")].capacity), (0, 0));
    }

    pub async fn round_two(db: &Db, term: &str) {
        let world = World::new(db, term, &["none", "rejected", "placed", "expired", "later"], &menu()).await;
        let rejected = world.submit("rejected", "b", at(7)).await.expect("b").name;
        world.review(&admin(), &[(&rejected, false, "名额给新教师")], at(8)).await.expect("rejected");
        world.submit("rejected", "c", at(8)).await.expect("round 1 is still open");
        let expired = world.submit("expired", "b", at(7)).await.expect("b").name;
        placed(&world, &["placed"], "b").await;
        let path = "/shixun.enrollment.v1.SelectionService/UrgeTeachers";
        let urge = UrgeTeachersRequest { parent: world.term.clone(), request_id: world.next(), ..Default::default() };
        let urged = world.api.urge_teachers(world.request(path, &admin(), at(9), urge)).await;
        assert_eq!(urged.expect("urged").into_inner().urged, 2);
        let path = "/shixun.enrollment.v1.SelectionService/ListNonSelectors";
        let list = ListNonSelectorsRequest { parent: world.term.clone(), round: 1, ..Default::default() };
        let live = world.api.list_non_selectors(world.request(path, &admin(), at(9), list.clone())).await;
        let live = live.expect("a list").into_inner();
        assert_eq!((live.total_size, live.r#final), (2, false));
        let counts = world.step(Action::FixNonSelectors, "selection-1", 11).await;
        assert_eq!(counts["non_selectors"], 2);
        let fixed = world.api.list_non_selectors(world.request(path, &admin(), at(12), list)).await;
        let fixed = fixed.expect("a list").into_inner();
        assert_eq!((fixed.teachers, fixed.r#final), (live.teachers, true));
        let counts = world.step(Action::ExpireUnreviewed, "school-review-1", 15).await;
        assert_eq!((counts["expired"], counts[&format!("expired {SCHOOL}")]), (2, 2));
        assert_eq!(world.state(&expired).await, "expired");

        let when = at(SELECTION_2);
        let joined = "2019-09-10".parse::<jiff::civil::Date>().ok().map(Into::into);
        world.roster(&proto::roster::v1::TeacherFacts { joined_on: joined, ..teacher("later") }).await;
        assert_eq!(reason(world.submit("none", "e", when).await), Reason::Round2NotSelected);
        assert_eq!(reason(world.submit("rejected", "e", when).await), Reason::Round2Rejected);
        assert_eq!(reason(world.submit("later", "e", when).await), Reason::JoinedLater);
        world.submit("expired", "e", when).await.expect("policy lets the expired select");
        world.submit("placed", "e", when).await.expect("policy lets the placed select");
        let path = "/shixun.enrollment.v1.ReviewService/ListBarred";
        let list = ListBarredRequest { parent: world.term.clone(), round: 2, page_size: 2, ..Default::default() };
        let barred = world.api.list_barred(world.request(path, &bureau(), when, list.clone())).await;
        let barred = barred.expect("a list").into_inner();
        assert_eq!((barred.barred.len(), barred.total_size), (2, 3));
        let next = ListBarredRequest { page_token: barred.next_page_token, ..list };
        let rest = world.api.list_barred(world.request(path, &bureau(), when, next)).await.expect("a list");
        assert_eq!(rest.into_inner().barred.len(), 1);
        let path = "/shixun.enrollment.v1.ReviewService/GrantOverride";
        let message = GrantOverrideRequest {
            parent: world.term.clone(),
            teacher: "teachers/later".to_owned(),
            round: 2,
            reason: "新入职".to_owned(),
            request_id: world.next(),
        };
        world.api.grant_override(world.request(path, &bureau(), when, message)).await.expect("granted");
        let held = world.submit("later", "a", when).await.expect("overridden");
        // Round 2 holds a seat at submission; a rejection frees it.
        let seats = &world.seats().await[&world.project("a")];
        assert_eq!((seats.capacity, seats.held, seats.granted), (2, 1, 0));
        world.review(&admin(), &[(&held.name, false, "时间冲突")], at(REVIEW_2)).await.expect("rejected");
        assert_eq!(world.seats().await[&world.project("a")].held, 0);
        world.check_seats().await;
    }

    pub async fn steps_run_twice(db: &Db, term: &str) {
        let world = World::new(db, term, &["t1", "t2", "t3"], &menu()).await;
        let position = proto::credit::v1::CreditPosition {
            teacher: "teachers/t1".to_owned(),
            cycle_awarded: Some(proto::common::v1::Credit { hundredths: 100 }),
            ..Default::default()
        };
        world.credit("teachers/t1/position", &position).await;
        let first = world.step(Action::NotifyOpening, "selection-1", 0).await;
        assert_eq!(first["notified"], 3 + 2 + 1, "teachers, administrators, the bureau");
        assert_eq!(world.step(Action::NotifyOpening, "selection-1", 0).await["notified"], 0);
        assert_eq!(world.step(Action::FixCreditPositions, "selection-1", 0).await["fixed"], 1);
        assert_eq!(world.step(Action::FixCreditPositions, "selection-1", 0).await["fixed"], 0);
        placed(&world, &["t1"], "b").await;
        world.submit("t2", "b", at(9)).await.expect("b");
        let reminded = world.step(Action::Remind, "selection-1", 10).await;
        assert_eq!(reminded["reminded"], 1 + 1, "who has not selected, and the owner");
        assert_eq!(world.step(Action::Remind, "school-review-1", 14).await["reminded"], 1 + 1);
        assert_eq!(world.step(Action::ExpireUnreviewed, "school-review-1", 15).await["expired"], 1);
        assert_eq!(world.step(Action::ExpireUnreviewed, "school-review-1", 15).await["expired"], 0);
        let small = world.step(Action::ProposeCancelling, "school-review-1", 15).await;
        assert_eq!(small["proposed"], 6);
        assert_eq!(world.step(Action::ProposeCancelling, "school-review-1", 15).await["proposed"], 6);
        let settled = world.step(Action::SettleConfirmation, "provider-confirmation-1", 19).await;
        assert_eq!((settled["confirmed"], settled["waitlisted"]), (0, 0));
        assert_eq!(world.step(Action::ListUnreviewableSchools, "school-review-1", 6).await["schools"], 0);
        world.account(&support::account("accounts/admin", "", &[])).await;
        let listed = world.step(Action::ListUnreviewableSchools, "school-review-1", 6).await;
        assert_eq!((listed["schools"], listed[&format!("unreviewable {SCHOOL}")]), (1, 1));
        assert_eq!(world.step(Action::IssueDueNotices, "provider-confirmation-2", 28).await["issued"], 0);
        assert_eq!(world.step(Action::ListDueResults, "training", 128).await["due"], 1);
        world.check_seats().await;
    }

    pub async fn the_bureau_corrects(db: &Db, term: &str) {
        let world = World::new(db, term, &["t1", "t2"], &menu()).await;
        let name = world.submit("t1", "b", at(7)).await.expect("b").name;
        world.review(&admin(), &[(&name, false, "误操作")], at(8)).await.expect("rejected");
        let path = "/shixun.enrollment.v1.ReviewService/CorrectSelection";
        let correct = |state: selection::State, reason: &str| {
            let message = CorrectSelectionRequest {
                name: name.clone(),
                state: state.into(),
                reason: reason.to_owned(),
                request_id: world.next(),
            };
            world.api.correct_selection(world.request(path, &bureau(), at(REVIEW_1), message))
        };
        assert_eq!(reason(correct(selection::State::Confirmed, "").await), Reason::InvalidArgument);
        correct(selection::State::SchoolApproved, "申诉成立").await.expect("corrected");
        assert_eq!(world.state(&name).await, "school_approved");
        assert_eq!(reason(correct(selection::State::Submitted, "再议").await), Reason::StateConflict);
        world.check_seats().await;
    }
}
