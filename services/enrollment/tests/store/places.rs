//! Places, waiting, training, credit; and what becomes of them when people and projects go.

use enrollment::mirror::CreditMirror;

use super::*;
use crate::support::change;

pub async fn settling_and_waiting(db: &Db, term: &str) {
    let world = World::new(db, term, &["t1", "t2", "t3", "t4", "t5"], &menu()).await;
    let cycle_ends_on = "2020-08-26".parse::<jiff::civil::Date>().ok().map(Into::into);
    let position = CreditPosition { teacher: "teachers/t1".to_owned(), cycle_ends_on, ..CreditPosition::default() };
    world.credit("teachers/t1/position", &position).await;
    world.step(Action::FixCreditPositions, "selection-1", 0).await;
    let mut names = Vec::new();
    for (index, id) in ["t1", "t2", "t3", "t4", "t5"].iter().enumerate() {
        let when = at(7) + i64::try_from(index).expect("small");
        names.push(world.submit(id, "a", when).await.expect("no upper limit").name);
    }
    let all: Vec<_> = names.iter().map(|name| (name.as_str(), true, "")).collect();
    world.review(&admin(), &all, at(8)).await.expect("approved");
    let when = at(CONFIRMATION_1) + 1;
    // Ranked by what was fixed when the round opened: a leap year before the end of the first one's cycle.
    let path = "/shixun.enrollment.v1.ConfirmationService/RankSelections";
    let message = RankSelectionsRequest { project: world.project("a"), round: 1, ..RankSelectionsRequest::default() };
    let ranked = world.api.rank_selections(world.request(path, &provider(), when, message)).await.expect("ranked");
    let ranked: Vec<_> = ranked.into_inner().ranked.into_iter().map(|one| (one.rank, one.days_to_cycle_end)).collect();
    assert_eq!(ranked, [(1, 366), (2, 0), (3, 0), (4, 0), (5, 0)]);
    // Two places: confirming the last without a reason passes the first over.
    let passing = world.decide("a", &[(&names[4], Verdict::Confirm, "")], when).await;
    assert_eq!(reason(passing), Reason::DeviationReasonRequired);
    world.decide("a", &[(&names[4], Verdict::Confirm, "定向名额")], when).await.expect("with a reason");
    let over = world.decide("a", &[(&names[0], Verdict::Confirm, ""), (&names[1], Verdict::Confirm, "")], when).await;
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

pub async fn placed(world: &World, ids: &[&str], project: &str) -> Vec<String> {
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
        let message = RecordResultsRequest { class: class.clone(), results: vec![result], request_id: world.next() };
        world.api.record_results(world.request(path, &provider(), at(TRAINING), message))
    };
    assert_eq!(reason(judge(1, true).await), Reason::AttendanceTooLow);
    let path = "/shixun.enrollment.v1.TrainingService/ConfirmResults";
    let confirm_at = |when| {
        let message = ConfirmResultsRequest { class: class.clone(), request_id: world.next() };
        world.api.confirm_results(world.request(path, &provider(), when, message))
    };
    assert_eq!(reason(confirm_at(at(TRAINING)).await), Reason::ClassNotOver);
    let confirm = || confirm_at(at(100));
    assert_eq!(reason(confirm().await), Reason::ResultsMissing);
    judge(0, true).await.expect("judged");
    assert_eq!(reason(confirm().await), Reason::ResultsMissing, "nothing was recorded of the third");
    attend(&[(2, 0)]).await.expect("he never came");
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
    // The verdict stands, the coefficient was 110.
    correct(0, true).await.expect("corrected");
    let path = "/shixun.enrollment.v1.InboxService/ListNotifications";
    let inbox = world.request(path, &as_teacher("t1"), at(TRAINING), ListNotificationsRequest::default());
    let inbox = world.api.list_notifications(inbox).await.expect("an inbox").into_inner().notifications;
    let told = inbox.iter().find(|one| one.kind == "result_corrected").expect("told");
    assert!(told.zh.contains("100%") && told.en.contains("100 %"), "{told:?}");
    correct(0, false).await.expect("corrected");
    correct(1, true).await.expect("corrected");
    assert_eq!((world.state(&names[0]).await, world.state(&names[1]).await), ("failed".into(), "passed".into()));

    // The ledger in one go: two are credited, one of them is reversed at once, and one comes from a selection that nobody knows.
    correct(0, true).await.expect("corrected");
    let entry = |id: &str, kind: entry::Kind, source: &str, reverses: &str| Entry {
        name: format!("teachers/t1/entries/{id}"),
        kind: kind.into(),
        source: source.to_owned(),
        reverses: reverses.to_owned(),
        ..Entry::default()
    };
    let entries = [
        entry("3", entry::Kind::Project, &names[0], ""),
        entry("4", entry::Kind::Project, &names[1], ""),
        entry("5", entry::Kind::Project, "terms/none/selections/none", ""),
        entry("6", entry::Kind::Reversal, &names[0], "teachers/t1/entries/3"),
    ];
    let changes = entries.each_ref().map(|entry| change(&entry.name, entry, at(101)));
    world.mirror(&CreditMirror, &changes).await;
    assert_eq!((world.state(&names[0]).await, world.state(&names[1]).await), ("passed".into(), "credited".into()));
    world.check_seats().await;
}

