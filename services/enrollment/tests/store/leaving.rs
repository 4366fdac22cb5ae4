//! A leave begins and ends by itself: the roster tells it once.

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
