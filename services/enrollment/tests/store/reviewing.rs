//! School review and what the bureau puts right.

use super::{places::placed, *};

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
    let reopen = |when, why: &str| {
        let message = proto::enrollment::v1::ReopenReviewRequest {
            name: one.name.clone(),
            reason: why.to_owned(),
            request_id: world.next(),
        };
        world.api.reopen_review(world.request(path, &admin(), when, message))
    };
    assert_eq!(reason(reopen(when, " ").await), Reason::InvalidArgument);
    reopen(when, "重新核实").await.expect("reopened");
    assert_eq!(world.state(&one.name).await, "submitted");
    assert_eq!(reason(reopen(at(16), "重新核实").await), Reason::WindowClosed);

    // What a change carries has nothing that a person wrote.
    let rows = db.reader().all("SELECT body FROM change", args![]).await.expect("changes");
    let wrote = "教研组需要".as_bytes();
    assert!(rows.iter().all(|row| {
        let body: Vec<u8> = row.get("body").expect("bytes");
        !body.windows(wrote.len()).any(|part| part == wrote)
    }));
}

pub async fn the_bureau_corrects(db: &Db, term: &str) {
    let world = World::new(db, term, &["t1", "t2"], &menu()).await;
    let name = world.submit("t1", "b", at(7)).await.expect("b").name;
    world.review(&admin(), &[(&name, false, "误操作")], at(8)).await.expect("rejected");
    let path = "/shixun.enrollment.v1.ReviewService/CorrectSelection";
    let correct = |name: &str, state: selection::State, reason: &str, when| {
        let message = CorrectSelectionRequest {
            name: name.to_owned(),
            state: state.into(),
            reason: reason.to_owned(),
            request_id: world.next(),
        };
        world.api.correct_selection(world.request(path, &bureau(), when, message))
    };
    let when = at(REVIEW_1);
    assert_eq!(reason(correct(&name, selection::State::Confirmed, "", when).await), Reason::InvalidArgument);
    let himself = testing::person("accounts/officer", "teachers/t1", &[(Role::BureauOfficer, support::COUNTY)]);
    let own = CorrectSelectionRequest {
        name: name.clone(),
        state: selection::State::SchoolApproved.into(),
        reason: "申诉成立".to_owned(),
        request_id: world.next(),
    };
    let own = world.api.correct_selection(world.request(path, &himself, when, own)).await;
    assert_eq!(reason(own), Reason::OwnSelection, "an officer who teaches");
    correct(&name, selection::State::SchoolApproved, "申诉成立", when).await.expect("corrected");
    assert_eq!(world.state(&name).await, "school_approved");
    assert_eq!(reason(correct(&name, selection::State::Submitted, "再议", when).await), Reason::StateConflict);

    // To be reviewed again: only where a review is to come, so that nothing waits for a school that cannot review it.
    let again = world.submit("t2", "b", at(7)).await.expect("b").name;
    let submitted = |when| correct(&again, selection::State::Submitted, "误操作", when);
    world.review(&admin(), &[(&again, false, "误操作")], at(8)).await.expect("rejected");
    submitted(at(14)).await.expect("the window is open");
    world.review(&admin(), &[(&again, false, "误操作")], at(14)).await.expect("rejected");
    assert_eq!(reason(submitted(at(15)).await), Reason::ReviewOver, "it has closed");
    let supplement = |school: &str| {
        let mut extra = window("school-review-1-more", Phase::SchoolReview, 1, 20, 22);
        extra.organizations = vec![school.to_owned()];
        windows().into_iter().chain([extra]).collect()
    };
    world.put_gates(2, supplement(OTHER)).await;
    assert_eq!(reason(submitted(at(17)).await), Reason::ReviewOver, "another school's");
    world.put_gates(3, supplement(SCHOOL)).await;
    submitted(at(17)).await.expect("a supplementary window is to come");
    world.review(&admin(), &[(&again, false, "误操作")], at(21)).await.expect("rejected in it");
    world.settle("school-review-1-more", 3).await;
    assert_eq!(reason(submitted(at(21)).await), Reason::ReviewOver, "settled");
    correct(&again, selection::State::SchoolApproved, "申诉成立", at(21)).await.expect("the remedy");
    // After the last confirmation nobody could decide on it: the correction gives the place.
    let late = world.submit("t2", "c", at(7)).await.expect("c").name;
    world.review(&admin(), &[(&late, false, "误操作")], at(8)).await.expect("rejected");
    correct(&late, selection::State::SchoolApproved, "申诉成立", at(29)).await.expect("a place is free");
    assert_eq!(world.state(&late).await, "confirmed");
    // Nobody who is gone comes back.
    let gone = world.submit("t2", "e", at(7)).await.expect("e").name;
    world.review(&admin(), &[(&gone, false, "误操作")], at(8)).await.expect("rejected");
    let status = proto::roster::v1::teacher::Status::Retired.into();
    world.roster(&proto::roster::v1::TeacherFacts { status, ..teacher("t2") }).await;
    let refused = correct(&gone, selection::State::SchoolApproved, "申诉成立", at(21)).await;
    assert_eq!(reason(refused), Reason::TeacherNotActive);
    world.check_seats().await;
}

