//! The projects that providers declare, and how each fares on its way to the menu.

use jiff::civil::{Date, Time, Weekday};
use jiff::{Span, tz::TimeZone};
use proto::catalog::v1::{Audience, Class, Project, Session, project};
use proto::common::v1::Credit;

use super::draw::Draw;
use super::folder::TermFolder;
use super::organizations::{BUREAU, CITY, Tree, count, serial};
use super::settings::{Common, Template, When};
use super::teachers::Person;

/// A project as its provider declares it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What the provider enters; it has no name yet.
    pub project: Project,
    /// How it fares.
    pub course: Course,
}

/// How a project fares until publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Course {
    /// Accepted, scored, approved, published.
    Published,
    /// Returned once for a formal fault, corrected, then published.
    Returned,
    /// Never submitted.
    Forgotten,
    /// Taken back by the provider.
    Withdrawn,
    /// Scored too low.
    Rejected,
    /// Never decided.
    Undecided,
}

impl Plan {
    /// Whether it reaches the menu.
    #[must_use]
    pub const fn is_published(&self) -> bool {
        matches!(self.course, Course::Published | Course::Returned)
    }

    /// Whether it is of 90 base credits or more.
    #[must_use]
    pub fn is_intensive(&self) -> bool {
        self.project.base_credit.is_some_and(|credit| credit.hundredths >= 9_000)
    }
}

/// Draws the projects: their audiences are distributed as the teachers are.
pub fn draw(seed: u64, tree: &Tree, teachers: &[Person], folder: &TermFolder) -> Vec<Plan> {
    let mut draw = Draw::of(seed, 3);
    let declared = count(u32::try_from(teachers.len()).unwrap_or(u32::MAX), folder) as usize;
    let mut plans: Vec<Plan> = (0..declared)
        .filter_map(|n| {
            let provider = tree.providers.get(n % tree.providers.len().max(1))?;
            let like = &draw.one(teachers)?.teacher;
            let weights = folder.projects.template.iter().map(|template| (template, template.weight));
            let template = draw.weighted(weights)?;
            let main = |codes: &[String]| codes.iter().take(1).cloned().collect();
            let audience = Audience {
                stages: main(&like.stages),
                subjects: if template.subject { main(&like.subjects) } else { Vec::new() },
                tiers: template.tiers.clone(),
                categories: template.categories.clone(),
                organizations: Vec::new(),
            };
            let project = project(&mut draw, template, audience, (&provider.name, &provider.display_name), folder);
            Some(Plan { project, course: course(&mut draw, n, folder) })
        })
        .collect();
    scale(&mut plans, teachers.len(), folder);
    plans
}

/// Scales the places of all classes to the county's size.
fn scale(plans: &mut [Plan], teachers: usize, folder: &TermFolder) {
    let size = &folder.projects.size;
    let classes = || plans.iter().flat_map(|plan| &plan.project.classes);
    let places: f64 = classes().map(|class| f64::from(class.places)).sum();
    let factor = size.places_per_teacher * f64::from(u32::try_from(teachers).unwrap_or(u32::MAX)) / places.max(1.0);
    for class in plans.iter_mut().flat_map(|plan| &mut plan.project.classes) {
        class.places = ((f64::from(class.places) * factor).round() as i32).max(size.least_places);
        class.approved_places = class.places;
    }
}

/// The first few courses are fixed, so that a small county has one of each.
fn course(draw: &mut Draw, n: usize, folder: &TermFolder) -> Course {
    let settings = &folder.projects.course;
    match n {
        1 => return Course::Returned,
        2 => return Course::Forgotten,
        3 => return Course::Withdrawn,
        4 => return Course::Rejected,
        5 => return Course::Undecided,
        _ => {}
    }
    let shares = [
        (Course::Returned, settings.returned),
        (Course::Forgotten, settings.forgotten),
        (Course::Withdrawn, settings.withdrawn),
        (Course::Rejected, settings.rejected),
        (Course::Undecided, settings.undecided),
    ];
    let mut drawn = u32::try_from(draw.between(0, 99)).unwrap_or(99);
    for (course, share) in shares {
        if drawn < share {
            return course;
        }
        drawn = drawn.saturating_sub(share);
    }
    Course::Published
}

