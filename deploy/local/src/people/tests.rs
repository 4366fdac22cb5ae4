//! What holds of every county.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proto::common::v1::Role;

use super::wishes::{matches, overlap};
use super::{County, Course, TermFolder};

fn county(seed: u64, teachers: u32) -> County {
    County::generate(seed, teachers, &TermFolder::sample().unwrap())
}

#[test]
fn the_sample_folder_reads_and_its_first_day_is_the_calendars() {
    let folder = TermFolder::sample().unwrap();
    assert_eq!(folder.name(), "terms/2019-autumn");
    assert_eq!(folder.first_day, jiff::civil::date(2019, 6, 17));
}

#[test]
fn twelve_thousand_teachers_make_a_county_of_the_size_of_a_real_one() {
    let county = county(1, 12_000);
    let under = |prefix: &str| county.organizations.iter().filter(|one| one.name.contains(prefix)).count();
    assert_eq!(county.teachers.len(), 12_000);
    assert_eq!(under("/school-"), 300);
    assert_eq!(under("/district-"), 12);
    assert_eq!(county.projects.len(), 500);
    assert_eq!(under("/provider-"), 42);

    let share = |what: &dyn Fn(&super::Person) -> bool| {
        county.teachers.iter().filter(|person| what(person)).count() * 100 / county.teachers.len()
    };
    assert!((6..=11).contains(&share(&|person| person.habits.wishes.is_empty())), "abstain");
    assert!((60..=85).contains(&share(&|person| person.teacher.sex == "2")), "women");
    assert!(
        (30..=50).contains(&share(&|person| person.teacher.stages.first().is_some_and(|stage| stage == "primary"))),
        "primary schools"
    );
    assert!((8..=20).contains(&share(&|person| person.teacher.tier == "novice")), "novices");
    assert!((15..=35).contains(&share(&|person| person.opening.is_some())), "opening balances");
    assert!((5..=9).contains(&share(&|person| person.teacher.subjects.len() == 2)), "two subjects");
    assert!((1..=4).contains(&share(&|person| person.teacher.stages.len() == 2)), "two stages");
    let mut principals: Vec<_> =
        county.teachers.iter().filter_map(|person| person.teacher.principal_appointed_on.as_ref()).collect();
    assert_eq!(principals.len(), 300);
    principals.retain(|day| proto::date_text(Some(day)).as_str() > "2018-06-17");
    assert!((20..=80).contains(&principals.len()), "{} new principals", principals.len());
    let published = county.projects.iter().filter(|plan| plan.is_published()).count();
    assert!((430..=480).contains(&published), "{published} published");
    assert!(county.projects.iter().filter(|plan| plan.is_intensive()).count() > 100);

    // Choices crowd: the most wanted tenth of the projects has more than a quarter of the wishes.
    let mut wanted = vec![0_usize; county.projects.len()];
    for wish in county.teachers.iter().flat_map(|person| &person.habits.wishes) {
        wanted[*wish] += 1;
    }
    wanted.sort_unstable_by(|one, other| other.cmp(one));
    let all: usize = wanted.iter().sum();
    assert!((16_000..24_000).contains(&all), "{all} wishes");
    assert!(wanted.iter().take(50).sum::<usize>() * 4 > all);
}

