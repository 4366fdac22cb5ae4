//! Who and what there is: a county with two schools, a provider, their people, and the term's windows.

use proto::{
    Actor,
    common::v1::{Phase, Role, RoleGrant, Window},
    roster::v1::{AccountFacts, RoleHeld, TeacherFacts, account, teacher},
};

use chassis::testing;

pub const DAY: i64 = 86_400_000_000;
/// 2019-08-26 00:00 in Shanghai.
pub const OPENS: i64 = 1_566_748_800_000_000;
pub const COUNTY: &str = "organizations/county";
pub const DISTRICT: &str = "organizations/district";
pub const SCHOOL: &str = "organizations/school-a";
pub const OTHER: &str = "organizations/school-b";
pub const PROVIDER: &str = "organizations/provider";

/// Days after OPENS.
pub const SELECTION_1: i64 = 1;
pub const REVIEW_1: i64 = 12;
pub const CONFIRMATION_1: i64 = 18;
pub const SELECTION_2: i64 = 19;
pub const REVIEW_2: i64 = 23;
pub const CONFIRMATION_2: i64 = 24;
pub const TRAINING: i64 = 30;

pub fn window(id: &str, phase: Phase, round: i32, from: i64, to: i64) -> Window {
    Window {
        id: id.to_owned(),
        phase: phase.into(),
        round,
        opens: Some(proto::timestamp(OPENS + from * DAY)),
        closes: Some(proto::timestamp(OPENS + to * DAY)),
        owners: vec![Role::BureauOfficer.into()],
        ..Window::default()
    }
}

pub fn windows() -> Vec<Window> {
    vec![
        window("selection-1", Phase::Selection, 1, 0, 11),
        window("school-review-1", Phase::SchoolReview, 1, 6, 15),
        window("provider-confirmation-1", Phase::ProviderConfirmation, 1, 18, 19),
        window("selection-2", Phase::Selection, 2, 19, 23),
        window("school-review-2", Phase::SchoolReview, 2, 20, 24),
        window("provider-confirmation-2", Phase::ProviderConfirmation, 2, 24, 28),
        window("training", Phase::Training, 0, 28, 128),
        window("results", Phase::Results, 0, 128, 143),
        window("declaration", Phase::Declaration, 0, -30, -20),
        window("project-review", Phase::ProjectReview, 0, -20, -10),
        Window {
            owners: vec![Role::ProviderStaff.into()],
            ..window("expansion-decision", Phase::ExpansionDecision, 0, 16, 17)
        },
    ]
}

pub fn path_of(school: &str) -> Vec<String> {
    [COUNTY, DISTRICT, school].map(str::to_owned).into()
}

/// A teacher of SCHOOL, or of OTHER where the name begins with "other".
pub fn teacher(id: &str) -> TeacherFacts {
    let school = if id.starts_with("other") { OTHER } else { SCHOOL };
    TeacherFacts {
        name: format!("teachers/{id}"),
        school: school.to_owned(),
        path: path_of(school),
        tier: "competent".to_owned(),
        category: "subject_teacher".to_owned(),
        stages: vec!["primary".to_owned()],
        subjects: vec!["music".to_owned()],
        status: teacher::Status::Active.into(),
        account: format!("accounts/{id}"),
        ..TeacherFacts::default()
    }
}

pub fn as_teacher(id: &str) -> Actor {
    let school = if id.starts_with("other") { OTHER } else { SCHOOL };
    testing::person(&format!("accounts/{id}"), &format!("teachers/{id}"), &[(Role::Teacher, school)])
}

pub fn admin() -> Actor {
    testing::person("accounts/admin", "", &[(Role::SchoolAdmin, SCHOOL)])
}

pub fn other_admin() -> Actor {
    testing::person("accounts/other-admin", "", &[(Role::SchoolAdmin, OTHER)])
}

pub fn bureau() -> Actor {
    testing::person("accounts/bureau", "", &[(Role::BureauOfficer, COUNTY)])
}

pub fn provider() -> Actor {
    testing::person("accounts/provider", "", &[(Role::ProviderStaff, PROVIDER)])
}

pub fn account(name: &str, teacher: &str, roles: &[(Role, &str)]) -> AccountFacts {
    let held = |(role, organization): &(Role, &str)| RoleHeld {
        grant: Some(RoleGrant { role: (*role).into(), organization: (*organization).to_owned() }),
        from: None,
        until: None,
    };
    AccountFacts {
        name: name.to_owned(),
        teacher: teacher.to_owned(),
        roles: roles.iter().map(held).collect(),
        state: account::State::Active.into(),
        erased: false,
    }
}
