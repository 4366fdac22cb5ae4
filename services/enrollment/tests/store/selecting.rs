//! Selecting: every reason, one request once, the last places.

use std::time::Duration;

use chassis::db::{Engine, Lane};
use tonic_types::StatusExt as _;

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
    // A state that there is none of is no "any".
    let path = "/shixun.enrollment.v1.SelectionService/ListSelections";
    let message = ListSelectionsRequest { parent: world.term.clone(), state: 99, ..ListSelectionsRequest::default() };
    let refused = world.api.list_selections(world.request(path, &admin(), at(1), message)).await;
    assert_eq!(reason(refused), Reason::InvalidArgument);
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

pub async fn listed(world: &World, actor: &proto::Actor, message: ListSelectionsRequest) -> Vec<Selection> {
    let path = "/shixun.enrollment.v1.SelectionService/ListSelections";
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let message =
            ListSelectionsRequest { parent: world.term.clone(), page_size: 2, page_token: token, ..message.clone() };
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

pub async fn a_round_opens_once_it_is_ready(db: &Db, term: &str) {
    let world = World::new(db, term, &["t1"], &menu()).await;
    let (when, actor) = (at(SELECTION_1), as_teacher("t1"));
    let taken = world.submit("t1", "b", when).await.expect("b");
    // The step that fixes what the round is ranked by is still at work.
    let mut late = windows();
    let opens = late[0].opens;
    let condition = Some(Condition::SettledWindow("selection-1-ready".to_owned()));
    late[0].preconditions = vec![Precondition { condition }];
    late.push(Window { id: "selection-1-ready".to_owned(), opens, closes: opens, ..Window::default() });
    world.put_gates(2, late).await;

    let message = world.submission("c");
    let refused = world.submit_as(&world.api, &actor, message.clone(), when).await.expect_err("not yet");
    let delay = refused.get_details_retry_info().and_then(|info| info.retry_delay).expect("when to try again");
    assert!(delay.as_secs() <= 5, "{delay:?}");
    assert_eq!(reason(Err::<(), _>(refused)), Reason::WindowNotReady);
    assert_eq!(reason(world.withdraw(&actor, &taken.name, when).await), Reason::WindowNotReady);
    let path = "/shixun.enrollment.v1.SelectionService/CheckEligibility";
    let check = CheckEligibilityRequest { project: world.project("c"), teacher: String::new() };
    let checked = async || {
        let checked = world.api.check_eligibility(world.request(path, &actor, when, check.clone())).await;
        checked.expect("checked").into_inner()
    };
    let told = checked().await;
    assert_eq!((told.eligible, told.round, told.reasons[0].reason()), (false, 0, Reason::WindowNotReady));
    assert!(told.reasons[0].zh.contains("selection-1-ready"), "{}", told.reasons[0].zh);

    // The mark lets everybody in; what was refused may be tried again under its id.
    world.settle("selection-1-ready", 2).await;
    let told = checked().await;
    assert_eq!((told.eligible, told.round), (true, 1));
    world.submit_as(&world.api, &actor, message, when).await.expect("ready");
    world.withdraw(&actor, &taken.name, when).await.expect("ready");
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
    let other = proto::enrollment::v1::SubmitSelectionRequest { project: world.project("c"), ..message.clone() };
    assert_eq!(
        reason(world.submit_as(&world.api, &actor, other.clone(), at(SELECTION_1)).await),
        Reason::RequestIdReused
    );
    let refused = world.submission("b");
    let outcome = world.submit_as(&world.api, &actor, refused.clone(), at(SELECTION_1)).await;
    assert_eq!(reason(outcome), Reason::SessionsOverlap);
    world.withdraw(&actor, &one.name, at(SELECTION_1)).await.expect("withdrawn");
    // By the rules it would be accepted again: a repetition is none, also beside one that borrows its id.
    let again = || world.submit_as(&world.api, &actor, message.clone(), at(SELECTION_1));
    assert_eq!(again().await.expect("a replay"), one);
    let (borrowed, repeated) = tokio::join!(world.submit_as(&world.api, &actor, other, at(SELECTION_1)), again());
    assert_eq!((reason(borrowed), repeated.expect("a replay")), (Reason::RequestIdReused, one.clone()));
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
    let replicas: Vec<Api> = (0..3).map(|_| support::api(db)).collect();
    let world = std::sync::Arc::new(world);
    let tries = teachers.iter().enumerate().map(|(index, id)| {
        let (world, api, id) = (world.clone(), replicas[index % 3].clone(), (*id).to_owned());
        tokio::spawn(
            async move { world.submit_as(&api, &as_teacher(&id), world.submission("hot"), at(SELECTION_1)).await },
        )
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

pub async fn who_comes_too_late_does_not_wait_for_the_writer(db: &Db, term: &str) {
    let menu = [Menu { id: "hot", places: 1, credits: 30, day: 40, sessions: 3 }];
    let world = World::new(db, term, &["t1", "t2"], &menu).await;
    let mut facts = world.facts(&menu[0]);
    facts.allocations = vec![proto::catalog::v1::Allocation {
        round: 1,
        policy: proto::catalog::v1::allocation::Policy::FirstCome.into(),
    }];
    world.publish(&facts).await;
    let (first, late) = (as_teacher("t1"), as_teacher("t2"));
    let request = world.submission("hot");
    let taken = world.submit_as(&world.api, &first, request.clone(), at(SELECTION_1)).await.expect("the place");
    let told = |outcome: Result<Selection, tonic::Status>| {
        let status = outcome.expect_err("full");
        (status.code(), status.message().to_owned(), status.details().to_vec())
    };
    let by_batch = told(world.submit("t2", "hot", at(SELECTION_1)).await);
    assert_eq!(reason(world.submit("t2", "hot", at(SELECTION_1)).await), Reason::Full);

    // What was seen full is believed for a moment; on a slow machine that may pass before the next one comes.
    let mut without_writer = None;
    for _ in 0..50 {
        assert_eq!(told(world.submit("t2", "hot", at(SELECTION_1)).await), by_batch);
        // Nobody else writes to the project now.
        let mut writer = db.batch(term, Lane::Main).await.expect("a transaction");
        if db.engine() == Engine::Postgres {
            let sql = "SELECT project FROM seat_count WHERE project = $1 FOR UPDATE";
            writer.all(sql, args![world.project("hot")]).await.expect("locked");
        }
        let next = world.submit("t2", "hot", at(SELECTION_1));
        tokio::pin!(next);
        let answered = tokio::time::timeout(Duration::from_millis(150), &mut next).await.ok();
        writer.abandon().await;
        match answered {
            Some(answer) => without_writer = Some(told(answer)),
            None => drop(next.await),
        }
        if without_writer.is_some() {
            break;
        }
    }
    assert_eq!(without_writer, Some(by_batch.clone()), "the same refusal");

    // Whoever was answered before gets his answer again, and a used id is told.
    told(world.submit("t2", "hot", at(SELECTION_1)).await);
    let again = world.submit_as(&world.api, &first, request.clone(), at(SELECTION_1)).await.expect("a replay");
    assert_eq!(again, taken);
    let mut other = request;
    other.teacher = "teachers/t1".to_owned();
    assert_eq!(reason(world.submit_as(&world.api, &first, other, at(SELECTION_1)).await), Reason::RequestIdReused);

    // A place that was freed is had at once.
    told(world.submit("t2", "hot", at(SELECTION_1)).await);
    world.withdraw(&first, &taken.name, at(SELECTION_1)).await.expect("withdrawn");
    world.submit_as(&world.api, &late, world.submission("hot"), at(SELECTION_1)).await.expect("the place");
    world.check_seats().await;
}

/// Who hangs up while he waits is not carried out, and holds up nobody.
pub async fn hanging_up(db: &Db, term: &str) {
    const MOMENT: Duration = Duration::from_millis(150);
    let world = World::new(db, term, &["t1", "t2", "t3"], &menu()).await;
    let when = at(SELECTION_1);
    let mut skipped = false;
    // On a slow machine both may come to the writer together, before one of them is gone.
    for _ in 0..20 {
        let mut writer = db.batch(term, Lane::Main).await.expect("a transaction");
        if db.engine() == Engine::Postgres {
            let sql = "SELECT name FROM teacher WHERE name = 'teachers/t1' FOR UPDATE";
            writer.all(sql, args![]).await.expect("locked");
        }
        let first = world.submit("t1", "a", when);
        tokio::pin!(first);
        assert!(tokio::time::timeout(MOMENT, &mut first).await.is_err(), "the writer waits");
        let gone = tokio::time::timeout(MOMENT, world.submit("t2", "a", when)).await;
        assert!(gone.is_err(), "he waits for the writer");
        writer.abandon().await;
        let first = first.await.expect("the first");
        let after = world.submit("t3", "a", when).await.expect("who came after him");
        let of_gone = listed(&world, &as_teacher("t2"), ListSelectionsRequest::default()).await;
        skipped = of_gone.iter().all(|one| one.state() != selection::State::Submitted);
        if skipped {
            break;
        }
        for (teacher, one) in [("t1", &first), ("t3", &after)].into_iter().chain(of_gone.iter().map(|one| ("t2", one)))
        {
            drop(world.withdraw(&as_teacher(teacher), &one.name, when).await);
        }
    }
    assert!(skipped, "who had gone was given what he asked for");
}
