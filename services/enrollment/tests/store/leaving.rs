//! A leave begins and ends by itself, and so comes a retirement: the roster tells it before.

use super::*;

pub async fn leave_by_the_day(db: &Db, term: &str) {
    let world = World::new(db, term, &["t1", "t2"], &menu()).await;
    let date = |text: &str| text.parse::<jiff::civil::Date>().ok().map(Into::into);
    let leave = |first: &str, last: &str| vec![Leave { first_on: date(first), last_on: date(last) }];
    // Told when it had begun, and told before it.
    let told = [
        ("t1", teacher::Status::OnLeave, leave("2019-08-29", "2019-09-01")),
        ("t2", teacher::Status::Active, leave("2019-09-03", "2019-09-04")),
    ];
    for (id, status, leaves) in told {
        let facts = proto::roster::v1::TeacherFacts { status: status.into(), leaves, ..teacher(id) };
        world.roster(&facts).await;
    }
    let path = "/shixun.enrollment.v1.SelectionService/ListNonSelectors";
    let present = async |when: i64| {
        let list = ListNonSelectorsRequest { parent: world.term.clone(), round: 1, ..Default::default() };
        let listed = world.api.list_non_selectors(world.request(path, &admin(), when, list)).await;
        listed.expect("a list").into_inner().teachers
    };
    // 08-29, 09-02, 09-03.
    assert_eq!(present(at(3)).await, ["teachers/t2"]);
    assert_eq!(reason(world.submit("t1", "b", at(3)).await), Reason::TeacherNotActive);
    assert_eq!(present(at(7)).await, ["teachers/t1", "teachers/t2"]);
    world.submit("t1", "b", at(7)).await.expect("back since yesterday");
    assert_eq!(present(at(8)).await, [""; 0]);
    assert_eq!(reason(world.submit("t2", "b", at(8)).await), Reason::TeacherNotActive);
    let counts = world.step(Action::FixNonSelectors, "selection-1", 8).await;
    assert_eq!(counts["non_selectors"], 0);
    world.submit("t2", "b", at(10)).await.expect("back again");
}

/// In service at SCHOOL, but from a day on something else.
fn until(id: &str, day: &str, status: teacher::Status) -> TeacherFacts {
    let from_on = day.parse::<jiff::civil::Date>().ok().map(Into::into);
    let stay = |from_on, status: teacher::Status| Stay { from_on, school: SCHOOL.to_owned(), status: status.into() };
    let stays = vec![stay(None, teacher::Status::Active), stay(from_on, status)];
    TeacherFacts { stays, ..teacher(id) }
}

pub async fn gone_by_the_day(db: &Db, term: &str) {
    let world = World::new(db, term, &["t1", "t2", "t3", "t4"], &menu()).await;
    // Ten days from 10-10 on, and ten from 10-25 on.
    let over = places::placed(&world, &["t1"], "b").await.remove(0);
    let reaching = world.submit("t1", "c", at(7)).await.expect("c").name;
    let retiring = until("t1", "2019-10-20", teacher::Status::Retired);
    world.roster(&retiring).await;
    assert_eq!(world.state(&over).await, "confirmed", "its sessions are over by then");
    assert_eq!(world.state(&reaching).await, "cancelled", "its sessions reach to the day");
    assert_eq!(reason(world.submit("t1", "c", at(8)).await), Reason::LeavesBefore);
    world.roster(&until("t4", "2019-10-20", teacher::Status::Retired)).await;
    world.submit("t4", "b", at(7)).await.expect("over before the day");
    world.check_seats().await;
    // The day comes: what was over stays, so that its results give credit.
    world.roster(&TeacherFacts { status: teacher::Status::Retired.into(), ..retiring }).await;
    assert_eq!(world.state(&over).await, "confirmed");
    assert_eq!(reason(world.submit("t1", "e", at(8)).await), Reason::TeacherNotActive);

    // A day earlier, and the last of its sessions falls on it.
    let last = places::placed(&world, &["t2"], "b").await.remove(0);
    world.roster(&until("t2", "2019-10-19", teacher::Status::Departed)).await;
    assert_eq!(world.state(&last).await, "cancelled");
    // Withdrawn: everything is open again, and what was cancelled stays so.
    let stays = retiring_withdrawn();
    world.roster(&TeacherFacts { stays, ..teacher("t2") }).await;
    assert_eq!(world.state(&last).await, "cancelled");
    world.submit("t2", "b", at(8)).await.expect("he stays");

    // 09-02: in service until the eve, by the clock alone.
    world.roster(&until("t3", "2019-09-02", teacher::Status::Departed)).await;
    let path = "/shixun.enrollment.v1.SelectionService/ListNonSelectors";
    let listed = async |when: i64| {
        let list = ListNonSelectorsRequest { parent: world.term.clone(), round: 1, ..Default::default() };
        let listed = world.api.list_non_selectors(world.request(path, &admin(), when, list)).await;
        listed.expect("a list").into_inner().teachers
    };
    assert_eq!(listed(at(7) - 1).await, ["teachers/t3"]);
    assert_eq!(reason(world.submit("t3", "b", at(7) - 1).await), Reason::LeavesBefore);
    assert_eq!(listed(at(7)).await, [""; 0]);
    assert_eq!(reason(world.submit("t3", "b", at(7)).await), Reason::TeacherNotActive);
}

fn retiring_withdrawn() -> Vec<Stay> {
    vec![Stay { from_on: None, school: SCHOOL.to_owned(), status: teacher::Status::Active.into() }]
}
