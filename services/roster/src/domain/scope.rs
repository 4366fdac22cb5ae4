//! Who keeps, reads and sees what of the roster: the row scope, on the actor's roles.

use proto::{Actor, Held, common::v1::Role};

/// Roles that keep a teacher's record: his school's, or a bureau's above it.
const KEEPERS: [Role; 3] = [Role::SchoolAdmin, Role::Principal, Role::BureauOfficer];
/// Roles that read it: beside those the district's.
const READERS: [Role; 4] = [Role::SchoolAdmin, Role::Principal, Role::BureauOfficer, Role::DistrictOfficer];

/// The role under which the actor keeps the teachers of a school with this path.
#[must_use]
pub fn keeps<'a>(actor: &'a Actor, path: &[String]) -> Option<&'a Held> {
    actor.held_over(&KEEPERS, path)
}

/// The bureau role under which the actor keeps what lies at this path.
#[must_use]
pub fn governs<'a>(actor: &'a Actor, path: &[String]) -> Option<&'a Held> {
    actor.held_over(&[Role::BureauOfficer], path)
}

/// Whether the actor reads the record of a teacher at a school with this path.
#[must_use]
pub fn reads(actor: &Actor, teacher: &str, path: &[String]) -> bool {
    is_self(actor, teacher) || actor.held_over(&READERS, path).is_some()
}

/// Whether the actor is this teacher.
#[must_use]
pub fn is_self(actor: &Actor, teacher: &str) -> bool {
    !teacher.is_empty() && actor.teacher == teacher
}

/// Whether the actor sees the telephone number in full: the teacher himself and his school.
#[must_use]
pub fn sees_phone(actor: &Actor, teacher: &str, school: &str) -> bool {
    is_self(actor, teacher) || actor.is_at(Role::SchoolAdmin, school) || actor.is_at(Role::Principal, school)
}

/// The organisations under which the actor reads teachers.
#[must_use]
pub fn reading_roots(actor: &Actor) -> Vec<&str> {
    actor.roles.iter().filter(|held| READERS.contains(&held.role)).map(|held| held.organization.as_str()).collect()
}

/// Whether the actor reads all that lies under an organisation with this path.
#[must_use]
pub fn reads_under(actor: &Actor, path: &[String]) -> bool {
    actor.held_over(&READERS, path).is_some()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn actor(roles: &[(Role, &str)]) -> Actor {
        let roles = roles
            .iter()
            .map(|(role, organization)| Held { role: *role, organization: format!("organizations/{organization}") })
            .collect();
        Actor { account: "accounts/a".into(), roles, ..Actor::default() }
    }

    pub(crate) fn path(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| format!("organizations/{name}")).collect()
    }

    #[test]
    fn a_school_keeps_its_own_a_bureau_its_area_a_district_reads() {
        let school = path(&["county", "district", "school"]);
        assert!(keeps(&actor(&[(Role::SchoolAdmin, "school")]), &school).is_some());
        assert!(keeps(&actor(&[(Role::SchoolAdmin, "other")]), &school).is_none());
        assert!(keeps(&actor(&[(Role::BureauOfficer, "county")]), &school).is_some());
        assert!(keeps(&actor(&[(Role::BureauOfficer, "elsewhere")]), &school).is_none());
        let district = actor(&[(Role::DistrictOfficer, "district")]);
        assert!(keeps(&district, &school).is_none());
        assert!(reads(&district, "teachers/t", &school));
        assert!(!reads(&actor(&[(Role::Operator, "county")]), "teachers/t", &school));
    }

    #[test]
    fn a_teacher_is_himself_only() {
        let me = Actor { teacher: "teachers/t".into(), ..actor(&[(Role::Teacher, "school")]) };
        assert!(reads(&me, "teachers/t", &path(&["county", "school"])));
        assert!(!reads(&me, "teachers/u", &path(&["county", "school"])));
        assert!(!is_self(&Actor::default(), ""), "who is no teacher is not every unnamed one");
    }

    #[test]
    fn the_phone_is_for_himself_and_his_school() {
        let school = "organizations/school";
        assert!(sees_phone(&actor(&[(Role::Principal, "school")]), "teachers/t", school));
        assert!(!sees_phone(&actor(&[(Role::BureauOfficer, "county")]), "teachers/t", school));
        assert!(!sees_phone(&actor(&[(Role::SchoolAdmin, "other")]), "teachers/t", school));
    }
}
