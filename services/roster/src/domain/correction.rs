//! Corrections: what a teacher changes of himself, and what of it waits for the school (DESIGN §5).

use super::{
    fault::{Defect, Fault},
    field::{Entry, Field, OwnRight},
};

/// A teacher's data and what waits for the school, after an update or a decision.
#[derive(Clone, PartialEq, Eq)]
pub struct Corrected {
    /// The fields that are in effect now.
    pub entry: Entry,
    /// The fields that wait, with the teacher's values.
    pub pending: Entry,
}

/// A teacher's update of himself: some fields at once, others wait; a value equal to the one in effect waits no longer.
///
/// # Errors
/// Every field that only the school enters.
pub fn by_teacher(entry: &Entry, pending: &Entry, changes: &Entry) -> Result<Corrected, Vec<Fault>> {
    let mut after = Corrected { entry: entry.clone(), pending: pending.clone() };
    let mut faults = Vec::new();
    for (field, value) in changes.iter() {
        match field.own_right() {
            OwnRight::Direct => after.entry.set(field, value),
            OwnRight::Confirmed if entry.get(field) == value => {
                after.pending.remove(field);
            }
            OwnRight::Confirmed => after.pending.set(field, value),
            OwnRight::None => faults.push(Fault::of(field.name(), Defect::OutOfScope)),
        }
    }
    if faults.is_empty() { Ok(after) } else { Err(faults) }
}

/// The school's or bureau's update: at once; what the teacher had asked of the same fields is thereby answered.
#[must_use]
pub fn by_school(entry: &Entry, pending: &Entry, changes: &Entry) -> Corrected {
    let mut after = Corrected { entry: entry.with(changes), pending: pending.clone() };
    for (field, _) in changes.iter() {
        after.pending.remove(field);
    }
    after
}

/// The decision on all that waits: applied, or dropped.
#[must_use]
pub fn decide(entry: &Entry, pending: &Entry, accepted: bool) -> Corrected {
    let entry = if accepted { entry.with(pending) } else { entry.clone() };
    Corrected { entry, pending: Entry::default() }
}

/// The names of the fields that wait, in the proto's order.
#[must_use]
pub fn pending_names(pending: &Entry) -> Vec<String> {
    pending.iter().map(|(field, _)| Field::name(field).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::teacher::tests::entry;

    fn changes(values: &[(Field, &str)]) -> Entry {
        values.iter().copied().collect()
    }

    #[test]
    fn the_phone_at_once_and_the_tier_after_the_school() {
        let after = by_teacher(
            &entry(),
            &Entry::default(),
            &changes(&[(Field::Phone, "13911111111"), (Field::Tier, "leader")]),
        );
        let after = after.ok().unwrap();
        assert_eq!(after.entry.get(Field::Phone), "13911111111");
        assert_eq!(after.entry.get(Field::Tier), "competent");
        assert_eq!(pending_names(&after.pending), ["tier"]);
        assert_eq!(decide(&after.entry, &after.pending, true).entry.get(Field::Tier), "leader");
        assert_eq!(decide(&after.entry, &after.pending, false).entry.get(Field::Tier), "competent");
    }

    #[test]
    fn what_only_the_school_enters_is_refused() {
        let faults = by_teacher(
            &entry(),
            &Entry::default(),
            &changes(&[(Field::TeacherNumber, "9"), (Field::Post, "management")]),
        );
        assert_eq!(faults.err().map(|faults| faults.len()), Some(2));
    }

    #[test]
    fn the_schools_own_entry_answers_what_waits() {
        let pending = changes(&[(Field::Tier, "leader"), (Field::Title, "413")]);
        let after = by_school(&entry(), &pending, &changes(&[(Field::Tier, "backbone")]));
        assert_eq!(pending_names(&after.pending), ["title"]);
        assert_eq!(after.entry.get(Field::Tier), "backbone");
    }

    proptest! {
        // Whatever a teacher enters, nothing that waits for the school is in effect before its decision.
        #[test]
        fn nothing_that_waits_is_in_effect(picks in prop::collection::vec((0..Field::ALL.len(), "[a-z]{0,3}"), 0..8)) {
            let asked: Entry = picks.iter().map(|(at, value)| (Field::ALL[*at], value.as_str())).collect();
            let before = entry();
            if let Ok(after) = by_teacher(&before, &Entry::default(), &asked) {
                for field in Field::ALL.into_iter().filter(|field| field.own_right() != OwnRight::Direct) {
                    prop_assert_eq!(after.entry.get(field), before.get(field));
                }
                let decided = decide(&after.entry, &after.pending, true);
                prop_assert!(asked.iter().all(|(field, value)| decided.entry.get(field) == value));
            }
        }
    }
}
