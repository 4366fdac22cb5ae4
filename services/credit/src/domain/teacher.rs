//! What the rules of credit need to know of a teacher.

use jiff::{ToSpan as _, civil::Date};

use super::{
    cycle::{Cycles, Leave},
    policy::Policy,
};

/// A teacher as the roster describes him, and where he was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Teacher {
    /// "teachers/…"
    pub name: String,
    /// Entry into the platform: cycles count from it.
    pub entered_on: Option<Date>,
    /// First employment as a teacher: the probation year counts from it.
    pub employed_on: Option<Date>,
    /// First appointment as a principal, if he is one: what a new principal owes counts from it.
    pub principal_appointed_on: Option<Date>,
    /// When he came onto the roster of this region.
    pub joined_on: Option<Date>,
    /// Code of the form of employment.
    pub employment: String,
    /// Approved leaves.
    pub leaves: Vec<Leave>,
    /// Where he was, in order of days. The first reaches back without end.
    pub stays: Vec<Stay>,
    /// What a project's audience is compared with.
    pub profile: Profile,
}

/// From `from_on` on at `school`; an empty school: no longer on the roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    /// First day there.
    pub from_on: Date,
    /// "organizations/…", or empty.
    pub school: String,
}

/// The dimensions of matching.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// 层次
    pub tier: String,
    /// 类别
    pub category: String,
    /// 学段, the main one first.
    pub stages: Vec<String>,
    /// 学科, the main one first.
    pub subjects: Vec<String>,
}

impl Teacher {
    /// The school on `day`; empty while he is not on the roster.
    #[must_use]
    pub fn school_on(&self, day: Date) -> &str {
        let stay = self.stays.iter().rev().find(|stay| stay.from_on <= day).or_else(|| self.stays.first());
        stay.map_or("", |stay| &stay.school)
    }

    /// His cycles; none without a platform entry.
    #[must_use]
    pub fn cycles(&self, policy: &Policy) -> Option<Cycles> {
        self.entered_on.map(|entered_on| Cycles::new(entered_on, policy.cycle_years, &self.leaves))
    }

    /// The probation year (见习期): the first year of employment, first and last day. Its credit is not counted in the
    /// cycle (DESIGN §5).
    #[must_use]
    pub fn probation(&self) -> Option<(Date, Date)> {
        let first_on = self.employed_on?;
        let next = first_on.checked_add(1.year()).ok()?;
        Some((first_on, next.yesterday().ok()?))
    }

    /// Whether `day` falls into the probation year.
    #[must_use]
    pub fn on_probation(&self, day: Date) -> bool {
        self.probation().is_some_and(|(first_on, last_on)| first_on <= day && day <= last_on)
    }

    /// The years of a new principal, first and last day: `requirements.principal_years` from the first appointment. Half of
    /// their credit counts in the cycle (DESIGN §5).
    #[must_use]
    pub fn new_principal(&self, policy: &Policy) -> Option<(Date, Date)> {
        let first_on = self.principal_appointed_on?;
        let next = first_on.checked_add(i32::from(policy.principal_years).years()).ok()?;
        Some((first_on, next.yesterday().ok()?))
    }

    /// Whether he is a new principal on `day`.
    #[must_use]
    pub fn is_new_principal(&self, day: Date, policy: &Policy) -> bool {
        self.new_principal(policy).is_some_and(|(first_on, last_on)| first_on <= day && day <= last_on)
    }

    /// Whether he counts in a rate's denominator on `day`: on the roster, full-time, past probation, not on leave.
    #[must_use]
    pub fn counts_on(&self, day: Date, policy: &Policy) -> bool {
        let begun = self.entered_on.or(self.joined_on).or(self.employed_on);
        begun.is_some_and(|begun| begun <= day)
            && !self.school_on(day).is_empty()
            && policy.is_full_time(&self.employment)
            && !self.on_probation(day)
            && !self.leaves.iter().any(|leave| leave.holds(day))
    }
}
