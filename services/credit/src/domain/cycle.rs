//! The five-year cycle (五年周期): it begins with the entry into the platform and is extended by approved leave.

use jiff::{ToSpan as _, civil::Date};

/// An approved leave; both days inclusive. Without a last day it lasts until it is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leave {
    /// First day away.
    pub first_on: Date,
    /// Last day away.
    pub last_on: Option<Date>,
}

impl Leave {
    /// Whether `day` is one of its days.
    #[must_use]
    pub fn holds(&self, day: Date) -> bool {
        self.first_on <= day && day <= self.end()
    }

    fn end(&self) -> Date {
        self.last_on.unwrap_or(Date::MAX)
    }
}

/// One cycle of a teacher; both days inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cycle {
    /// From 1.
    pub ordinal: u32,
    /// First day.
    pub first_on: Date,
    /// Last day, leave added. `Date::MAX` while a leave within it has no last day.
    pub last_on: Date,
}

impl Cycle {
    /// Whether `day` is one of its days.
    #[must_use]
    pub fn holds(&self, day: Date) -> bool {
        self.first_on <= day && day <= self.last_on
    }

    /// Its last day, if that is known yet.
    #[must_use]
    pub fn ends_on(&self) -> Option<Date> {
        (self.last_on < Date::MAX).then_some(self.last_on)
    }
}

/// The cycles of a teacher, one after the other without a gap.
///
/// A cycle is done when its calendar years' worth of days was spent not on leave: so it is extended by exactly the leave
/// that falls into it (DESIGN §5, policy `cycle.years`).
#[derive(Debug, Clone)]
pub struct Cycles {
    next_on: Option<Date>,
    ordinal: u32,
    years: i16,
    /// Sorted, without overlap.
    leaves: Vec<(Date, Date)>,
}

impl Cycles {
    /// The cycles from `entered_on`, of `years` calendar years each (at least 1).
    #[must_use]
    pub fn new(entered_on: Date, years: i16, leaves: &[Leave]) -> Self {
        Self { next_on: Some(entered_on), ordinal: 0, years: years.max(1), leaves: merged(leaves) }
    }

    /// The cycle that holds `day`; none before the first.
    #[must_use]
    pub fn on(&self, day: Date) -> Option<Cycle> {
        self.clone().take_while(|cycle| cycle.first_on <= day).find(|cycle| cycle.holds(day))
    }

    /// The last cycle that ends in the calendar year `year`.
    #[must_use]
    pub fn ending_in(&self, year: i16) -> Option<Cycle> {
        self.clone()
            .take_while(|cycle| cycle.first_on.year() <= year)
            .filter(|cycle| cycle.ends_on().is_some_and(|last_on| last_on.year() == year))
            .last()
    }

    /// The last day of a cycle that begins on `first_on`.
    fn end(&self, first_on: Date) -> Date {
        let Ok(nominal) = first_on.checked_add(i32::from(self.years).years()) else { return Date::MAX };
        let mut left = days(first_on, nominal);
        let mut from = first_on;
        for (away, back) in &self.leaves {
            if *back < from {
                continue;
            }
            if *away > from {
                let present = days(from, *away);
                if present >= left {
                    break;
                }
                left -= present;
            }
            match back.tomorrow() {
                Ok(day) => from = day,
                Err(_) => return Date::MAX,
            }
        }
        from.checked_add((left - 1).days()).unwrap_or(Date::MAX)
    }
}

impl Iterator for Cycles {
    type Item = Cycle;

    fn next(&mut self) -> Option<Cycle> {
        let first_on = self.next_on?;
        let last_on = self.end(first_on);
        self.ordinal = self.ordinal.saturating_add(1);
        self.next_on = last_on.tomorrow().ok();
        Some(Cycle { ordinal: self.ordinal, first_on, last_on })
    }
}

/// Days from `from` up to, not with, `to`.
fn days(from: Date, to: Date) -> i64 {
    from.until(to).map_or(0, |span| i64::from(span.get_days()))
}

/// Leaves in order, those that touch or overlap made one; a leave that ends before it begins is none.
fn merged(leaves: &[Leave]) -> Vec<(Date, Date)> {
    let mut spans: Vec<_> = leaves.iter().map(|leave| (leave.first_on, leave.end())).filter(|(a, b)| a <= b).collect();
    spans.sort_unstable();
    let mut merged: Vec<(Date, Date)> = Vec::with_capacity(spans.len());
    for (first, last) in spans {
        match merged.last_mut() {
            Some((_, end)) if end.tomorrow().map_or(true, |next| first <= next) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged
}
