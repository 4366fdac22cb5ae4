//! The neighbours' facts, as the domain reads them.

use chassis::Failure;
use proto::{
    catalog::v1::{ProjectFacts, allocation, class, project},
    roster::v1::{TeacherFacts, teacher},
};

use crate::domain::{
    Class, Project, Teacher,
    allocation::Allocation,
    audience::Audience,
    structure::Kind,
    teacher::{Absence, Status},
};

/// A teacher out of the roster's facts.
pub fn teacher(facts: TeacherFacts) -> Result<Teacher, Failure> {
    let status = status(facts.status());
    let gone = gone(&facts)?;
    let leaves = facts.leaves.iter().filter_map(|leave| {
        let first = day(leave.first_on).transpose()?;
        Some(first.and_then(|first| Ok((first, day(leave.last_on)?))))
    });
    Ok(Teacher {
        leaves: leaves.collect::<Result<_, _>>()?,
        gone,
        joined_on: day(facts.joined_on)?,
        name: facts.name,
        account: facts.account,
        school: facts.school,
        path: facts.path,
        tier: facts.tier,
        category: facts.category,
        stages: facts.stages,
        subjects: facts.subjects,
        status,
    })
}

const fn status(wire: teacher::Status) -> Status {
    match wire {
        teacher::Status::Active | teacher::Status::Unspecified => Status::Active,
        teacher::Status::OnLeave => Status::OnLeave,
        teacher::Status::Retired => Status::Retired,
        teacher::Status::Departed => Status::Departed,
        teacher::Status::Deceased => Status::Deceased,
    }
}

/// The stays out of service: each lasts until the eve of the next.
fn gone(facts: &TeacherFacts) -> Result<Vec<Absence>, Failure> {
    let mut gone = Vec::new();
    for (number, stay) in facts.stays.iter().enumerate() {
        let next = facts.stays.get(number.saturating_add(1)).and_then(|next| next.from_on);
        let last_on = day(next)?.and_then(|next| next.yesterday().ok());
        let status = status(stay.status());
        if let Some(first_on) = day(stay.from_on)?.filter(|_| status.is_gone()) {
            gone.push(Absence { first_on, last_on, status });
        }
    }
    Ok(gone)
}

/// A project out of the catalog's facts.
pub fn project(facts: ProjectFacts) -> Result<Project, Failure> {
    let state = facts.state();
    let classes = facts.classes.iter().map(|class| {
        let edge = |at: &Option<prost_types::Timestamp>| at.as_ref().map(proto::instant);
        let sessions = class.sessions.iter().filter_map(|session| Some((edge(&session.starts)?, edge(&session.ends)?)));
        let class = Class {
            name: class.name.clone(),
            places: class.places,
            sessions: sessions.collect(),
            active: class.state() != class::State::Cancelled,
            ends_on: day(class.ends_on)?,
        };
        Ok((class.name.clone(), class))
    });
    let allocations = facts.allocations.iter().filter_map(|own| {
        let policy = match own.policy() {
            allocation::Policy::UncappedThenScreen => Allocation::UncappedThenScreen,
            allocation::Policy::FirstCome => Allocation::FirstCome,
            allocation::Policy::Unspecified => return None,
        };
        Some((own.round, policy))
    });
    let kinds = kinds(&facts);
    let audience = facts.audience.clone().unwrap_or_default();
    Ok(Project {
        kinds,
        open: matches!(state, project::State::Published | project::State::Running),
        cancelled: state == project::State::Cancelled,
        audience: Audience {
            stages: audience.stages,
            subjects: audience.subjects,
            tiers: audience.tiers,
            categories: audience.categories,
            organizations: audience.organizations,
        },
        base_credit: facts.base_credit.unwrap_or_default().into(),
        difficulty_percent: facts.difficulty_percent,
        classes: classes.collect::<Result<_, Failure>>()?,
        allocations: allocations.collect(),
        name: facts.name,
        term: facts.term,
        provider: facts.provider,
        accepting_bureau: facts.accepting_bureau,
    })
}

/// What a project counts as in the structure of a teacher's selections.
fn kinds(facts: &ProjectFacts) -> Vec<Kind> {
    let form = match facts.form() {
        project::Form::Intensive => Some(Kind::Intensive),
        project::Form::Online => Some(Kind::Online),
        project::Form::Blended => Some(Kind::Blended),
        project::Form::Unspecified => None,
    };
    let level = match facts.level() {
        project::Level::Province => Some(Kind::Province),
        project::Level::City => Some(Kind::City),
        project::Level::County => Some(Kind::County),
        project::Level::Unspecified => None,
    };
    let of_subjects = facts.audience.as_ref().is_some_and(|audience| !audience.subjects.is_empty());
    let elective = facts.restricted_elective.then_some(Kind::RestrictedElective);
    [form, level, elective, of_subjects.then_some(Kind::Subject)].into_iter().flatten().collect()
}

fn day(wire: Option<proto::google::r#type::Date>) -> Result<Option<jiff::civil::Date>, Failure> {
    wire.map(|date| jiff::civil::Date::try_from(date).map_err(Failure::internal)).transpose()
}