/// What the feed has of a kind, in its order: the resource, the verb, what it is after.
async fn told<M: prost::Message + prost::Name + Default>(db: &Db) -> Vec<(String, String, M)> {
    use prost::Message as _;
    let sql = "SELECT body FROM change JOIN change_batch ON change_batch.batch = change.batch ORDER BY position, idx";
    let rows = db.reader().all(sql, args![]).await.expect("changes");
    rows.iter()
        .filter_map(|row| {
            let body: Vec<u8> = row.get("body").expect("bytes");
            let change = proto::common::v1::Change::decode(body.as_slice()).expect("a change");
            let after = chassis::changes::decode::<M>(&change).expect("readable")?;
            Some((change.resource, change.verb, after))
        })
        .collect()
}

async fn result_facts(db: &Db) -> Vec<ResultFacts> {
    told::<ResultFacts>(db).await.into_iter().map(|(_, _, facts)| facts).collect()
}

pub async fn what_edges_fix_is_told(db: &Db, term: &str) {
    let world = World::new(db, term, &["t1", "t2", "other-t3"], &menu()).await;
    for id in ["t1", "t2"] {
        let cycle_awarded = Some(proto::common::v1::Credit { hundredths: 100 });
        let position = CreditPosition { teacher: format!("teachers/{id}"), cycle_awarded, ..CreditPosition::default() };
        world.credit(&format!("teachers/{id}/position"), &position).await;
    }
    let round = format!("{term}/rounds/1");
    for _ in 0..2 {
        world.step(Action::FixCreditPositions, "selection-1", 0).await;
    }
    let fixed = told::<CreditPositionsFixed>(db).await;
    let [(resource, verb, facts)] = fixed.as_slice() else { panic!("once: {fixed:?}") };
    assert_eq!((resource, verb.as_str(), facts.round), (&round, "credit_positions_fixed", 1));
    let positions: Vec<_> = facts.positions.iter().map(|one| (one.teacher.as_str(), one.cycle_awarded)).collect();
    let awarded = Some(proto::common::v1::Credit { hundredths: 100 });
    assert_eq!(positions, [("teachers/t1", awarded), ("teachers/t2", awarded)]);

    world.submit("t1", "b", at(7)).await.expect("b");
    for _ in 0..2 {
        world.step(Action::FixNonSelectors, "selection-1", 11).await;
    }
    let closed = told::<RoundClosed>(db).await;
    assert_eq!(closed.len(), 1);
    assert_eq!((&closed[0].0, closed[0].1.as_str(), closed[0].2.non_selectors), (&round, "closed", 2));
    let by_school: Vec<_> = told::<NonSelectorsFixed>(db)
        .await
        .into_iter()
        .map(|(resource, _, facts)| (resource, facts.school, facts.teachers))
        .collect();
    let of = |school: &str, teacher: &str| (round.clone(), school.to_owned(), vec![teacher.to_owned()]);
    assert_eq!(by_school, [of(SCHOOL, "teachers/t2"), of(OTHER, "teachers/other-t3")]);

    for _ in 0..2 {
        world.step(Action::ProposeCancelling, "school-review-1", 15).await;
    }
    let proposals = async || {
        let told = told::<ProposedCancellation>(db).await;
        told.into_iter().map(|(class, verb, proposal)| (class, verb, proposal.round)).collect::<Vec<_>>()
    };
    let proposed = proposals().await;
    assert_eq!(proposed.len(), 6, "once each: {proposed:?}");
    assert!(proposed.contains(&(world.class("b"), "proposed_for_cancelling".to_owned(), 1)));
    let mut facts = world.facts(&menu()[1]);
    facts.classes[0].state = proto::catalog::v1::class::State::Cancelled.into();
    world.publish(&facts).await;
    assert_eq!(proposals().await[6..], [(world.class("b"), "proposal_withdrawn".to_owned(), 1)]);
    world.step(Action::ProposeCancelling, "school-review-2", 24).await;
    let anew = proposals().await.split_off(7);
    assert_eq!(anew.len(), 5);
    assert!(anew.iter().all(|(_, verb, round)| verb == "proposed_for_cancelling" && *round == 2));
}