/// Away from the one school that still reviews: what the new school has no review for expires with the window, what it has one
/// for waits for that.
pub async fn transferred_from_a_supplementary_review(db: &Db, term: &str) {
    let people = ["goes", "stays", "other-comes"];
    let world = World::new(db, term, &people, &menu()).await;
    let mut names = Vec::new();
    for id in people {
        names.push(world.submit(id, "b", at(7)).await.expect("b").name);
    }
    let supplement = |id: &str, school: &str, from, to| {
        let mut extra = window(id, Phase::SchoolReview, 1, from, to);
        extra.organizations = vec![school.to_owned()];
        extra
    };
    let states = async || {
        let mut states = Vec::new();
        for name in &names {
            states.push(world.state(name).await);
        }
        states
    };
    let transfer = async |id: &str, school: &str| {
        let path = support::path_of(school);
        world.roster(&proto::roster::v1::TeacherFacts { school: school.to_owned(), path, ..teacher(id) }).await;
    };
    let mine = || supplement("more", SCHOOL, 20, 22);
    // A window that is to come keeps what is its own.
    world.put_gates(2, windows().into_iter().chain([mine()]).collect()).await;
    assert_eq!(world.step(Action::ExpireUnreviewed, "school-review-1", 15).await["expired"], 1);
    assert_eq!(states().await, ["submitted", "submitted", "expired"]);
    world.put_gates(3, windows()).await;
    world.settle("school-review-1", 3).await;
    assert_eq!(world.step(Action::ExpireUnreviewed, "school-review-1", 15).await["expired"], 2);
    world.put_gates(4, windows().into_iter().chain([mine()]).collect()).await;
    assert_eq!(world.step(Action::ListUnreviewableSchools, "more", 20).await["reopened"], 2);
    transfer("goes", OTHER).await;
    assert_eq!(states().await, ["submitted", "submitted", "expired"]);
    world.settle("more", 4).await;
    let closed = world.step(Action::ExpireUnreviewed, "more", 22).await;
    assert_eq!((closed["expired"], closed[&format!("expired {OTHER}")]), (2, 1));
    assert_eq!(states().await, ["expired"; 3]);

    // Both schools review once more, one after the other.
    let again = [mine(), supplement("again", SCHOOL, 23, 24), supplement("theirs", OTHER, 23, 26)];
    world.put_gates(5, windows().into_iter().chain(again).collect()).await;
    assert_eq!(world.step(Action::ListUnreviewableSchools, "again", 23).await["reopened"], 1);
    assert_eq!(world.step(Action::ListUnreviewableSchools, "theirs", 23).await["reopened"], 2);
    transfer("stays", OTHER).await;
    world.settle("again", 5).await;
    assert_eq!(world.step(Action::ExpireUnreviewed, "again", 24).await["expired"], 0);
    assert_eq!(states().await, ["submitted"; 3], "the new school has its own review");
    world.settle("theirs", 5).await;
    assert_eq!(world.step(Action::ExpireUnreviewed, "theirs", 26).await["expired"], 3);
    world.check_seats().await;
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
    let rest = rest.into_inner();
    assert_eq!((rest.barred.len(), rest.total_size, rest.next_page_token.as_str()), (1, 3, ""));
    assert!(barred.barred.iter().all(|one| one.teacher < rest.barred[0].teacher), "the rest follows");
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
