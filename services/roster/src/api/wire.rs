//! Between the wire and the domain: what is read of requests, what replies show.

use std::collections::BTreeMap;

use chassis::{Failure, Faults};
use jiff::civil::Date;
use proto::{
    Actor,
    common::v1::Reason,
    google::r#type as civil,
    roster::v1::{self as pb, account::State},
};

use super::facts;
use crate::{
    Vault,
    domain::{
        career::Event,
        correction,
        fault::{Defect, Fault, is_coded_reason},
        field::{Entry, Field, codes_of, list_text},
        masked,
        organization::Organization,
        scope,
        teacher::Teacher,
    },
    store::{accounts::Account, history::StatusEvent},
};

/// A teacher's fields as entered.
pub fn entry(teacher: &pb::Teacher) -> Entry {
    Field::ALL.into_iter().map(|field| (field, value(teacher, field))).collect()
}

/// The entered values of the fields that an update mask names.
///
/// # Errors
/// Every name that is no field, or one that an update does not change.
pub fn masked_entry(teacher: &pb::Teacher, mask: &[String]) -> Result<Entry, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut entry = Entry::default();
    if mask.is_empty() {
        faults.push(Fault::of("update_mask", Defect::Required));
    }
    for (index, name) in mask.iter().enumerate() {
        match Field::of(name) {
            Some(field) => entry.set(field, value(teacher, field)),
            // A school changes by a transfer, a status by its event.
            None if ["name", "school", "status", "pending_fields", "etag", "coming_events"]
                .contains(&name.as_str()) =>
            {
                faults.push(Fault::of(format!("teacher.{name}"), Defect::Fixed));
            }
            None => faults.push(Fault::of(format!("update_mask.paths[{index}]"), Defect::UnknownField)),
        }
    }
    faults.dedup();
    if faults.is_empty() { Ok(entry) } else { Err(faults) }
}

fn value(teacher: &pb::Teacher, field: Field) -> String {
    match field {
        Field::DisplayName => teacher.display_name.clone(),
        Field::Sex => teacher.sex.clone(),
        // A check character is entered in either case and kept in one.
        Field::IdentityNumber => teacher.identity_number.to_ascii_uppercase(),
        Field::Phone => teacher.phone.clone(),
        Field::TeacherNumber => teacher.teacher_number.clone(),
        Field::Employment => teacher.employment.clone(),
        Field::Tier => teacher.tier.clone(),
        Field::Category => teacher.category.clone(),
        Field::Stages => list_text(&teacher.stages),
        Field::Subjects => list_text(&teacher.subjects),
        Field::Title => teacher.title.clone(),
        Field::Education => teacher.education.clone(),
        Field::Post => teacher.post.clone(),
        Field::EmployedOn => proto::date_text(teacher.employed_on.as_ref()),
        Field::PlatformEnteredOn => proto::date_text(teacher.platform_entered_on.as_ref()),
        Field::PrincipalAppointedOn => proto::date_text(teacher.principal_appointed_on.as_ref()),
    }
}

/// A teacher as `actor` sees him: the identity number masked for all, the telephone for those not of his school.
pub fn teacher(teacher: &Teacher, vault: &Vault, actor: &Actor, today: Date) -> pb::Teacher {
    let get = |field| teacher.entry.get(field).to_owned();
    let list = |field| codes_of(teacher.entry.get(field)).map(str::to_owned).collect();
    let number = vault.open(&teacher.name, &teacher.identity).unwrap_or_default();
    let phone = get(Field::Phone);
    let sees_phone = scope::sees_phone(actor, &teacher.name, &teacher.school);
    pb::Teacher {
        name: teacher.name.clone(),
        display_name: get(Field::DisplayName),
        sex: get(Field::Sex),
        identity_number: masked::identity_number(&number),
        phone: if sees_phone { phone } else { masked::phone(&phone) },
        school: teacher.school.clone(),
        teacher_number: get(Field::TeacherNumber),
        employment: get(Field::Employment),
        tier: get(Field::Tier),
        category: get(Field::Category),
        stages: list(Field::Stages),
        subjects: list(Field::Subjects),
        title: get(Field::Title),
        education: get(Field::Education),
        post: get(Field::Post),
        employed_on: teacher.entry.day(Field::EmployedOn).map(Into::into),
        platform_entered_on: teacher.entry.day(Field::PlatformEnteredOn).map(Into::into),
        status: teacher.status_on(today).into(),
        principal_appointed_on: teacher.entry.day(Field::PrincipalAppointedOn).map(Into::into),
        pending_fields: correction::pending_names(&teacher.pending),
        etag: etag(teacher.version),
        coming_events: teacher.coming.iter().map(coming_event).collect(),
        erased: teacher.erased,
    }
}