pub async fn people_come_and_go(db: &Db, term: &str) {
    let world = World::new(db, term, &["t1", "t2", "t3"], &menu()).await;
    let gone = placed(&world, &["t1"], "b").await.remove(0);
    let away = world.submit("t2", "c", at(7)).await.expect("c").name;
    let moving = world.submit("t3", "e", at(7)).await.expect("e").name;
    world.roster(&proto::roster::v1::TeacherFacts { status: teacher::Status::Retired.into(), ..teacher("t1") }).await;
    assert_eq!(world.state(&gone).await, "cancelled");
    let date = |text: &str| text.parse::<jiff::civil::Date>().ok().map(Into::into);
    let leave = Leave { first_on: date("2019-11-10"), last_on: None };
    world.roster(&proto::roster::v1::TeacherFacts { leaves: vec![leave], ..teacher("t2") }).await;
    assert_eq!(world.state(&away).await, "submitted", "the leave begins after the sessions");
    let leave = Leave { first_on: date("2019-10-26"), last_on: date("2019-10-26") };
    world.roster(&proto::roster::v1::TeacherFacts { leaves: vec![leave], ..teacher("t2") }).await;
    assert_eq!(world.state(&away).await, "cancelled");
    let moved =
        proto::roster::v1::TeacherFacts { school: OTHER.to_owned(), path: support::path_of(OTHER), ..teacher("t3") };
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

/// Before a window closes, whoever has something left to do in it is reminded, and nobody whose work is done.
pub async fn reminders_follow_the_catalog(db: &Db, term: &str) {
    use proto::catalog::v1::{Expansion, expansion, project::State};
    let world = World::new(db, term, &[], &menu()).await;
    let mut facts = world.facts(&menu()[0]);
    // Beside the window's owner, which in this county is the bureau, of one account.
    let story = [
        ("declaration", State::Draft, 1 + 1, "the provider"),
        ("declaration", State::Submitted, 1, "nobody else"),
        ("project-review", State::Submitted, 1, "the bureau once, though it owns and decides"),
        ("project-review", State::Returned, 1 + 1, "the provider again"),
        ("declaration", State::Returned, 1 + 1, "the provider again"),
        ("project-review", State::Approved, 1, "nobody else"),
    ];
    // Each day's reminder is its own.
    for (day, (window, state, reminded, who)) in (0..).zip(story) {
        facts.state = state.into();
        world.publish(&facts).await;
        assert_eq!(world.step(Action::Remind, window, day).await["reminded"], reminded, "{window} {state:?}: {who}");
    }
    // The expansion's window is the providers' own here: the bureau is reminded as the one that has not decided.
    let name = format!("{}/expansions/1", facts.name);
    let mut asked = Expansion { name, ..Expansion::default() };
    for (day, state, reminded) in [(10, expansion::State::Requested, 1 + 1), (11, expansion::State::Denied, 1)] {
        asked.state = state.into();
        world.expand(&asked).await;
        assert_eq!(world.step(Action::Remind, "expansion-decision", day).await["reminded"], reminded, "{state:?}");
    }
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
