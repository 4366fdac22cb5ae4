//! What does not refuse a selection but should be known: to its teacher, and to who decides on it.

use proto::catalog::v1::project::Form;

use super::{selecting::listed, *};

/// At most half of what is selected online, from the second selection on.
fn table(consequence: &str) -> String {
    format!(
        "[structure]\nconsequence = \"{consequence}\"\n[[structure.shares]]\ntiers = [\"competent\"]\nkind = \"online\"\n\
         percent = 20\ndeviation = 30\n"
    )
}

/// "a" and "e" are online.
async fn world(db: &Db, term: &str, teachers: &[&str], consequence: &str) -> World {
    let world = World::new(db, term, teachers, &menu()).await;
    for item in [0, 4] {
        let facts = world.facts(&menu()[item]);
        world.publish(&proto::catalog::v1::ProjectFacts { form: Form::Online.into(), ..facts }).await;
    }
    world.put_policy(2, windows(), &table(consequence)).await;
    world
}

fn warned(selection: &Selection) -> Vec<Reason> {
    selection.warnings.iter().map(proto::common::v1::Ground::reason).collect()
}

pub async fn what_should_be_known(db: &Db, term: &str) {
    let world = world(db, term, &["t1", "t2"], "warn").await;
    // The classes end a day after the first one's cycle.
    let cycle_ends_on = "2019-11-30".parse::<jiff::civil::Date>().ok().map(Into::into);
    let position = CreditPosition { teacher: "teachers/t1".to_owned(), cycle_ends_on, ..CreditPosition::default() };
    world.credit("teachers/t1/position", &position).await;
    let when = at(7);
    let first = world.submit("t1", "a", when).await.expect("a");
    assert_eq!(warned(&first), [Reason::CycleEnds]);
    assert!(first.warnings[0].zh.contains("2019-11-30"), "{}", first.warnings[0].zh);
    let message = world.submission("e");
    let second = world.submit_as(&world.api, &as_teacher("t1"), message.clone(), when).await.expect("e");
    assert_eq!(warned(&second), [Reason::CycleEnds, Reason::StructureDeviates]);
    assert_eq!(second.warnings[1].metadata["share"], "100");
    let again = world.submit_as(&world.api, &as_teacher("t1"), message, when).await.expect("a replay");
    assert_eq!(again, second);
    let other = world.submit("t2", "a", when).await.expect("a");
    assert!(warned(&other).is_empty());

    // The reviewer's list, as it stands now; the teacher's too, and not the provider's.
    let both = [Reason::CycleEnds, Reason::StructureDeviates];
    for (actor, told) in [(admin(), true), (bureau(), true), (as_teacher("t1"), true), (provider(), false)] {
        let list = listed(&world, &actor, ListSelectionsRequest::default()).await;
        let of = |name: &str| list.iter().find(|one| one.name == name).expect("listed");
        for name in [&first.name, &second.name] {
            assert_eq!(warned(of(name)), if told { both.to_vec() } else { Vec::new() });
        }
    }
    let path = "/shixun.enrollment.v1.SelectionService/CheckEligibility";
    let check = CheckEligibilityRequest { project: world.project("b"), teacher: String::new() };
    let checked = world.api.check_eligibility(world.request(path, &as_teacher("t1"), when, check)).await;
    let warnings = checked.expect("checked").into_inner().warnings;
    assert_eq!(warnings.len(), 1, "b makes the structure better; it ends too late: {warnings:?}");

    let reviewed =
        world.review(&admin(), &[(&first.name, true, ""), (&second.name, false, "网络课程过多")], when).await;
    let reviewed = reviewed.expect("it warns only");
    assert_eq!(warned(&reviewed[0]), [Reason::CycleEnds], "the other one is gone");
    assert!(warned(&reviewed[1]).is_empty(), "decided");

    // No change carries it.
    let rows = db.reader().all("SELECT body FROM change", args![]).await.expect("changes");
    let text = "2019-11-30".as_bytes();
    assert!(rows.iter().all(|row| {
        let body: Vec<u8> = row.get("body").expect("bytes");
        !body.windows(text.len()).any(|part| part == text)
    }));
}

