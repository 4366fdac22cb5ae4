//! The domain on the wire.

use chassis::failure;
use jiff::civil::Date;
use proto::{
    common::v1::{Ground, Reason},
    credit::v1::{self as pb, CreditPosition},
};

use crate::domain::{
    entry::{Entry, Kind},
    requirement::Requirement,
    shortfall::{self, Shortfall},
    statement::Position,
};

/// An entry as persons see it.
#[must_use]
pub fn entry(entry: &Entry) -> pb::Entry {
    let kind = match entry.kind {
        Kind::OpeningBalance => pb::entry::Kind::OpeningBalance,
        Kind::Project => pb::entry::Kind::Project,
        Kind::SchoolBased => pb::entry::Kind::SchoolBased,
        Kind::Reversal => pb::entry::Kind::Reversal,
    };
    pb::Entry {
        name: entry.name.clone(),
        teacher: entry.teacher.clone(),
        kind: kind.into(),
        base: Some(entry.base.into()),
        awarded: Some(entry.awarded.into()),
        effective_on: Some(entry.effective_on.into()),
        recorded_at: Some(proto::timestamp(entry.recorded_at)),
        source: entry.source.clone(),
        intensive: entry.intensive,
        restricted_elective: entry.restricted_elective,
        matched: entry.matched,
        project: entry.project.clone(),
        reverses: entry.reverses.clone(),
        reversed_by: entry.reversed_by.clone(),
        actor: Some(entry.actor.clone()),
        reason: if entry.reason_text.is_empty() { entry.reason.clone() } else { entry.reason_text.clone() },
        policy_version: entry.policy_version,
        school: entry.school.clone(),
        practice: Some(entry.practice.into()),
    }
}

/// An entry as changes carry it: nothing that a person typed, hence a source only where it is a selection.
#[must_use]
pub fn told(told: &Entry) -> pb::Entry {
    let source = if told.project.is_empty() { String::new() } else { told.source.clone() };
    pb::Entry { source, reason: told.reason.clone(), ..entry(told) }
}

/// A position as changes carry it.
#[must_use]
pub fn position(teacher: &str, position: Position) -> CreditPosition {
    CreditPosition {
        teacher: teacher.to_owned(),
        cycle_ends_on: position.cycle_ends_on.map(Into::into),
        cycle_awarded: Some(position.cycle_awarded.into()),
        has_intensive: position.has_intensive,
    }
}

/// A requirement.
#[must_use]
pub fn requirement(requirement: &Requirement) -> pb::Requirement {
    pb::Requirement {
        key: requirement.key.to_owned(),
        applicable: requirement.applicable,
        met: requirement.met,
        numerator: requirement.numerator,
        denominator: requirement.denominator,
        required_hundredths: requirement.required,
        value_hundredths: requirement.value,
    }
}

/// What warns a teacher, in a calendar year.
#[must_use]
pub fn warning(short: &Shortfall, year: i32) -> Ground {
    warn(short.reason, short.value, short.required, year)
}

/// A report of compliance with what warns in it.
#[must_use]
pub fn warned(report: pb::Compliance) -> pb::Compliance {
    let short = report.requirements.iter().filter(|requirement| requirement.applicable && !requirement.met);
    let warnings = short.filter_map(|requirement| {
        let reason = shortfall::reason(&requirement.key)?;
        Some(warn(reason, requirement.value_hundredths, requirement.required_hundredths, report.year))
    });
    pb::Compliance { warnings: warnings.collect(), ..report }
}

fn warn(reason: Reason, value: i64, required: i64, year: i32) -> Ground {
    let decimal = |hundredths: i64| format!("{}.{:02}", hundredths / 100, hundredths % 100);
    let metadata = [("value", decimal(value)), ("required", decimal(required)), ("year", year.to_string())];
    failure::ground(reason, metadata.map(|(key, value)| (key.to_owned(), value)).into())
}

/// A day of a mirrored fact; what is no day of the calendar is absent.
#[must_use]
pub fn day(date: Option<proto::google::r#type::Date>) -> Option<Date> {
    date.and_then(|date| date.try_into().ok())
}
