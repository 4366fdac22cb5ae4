//! What changes carry: ids and coded facts only.

use jiff::civil::Date;
use proto::{
    common::v1::RoleGrant,
    roster::v1::{AccountFacts, Leave, OrganizationFacts, RoleHeld, Stay, TeacherFacts},
};

use crate::{
    domain::{
        self,
        field::{Field, codes_of},
        organization::Organization,
        teacher::Teacher,
    },
    store::accounts::Account,
};

/// Of an organisation.
pub fn organization(organization: &Organization) -> OrganizationFacts {
    OrganizationFacts {
        name: organization.name.clone(),
        parent: organization.parent.clone(),
        kinds: organization.kinds.iter().map(|kind| (*kind).into()).collect(),
        path: organization.path.clone(),
    }
}

/// Of a teacher, as of a day, at a school with this path.
pub fn teacher(teacher: &Teacher, path: &[String], today: Date) -> TeacherFacts {
    let code = |field| teacher.entry.get(field).to_owned();
    let list = |field| codes_of(teacher.entry.get(field)).map(str::to_owned).collect();
    let day = |field| teacher.entry.day(field).map(Into::into);
    let stays = teacher.career().foreseen().stays.into_iter();
    let stay = |stay: domain::career::Stay| Stay {
        from_on: stay.from_on.map(Into::into),
        school: stay.school,
        status: stay.standing.into(),
    };
    TeacherFacts {
        name: teacher.name.clone(),
        school: teacher.school.clone(),
        path: path.to_vec(),
        tier: code(Field::Tier),
        category: code(Field::Category),
        stages: list(Field::Stages),
        subjects: list(Field::Subjects),
        title: code(Field::Title),
        education: code(Field::Education),
        post: code(Field::Post),
        employment: code(Field::Employment),
        employed_on: day(Field::EmployedOn),
        platform_entered_on: day(Field::PlatformEnteredOn),
        status: teacher.status_on(today).into(),
        joined_on: teacher.joined_on.map(Into::into),
        leaves: teacher
            .leaves
            .iter()
            .filter(|leave| !leave.is_void())
            .map(|leave| Leave { first_on: Some(leave.first_on.into()), last_on: leave.last_on.map(Into::into) })
            .collect(),
        account: teacher.account.clone(),
        sex: code(Field::Sex),
        birth_year: teacher.birth_year.into(),
        principal_appointed_on: day(Field::PrincipalAppointedOn),
        stays: stays.map(stay).collect(),
        erased: teacher.erased,
    }
}

/// Of an account.
pub fn account(account: &Account) -> AccountFacts {
    AccountFacts {
        name: account.name.clone(),
        teacher: account.teacher.clone(),
        roles: account.roles.iter().map(role_held).collect(),
        state: account.state.into(),
        erased: account.erased,
    }
}

/// A role held, on the wire.
pub fn role_held(held: &domain::account::RoleHeld) -> RoleHeld {
    RoleHeld {
        grant: Some(RoleGrant { role: held.role.into(), organization: held.organization.clone() }),
        from: held.from.map(Into::into),
        until: held.until.map(Into::into),
    }
}
