use jiff::{ToSpan as _, civil::date};
use proptest::prelude::*;

use super::super::cycle::{Cycles, Leave};
use super::{day, leaves};

#[test]
fn five_years_from_the_entry() {
    let cycles = Cycles::new(date(2014, 9, 1), 5, &[]);
    let cycle = cycles.on(date(2019, 8, 31)).unwrap();
    assert_eq!((cycle.ordinal, cycle.first_on, cycle.last_on), (1, date(2014, 9, 1), date(2019, 8, 31)));
    assert_eq!(cycles.on(date(2019, 9, 1)).unwrap().ordinal, 2);
    assert_eq!(cycles.on(date(2014, 8, 31)), None);
    assert_eq!(cycles.ending_in(2019).unwrap().ordinal, 1);
    assert_eq!(cycles.ending_in(2018), None);
}

#[test]
fn a_leave_extends_by_its_days() {
    let leave = Leave { first_on: date(2016, 3, 1), last_on: Some(date(2016, 3, 10)) };
    let cycle = Cycles::new(date(2014, 9, 1), 5, &[leave]).next().unwrap();
    assert_eq!(cycle.last_on, date(2019, 9, 10));
}

#[test]
fn a_leave_that_the_extension_reaches_extends_once_more() {
    let spring = Leave { first_on: date(2016, 3, 1), last_on: Some(date(2016, 3, 10)) };
    let autumn = Leave { first_on: date(2019, 9, 5), last_on: Some(date(2019, 9, 6)) };
    let cycle = Cycles::new(date(2014, 9, 1), 5, &[autumn, spring, spring]).next().unwrap();
    assert_eq!(cycle.last_on, date(2019, 9, 12));
}

#[test]
fn a_leave_without_an_end_leaves_the_cycle_open() {
    let leave = Leave { first_on: date(2019, 1, 1), last_on: None };
    let cycles = Cycles::new(date(2014, 9, 1), 5, &[leave]);
    let cycle = cycles.on(date(2030, 1, 1)).unwrap();
    assert_eq!((cycle.ordinal, cycle.ends_on()), (1, None));
    assert_eq!(cycles.ending_in(9999), None);
}

#[test]
fn days_at_the_calendars_end_do_not_panic() {
    assert_eq!(Cycles::new(date(9999, 1, 1), 5, &[]).on(date(9999, 12, 31)).unwrap().ends_on(), None);
    assert!(Cycles::new(date(1, 1, 1), 1, &[]).on(date(9999, 12, 31)).is_some());
}

proptest! {
    #[test]
    fn cycles_are_contiguous_and_extended_by_exactly_their_leave(
        entered_on in day(), years in 1_i16..7, leaves in leaves(),
    ) {
        let cycles: Vec<_> = Cycles::new(entered_on, years, &leaves).take(5).collect();
        prop_assert_eq!(cycles[0].first_on, entered_on);
        for (cycle, next) in cycles.iter().zip(&cycles[1..]) {
            prop_assert_eq!(next.ordinal, cycle.ordinal + 1);
            prop_assert_eq!(next.first_on, cycle.last_on.tomorrow().unwrap());
        }
        for cycle in &cycles {
            let nominal = cycle.first_on.series(1.day()).take_while(|day| {
                *day < cycle.first_on.checked_add(i32::from(years).years()).unwrap()
            }).count();
            let present = cycle.first_on.series(1.day()).take_while(|day| *day <= cycle.last_on)
                .filter(|day| !leaves.iter().any(|leave| leave.holds(*day))).count();
            prop_assert_eq!(present, nominal);
        }
    }

    #[test]
    fn every_day_from_the_entry_lies_in_exactly_one_cycle(
        entered_on in day(), asked in day(), leaves in leaves(),
    ) {
        let cycles = Cycles::new(entered_on, 5, &leaves);
        let holding: Vec<_> = cycles.clone().take(30).filter(|cycle| cycle.holds(asked)).collect();
        prop_assert_eq!(holding.len(), usize::from(asked >= entered_on));
        prop_assert_eq!(cycles.on(asked), holding.first().copied());
    }
}