pub async fn a_structure_that_takes_a_reason_or_is_refused(db: &Db, term: &str) {
    let world = world(db, term, &["t1", "t2"], "reason").await;
    let when = at(7);
    world.submit("t1", "a", when).await.expect("a");
    let second = world.submit("t1", "e", when).await.expect("it takes a reason, not yet");
    let approve = async |why: &str| world.review(&admin(), &[(&second.name, true, why)], when).await;
    assert_eq!(reason(approve(" ").await), Reason::StructureReasonRequired);
    let approved = approve("教研组需要").await.expect("with a reason");
    assert_eq!(
        (approved[0].state(), warned(&approved[0])),
        (selection::State::SchoolApproved, vec![Reason::StructureDeviates])
    );

    world.put_policy(3, windows(), &table("block")).await;
    let first = world.submit("t2", "a", when).await.expect("a");
    assert_eq!(reason(world.submit("t2", "e", when).await), Reason::StructureDeviates);
    let path = "/shixun.enrollment.v1.SelectionService/CheckEligibility";
    let check = CheckEligibilityRequest { project: world.project("e"), teacher: String::new() };
    let checked = world.api.check_eligibility(world.request(path, &as_teacher("t2"), when, check)).await;
    let checked = checked.expect("checked").into_inner();
    let told: Vec<_> = checked.reasons.iter().map(proto::common::v1::Ground::reason).collect();
    assert_eq!((checked.eligible, told), (false, vec![Reason::StructureDeviates]));
    world.submit("t2", "c", when).await.expect("of another kind");
    world.submit("t2", "e", when).await.expect("60 of 150 are allowed");
    world.review(&admin(), &[(&first.name, true, "")], when).await.expect("a block is at submission");
    world.check_seats().await;
}

pub async fn a_school_that_falls_short_is_told(db: &Db, term: &str) {
    use proto::credit::v1::{Compliance, Requirement, compliance};
    let world = World::new(db, term, &["t1"], &menu()).await;
    let requirement = |key: &str, applicable, value_hundredths| Requirement {
        key: key.to_owned(),
        applicable,
        met: false,
        value_hundredths,
        required_hundredths: 7_200,
        ..Requirement::default()
    };
    let mut report = Compliance {
        organization: SCHOOL.to_owned(),
        year: 2019,
        requirements: vec![
            requirement("year_24", true, 100),
            requirement("year_mean_72", true, 7_066),
            requirement("restricted_elective_21", false, 0),
        ],
        state: compliance::State::Provisional.into(),
        ..Compliance::default()
    };
    let inbox = async |actor: &proto::Actor| {
        let path = "/shixun.enrollment.v1.InboxService/ListNotifications";
        let reply =
            world.api.list_notifications(world.request(path, actor, at(2), ListNotificationsRequest::default()));
        reply.await.expect("an inbox").into_inner().notifications
    };
    world.credit("the school's compliance", &report).await;
    report.state = compliance::State::Final.into();
    world.credit("the school's compliance", &report).await;
    report.organization = support::COUNTY.to_owned();
    world.credit("the county's compliance", &report).await;
    let told = inbox(&admin()).await;
    assert_eq!(told.iter().map(|one| one.kind.as_str()).collect::<Vec<_>>(), ["year_mean_short"; 2]);
    let text = |word: &str| told.iter().any(|one| one.zh.contains(word) && one.zh.contains("70.66"));
    assert!(text("初报") && text("终报"), "{told:?}");
    assert!(inbox(&other_admin()).await.is_empty());
    let resources = async || -> Vec<_> { inbox(&bureau()).await.into_iter().map(|one| one.resource).collect() };
    assert_eq!(resources().await, [format!("{}/compliance/2019", support::COUNTY)], "its own");

    // A school that has nobody to be told is the bureau's.
    let (name, schools) = ("accounts/other-admin", &[(Role::SchoolAdmin, support::OTHER)]);
    report.organization = support::OTHER.to_owned();
    world.credit("the other school's compliance", &report).await;
    assert_eq!((inbox(&other_admin()).await.len(), resources().await.len()), (1, 1));
    let left = proto::roster::v1::AccountFacts {
        state: proto::roster::v1::account::State::Suspended.into(),
        ..support::account(name, "", schools)
    };
    world.account(&left).await;
    world.credit("the other school's compliance", &report).await;
    assert_eq!((inbox(&other_admin()).await.len(), resources().await.len()), (1, 2));
}
