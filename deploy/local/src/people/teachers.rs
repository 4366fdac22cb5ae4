//! The teachers: their facts, what they bring along, and what they will do.

use jiff::Span;
use jiff::civil::Date;
use proto::common::v1::Role;
use proto::roster::v1::{Teacher, teacher::Status};

use super::draw::Draw;
use super::folder::TermFolder;
use super::identity::Numbers;
use super::organizations::{School, Tree, serial};
use super::settings::{SchoolKind, Weights};

/// A teacher of the sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    /// As the roster is to have it.
    pub teacher: Teacher,
    /// What the teacher logs in with: "<school id>-<teacher number>", as the roster's import makes it.
    pub login: String,
    /// Roles beside ROLE_TEACHER, held for the own school.
    pub roles: Vec<Role>,
    /// Credit from before.
    pub opening: Option<Opening>,
    /// Hundredths of credit of school-based training recorded in the term; 0: none.
    pub school_based: i64,
    /// What the teacher does in the term.
    pub habits: Habits,
}

/// An opening balance, in hundredths of credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// Counted toward the cycle.
    pub awarded: i64,
    /// Base credit: at least 90 credits where it contains an intensive training.
    pub base: i64,
    /// Whether it contains an intensive training.
    pub intensive: bool,
    /// Within the cycle and before the term.
    pub effective_on: Date,
}

/// What a teacher does in the term.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Habits {
    /// Indices of projects wished for in round 1, best first; empty: selects nothing.
    pub wishes: Vec<usize>,
    /// One wished for in round 2.
    pub second: Option<usize>,
    /// How early in the round: 0 to 99, the first morning to the last evening.
    pub pace: u8,
}

/// Draws everyone, school by school.
pub fn draw(seed: u64, tree: &Tree, folder: &TermFolder) -> Vec<Person> {
    let mut draw = Draw::of(seed, 2);
    let mut numbers = Numbers::of(&folder.roster.marks.identity_region);
    let mut all: Vec<Person> = Vec::new();
    for school in &tree.schools {
        let Some(kind) = folder.roster.school.get(school.kind) else {
            continue;
        };
        for place in 1..=school.teachers {
            let n = all.len().saturating_add(1);
            all.push(person(&mut draw, &mut numbers, folder, (school, kind), place, n));
        }
    }
    extend(seed, &mut all, folder);
    all
}

/// What a teacher does beside his main stage and subject, and since when a principal is one: drawn apart, so that the county is
/// otherwise the same with and without it.
fn extend(seed: u64, all: &mut [Person], folder: &TermFolder) {
    let mut draw = Draw::of(seed, 5);
    let people = &folder.roster.people;
    for Person { teacher, roles, .. } in all {
        let main = |codes: &[String]| codes.first().cloned().unwrap_or_default();
        let (stage, subject) = (main(&teacher.stages), main(&teacher.subjects));
        if draw.percent(people.second_subject) {
            let kind = folder.roster.school.iter().find(|kind| kind.stage == stage);
            let others = kind.into_iter().flat_map(|kind| &kind.subjects).filter(|(code, _)| **code != subject);
            teacher.subjects.extend(draw.weighted(others.map(|(code, weight)| (code.clone(), *weight))));
        }
        if draw.percent(people.second_stage) {
            teacher.stages.extend(people.neighbour.get(&stage).cloned());
        }
        if roles.contains(&Role::Principal) {
            let years = if draw.percent(people.new_principals) { 0 } else { draw.between(1, 9) };
            teacher.principal_appointed_on = Some(in_the_year_before(&mut draw, folder.first_day, years).into());
        }
    }
}

fn person(
    draw: &mut Draw,
    numbers: &mut Numbers,
    folder: &TermFolder,
    (school, kind): (&School, &SchoolKind),
    place: u32,
    n: usize,
) -> Person {
    let settings = &folder.roster;
    let people = &settings.people;
    let today = folder.first_day;
    let principal = place == 1;
    let woman = draw.percent(people.women.get(&kind.stage).copied().unwrap_or(60));
    let spans = people.service.iter().map(|span| (span, span.2));
    let service = draw.weighted(spans).map_or(0, |(from, below, _)| draw.between(*from, below.saturating_sub(1)));
    let service = if principal { service.max(15) } else { service };
    let employed_on = in_the_year_before(draw, today, service);
    let age = service.saturating_add(draw.between(people.start_age.0, people.start_age.1));
    let born_on = in_the_year_before(draw, today, age);
    let platform_entered_on = platform_entry(draw, folder, employed_on);
    let category = match place {
        1 => "principal",
        _ if draw.percent(people.head_teachers) => "head_teacher",
        _ => "subject_teacher",
    };
    let post = match place {
        1 => "management",
        2 | 3 => "dual",
        _ => "teaching",
    };
    let teacher_number = format!("{place:04}");
    let login = format!("{}-{teacher_number}", school.organization.name.trim_start_matches("organizations/"));
    let teacher = Teacher {
        name: format!("teachers/{n:06}"),
        display_name: serial(&settings.names.teacher, n, 6),
        sex: if woman { "2" } else { "1" }.to_owned(),
        identity_number: numbers.next(born_on, woman),
        phone: format!("{}{n:08}", settings.marks.phone_prefix),
        school: school.organization.name.clone(),
        teacher_number,
        employment: code(draw, &people.employment),
        tier: tier(draw, folder, service).to_owned(),
        category: category.to_owned(),
        stages: vec![kind.stage.clone()],
        subjects: vec![code(draw, &kind.subjects)],
        title: title(draw, &kind.stage, service).to_owned(),
        education: code(draw, &people.education),
        post: post.to_owned(),
        employed_on: Some(employed_on.into()),
        platform_entered_on: Some(platform_entered_on.into()),
        status: Status::Active.into(),
        ..Teacher::default()
    };
    let opening =
        if draw.percent(settings.opening.percent) { opening(draw, folder, platform_entered_on) } else { None };
    let school_based = if draw.percent(settings.opening.school_based_percent) {
        let (low, high) = settings.opening.school_based;
        draw.between(low, high).saturating_mul(100)
    } else {
        0
    };
    let roles = match place {
        1 => vec![Role::Principal],
        2 => vec![Role::SchoolAdmin],
        _ => Vec::new(),
    };
    Person { teacher, login, roles, opening, school_based, habits: Habits::default() }
}

