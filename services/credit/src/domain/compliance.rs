//! Compliance (达标情况) of a school, district or bureau in a year.

use super::{
    policy::Policy,
    requirement::{
        CYCLE_360, INTENSIVE_90, MATCH_75, RESTRICTED_ELECTIVE_21, RESTRICTED_ELECTIVE_YEAR, Requirement, YEAR_24,
        YEAR_MEAN_72,
    },
};

/// What a year's standings of some schools add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Teachers that count there as persons.
    pub teachers: i64,
    /// Person-months of full-time teachers, without probation and approved leave.
    pub months: i64,
    /// Counted credit, in hundredths.
    pub awarded: i64,
    /// Teachers that reached the year's credits.
    pub year_met: i64,
    /// Teachers whose cycle ended in the year.
    pub cycles: i64,
    /// Of these, those with the cycle's credits.
    pub cycle_met: i64,
    /// Of these, those with an intensive training.
    pub intensive_met: i64,
    /// Teachers with a restricted elective in the year.
    pub elective_year: i64,
    /// (Teacher, year) pairs over the elapsed years of each one's cycle.
    pub elapsed: i64,
    /// Of these, those with a restricted elective.
    pub elapsed_elective: i64,
    /// Projects of the regulation's base credits completed, whatever their form.
    pub participations: i64,
    /// Of these, those that matched tier and category.
    pub matched: i64,
    /// Approved selections of as many base credits that are not credited yet, of projects that end in the year.
    pub approved: i64,
    /// Of these, those that match.
    pub approved_matched: i64,
}

impl std::ops::Add for Tally {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            teachers: self.teachers.saturating_add(other.teachers),
            months: self.months.saturating_add(other.months),
            awarded: self.awarded.saturating_add(other.awarded),
            year_met: self.year_met.saturating_add(other.year_met),
            cycles: self.cycles.saturating_add(other.cycles),
            cycle_met: self.cycle_met.saturating_add(other.cycle_met),
            intensive_met: self.intensive_met.saturating_add(other.intensive_met),
            elective_year: self.elective_year.saturating_add(other.elective_year),
            elapsed: self.elapsed.saturating_add(other.elapsed),
            elapsed_elective: self.elapsed_elective.saturating_add(other.elapsed_elective),
            participations: self.participations.saturating_add(other.participations),
            matched: self.matched.saturating_add(other.matched),
            approved: self.approved.saturating_add(other.approved),
            approved_matched: self.approved_matched.saturating_add(other.approved_matched),
        }
    }
}

impl std::iter::Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |sum, tally| sum + tally)
    }
}

impl Tally {
    /// Every requirement. 360 and 90 are judged on the teachers whose cycle ended in the year, since the others still
    /// have time; the mean is per year of work, hence per twelve person-months.
    #[must_use]
    pub fn requirements(&self, policy: &Policy) -> Vec<Requirement> {
        vec![
            Requirement::share(CYCLE_360, self.cycle_met, self.cycles, 100),
            Requirement::share(YEAR_24, self.year_met, self.teachers, 100),
            Requirement::quotient(YEAR_MEAN_72, self.awarded, self.months, 12, policy.year_mean.0),
            Requirement::share(INTENSIVE_90, self.intensive_met, self.cycles, 100),
            Requirement::share(
                RESTRICTED_ELECTIVE_21,
                self.elapsed_elective,
                self.elapsed,
                policy.restricted_elective_percent,
            ),
            Requirement::share(
                RESTRICTED_ELECTIVE_YEAR,
                self.elective_year,
                self.teachers,
                policy.restricted_elective_percent,
            ),
            Requirement::share(MATCH_75, self.matched, self.participations, policy.match_percent),
        ]
    }
}

impl Tally {
    /// The share that matches as approvals forecast it: what is completed, and what was approved and is still to be (DESIGN §5).
    #[must_use]
    pub fn match_forecast(&self, policy: &Policy) -> Requirement {
        let matched = self.matched.saturating_add(self.approved_matched);
        Requirement::share(MATCH_75, matched, self.participations.saturating_add(self.approved), policy.match_percent)
    }
}

/// How a requirement is judged on one teacher of the list behind its number: numerator × `scale` ≥ `required` ×
/// denominator. `None`: no such key.
#[must_use]
pub fn of_one(key: &str, policy: &Policy) -> Option<(i64, i64)> {
    Some(match key {
        CYCLE_360 => (1, policy.cycle_credits.0),
        YEAR_24 => (1, policy.year_each.0),
        YEAR_MEAN_72 => (12, policy.year_mean.0),
        INTENSIVE_90 | RESTRICTED_ELECTIVE_YEAR => (1, 1),
        // Of his elapsed years, those with an elective.
        RESTRICTED_ELECTIVE_21 => (100, policy.restricted_elective_percent),
        MATCH_75 => (100, policy.match_percent),
        _ => return None,
    })
}
