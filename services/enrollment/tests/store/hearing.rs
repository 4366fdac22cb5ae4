//! Acts done for a teacher elsewhere are told to the teacher: once, and only what others did by hand.

use std::collections::BTreeMap;

use enrollment::mirror::{CreditMirror, RosterMirror};
use proto::{
    common::v1::{Actor, Change, Credit},
    enrollment::v1::{MarkNotificationsReadRequest, Notification},
    roster::v1::TeacherFacts,
};

use super::*;
use crate::support::change;

/// A change by an account, as its source writes it; empty for the source itself.
fn by(account: &str, verb: &str, reason: &str, change: Change) -> Change {
    let actor = Actor { account: account.to_owned(), ..Actor::default() };
    Change { actor: Some(actor), verb: verb.to_owned(), reason: reason.to_owned(), ..change }
}

fn of(facts: &TeacherFacts) -> Change {
    change(&facts.name, facts, at(2))
}

/// What came in since the last look, oldest first.
async fn news(world: &World, id: &str) -> Vec<Notification> {
    let path = "/shixun.enrollment.v1.InboxService/ListNotifications";
    let unread = ListNotificationsRequest { unread_only: true, ..Default::default() };
    let inbox = world.api.list_notifications(world.request(path, &as_teacher(id), at(3), unread)).await;
    let mut notifications = inbox.expect("an inbox").into_inner().notifications;
    let path = "/shixun.enrollment.v1.InboxService/MarkNotificationsRead";
    let names = notifications.iter().map(|one| one.name.clone()).collect();
    let read = MarkNotificationsReadRequest { names, request_id: world.next() };
    world.api.mark_notifications_read(world.request(path, &as_teacher(id), at(3), read)).await.expect("read");
    notifications.reverse();
    notifications
}

async fn kinds(world: &World, id: &str) -> Vec<String> {
    news(world, id).await.into_iter().map(|one| one.kind).collect()
}

pub async fn what_others_did_to_the_roster_is_told(db: &Db, term: &str) {
    let world = World::new(db, term, &["t1", "t2"], &menu()).await;
    assert_eq!(kinds(&world, "t1").await, [""; 0], "being entered is not told");
    let facts = teacher("t1");
    let told = [
        ("updated", "", "roster_updated"),
        ("correction_confirmed", "", "correction_confirmed"),
        ("correction_refused", "papers", "correction_refused"),
        ("leave_granted", "", "roster_leave_granted"),
        ("returned", "", "roster_returned"),
        ("transferred", "merged", "roster_transferred"),
        ("retired", "", "roster_retired"),
        ("departed", "", "roster_departed"),
    ];
    for (verb, why, kind) in told {
        let change = by("accounts/admin", verb, why, of(&facts));
        // A transaction that fails has told nothing.
        let mut tx = db.begin_own(OPENS, "lost").await.expect("a transaction");
        chassis::Mirror::apply_all(&RosterMirror, &mut tx, std::slice::from_ref(&change)).await.expect("applied");
        tx.abandon().await;
        world.mirror(&RosterMirror, &[change]).await;
        let news = news(&world, "t1").await;
        assert_eq!(news.iter().map(|one| one.kind.as_str()).collect::<Vec<_>>(), [kind]);
        let one = &news[0];
        assert_eq!((one.resource.as_str(), one.at), ("teachers/t1", Some(proto::timestamp(at(2)))));
        assert_eq!(one.metadata.get("reason").map_or("", String::as_str), why);
        assert!(!one.zh.contains('{') && !one.en.contains('{'), "{one:?}");
    }
    // What waits for its day is told with the day.
    let mut waiting = facts.clone();
    let first_on = "2019-10-01".parse::<jiff::civil::Date>().ok().map(Into::into);
    let stay =
        |from_on, school: &str| Stay { from_on, school: school.to_owned(), status: teacher::Status::Active.into() };
    waiting.stays = vec![stay(None, SCHOOL), stay(first_on, OTHER)];
    world.mirror(&RosterMirror, &[by("accounts/admin", "transfer_coming", "", of(&waiting))]).await;
    world.mirror(&RosterMirror, &[by("accounts/admin", "event_withdrawn", "", of(&facts))]).await;
    let told = news(&world, "t1").await;
    assert_eq!(
        told.iter().map(|one| one.kind.as_str()).collect::<Vec<_>>(),
        ["roster_event_coming", "roster_event_withdrawn"]
    );
    assert!(told[0].zh.contains("2019-10-01") && told[0].en.contains("2019-10-01"), "{told:?}");
    let silent = [
        ("accounts/t1", "updated", "", "his own act"),
        ("accounts/t1", "correction_requested", "", "his own request"),
        ("accounts/admin", "created", "", "being entered"),
        ("accounts/admin", "created", "import", "being entered"),
        ("accounts/admin", "updated", "account", "his own account's beginning"),
        ("accounts/bureau", "moved", "", "a school that moves with all its people"),
        ("accounts/admin", "died", "", "nobody is there to be told"),
        ("", "updated", "", "a service"),
    ];
    for (account, verb, reason, what) in silent {
        world.mirror(&RosterMirror, &[by(account, verb, reason, of(&facts))]).await;
        assert_eq!(kinds(&world, "t1").await, [""; 0], "{what}");
    }
    let nobody = TeacherFacts { account: String::new(), ..teacher("t1") };
    world.mirror(&RosterMirror, &[by("accounts/admin", "updated", "", of(&nobody))]).await;
    world.mirror(&RosterMirror, &[by("accounts/admin", "created", "", of(&facts))]).await;
    assert_eq!(kinds(&world, "t1").await, [""; 0], "who had no account finds nothing in it");
}