/// A teacher with nothing masked: for an export alone.
pub fn teacher_in_full(of: &Teacher, vault: &Vault, today: Date) -> pb::Teacher {
    pb::Teacher {
        identity_number: vault.open(&of.name, &of.identity).unwrap_or_default(),
        phone: of.entry.get(Field::Phone).to_owned(),
        ..teacher(of, vault, &Actor::default(), today)
    }
}

/// An organisation.
pub fn organization(organization: &Organization) -> pb::Organization {
    pb::Organization {
        name: organization.name.clone(),
        display_name: organization.display_name.clone(),
        parent: organization.parent.clone(),
        kinds: organization.kinds.iter().map(|kind| (*kind).into()).collect(),
        school_identifier: organization.school_identifier.clone(),
        school_type: organization.school_type.clone(),
        contact_office: organization.contact_office.clone(),
        contact_phone: organization.contact_phone.clone(),
        etag: etag(organization.version),
    }
}

/// An account; login and name for the person himself and for bureau officers only.
pub fn account(account: &Account, actor: &Actor) -> pb::Account {
    // Of an erased one the login is no login.
    let sees = !account.erased && (actor.account == account.name || actor.is(proto::common::v1::Role::BureauOfficer));
    let personal = |text: &str| if sees { text.to_owned() } else { String::new() };
    pb::Account {
        name: account.name.clone(),
        login: personal(&account.login),
        display_name: personal(&account.display_name),
        roles: account.roles.iter().map(facts::role_held).collect(),
        teacher: account.teacher.clone(),
        state: account.state.into(),
        etag: etag(account.version),
    }
}

/// A status event.
pub fn status_event(event: &StatusEvent) -> pb::StatusEvent {
    pb::StatusEvent {
        name: event.name.clone(),
        kind: event.kind.into(),
        effective_on: event.effective_on.map(Into::into),
        until: event.until.map(Into::into),
        school: event.school.clone(),
        reason: event.reason.clone(),
        state: event.state.into(),
    }
}

/// An event that waits for its day; why, the list of events says.
fn coming_event(event: &Event) -> pb::StatusEvent {
    pb::StatusEvent {
        name: event.name.clone(),
        kind: event.kind.into(),
        effective_on: Some(event.effective_on.into()),
        until: None,
        school: event.school.clone(),
        reason: String::new(),
        state: pb::status_event::State::Coming.into(),
    }
}

/// Who an account is on a day, as tokens carry it.
pub fn identity(account: &Account, today: Date) -> pb::Identity {
    let held = account.roles.iter().filter(|held| held.on(today));
    pb::Identity {
        account: account.name.clone(),
        teacher: account.teacher.clone(),
        roles: held.filter_map(|held| facts::role_held(held).grant).collect(),
    }
}

/// An account's state by its number, if it is one.
pub fn state(number: i32) -> Option<State> {
    State::try_from(number).ok().filter(|state| *state != State::Unspecified)
}

/// A day of a request; notes it where it is no day of the calendar.
pub fn day(field: &str, date: Option<&civil::Date>, faults: &mut Vec<Fault>) -> Option<Date> {
    let date = date?;
    let day = Date::try_from(*date).ok();
    if day.is_none() {
        faults.push(Fault::of(field, Defect::NotADay));
    }
    day
}

/// Notes a reason that is no coded one.
pub fn coded_reason(field: &str, reason: &str, faults: &mut Faults) {
    if !is_coded_reason(reason) {
        faults.add(
            field,
            "须为原因代码：小写字母、数字、_ - .，最多 64 个",
            "must be a coded reason: a–z, 0–9, _ - ., up to 64",
        );
    }
}

/// The version of a resource, opaque to callers.
pub fn etag(version: i64) -> String {
    format!("v{version}")
}

/// # Errors
/// `ETAG_MISMATCH` if a caller's etag is given and no longer the current one.
pub fn check_etag(given: &str, version: i64, resource: &str) -> Result<(), Failure> {
    if given.is_empty() || given == etag(version) { Ok(()) } else { Err(changed(resource)) }
}

/// The failure of a write over a version that is no longer the current one.
pub fn changed(resource: &str) -> Failure {
    Failure::new(Reason::EtagMismatch).with("resource", resource)
}

/// Organisations by name.
pub fn by_name(organizations: Vec<Organization>) -> BTreeMap<String, Organization> {
    organizations.into_iter().map(|organization| (organization.name.clone(), organization)).collect()
}
