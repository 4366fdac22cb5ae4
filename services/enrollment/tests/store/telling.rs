//! Who is told that windows open and close.

use std::collections::BTreeSet;

use super::*;

/// Everybody once, however many pages they fill, and nobody on a page twice.
pub async fn a_county_of_several_pages_is_told(db: &Db, term: &str) {
    let names: Vec<String> = (0..1001).map(|number| format!("t{number:04}")).collect();
    let teachers: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = World::new(db, term, &teachers, &menu()).await;
    let offices = 2 + 1;
    assert_eq!(pages(&world, Action::NotifyOpening, "selection-1", 0).await, [500, 500, 1 + offices]);
    assert_eq!(told(&world, "selection-1").await, 1001 + offices);
    let selection = world.submit("t0700", "a", at(1)).await.expect("a");
    // Its owner first, then page by page the teachers, but for the one who has selected.
    assert_eq!(pages(&world, Action::Remind, "selection-1", 10).await, [1, 500, 500, 0]);
    world.review(&admin(), &[(&selection.name, false, "时间冲突")], at(8)).await.expect("rejected");
    // In a later round offices first, then the teachers whom no bar keeps out: of the first round nothing is fixed yet.
    let second = pages(&world, Action::NotifyOpening, "selection-2", 19).await;
    assert_eq!((second.first(), second.iter().sum::<i64>()), (Some(&offices), told(&world, "selection-2").await));
    assert_eq!(second.len(), 1 + 3);
}

/// What each page of a step told.
async fn pages(world: &World, action: Action, window: &str, days: i64) -> Vec<i64> {
    let (mut told, mut cursors) = (Vec::new(), BTreeSet::from([String::new()]));
    let mut cursor = String::new();
    for page in 0.. {
        let outcome = world.page(action, window, days, page, &cursor).await;
        told.extend(outcome.counts.values());
        if !outcome.more {
            assert_eq!(outcome.cursor, "");
            break;
        }
        cursor = outcome.cursor;
        assert!(cursors.insert(cursor.clone()), "{cursor} twice");
    }
    told
}

/// Messages about a window.
async fn told(world: &World, window: &str) -> i64 {
    let sql = "SELECT COUNT(*) AS told FROM notification WHERE term = $1 AND resource = $2";
    let row = world.db.reader().one(sql, args![&world.term, window]).await.expect("counted").expect("a row");
    row.get("told").expect("a number")
}
