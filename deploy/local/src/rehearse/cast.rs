//! The cast: who plays the parts that need somebody. Drawn up from the county before the play, so that nobody is given two
//! parts that disturb each other, and who is needed most is found first.

use std::collections::BTreeSet;

use crate::people::{County, Person, admits};

/// A teacher by index.
pub type Part<'a> = (usize, &'a Person);

/// Who plays what; a part for which a small county has nobody is not played.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cast<'a> {
    /// The school whose reviewers are gone when review opens, so that its district has to act.
    pub orphaned: Option<&'a str>,
    /// A school that reviews nothing in the first round, so that its selections expire.
    pub idle: Option<&'a str>,
    /// Goes to another school between selection and review.
    pub transferred: Option<Part<'a>>,
    /// Where he goes.
    pub destination: Option<&'a str>,
    /// Goes on leave then.
    pub on_leave: Option<Part<'a>>,
    /// Retires then.
    pub retired: Option<Part<'a>>,
    /// Whose school rejects whatever he chooses: barred from the next round.
    pub rejected: Option<Part<'a>>,
    /// Whose school rejects him and takes it back.
    pub spared: Option<Part<'a>>,
    /// Selects nothing and is barred from the next round.
    pub abstainer: Option<Part<'a>>,
    /// Selects nothing himself; the administrator does it for him.
    pub helped: Option<Part<'a>>,
    /// Selected nothing and asks the bureau, which lets him into the next round.
    pub pardoned: Option<Part<'a>>,
    /// Correct their own data: one is confirmed, the other refused.
    pub correcting: Vec<Part<'a>>,
}

impl<'a> Cast<'a> {
    /// Gives out the parts.
    #[must_use]
    pub fn of(county: &'a County) -> Self {
        let schools: Vec<&str> = county.schools().collect();
        // The first school is left for those who are reviewed.
        let spare = |from_end: usize| schools.iter().skip(1).rev().nth(from_end).copied();
        let mut cast = Self { orphaned: spare(0), idle: spare(1), ..Self::default() };
        let plain: Vec<Part<'a>> = (0..).zip(&county.teachers).filter(|(_, person)| person.roles.is_empty()).collect();
        let unreviewed = [cast.orphaned, cast.idle];
        let reviewed = |person: &Person| !unreviewed.contains(&Some(person.teacher.school.as_str()));

        let (eager, quiet): (Vec<Part<'a>>, Vec<Part<'a>>) =
            plain.iter().copied().partition(|(_, person)| !person.habits.wishes.is_empty());
        let mut pool = Pool { left: eager, schools: BTreeSet::new() };
        cast.transferred = pool.elsewhere(reviewed);
        cast.retired = pool.elsewhere(reviewed);
        cast.on_leave = pool.elsewhere(reviewed);
        cast.rejected = pool.elsewhere(reviewed);
        cast.spared = pool.elsewhere(reviewed);
        cast.destination = cast.transferred.and_then(|(_, person)| destination(county, unreviewed, person));

        // Where everybody chooses something, somebody is kept from it.
        pool.left = quiet.into_iter().chain(pool.left).collect();
        cast.abstainer = pool.draw(|_| true);
        cast.pardoned = pool
            .draw(|person| person.habits.second.is_some())
            .or_else(|| pool.draw(|person| !person.habits.wishes.is_empty()));
        let on_menu = |person: &Person| {
            let audiences =
                county.projects.iter().filter(|plan| plan.is_published()).map(|plan| plan.project.audience.as_ref());
            audiences.into_iter().any(|audience| admits(audience, &person.teacher))
        };
        cast.helped = pool.draw(|person| reviewed(person) && on_menu(person));
        let novice = |(_, person): &Part<'a>| person.teacher.tier == "novice";
        let (novices, others): (Vec<Part<'a>>, Vec<Part<'a>>) = plain.into_iter().partition(novice);
        cast.correcting = novices.into_iter().chain(others).take(2).collect();
        cast
    }

    /// Whether a teacher chooses nothing in the first round, whatever he wishes.
    #[must_use]
    pub fn abstains(&self, n: usize) -> bool {
        [self.abstainer, self.pardoned, self.helped].into_iter().flatten().any(|(part, _)| part == n)
    }

