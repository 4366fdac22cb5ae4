//! A project as enrollment knows it from the catalog.

use std::collections::BTreeMap;

use jiff::{civil::Date, tz::TimeZone};
use proto::Credit;

use super::{allocation::Allocation, audience::Audience, policy::Limits, structure::Kind};

/// A project.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Project {
    /// "terms/…/projects/…"
    pub name: String,
    /// "terms/…"
    pub term: String,
    /// "organizations/…"
    pub provider: String,
    /// "organizations/…"
    pub accepting_bureau: String,
    /// On the menu: published or running.
    pub open: bool,
    /// Called off: none of its classes is held.
    pub cancelled: bool,
    /// Whom it is for.
    pub audience: Audience,
    /// What it counts as in the structure of a teacher's selections.
    pub kinds: Vec<Kind>,
    /// Base credit: decides the 90 rule.
    pub base_credit: Credit,
    /// Difficulty in percent.
    pub difficulty_percent: i32,
    /// Its classes, cancelled ones too, by name.
    pub classes: BTreeMap<String, Class>,
    /// Its own allocation, by round.
    pub allocations: BTreeMap<i32, Allocation>,
}

/// A class.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Class {
    /// "terms/…/projects/…/classes/…"
    pub name: String,
    /// Places.
    pub places: i32,
    /// Sessions as [start, end) in microseconds.
    pub sessions: Vec<(i64, i64)>,
    /// Not cancelled.
    pub active: bool,
    /// Last day.
    pub ends_on: Option<Date>,
}

impl Class {
    /// Whether any session overlaps with one of `other`.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.sessions.iter().any(|(start, end)| other.sessions.iter().any(|(from, to)| start < to && from < end))
    }

    /// Whether any session touches a day for which `absent` holds.
    #[must_use]
    pub fn any_day(&self, zone: &TimeZone, absent: impl Fn(Date) -> bool) -> bool {
        let day = |at: i64| proto::jiff_instant(at).to_zoned_datetime(zone.clone()).date();
        self.sessions.iter().any(|(start, end)| absent(day(*start)) || absent(day(end.saturating_sub(1))))
    }

    /// What `of` says of the first day of a session that it says something of.
    pub fn first_day<T>(&self, zone: &TimeZone, of: impl Fn(Date) -> Option<T>) -> Option<T> {
        let day = |at: i64| proto::jiff_instant(at).to_zoned_datetime(zone.clone()).date();
        self.sessions.iter().find_map(|(start, end)| of(day(*start)).or_else(|| of(day(end.saturating_sub(1)))))
    }

    /// End of the last session.
    #[must_use]
    pub fn ends(&self) -> Option<i64> {
        self.sessions.iter().map(|(_, end)| *end).max()
    }

    /// Start of the first session.
    #[must_use]
    pub fn starts(&self) -> Option<i64> {
        self.sessions.iter().map(|(start, _)| *start).min()
    }
}

impl Project {
    /// Places of all classes that are held.
    #[must_use]
    pub fn capacity(&self) -> i32 {
        self.active().fold(0, |sum, class| sum.saturating_add(class.places.max(0)))
    }

    /// The classes that are held, by name.
    pub fn active(&self) -> impl Iterator<Item = &Class> {
        let held = !self.cancelled;
        self.classes.values().filter(move |class| held && class.active)
    }

    /// Whether it counts as intensive: policy `selection.intensive_credits`.
    #[must_use]
    pub fn is_intensive(&self, limits: &Limits) -> bool {
        self.base_credit >= Credit::whole(limits.intensive_credits)
    }

    /// The classes in which a selection may end up: the one it is placed in, else all that are held.
    pub fn possible<'a>(&'a self, placed: &'a str) -> impl Iterator<Item = &'a Class> {
        let held = !self.cancelled;
        let possible =
            move |class: &&'a Class| if placed.is_empty() { held && class.active } else { class.name == placed };
        self.classes.values().filter(possible)
    }
}
