use jiff::civil::date;
use proptest::prelude::*;
use proto::Credit;

use super::super::{
    entry::{Entry, Kind},
    policy::Policy,
    recognition::{Act, Earned, Outcome, award, decide, is_intensive, practice},
};
use super::{entry, reverse};

#[test]
fn the_award_is_base_times_difficulty_times_result() {
    assert_eq!(award(Credit::whole(36), 110, 95), Credit(3_762));
    assert_eq!(award(Credit::whole(36), 100, 0), Credit::ZERO);
}

fn outcome(revision: i64, amount: Option<i64>) -> Outcome {
    let earned = amount.map(|amount| Earned {
        base: Credit::whole(30),
        awarded: Credit(amount),
        effective_on: date(2019, 12, 1),
    });
    Outcome {
        selection: "terms/1/selections/1".to_owned(),
        teacher: "teachers/1".to_owned(),
        project: "terms/1/projects/1".to_owned(),
        revision,
        earned,
    }
}

/// Carries out what was decided, as the ledger would.
fn carry_out(entries: &mut Vec<Entry>, outcome: &Outcome) -> Act {
    let act = decide(outcome, entries.iter().rfind(|entry| entry.kind == Kind::Project));
    if matches!(act, Act::Reverse | Act::Replace(_)) {
        let live = entries.iter().position(Entry::is_live).unwrap();
        reverse(entries, live);
    }
    if let Act::Enter(earned) | Act::Replace(earned) = act {
        let entered = Entry {
            base: earned.base,
            revision: outcome.revision,
            ..entry(entries.len(), Kind::Project, earned.awarded.0, earned.effective_on)
        };
        entries.push(entered);
    }
    act
}

#[test]
fn what_the_bureau_reversed_stays_reversed_until_there_is_a_new_result() {
    let mut entries = Vec::new();
    assert!(matches!(carry_out(&mut entries, &outcome(1, Some(3_000))), Act::Enter(_)));
    reverse(&mut entries, 0);
    assert_eq!(carry_out(&mut entries, &outcome(1, Some(3_000))), Act::Keep);
    assert!(matches!(carry_out(&mut entries, &outcome(2, Some(2_000))), Act::Enter(_)));
}

#[test]
fn intensive_is_a_form_and_an_amount() {
    let policy = Policy::default();
    for (held_as_such, credits, intensive) in [(true, 90, true), (true, 89, false), (false, 120, false)] {
        assert_eq!(is_intensive(held_as_such, Credit::whole(credits), &policy), intensive);
    }
}

proptest! {
    /// The definition, exactly: the most hundredths whose hours do not exceed those of practice.
    #[test]
    fn practice_is_the_share_of_hours(awarded in 0_i64..50_000, hours in 0_i64..300, total in 0_i64..300) {
        let Credit(earned) = practice(Credit(awarded), hours, total);
        prop_assert!((0..=awarded).contains(&earned));
        let (hours, total) = (hours.min(total), total);
        prop_assert!(total == 0 || (earned * total <= awarded * hours && awarded * hours < (earned + 1) * total));
        prop_assert!(total > 0 || earned == 0);
    }

    #[test]
    fn recognition_is_once_only_and_follows_the_result(
        history in prop::collection::vec((prop::option::of(1_i64..4), any::<bool>(), any::<bool>()), 1..30),
    ) {
        let mut entries: Vec<Entry> = Vec::new();
        let mut known = outcome(0, None);
        let mut revoked = false;
        for (amount, recognised, by_hand) in history {
            let next = outcome(known.revision, amount.map(|amount| amount * 1_000));
            if next.earned != known.earned {
                known = Outcome { revision: known.revision + 1, ..next };
                revoked = false;
            }
            if recognised {
                carry_out(&mut entries, &known);
                prop_assert_eq!(carry_out(&mut entries, &known), Act::Keep, "again changes nothing");
                let live: Vec<_> = entries.iter().filter(|entry| entry.is_live()).collect();
                prop_assert!(live.len() <= 1, "a selection is never credited twice");
                if !revoked {
                    prop_assert_eq!(live.first().map(|entry| entry.awarded), known.earned.map(|earned| earned.awarded));
                }
                let sum: Credit = entries.iter().map(|entry| entry.awarded).sum();
                let live: Credit = live.iter().map(|entry| entry.awarded).sum();
                prop_assert_eq!(sum, live);
                let mut revisions: Vec<_> = entries.iter().filter(|entry| entry.kind == Kind::Project).map(|entry| entry.revision).collect();
                let entered = revisions.len();
                revisions.dedup();
                prop_assert_eq!(revisions.len(), entered, "selection and revision are a key");
                if by_hand && let Some(live) = entries.iter().position(Entry::is_live) {
                    reverse(&mut entries, live);
                    revoked = true;
                }
            }
        }
        let undone: Vec<_> = entries.iter().filter(|entry| !entry.reverses.is_empty()).map(|entry| entry.reverses.clone()).collect();
        let mut once = undone.clone();
        once.dedup();
        prop_assert_eq!(undone, once, "each entry is reversed once");
        let reversals_undone = entries.iter().any(|entry| entry.kind == Kind::Reversal && !entry.reversed_by.is_empty());
        prop_assert!(!reversals_undone);
    }
}