#[test]
fn the_smallest_county_still_has_one_of_everything() {
    let county = county(7, 0);
    for role in [Role::Operator, Role::BureauOfficer, Role::DistrictOfficer, Role::Expert, Role::ProviderStaff] {
        assert!(county.staff_with(role).is_some(), "{role:?}");
    }
    for course in
        [Course::Published, Course::Returned, Course::Forgotten, Course::Withdrawn, Course::Rejected, Course::Undecided]
    {
        assert!(county.projects.iter().any(|plan| plan.course == course), "{course:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_same_seed_gives_the_same_county(seed: u64, teachers in 0_u32..600) {
        prop_assert!(county(seed, teachers) == county(seed, teachers));
    }

    #[test]
    fn every_county_is_sound(seed: u64, teachers in 0_u32..900) {
        let county = county(seed, teachers);
        let organizations: BTreeSet<&str> = county.organizations.iter().map(|one| one.name.as_str()).collect();
        prop_assert_eq!(organizations.len(), county.organizations.len());
        let mut known = BTreeSet::from([""]);
        for organization in &county.organizations {
            prop_assert!(known.contains(organization.parent.as_str()), "parents come first");
            known.insert(&organization.name);
        }

        let mut numbers = BTreeSet::new();
        let mut logins: BTreeSet<&str> = county.staff.iter().map(|staff| staff.login.as_str()).collect();
        prop_assert_eq!(logins.len(), county.staff.len());
        for person in &county.teachers {
            let teacher = &person.teacher;
            prop_assert!(organizations.contains(teacher.school.as_str()));
            prop_assert!(valid(&teacher.identity_number), "{}", teacher.identity_number);
            prop_assert!(numbers.insert(&teacher.identity_number), "an identity number twice");
            prop_assert!(logins.insert(&person.login), "a login twice");
            let order: u32 = teacher.identity_number.get(14..17).unwrap().parse().unwrap();
            prop_assert_eq!(order % 2 == 1, teacher.sex == "1");
            let employed = proto::date_text(teacher.employed_on.as_ref());
            let entered = proto::date_text(teacher.platform_entered_on.as_ref());
            for codes in [&teacher.stages, &teacher.subjects] {
                let different: BTreeSet<_> = codes.iter().collect();
                prop_assert!(!codes.is_empty() && different.len() == codes.len());
            }
            let appointed = proto::date_text(teacher.principal_appointed_on.as_ref());
            prop_assert_eq!(appointed.is_empty(), !person.roles.contains(&Role::Principal));
            prop_assert!(appointed.is_empty() || (employed <= appointed && appointed.as_str() <= "2019-06-17"));
            prop_assert!(employed <= entered && entered.as_str() <= "2019-06-17");
            for (n, wish) in person.habits.wishes.iter().enumerate() {
                let plan = &county.projects[*wish];
                prop_assert!(plan.is_published());
                for other in &person.habits.wishes[..n] {
                    prop_assert!(!overlap(plan, &county.projects[*other]), "overlapping wishes");
                }
            }
            let intensive = person.habits.wishes.iter().filter(|wish| county.projects[**wish].is_intensive()).count();
            prop_assert!(intensive <= 1);
        }
        for school in organizations.iter().filter(|name| name.contains("/school-")) {
            let roles: Vec<Role> = county.teachers_of(school).flat_map(|person| person.roles.clone()).collect();
            prop_assert_eq!(roles, vec![Role::Principal, Role::SchoolAdmin]);
        }

        for plan in &county.projects {
            prop_assert!(organizations.contains(plan.project.provider.as_str()));
            prop_assert!(organizations.contains(plan.project.accepting_bureau.as_str()));
            prop_assert!(!plan.project.classes.is_empty());
            for class in &plan.project.classes {
                prop_assert!(class.places > 0 && !class.sessions.is_empty());
                let ends: Vec<i64> = class.sessions.iter().map(|one| proto::instant(&one.ends.unwrap())).collect();
                let starts: Vec<i64> = class.sessions.iter().map(|one| proto::instant(&one.starts.unwrap())).collect();
                prop_assert!(starts.iter().zip(&ends).all(|(from, until)| from < until));
                prop_assert!(ends.iter().zip(starts.iter().skip(1)).all(|(until, next)| until <= next));
            }
        }
    }
}

#[test]
fn most_wishes_match_tier_and_category() {
    let county = county(3, 3_000);
    let (mut all, mut matched) = (0, 0);
    for person in &county.teachers {
        for wish in &person.habits.wishes {
            all += 1;
            matched += u32::from(matches(county.projects[*wish].project.audience.as_ref(), &person.teacher));
        }
    }
    assert!(matched * 100 / all >= 85 && matched < all, "{matched} of {all}");
}

/// GB 11643 once more, on its own: the weighted sum of all eighteen characters is 1 modulo 11.
fn valid(number: &str) -> bool {
    let value = |c: char| if c == 'X' { Some(10) } else { c.to_digit(10) };
    let values: Vec<u32> = number.chars().filter_map(value).collect();
    values.len() == 18
        && values.iter().rev().zip(0_u32..).map(|(digit, power)| digit * (1 << power) % 11).sum::<u32>() % 11 == 1
}
