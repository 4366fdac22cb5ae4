//! The rules on invented teachers, and properties on random ones.

mod cycles;
mod ledger;
mod recognition;
mod years;

use jiff::civil::{Date, date};
use proptest::prelude::*;
use proto::{Credit, common::v1::Actor};

use super::{
    cycle::Leave,
    entry::{Entry, Kind},
    teacher::{Stay, Teacher},
};

/// A day within the years that tests play in.
fn day() -> impl Strategy<Value = Date> {
    (2008_i16..2026, 1_i8..=12, 1_i8..=28).prop_map(|(year, month, day)| date(year, month, day))
}

fn leaves() -> impl Strategy<Value = Vec<Leave>> {
    let leave = (day(), 0_i64..400).prop_map(|(first_on, days)| Leave {
        first_on,
        last_on: first_on.checked_add(jiff::Span::new().days(days)).ok(),
    });
    prop::collection::vec(leave, 0..5)
}

fn teacher(entered_on: Date) -> Teacher {
    Teacher {
        name: "teachers/1".to_owned(),
        entered_on: Some(entered_on),
        stays: vec![Stay { from_on: entered_on, school: "organizations/school-1".to_owned() }],
        ..Teacher::default()
    }
}

fn entry(number: usize, kind: Kind, awarded: i64, effective_on: Date) -> Entry {
    Entry {
        name: format!("teachers/1/entries/{number:04}"),
        teacher: "teachers/1".to_owned(),
        kind,
        base: Credit(awarded),
        awarded: Credit(awarded),
        practice: Credit::ZERO,
        effective_on,
        recorded_at: i64::try_from(number).unwrap(),
        source: format!("source-{number}"),
        revision: 1,
        intensive: kind == Kind::Project && awarded >= 9_000,
        restricted_elective: false,
        matched: true,
        project: String::new(),
        reverses: String::new(),
        reversed_by: String::new(),
        actor: Actor::default(),
        reason: String::new(),
        reason_text: String::new(),
        policy_version: 1,
        school: "organizations/school-1".to_owned(),
    }
}

/// Appends the reversal of the entry at `index`, as the ledger would: once.
fn reverse(entries: &mut Vec<Entry>, index: usize) {
    let name = format!("teachers/1/entries/{:04}", entries.len());
    let recorded_at = i64::try_from(entries.len()).unwrap();
    if entries[index].is_live() {
        let reversal = entries[index].reversal(name, recorded_at, Actor::default(), "test", 1);
        entries[index].reversed_by = reversal.name.clone();
        entries.push(reversal);
    }
}
