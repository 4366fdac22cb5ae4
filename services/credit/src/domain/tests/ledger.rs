use jiff::civil::date;
use proptest::prelude::*;
use proto::Credit;

use super::super::{
    entry::Kind,
    ledger::count,
    policy::Policy,
    requirement::{
        CYCLE_360, INTENSIVE_90, NEW_PRINCIPAL_300, NEW_PRINCIPAL_INTENSIVE_90, PROBATION_180, PROBATION_PRACTICE_80,
        YEAR_24,
    },
    statement::{draw_up, position},
};
use super::{Entry, day, entry, leaves, reverse, teacher};

#[test]
fn school_based_training_counts_up_to_the_limit_of_each_cycle() {
    let teacher = teacher(date(2014, 9, 1));
    let entries = [
        entry(1, Kind::SchoolBased, 10_000, date(2015, 5, 1)),
        entry(2, Kind::SchoolBased, 5_000, date(2016, 5, 1)),
        entry(3, Kind::SchoolBased, 1_000, date(2019, 9, 1)),
    ];
    let statement = draw_up(&teacher, &entries, date(2019, 8, 31), &Policy::default());
    assert_eq!(statement.school_based_counted, Credit::whole(120));
    assert_eq!(statement.school_based_not_counted, Credit::whole(30));
    assert_eq!(statement.cycle_awarded, Credit::whole(120));
    let next = draw_up(&teacher, &entries, date(2019, 9, 1), &Policy::default());
    assert_eq!((next.cycle.unwrap().ordinal, next.cycle_awarded, next.year_awarded), (2, Credit(1_000), Credit(1_000)));
}

#[test]
fn a_reversal_makes_room_under_the_limit() {
    let teacher = teacher(date(2014, 9, 1));
    let mut entries = vec![
        entry(0, Kind::SchoolBased, 12_000, date(2015, 5, 1)),
        entry(1, Kind::SchoolBased, 3_000, date(2016, 5, 1)),
    ];
    reverse(&mut entries, 0);
    let statement = draw_up(&teacher, &entries, date(2019, 1, 1), &Policy::default());
    assert_eq!((statement.school_based_counted.0, statement.school_based_not_counted.0), (3_000, 0));
}

#[test]
fn the_probation_year_counts_for_itself_only() {
    let mut teacher = teacher(date(2018, 8, 1));
    teacher.employed_on = Some(date(2018, 8, 1));
    let mut entries =
        [entry(1, Kind::Project, 18_000, date(2019, 7, 31)), entry(2, Kind::Project, 3_000, date(2019, 8, 1))];
    entries[0].practice = Credit::whole(79);
    entries[1].practice = Credit::whole(30);
    let found = |day, key| {
        let statement = draw_up(&teacher, &entries, day, &Policy::default());
        statement.requirements.into_iter().find(|requirement| requirement.key == key).unwrap()
    };
    let probation = found(date(2019, 7, 31), PROBATION_180);
    assert!(probation.applicable && probation.met);
    let practice = found(date(2019, 7, 31), PROBATION_PRACTICE_80);
    assert_eq!((practice.applicable, practice.met, practice.value, practice.required), (true, false, 7_900, 8_000));
    assert!(!found(date(2019, 8, 1), PROBATION_PRACTICE_80).applicable);
    assert!(!found(date(2019, 7, 31), YEAR_24).applicable);
    assert!(!found(date(2019, 8, 1), PROBATION_180).applicable);
    assert_eq!(found(date(2019, 12, 31), CYCLE_360).numerator, 3_000);
    assert_eq!(found(date(2019, 12, 31), YEAR_24).value, 3_000);
}

#[test]
fn a_new_principal_owes_more_and_half_of_it_counts_in_the_cycle() {
    let mut teacher = teacher(date(2015, 9, 1));
    teacher.principal_appointed_on = Some(date(2018, 8, 1));
    let mut entries = vec![
        entry(0, Kind::Project, 6_000, date(2018, 7, 31)),
        entry(1, Kind::Project, 9_000, date(2018, 8, 1)),
        entry(2, Kind::SchoolBased, 20_000, date(2019, 3, 1)),
        entry(3, Kind::Project, 1_000, date(2019, 7, 31)),
        entry(4, Kind::Project, 3_000, date(2019, 8, 1)),
    ];
    let found = |entries: &[Entry], day, key| {
        let statement = draw_up(&teacher, entries, day, &Policy::default());
        statement.requirements.into_iter().find(|requirement| requirement.key == key).unwrap()
    };
    let last = date(2019, 7, 31);
    let all = found(&entries, last, NEW_PRINCIPAL_300);
    assert_eq!((all.applicable, all.met, all.value, all.required), (true, true, 30_000, 30_000));
    let intensive = found(&entries, last, NEW_PRINCIPAL_INTENSIVE_90);
    assert_eq!((intensive.applicable, intensive.met, intensive.value), (true, true, 9_000));
    assert!(!found(&entries, last.yesterday().unwrap(), NEW_PRINCIPAL_300).met, "a day before the last credit");
    for (day, key) in [(date(2018, 7, 31), NEW_PRINCIPAL_300), (date(2019, 8, 1), NEW_PRINCIPAL_INTENSIVE_90)] {
        assert!(!found(&entries, day, key).applicable, "{day}: not yet, or no longer, new");
    }
    // 60 before, half of 90, 200 and 10 while new (100 of school-based training are under its limit), 30 after.
    assert_eq!(found(&entries, date(2019, 12, 31), CYCLE_360).numerator, 6_000 + 4_500 + 10_000 + 500 + 3_000);
    reverse(&mut entries, 1);
    let intensive = found(&entries, last, NEW_PRINCIPAL_INTENSIVE_90);
    assert_eq!((intensive.applicable, intensive.met, intensive.value), (true, false, 0));
    let mut other = teacher.clone();
    other.principal_appointed_on = None;
    let statement = draw_up(&other, &entries, last, &Policy::default());
    let owed = statement.requirements.iter().filter(|requirement| requirement.key.starts_with("new_principal"));
    assert_eq!(owed.map(|requirement| requirement.applicable).collect::<Vec<_>>(), [false, false]);
}

