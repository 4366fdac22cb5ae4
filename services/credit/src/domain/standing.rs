//! A teacher's calendar years, school by school: what compliance adds up.

use std::collections::BTreeMap;

use jiff::civil::{Date, date};
use proto::Credit;

use super::{
    entry::{Entry, Kind},
    ledger::{Counted, count},
    policy::Policy,
    statement::{electives, intensive},
    teacher::Teacher,
};

/// No row reaches further back than a working life.
const MOST_YEARS: i16 = 60;

/// One teacher in one year at one school.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Calendar year.
    pub year: i16,
    /// "organizations/…"
    pub school: String,
    /// Months that count in rates: full-time, past probation, not on leave; by the first day of each month.
    pub months: i64,
    /// Counted credit of full-time teachers that became effective there.
    pub awarded: Credit,
    /// Projects of the regulation's base credits completed there, whatever their form.
    pub participations: i64,
    /// Of these, those that matched.
    pub matched: i64,
    /// Set at one school a year: where the teacher counts as a person.
    pub member: Option<Member>,
}

/// The teacher as a person in a year: at the school of the last month that counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// Counted in the whole year, wherever.
    pub year_awarded: Credit,
    /// Restricted electives completed in the year.
    pub electives: i64,
    /// The year in which the cycle began that was running when this year began.
    pub cycle_from_year: i16,
    /// The cycle that ended in the year, if one did.
    pub ended: Option<EndedCycle>,
    /// In which years' means over the elapsed years of his cycle this year counts: bit 0 for this year, bit 1 for the next.
    pub counts_in: i64,
}

/// A cycle that is due for judgement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EndedCycle {
    /// Counted in the cycle.
    pub awarded: Credit,
    /// Intensive trainings in it.
    pub intensive: i64,
}

/// Draws up a teacher's years up to and with `through`, and as far as entries reach.
#[must_use]
pub fn standings(teacher: &Teacher, entries: &[Entry], through: i16, policy: &Policy) -> Vec<Standing> {
    let counted = count(teacher, entries, policy);
    let years = || counted.iter().map(|counted| counted.entry.effective_on.year());
    let last = years().max().unwrap_or(through).max(through);
    let begun = teacher.entered_on.or(teacher.joined_on).or(teacher.employed_on).map(Date::year);
    let Some(first) = years().chain(begun).min() else { return Vec::new() };
    let first = first.max(last.saturating_sub(MOST_YEARS));
    let mut standings: Vec<_> = (first..=last).flat_map(|year| of_year(teacher, &counted, year, policy)).collect();
    let cycles: Vec<(i16, i16)> = standings
        .iter()
        .filter_map(|standing| standing.member.as_ref().map(|member| (standing.year, member.cycle_from_year)))
        .collect();
    for standing in &mut standings {
        let year = standing.year;
        let Some(member) = &mut standing.member else { continue };
        let counting = cycles.iter().filter(|(later, from)| *from <= year && year <= *later);
        // No more than `MOST_YEARS` apart: there is a bit for each.
        member.counts_in = counting.fold(0, |years, (later, _)| years | 1_i64 << (later - year));
    }
    standings
}

fn of_year(teacher: &Teacher, counted: &[Counted<'_>], year: i16, policy: &Policy) -> Vec<Standing> {
    let mut rows: BTreeMap<&str, Standing> = BTreeMap::new();
    let mut last_school = None;
    for month in 1..=12 {
        let first_day = date(year, month, 1);
        if teacher.counts_on(first_day, policy) {
            let school = teacher.school_on(first_day);
            rows.entry(school).or_default().months += 1;
            last_school = Some(school);
        }
    }
    let in_year: Vec<_> = counted.iter().filter(|counted| counted.entry.effective_on.year() == year).collect();
    for counted in &in_year {
        // Where he was by what is known of his moves now; of who had left, where it was entered.
        let school = Some(teacher.school_on(counted.entry.effective_on)).filter(|school| !school.is_empty());
        let row = rows.entry(school.unwrap_or(&counted.entry.school)).or_default();
        if policy.is_full_time(&teacher.employment) {
            row.awarded = row.awarded + counted.counted;
        }
        if counted.entry.kind == Kind::Project && counted.entry.base >= policy.intensive_base {
            row.participations += 1;
            row.matched += i64::from(counted.entry.matched);
        }
    }
    if let Some(row) = last_school.and_then(|school| rows.get_mut(school)) {
        row.member = Some(member(teacher, counted, &in_year, year, policy));
    }
    rows.into_iter().map(|(school, row)| Standing { year, school: school.to_owned(), ..row }).collect()
}

fn member(teacher: &Teacher, counted: &[Counted<'_>], in_year: &[&Counted<'_>], year: i16, policy: &Policy) -> Member {
    let cycles = teacher.cycles(policy);
    let running = cycles.as_ref().and_then(|cycles| cycles.on(date(year, 1, 1)));
    let ended = cycles.and_then(|cycles| cycles.ending_in(year)).map(|cycle| {
        let within: Vec<_> = counted.iter().filter(|counted| counted.cycle == cycle.ordinal).collect();
        EndedCycle {
            awarded: within.iter().map(|counted| counted.counted).sum(),
            intensive: intensive(within.into_iter()),
        }
    });
    Member {
        year_awarded: in_year.iter().map(|counted| counted.counted).sum(),
        electives: electives(in_year.iter().copied()),
        cycle_from_year: running.map_or(year, |cycle| cycle.first_on.year()),
        ended,
        counts_in: 0,
    }
}