/// A day in the year that ends `years` years before `today`.
fn in_the_year_before(draw: &mut Draw, today: Date, years: i64) -> Date {
    let end = today.saturating_sub(Span::new().try_years(years).unwrap_or_default());
    end.saturating_sub(Span::new().try_days(draw.between(0, 364)).unwrap_or_default())
}

/// Entry into the platform: in a drawn year, after the employment, before the term.
fn platform_entry(draw: &mut Draw, folder: &TermFolder, employed_on: Date) -> Date {
    let year = code(draw, &folder.roster.people.platform_entry).parse().unwrap_or_else(|_| folder.first_day.year());
    let month = i8::try_from(draw.between(2, 9)).unwrap_or(9);
    let day = i8::try_from(draw.between(1, 28)).unwrap_or(1);
    let entered = Date::new(year, month, day).unwrap_or(folder.first_day);
    entered.max(employed_on).min(folder.first_day)
}

/// What stands in the books from the years of the current cycle before this one.
fn opening(draw: &mut Draw, folder: &TermFolder, entered_on: Date) -> Option<Opening> {
    let settings = &folder.roster.opening;
    let mut cycle_starts = entered_on;
    while let Ok(next) = cycle_starts.checked_add(Span::new().years(5)) {
        if next > folder.first_day {
            break;
        }
        cycle_starts = next;
    }
    let effective_on = Date::new(folder.first_day.year().checked_sub(1)?, 12, 31).ok()?;
    let years = i64::from(effective_on.year()).checked_sub(i64::from(cycle_starts.year()))?;
    if effective_on < cycle_starts {
        return None;
    }
    let (low, high) = settings.per_year;
    let awarded: i64 = (0..=years).map(|_| draw.between(low, high).saturating_mul(100)).sum();
    let intensive = draw.percent(settings.intensive_percent);
    let base = if intensive { awarded.max(9_000) } else { awarded.min(8_900) };
    Some(Opening { awarded, base, intensive, effective_on })
}

/// Tier by completed years of service.
fn tier(draw: &mut Draw, folder: &TermFolder, service: i64) -> &'static str {
    let row = folder.roster.people.tiers.iter().rfind(|row| row.0 <= service);
    let Some((_, novice, competent, backbone, leader)) = row else {
        return "competent";
    };
    let weights = [("novice", *novice), ("competent", *competent), ("backbone", *backbone), ("leader", *leader)];
    draw.weighted(weights.into_iter()).unwrap_or("competent")
}

/// Title by stage and service: half still carry GB/T 8561's, half the unified ones after 2015.
fn title(draw: &mut Draw, stage: &str, service: i64) -> &'static str {
    let rank = match service {
        ..3 => 0,
        3..9 => draw.between(0, 1),
        9..18 => draw.between(1, 2),
        _ => draw.between(1, 3),
    };
    let secondary = matches!(stage, "junior" | "senior" | "vocational");
    let unified = draw.percent(50);
    match (unified, secondary, rank) {
        (true, _, 0) => "unified_third",
        (true, _, 1) => "unified_second",
        (true, _, 2) => "unified_first",
        (true, _, _) => "unified_senior",
        (false, true, 0) => "055",
        (false, true, 1) => "054",
        (false, true, 2) => "053",
        (false, true, _) => "052",
        (false, false, 0) => "416",
        (false, false, 1) => "415",
        (false, false, 2) => "414",
        (false, false, _) => "413",
    }
}

fn code(draw: &mut Draw, weights: &Weights) -> String {
    draw.weighted(weights.iter().map(|(code, weight)| (code, *weight))).cloned().unwrap_or_default()
}
