//! Teachers as the roster has them: where, whether in service, and when on leave.

use jiff::{ToSpan as _, civil::Date};

/// A teacher.
#[derive(Debug, Clone)]
pub struct Person {
    /// Index of the school.
    pub school: usize,
    /// Retired, since this day.
    pub gone: Option<Date>,
    /// First and last days of earlier retirements; one that ends before it begins is none.
    retired: Vec<(Date, Date)>,
    /// First and last days; a leave that ends before it begins is none.
    leaves: Vec<(Date, Date)>,
}

/// What happens to a teacher today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// To another school.
    Transfer(usize),
    /// On leave from today, with this last day.
    Leave(Date),
    /// Back from leave, or from retirement.
    Return,
    /// Retires.
    Retirement,
}

impl Person {
    /// In service at a school.
    #[must_use]
    pub const fn at(school: usize) -> Self {
        Self { school, gone: None, retired: Vec::new(), leaves: Vec::new() }
    }

    /// Whether a leave has this day.
    #[must_use]
    pub fn is_away(&self, day: Date) -> bool {
        self.leaves.iter().any(|(first, last)| *first <= day && day <= *last)
    }

    /// Whether he is retired on this day, for all that is known.
    #[must_use]
    pub fn is_gone(&self, day: Date) -> bool {
        let earlier = self.retired.iter().any(|(first, last)| *first <= day && day <= *last);
        earlier || self.gone.is_some_and(|first| first <= day)
    }

    /// All days of leave, past and coming: by so many the five-year cycle ends later.
    #[must_use]
    pub fn days_away(&self) -> i64 {
        let days = |(first, last): &(Date, Date)| (*last - *first).get_days().max(-1) + 1;
        self.leaves.iter().map(days).fold(0, |sum, days| sum + i64::from(days))
    }

    /// Something happens; false: it cannot.
    pub fn take(&mut self, event: Event, today: Date) -> bool {
        let away = self.is_away(today);
        match event {
            Event::Return if self.gone.is_some() => {
                self.retired.extend(self.gone.take().map(|first| (first, today - 1.day())));
            }
            Event::Return if away => self.end_leaves(today),
            Event::Transfer(school) if self.gone.is_none() => self.school = school,
            Event::Leave(last) if self.gone.is_none() && !away => {
                self.leaves.retain(|(first, _)| *first != today);
                self.leaves.push((today, last));
            }
            Event::Retirement if self.gone.is_none() => {
                self.gone = Some(today);
                self.end_leaves(today);
            }
            _ => return false,
        }
        true
    }

    fn end_leaves(&mut self, today: Date) {
        for (_, last) in &mut self.leaves {
            *last = (*last).min(today - 1.day());
        }
    }
}
