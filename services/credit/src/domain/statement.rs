//! A teacher's standing on a day (学分对账单).

use jiff::civil::Date;
use proto::Credit;

use super::{
    cycle::Cycle,
    entry::{Entry, Kind},
    ledger::{Counted, count},
    policy::Policy,
    requirement::{
        CYCLE_360, INTENSIVE_90, NEW_PRINCIPAL_300, NEW_PRINCIPAL_INTENSIVE_90, PROBATION_180, PROBATION_PRACTICE_80,
        RESTRICTED_ELECTIVE_YEAR, Requirement, YEAR_24,
    },
    teacher::Teacher,
};

/// The sums of cycle and year, and the requirements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The cycle that holds the day; none without a platform entry, or before it.
    pub cycle: Option<Cycle>,
    /// Counted in the cycle.
    pub cycle_awarded: Credit,
    /// Counted in the calendar year.
    pub year_awarded: Credit,
    /// School-based training counted in the cycle.
    pub school_based_counted: Credit,
    /// School-based training of the cycle above the limit.
    pub school_based_not_counted: Credit,
    /// Each, applicable or not.
    pub requirements: Vec<Requirement>,
}

/// Draws up the statement for `on` from the entries that were known; later days are left out.
#[must_use]
pub fn draw_up(teacher: &Teacher, entries: &[Entry], on: Date, policy: &Policy) -> Statement {
    let counted: Vec<_> =
        count(teacher, entries, policy).into_iter().filter(|counted| counted.entry.effective_on <= on).collect();
    let cycle = teacher.cycles(policy).and_then(|cycles| cycles.on(on));
    let ordinal = cycle.map(|cycle| cycle.ordinal);
    let in_cycle: Vec<_> = counted.iter().filter(|counted| Some(counted.cycle) == ordinal).collect();
    let in_year: Vec<_> = counted.iter().filter(|counted| counted.entry.effective_on.year() == on.year()).collect();
    let school_based = || in_cycle.iter().filter(|counted| counted.entry.kind == Kind::SchoolBased);
    let cycle_awarded: Credit = in_cycle.iter().map(|counted| counted.counted).sum();
    let year_awarded: Credit = in_year.iter().map(|counted| counted.counted).sum();
    let [probation, probation_practice] = probation(teacher, entries, on, policy);
    let [principal, principal_intensive] = new_principal(teacher, entries, on, policy);
    let requirements = vec![
        if_there(cycle.is_some(), Requirement::credits(CYCLE_360, cycle_awarded.0, policy.cycle_credits.0)),
        if_there(!teacher.on_probation(on), Requirement::credits(YEAR_24, year_awarded.0, policy.year_each.0)),
        if_there(cycle.is_some(), Requirement::times(INTENSIVE_90, intensive(in_cycle.iter().copied()), 1)),
        Requirement::times(RESTRICTED_ELECTIVE_YEAR, electives(in_year.iter().copied()), 1),
        probation,
        probation_practice,
        principal,
        principal_intensive,
    ];
    Statement {
        cycle,
        cycle_awarded,
        year_awarded,
        school_based_counted: school_based().map(|counted| counted.counted).sum(),
        school_based_not_counted: school_based().map(|counted| counted.over).sum(),
        requirements,
    }
}

/// How many entries are of an intensive training.
pub fn intensive<'a>(counted: impl Iterator<Item = &'a Counted<'a>>) -> i64 {
    counted.filter(|counted| counted.entry.intensive).fold(0, |count, _| count + 1)
}

/// How many entries are of a restricted elective.
pub fn electives<'a>(counted: impl Iterator<Item = &'a Counted<'a>>) -> i64 {
    counted.filter(|counted| counted.entry.restricted_elective).fold(0, |count, _| count + 1)
}

/// Judged while it lasts: earlier probation years may lie before the platform.
fn probation(teacher: &Teacher, entries: &[Entry], on: Date, policy: &Policy) -> [Requirement; 2] {
    let earned = || {
        entries
            .iter()
            .filter(|entry| entry.is_live() && entry.effective_on <= on && teacher.on_probation(entry.effective_on))
    };
    let all: Credit = earned().map(|entry| entry.awarded).sum();
    let practice: Credit = earned().map(|entry| entry.practice).sum();
    [
        Requirement::credits(PROBATION_180, all.0, policy.probation_credits.0),
        Requirement::credits(PROBATION_PRACTICE_80, practice.0, policy.probation_practice.0),
    ]
    .map(|requirement| if_there(teacher.on_probation(on), requirement))
}

/// Judged while he is new: everything that became effective since the appointment, and the base credit of what of it is
/// intensive training.
fn new_principal(teacher: &Teacher, entries: &[Entry], on: Date, policy: &Policy) -> [Requirement; 2] {
    let since = || {
        entries.iter().filter(|entry| {
            entry.is_live() && entry.effective_on <= on && teacher.is_new_principal(entry.effective_on, policy)
        })
    };
    let all: Credit = since().map(|entry| entry.awarded).sum();
    let intensive: Credit = since().filter(|entry| entry.intensive).map(|entry| entry.base).sum();
    [
        Requirement::credits(NEW_PRINCIPAL_300, all.0, policy.principal_credits.0),
        Requirement::credits(NEW_PRINCIPAL_INTENSIVE_90, intensive.0, policy.principal_intensive.0),
    ]
    .map(|requirement| if_there(teacher.is_new_principal(on, policy), requirement))
}

fn if_there(there: bool, requirement: Requirement) -> Requirement {
    if there { requirement } else { requirement.not_applicable() }
}

/// Where a teacher stands in his cycle, for ranking by need.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Last day of the cycle, if there is one and it is known.
    pub cycle_ends_on: Option<Date>,
    /// Counted in it, whatever the day.
    pub cycle_awarded: Credit,
    /// Whether it has an intensive training.
    pub has_intensive: bool,
}

/// The position in the cycle that holds `on`, with everything the ledger has of that cycle.
#[must_use]
pub fn position(teacher: &Teacher, entries: &[Entry], on: Date, policy: &Policy) -> Position {
    let Some(cycle) = teacher.cycles(policy).and_then(|cycles| cycles.on(on)) else { return Position::default() };
    let counted = count(teacher, entries, policy);
    let in_cycle: Vec<_> = counted.iter().filter(|counted| counted.cycle == cycle.ordinal).collect();
    Position {
        cycle_ends_on: cycle.ends_on(),
        cycle_awarded: in_cycle.iter().map(|counted| counted.counted).sum(),
        has_intensive: intensive(in_cycle.into_iter()) > 0,
    }
}
