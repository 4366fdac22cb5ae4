use jiff::civil::{Date, date};
use proptest::prelude::*;
use proto::Credit;

use super::super::{
    compliance::Tally,
    cycle::Leave,
    entry::Kind,
    matching::{Audience, Dimension, matches},
    policy::Policy,
    requirement::{INTENSIVE_90, MATCH_75, RESTRICTED_ELECTIVE_21, Requirement, YEAR_MEAN_72},
    standing::{EndedCycle, Standing, standings},
    teacher::{Profile, Stay, Teacher},
};
use super::{day, entry, leaves, teacher};

fn of(rows: &[Standing], year: i16) -> Vec<&Standing> {
    rows.iter().filter(|row| row.year == year).collect()
}

#[test]
fn a_transfer_splits_the_year_and_leaves_the_past_with_the_old_school() {
    let mut teacher = teacher(date(2014, 9, 1));
    teacher.stays.push(Stay { from_on: date(2019, 9, 1), school: "organizations/school-2".to_owned() });
    let mut late = entry(2, Kind::Project, 3_000, date(2019, 11, 1));
    late.school = "organizations/school-2".to_owned();
    let entries = [entry(1, Kind::Project, 2_000, date(2019, 3, 1)), late];
    let rows = standings(&teacher, &entries, 2020, &Policy::default());
    let rows_2018 = of(&rows, 2018);
    assert_eq!((rows_2018.len(), rows_2018[0].months, rows_2018[0].school.as_str()), (1, 12, "organizations/school-1"));
    let rows_2019 = of(&rows, 2019);
    assert_eq!(rows_2019.iter().map(|row| (row.months, row.awarded.0)).collect::<Vec<_>>(), [(8, 2_000), (4, 3_000)]);
    assert_eq!(rows_2019[0].member, None);
    let member = rows_2019[1].member.clone().unwrap();
    assert_eq!(member.year_awarded, Credit(5_000));
    assert_eq!(member.cycle_from_year, 2014);
    assert_eq!(member.ended, Some(EndedCycle { awarded: Credit(2_000), intensive: 0 }));
}

#[test]
fn probation_leave_and_part_time_do_not_count_in_denominators() {
    let mut teacher = teacher(date(2018, 3, 1));
    teacher.employed_on = Some(date(2018, 3, 1));
    teacher.leaves = vec![Leave { first_on: date(2019, 5, 2), last_on: Some(date(2019, 7, 1)) }];
    let rows = standings(&teacher, &[], 2019, &Policy::default());
    assert_eq!(of(&rows, 2018), Vec::<&Standing>::new());
    assert_eq!(of(&rows, 2019)[0].months, 8);
    teacher.employment = "temporary".to_owned();
    let policy = Policy { full_time: vec!["permanent".to_owned()], ..Policy::default() };
    assert_eq!(standings(&teacher, &[], 2019, &policy), []);
}

#[test]
fn who_left_counts_no_more() {
    let mut teacher = teacher(date(2014, 9, 1));
    teacher.stays.push(Stay { from_on: date(2019, 6, 15), school: String::new() });
    let rows = standings(&teacher, &[], 2020, &Policy::default());
    assert_eq!(of(&rows, 2019)[0].months, 6);
    assert_eq!(of(&rows, 2020).len(), 0);
}

#[test]
fn a_tally_says_what_applies_and_what_is_met() {
    let tally =
        Tally { teachers: 2, months: 24, awarded: 14_400, elapsed: 10, elapsed_elective: 2, ..Tally::default() };
    let requirements = tally.requirements(&Policy::default());
    let found = |key| requirements.iter().find(|requirement| requirement.key == key).unwrap();
    let mean = found(YEAR_MEAN_72);
    assert_eq!((mean.numerator, mean.denominator, mean.value, mean.met), (14_400, 24, 7_200, true));
    let electives = found(RESTRICTED_ELECTIVE_21);
    assert_eq!((electives.value, electives.required, electives.met), (2_000, 2_100, false));
    assert!(!found(MATCH_75).applicable && !found(INTENSIVE_90).applicable);
}

#[test]
fn a_quotient_is_met_by_itself_not_by_its_rounding() {
    assert!(!Requirement::share("x", 209_999, 1_000_000, 21).met);
    assert!(Requirement::share("x", 21, 100, 21).met);
    assert_eq!(Requirement::quotient("x", i64::MAX, 1, 10_000, 1).value, i64::MAX);
}

#[test]
fn what_does_not_apply_matches() {
    let both = [Dimension::Tier, Dimension::Category];
    let audience =
        |tiers: &[&str]| Audience { tiers: tiers.iter().map(|t| (*t).to_owned()).collect(), ..Audience::default() };
    let profile = |tier: &str| Profile { tier: tier.to_owned(), ..Profile::default() };
    assert!(matches(&both, &audience(&[]), &profile("novice"), &[]));
    assert!(matches(&both, &audience(&["novice"]), &profile("novice"), &[]));
    assert!(matches(&both, &audience(&["novice"]), &profile(""), &[]));
    assert!(!matches(&both, &audience(&["novice"]), &profile("leader"), &[]));
    assert!(matches(&[Dimension::Subject], &audience(&["novice"]), &profile("leader"), &[]));
}