fn project(
    draw: &mut Draw,
    template: &Template,
    audience: Audience,
    (provider, provider_title): (&str, &str),
    folder: &TermFolder,
) -> Project {
    let settings = &folder.projects;
    let words = &settings.words;
    let word = |words: &std::collections::BTreeMap<String, String>, codes: &[String]| {
        codes.first().map(|code| words.get(code).unwrap_or(code).clone()).unwrap_or_default()
    };
    let theme = draw.one(&template.themes).cloned().unwrap_or_default();
    let title = template
        .title
        .replace("{stage}", &word(&words.stage, &audience.stages))
        .replace("{subject}", &word(&words.subject, &audience.subjects))
        .replace("{theme}", &theme);
    let credits = draw.one(&template.credits).copied().unwrap_or(24);
    let levels = settings.level.iter().map(|(level, weight)| (level, *weight));
    let level = draw
        .weighted(levels)
        .and_then(|level| project::Level::from_str_name(&format!("LEVEL_{level}")))
        .unwrap_or(project::Level::County);
    let sessions = draw.between(template.sessions.0, template.sessions.1);
    let common = &settings.common;
    let classes = (1..=draw.between(1, template.classes))
        .filter_map(|n| {
            let days = days(draw, template.when, sessions, common);
            let last = days.last()?.0;
            let places = i32::try_from(draw.between(template.places.0, template.places.1)).ok()?;
            let venue = common.venue.replace("{provider}", provider_title);
            Some(Class {
                places,
                approved_places: places,
                sessions: days.into_iter().filter_map(|(day, hour)| session(day, hour, common, &folder.zone)).collect(),
                venue: serial(&venue, usize::try_from(n).unwrap_or(1), 1),
                ends_on: Some(last.into()),
                ..Class::default()
            })
        })
        .collect();
    let total_hours = i32::try_from(sessions).unwrap_or(1).saturating_mul(common.session_hours);
    Project {
        provider: provider.to_owned(),
        accepting_bureau: if level == project::Level::County { BUREAU } else { CITY }.to_owned(),
        description: format!("{title}（示例项目，仅供演练）。面向{}教师。", word(&words.stage, &audience.stages)),
        title,
        level: level.into(),
        form: project::Form::from_str_name(&template.form).unwrap_or(project::Form::Blended).into(),
        audience: Some(audience),
        base_credit: Some(Credit { hundredths: credits.saturating_mul(100) }),
        difficulty_percent: draw.one(&template.difficulty).copied().unwrap_or(100),
        restricted_elective: credits < 90 && draw.percent(common.restricted_elective_percent),
        ethics_hours: total_hours.saturating_mul(common.ethics_percent).div_euclid(100).max(1),
        practice_hours: total_hours.saturating_mul(template.practice_percent).div_euclid(100),
        total_hours,
        classes,
        ..Project::default()
    }
}

/// The days of the sessions, with the hour at which each starts.
fn days(draw: &mut Draw, when: When, sessions: i64, common: &Common) -> Vec<(Date, i8)> {
    let (hours, wanted): (&[i8], fn(Weekday) -> bool) = match when {
        When::Weekend => (&[9], |day| matches!(day, Weekday::Saturday | Weekday::Sunday)),
        When::Evening => (&[18], |day| matches!(day, Weekday::Tuesday | Weekday::Thursday)),
        When::Block => (&[9, 14], |day| !matches!(day, Weekday::Saturday | Weekday::Sunday)),
    };
    let all: Vec<(Date, i8)> = common
        .first_day
        .series(Span::new().days(1))
        .take_while(|day| *day <= common.last_day)
        .filter(|day| wanted(day.weekday()))
        .flat_map(|day| hours.iter().map(move |hour| (day, *hour)))
        .collect();
    let sessions = usize::try_from(sessions).unwrap_or(1).min(all.len());
    let start = draw.index(all.len().saturating_sub(sessions).saturating_add(1));
    all.into_iter().skip(start).take(sessions).collect()
}

fn session(day: Date, hour: i8, common: &Common, zone: &TimeZone) -> Option<Session> {
    let at = |hour: i64| {
        let time = Time::new(i8::try_from(hour).ok()?, 0, 0, 0).ok()?;
        let instant = zone.to_timestamp(day.to_datetime(time)).ok()?;
        Some(proto::timestamp(instant.as_microsecond()))
    };
    let ends = i64::from(hour).saturating_add(i64::from(common.session_hours)).min(23);
    Some(Session { starts: Some(at(i64::from(hour))?), ends: Some(at(ends)?) })
}