#[test]
fn the_base_decides_the_90_rule_and_the_award_the_total() {
    let teacher = teacher(date(2017, 1, 1));
    let mut of_90 = entry(1, Kind::Project, 9_000, date(2019, 3, 1));
    of_90.awarded = Credit(4_500);
    let statement = draw_up(&teacher, &[of_90], date(2019, 3, 1), &Policy::default());
    let intensive = statement.requirements.iter().find(|requirement| requirement.key == INTENSIVE_90).unwrap();
    assert!(intensive.met);
    assert_eq!((intensive.value, intensive.required), (100, 100));
    assert_eq!(statement.cycle_awarded, Credit(4_500));
}

#[test]
fn without_a_platform_entry_there_is_no_cycle() {
    let mut teacher = teacher(date(2017, 1, 1));
    teacher.entered_on = None;
    let statement =
        draw_up(&teacher, &[entry(1, Kind::Project, 3_000, date(2019, 3, 1))], date(2019, 3, 1), &Policy::default());
    assert_eq!((statement.cycle, statement.cycle_awarded, statement.year_awarded), (None, Credit::ZERO, Credit(3_000)));
    assert!(statement.requirements.iter().all(|requirement| requirement.key != CYCLE_360 || !requirement.applicable));
}

proptest! {
    /// The reference: a list of amounts. Sums are the sums of entries; a reversal nets its entry to zero.
    #[test]
    fn sums_are_those_of_the_reference_ledger(
        entered_on in day(),
        leaves in leaves(),
        asked in day(),
        operations in prop::collection::vec((0_usize..4, 1_i64..20_000, day(), any::<prop::sample::Index>()), 0..40),
    ) {
        let policy = Policy::default();
        let teacher = super::Teacher { leaves, ..teacher(entered_on) };
        let mut entries = Vec::new();
        for (what, amount, on, index) in operations {
            match what {
                0 if !entries.is_empty() => { let index = index.index(entries.len()); reverse(&mut entries, index); }
                1 => entries.push(entry(entries.len(), Kind::SchoolBased, amount, on)),
                2 => entries.push(entry(entries.len(), Kind::OpeningBalance, amount, on)),
                _ => entries.push(entry(entries.len(), Kind::Project, amount, on)),
            }
        }
        let total: Credit = entries.iter().map(|entry| entry.awarded).sum();
        let counted = count(&teacher, &entries, &policy);
        let kept: Credit = counted.iter().map(|counted| counted.counted + counted.over).sum();
        prop_assert_eq!(kept, total, "live entries and what is not counted of them make up the ledger's sum");

        let cycle = teacher.cycles(&policy).and_then(|cycles| cycles.on(asked));
        let alive = |undone: &super::Entry| undone.kind != Kind::Reversal
            && !entries.iter().any(|entry| entry.reverses == undone.name);
        let sum = |school_based: bool| -> Credit {
            entries.iter().filter(|entry| alive(entry) && (entry.kind == Kind::SchoolBased) == school_based)
                .filter(|entry| entry.effective_on <= asked)
                .filter(|entry| cycle.is_some_and(|cycle| cycle.holds(entry.effective_on)))
                .map(|entry| entry.awarded).sum()
        };
        let statement = draw_up(&teacher, &entries, asked, &policy);
        let school_based = sum(true);
        prop_assert_eq!(statement.cycle_awarded, sum(false) + school_based.min(policy.school_based_cap));
        prop_assert_eq!(statement.school_based_counted + statement.school_based_not_counted, school_based);
        let position = position(&teacher, &entries, asked, &policy);
        prop_assert!(position.cycle_awarded >= statement.cycle_awarded, "later days of the cycle are in the position");
    }
}
