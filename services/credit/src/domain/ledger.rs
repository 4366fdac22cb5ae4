//! What of a teacher's entries counts, and where.

use std::collections::BTreeMap;

use proto::Credit;

use super::{
    entry::{Entry, Kind},
    policy::Policy,
    teacher::Teacher,
};

/// What counts of a new principal's credit.
const NEW_PRINCIPAL_PERCENT: i64 = 50;

/// A live entry and what of it counts.
#[derive(Debug, Clone)]
pub struct Counted<'a> {
    /// The entry.
    pub entry: &'a Entry,
    /// Ordinal of the cycle that it falls into; 0: none.
    pub cycle: u32,
    /// What counts toward year and cycle.
    pub counted: Credit,
    /// What exceeds the limit of school-based training: kept, not counted.
    pub over: Credit,
}

/// Goes through the live entries in order of their days.
///
/// School-based training counts up to `requirements.school_based_cap` in a cycle, earlier days first; credit of the
/// probation year counts in no cycle and no year, of a new principal's years half of it (DESIGN §5).
#[must_use]
pub fn count<'a>(teacher: &Teacher, entries: &'a [Entry], policy: &Policy) -> Vec<Counted<'a>> {
    let mut live: Vec<_> = entries.iter().filter(|entry| entry.is_live()).collect();
    live.sort_by(|a, b| (a.effective_on, a.recorded_at, &a.name).cmp(&(b.effective_on, b.recorded_at, &b.name)));
    let cycles = teacher.cycles(policy);
    let mut school_based: BTreeMap<u32, Credit> = BTreeMap::new();
    live.into_iter()
        .map(|entry| {
            let cycle = cycles.as_ref().and_then(|cycles| cycles.on(entry.effective_on));
            let cycle = cycle.map_or(0, |cycle| cycle.ordinal);
            let halved = teacher.is_new_principal(entry.effective_on, policy);
            let eligible = if halved { entry.awarded.times_percent(NEW_PRINCIPAL_PERCENT) } else { entry.awarded };
            let (counted, over) = if teacher.on_probation(entry.effective_on) {
                (Credit::ZERO, Credit::ZERO)
            } else if entry.kind == Kind::SchoolBased {
                let used = school_based.entry(cycle).or_default();
                let counted = eligible.min(policy.school_based_cap + -*used).max(Credit::ZERO);
                *used = *used + counted;
                (counted, eligible + -counted)
            } else {
                (eligible, Credit::ZERO)
            };
            Counted { entry, cycle, counted, over }
        })
        .collect()
}
