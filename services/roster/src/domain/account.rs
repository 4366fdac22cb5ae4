//! Accounts: their roles over time, and who may appoint whom.

use jiff::civil::Date;
use proto::{Actor, Held, common::v1::Role, roster::v1::organization::Kind};

use super::{organization::Organization, scope};

/// A role held within a scope; a delegation has a first or a last day, both inclusive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoleHeld {
    /// The role.
    pub role: Role,
    /// "organizations/…"; empty for an operator of the whole system.
    pub organization: String,
    /// First day.
    pub from: Option<Date>,
    /// Last day.
    pub until: Option<Date>,
}

impl RoleHeld {
    /// Whether the role is held on a day.
    #[must_use]
    pub fn on(&self, day: Date) -> bool {
        self.from.is_none_or(|from| from <= day) && self.until.is_none_or(|until| day <= until)
    }

    /// Whether there is any day on which it is held from `day` on.
    #[must_use]
    pub fn is_over(&self, day: Date) -> bool {
        self.until.is_some_and(|until| until < day)
    }
}

/// Whether a role can be held at an organisation: each has its kind.
#[must_use]
pub fn fits(role: Role, organization: &Organization) -> bool {
    match role {
        Role::Teacher | Role::SchoolAdmin | Role::Principal => organization.is_school(),
        Role::ProviderStaff => organization.is(Kind::Provider),
        Role::BureauOfficer => {
            [Kind::Province, Kind::City, Kind::CountyBureau].iter().any(|kind| organization.is(*kind))
        }
        Role::DistrictOfficer => organization.is(Kind::SchoolDistrict),
        Role::Expert | Role::Operator => true,
        Role::Service | Role::Unspecified => false,
    }
}

/// The role under which the actor may give, and take, `role` at the organisation with this path.
///
/// A bureau appoints in its area, and at a provider outside every area. An operator appoints the people of offices and
/// providers, experts and operators, so that a new system can be set up; nobody at a school.
#[must_use]
pub fn appoints<'a>(actor: &'a Actor, role: Role, path: &[String], kinds: &[Kind]) -> Option<&'a Held> {
    let by = |role: Role| actor.roles.iter().find(|held| held.role == role);
    let outside = path.len() == 1 && kinds == [Kind::Provider];
    let bureau = || scope::governs(actor, path).or_else(|| if outside { by(Role::BureauOfficer) } else { None });
    match role {
        Role::Unspecified | Role::Service => None,
        Role::Operator => by(Role::Operator),
        Role::BureauOfficer | Role::DistrictOfficer | Role::ProviderStaff | Role::Expert => {
            bureau().or_else(|| by(Role::Operator))
        }
        Role::Teacher | Role::SchoolAdmin | Role::Principal => bureau(),
    }
}

/// 3 to 64 of letters, digits, `.`, `_`, `-`, `@`.
#[must_use]
pub fn is_login(text: &str) -> bool {
    (3..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b))
}

/// The login that an import gives a teacher: the school's id and the teacher number.
#[must_use]
pub fn imported_login(school: &str, teacher_number: &str) -> String {
    format!("{}-{teacher_number}", school.strip_prefix("organizations/").unwrap_or(school))
}

/// 8 to 128 characters; no control characters.
#[must_use]
pub fn is_password(text: &str) -> bool {
    (8..=128).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::domain::{
        organization::tests::organization,
        scope::tests::{actor, path},
    };

    const ROLES: [Role; 10] = [
        Role::Unspecified,
        Role::Teacher,
        Role::SchoolAdmin,
        Role::Principal,
        Role::ProviderStaff,
        Role::BureauOfficer,
        Role::Expert,
        Role::DistrictOfficer,
        Role::Operator,
        Role::Service,
    ];

    #[test]
    fn a_delegation_counts_on_its_days() {
        let held = RoleHeld {
            role: Role::Principal,
            organization: "organizations/a".into(),
            from: Some(date(2019, 9, 1)),
            until: Some(date(2019, 9, 9)),
        };
        assert!(!held.on(date(2019, 8, 31)));
        assert!(held.on(date(2019, 9, 1)) && held.on(date(2019, 9, 9)));
        assert!(!held.on(date(2019, 9, 10)) && held.is_over(date(2019, 9, 10)));
    }

    #[test]
    fn who_appoints_whom() {
        let here = path(&["county", "school"]);
        let appointed = |actor: &Actor, path: &[String], kinds: &[Kind]| -> Vec<Role> {
            ROLES.into_iter().filter(|role| appoints(actor, *role, path, kinds).is_some()).collect()
        };
        let officer = actor(&[(Role::BureauOfficer, "county")]);
        assert_eq!(
            appointed(&officer, &here, &[Kind::School]),
            [
                Role::Teacher,
                Role::SchoolAdmin,
                Role::Principal,
                Role::ProviderStaff,
                Role::BureauOfficer,
                Role::Expert,
                Role::DistrictOfficer
            ]
        );
        assert_eq!(appointed(&officer, &path(&["elsewhere"]), &[Kind::CountyBureau]), []);
        assert!(appoints(&officer, Role::ProviderStaff, &path(&["provider"]), &[Kind::Provider]).is_some());
        assert_eq!(
            appointed(&actor(&[(Role::Operator, "")]), &here, &[Kind::School]),
            [Role::ProviderStaff, Role::BureauOfficer, Role::Expert, Role::DistrictOfficer, Role::Operator]
        );
        assert_eq!(appointed(&actor(&[(Role::Principal, "school")]), &here, &[Kind::School]), []);
    }

    #[test]
    fn each_role_has_its_kind_of_organisation() {
        let school = organization("s", &[Kind::School], None);
        let provider = organization("p", &[Kind::Provider], None);
        assert!(fits(Role::Principal, &school) && !fits(Role::Principal, &provider));
        assert!(fits(Role::ProviderStaff, &provider) && !fits(Role::BureauOfficer, &provider));
        assert!(!fits(Role::Service, &school));
    }

    #[test]
    fn logins_and_passwords() {
        assert_eq!(imported_login("organizations/s001", "T-1"), "s001-T-1");
        assert!(is_login("s001-T-1") && !is_login("a b") && !is_login(""));
        assert!(is_password("long enough") && !is_password("short") && !is_password("with\ncontrol"));
    }
}