/// A file repeats most of what it brings: who is as he was hears nothing.
pub async fn a_file_tells_whom_it_changed(db: &Db, term: &str) {
    let world = World::new(db, term, &["t1", "t2", "t3"], &menu()).await;
    world.submit("t3", "b", at(1)).await.expect("b");
    let other = |id| TeacherFacts { tier: "leader".to_owned(), ..teacher(id) };
    // That a leave has begun since is no news of the file's.
    let on_leave = TeacherFacts { status: teacher::Status::OnLeave.into(), ..teacher("t1") };
    let renewed = [&on_leave, &other("t2"), &other("t3"), &other("t2"), &teacher("t2")];
    let renewed = renewed.map(|facts| by("accounts/admin", "updated", "import", of(facts)));
    world.mirror(&RosterMirror, &renewed).await;
    assert_eq!(kinds(&world, "t1").await, [""; 0]);
    assert_eq!(kinds(&world, "t2").await, ["roster_updated"; 2], "there and back, and once as it was");
    assert_eq!(kinds(&world, "t3").await, ["roster_updated"], "with live selections, too");
}

pub async fn credit_by_hand_is_told(db: &Db, term: &str) {
    let world = World::new(db, term, &["t1"], &menu()).await;
    let entry = |kind: entry::Kind, hundredths, reverses: &str| Entry {
        name: "teachers/t1/entries/1".to_owned(),
        teacher: "teachers/t1".to_owned(),
        kind: kind.into(),
        awarded: Some(Credit { hundredths }),
        effective_on: "2019-06-30".parse::<jiff::civil::Date>().ok().map(Into::into),
        reverses: reverses.to_owned(),
        ..Entry::default()
    };
    let entered = |account: &str, entry: &Entry| by(account, "entered", "", change(&entry.name, entry, at(2)));
    let school_based = entry(entry::Kind::SchoolBased, 350, "");
    let reversal = entry(entry::Kind::Reversal, -350, "teachers/t1/entries/0");
    let changes = [
        entered("accounts/admin", &school_based),
        entered("accounts/bureau", &reversal),
        entered("accounts/t1", &school_based),
        entered("", &reversal),
        entered("accounts/bureau", &entry(entry::Kind::OpeningBalance, 9000, "")),
        entered("", &entry(entry::Kind::Project, 3000, "")),
    ];
    world.mirror(&CreditMirror, &changes).await;
    let news: BTreeMap<_, _> = news(&world, "t1").await.into_iter().map(|one| (one.kind, (one.zh, one.en))).collect();
    let texts = |kind: &str| news.get(kind).map(|(zh, en)| (zh.as_str(), en.as_str()));
    assert_eq!(news.len(), 2, "{news:?}");
    assert_eq!(
        texts("credit_entered"),
        Some((
            "已为您登记校本研修学分 3.50（2019-06-30）。",
            "3.50 credits of school-based training were entered for you (2019-06-30)."
        ))
    );
    assert_eq!(
        texts("credit_reversed"),
        Some((
            "您的一条学分记录（3.50 学分，2019-06-30）已冲销，原因见学分台账。",
            "An entry of 3.50 credits of yours (2019-06-30) was reversed; the ledger says why."
        ))
    );
}

pub async fn a_review_that_moves_is_told(db: &Db, term: &str) {
    let world = World::new(db, term, &["t1"], &menu()).await;
    let name = world.submit("t1", "b", at(1)).await.expect("b").name;
    let moved = TeacherFacts { school: OTHER.to_owned(), path: support::path_of(OTHER), ..teacher("t1") };
    world.mirror(&RosterMirror, &[by("accounts/bureau", "transferred", "", of(&moved))]).await;
    let mut told = news(&world, "t1").await;
    told.sort_by(|one, other| one.kind.cmp(&other.kind));
    let kinds: Vec<_> = told.iter().map(|one| (one.kind.as_str(), one.resource.as_str())).collect();
    assert_eq!(kinds, [("roster_transferred", "teachers/t1"), ("selection_moved", name.as_str())]);
    assert!(told[1].en.contains(OTHER) && told[1].zh.contains(OTHER), "{:?}", told[1]);
}