#[test]
fn of_several_stages_and_subjects_any_one_matches() {
    let codes = |codes: &[&str]| codes.iter().map(|code| (*code).to_owned()).collect::<Vec<_>>();
    let audience = Audience { stages: codes(&["junior"]), subjects: codes(&["music", "art"]), ..Audience::default() };
    let dimensions = [Dimension::Stage, Dimension::Subject];
    let fits = |stages: &[&str], subjects: &[&str]| {
        let profile = Profile { stages: codes(stages), subjects: codes(subjects), ..Profile::default() };
        matches(&dimensions, &audience, &profile, &[])
    };
    assert!(fits(&["primary", "junior"], &["chinese", "art"]));
    assert!(fits(&[], &[]), "what does not apply matches");
    assert!(!fits(&["primary", "junior"], &["chinese", "history"]));
    assert!(!fits(&["preschool", "special"], &["art"]));
}

#[test]
fn a_school_matches_by_what_it_is_under() {
    let names = |names: &[&str]| names.iter().map(|name| format!("organizations/{name}")).collect::<Vec<_>>();
    let audience = Audience { organizations: names(&["district-1"]), ..Audience::default() };
    let fits = |path: &[&str]| matches(&[Dimension::Organization], &audience, &Profile::default(), &names(path));
    assert!(fits(&["county", "district-1", "school"]));
    assert!(!fits(&["county", "district-2", "school"]));
}

/// The years that count in the mean of `year`, as the rule says it: those of the cycle that ran when the year began.
fn elapsed(rows: &[Standing], year: i16) -> Vec<(i16, String)> {
    let now = rows.iter().filter(|row| row.year == year).find_map(|row| row.member.as_ref());
    let Some(now) = now else { return Vec::new() };
    let counts = |row: &&Standing| row.member.is_some() && (now.cycle_from_year..=year).contains(&row.year);
    rows.iter().filter(counts).map(|row| (row.year, row.school.clone())).collect()
}

proptest! {
    #[test]
    fn a_year_counts_in_the_means_of_its_own_cycle(entered_on in day(), moved_on in day(), leaves in leaves()) {
        let mut teacher = teacher(entered_on);
        teacher.stays.push(Stay { from_on: moved_on, school: "organizations/school-2".to_owned() });
        teacher.stays.sort_by_key(|stay| stay.from_on);
        teacher.leaves = leaves;
        let rows = standings(&teacher, &[], 2030, &Policy::default());
        for year in 2000..=2035 {
            let told = |row: &&Standing| {
                let bits = row.member.as_ref().map_or(0, |member| member.counts_in);
                row.year <= year && bits >> (year - row.year) & 1 == 1
            };
            let told: Vec<_> = rows.iter().filter(told).map(|row| (row.year, row.school.clone())).collect();
            prop_assert_eq!(told, elapsed(&rows, year));
        }
    }
}

/// Months by the definition, day by day.
fn months(teacher: &Teacher, year: i16, policy: &Policy) -> i64 {
    let counts = |month: i8| {
        let first: Date = date(year, month, 1);
        teacher.entered_on.is_some_and(|entered| entered <= first) && teacher.counts_on(first, policy)
    };
    (1..=12).fold(0, |sum, month| sum + i64::from(counts(month)))
}

proptest! {
    #[test]
    fn a_teacher_is_a_person_once_a_year_and_no_credit_is_lost(
        entered_on in day(), leaves in leaves(), moves in prop::collection::vec((day(), 0_usize..4), 0..4),
        amounts in prop::collection::vec((1_i64..20_000, day()), 0..20),
    ) {
        let policy = Policy::default();
        let mut teacher = Teacher { leaves, ..teacher(entered_on) };
        let mut moves = moves;
        moves.sort();
        for (from_on, school) in moves {
            let school = if school == 0 { String::new() } else { format!("organizations/school-{school}") };
            teacher.stays.push(Stay { from_on, school });
        }
        let entries: Vec<_> = amounts.iter().enumerate().map(|(number, (amount, on))| {
            let mut entry = entry(number, Kind::Project, *amount, *on);
            teacher.school_on(*on).clone_into(&mut entry.school);
            entry
        }).collect();
        let rows = standings(&teacher, &entries, 2026, &policy);
        let total: Credit = rows.iter().map(|row| row.awarded).sum();
        prop_assert_eq!(total, entries.iter().map(|entry| entry.awarded).sum());
        for year in 2008..=2026 {
            let rows = of(&rows, year);
            let sum: i64 = rows.iter().map(|row| row.months).sum();
            prop_assert_eq!(sum, months(&teacher, year, &policy));
            let persons = rows.iter().filter(|row| row.member.is_some()).count();
            prop_assert_eq!(persons, usize::from(sum > 0));
        }
    }
}