    /// What a teacher goes for in a later round: who was let into it, for what he did not select in the first, if he wishes
    /// nothing else.
    #[must_use]
    pub fn later_wish(&self, n: usize, person: &Person) -> Option<usize> {
        let pardoned = self.pardoned.is_some_and(|(part, _)| part == n);
        person.habits.second.or_else(|| person.habits.wishes.first().copied().filter(|_| pardoned))
    }

    /// Whether a teacher has a part in what befalls people after they have chosen.
    #[must_use]
    pub fn befalls(&self, n: usize) -> bool {
        let parts = [self.transferred, self.on_leave, self.retired, self.rejected, self.spared];
        parts.into_iter().flatten().any(|(part, _)| part == n)
    }
}

/// Those who have no part yet.
struct Pool<'a> {
    left: Vec<Part<'a>>,
    /// Whose schools have somebody with a part.
    schools: BTreeSet<&'a str>,
}

impl<'a> Pool<'a> {
    /// The first who fits.
    fn draw(&mut self, fits: impl Fn(&Person) -> bool) -> Option<Part<'a>> {
        let found = self.left.iter().position(|(_, person)| fits(person))?;
        Some(self.left.remove(found))
    }

    /// The first who fits, of a school of his own if there is one left.
    fn elsewhere(&mut self, fits: impl Fn(&Person) -> bool) -> Option<Part<'a>> {
        let schools = std::mem::take(&mut self.schools);
        let alone = |person: &Person| fits(person) && !schools.contains(person.teacher.school.as_str());
        let part = self.draw(alone).or_else(|| self.draw(&fits));
        self.schools = schools;
        self.schools.extend(part.map(|(_, person)| person.teacher.school.as_str()));
        part
    }
}

/// Another school for a teacher: one of the same main stage that reviews, else one that reviews, else any.
fn destination<'a>(county: &'a County, unreviewed: [Option<&str>; 2], person: &Person) -> Option<&'a str> {
    let others = || county.teachers.iter().filter(|other| other.teacher.school != person.teacher.school);
    let reviews = |other: &&Person| !unreviewed.contains(&Some(other.teacher.school.as_str()));
    let same = |other: &&Person| other.teacher.stages.first() == person.teacher.stages.first();
    let found = others().filter(reviews).find(same).or_else(|| others().find(reviews)).or_else(|| others().next())?;
    Some(&found.teacher.school)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::people::TermFolder;

    fn parts<'a>(cast: &Cast<'a>) -> Vec<Part<'a>> {
        let Cast { transferred, on_leave, retired, rejected, spared, abstainer, helped, pardoned, .. } = cast.clone();
        [transferred, on_leave, retired, rejected, spared, abstainer, helped, pardoned].into_iter().flatten().collect()
    }

    #[test]
    fn where_nobody_wishes_a_second_time_somebody_is_let_in_all_the_same() {
        let mut county = County::generate(1, 210, &TermFolder::sample().unwrap());
        county.teachers.iter_mut().for_each(|person| person.habits.second = None);
        let cast = Cast::of(&county);
        let (n, person) = cast.pardoned.unwrap();
        assert!(cast.later_wish(n, person).is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn nobody_has_two_parts_and_two_hundred_teachers_are_enough_for_all(seed: u64, teachers in 0_u32..400) {
            let county = County::generate(seed, teachers, &TermFolder::sample().unwrap());
            let cast = Cast::of(&county);
            let parts = parts(&cast);
            let people: BTreeSet<usize> = parts.iter().map(|(n, _)| *n).collect();
            prop_assert_eq!(people.len(), parts.len());
            prop_assert!(parts.iter().all(|(_, person)| person.roles.is_empty()));
            if let Some((_, person)) = cast.helped {
                let published = county.projects.iter().filter(|plan| plan.is_published());
                prop_assert!(published.map(|plan| plan.project.audience.as_ref()).any(|one| admits(one, &person.teacher)));
            }
            for (_, person) in [cast.rejected, cast.spared, cast.helped].into_iter().flatten() {
                let school = Some(person.teacher.school.as_str());
                prop_assert!(school != cast.orphaned && school != cast.idle);
            }
            if let (Some((_, person)), Some(destination)) = (cast.transferred, cast.destination) {
                prop_assert!(person.teacher.school != destination);
            }
            if teachers >= 200 {
                prop_assert_eq!(parts.len(), 8);
                prop_assert_eq!(cast.correcting.len(), 2);
                prop_assert!(cast.destination.is_some() && cast.idle.is_some() && cast.orphaned.is_some());
            }
        }
    }
}
