//! Who sees how much of a project.

use proto::{Actor, common::v1::Role};

use super::Project;

/// As whom one looks at a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Its bureau, or one above it: everything.
    Bureau,
    /// Its provider: everything but the experts' scores.
    Provider,
    /// An expert who judges it: as on the menu, with his own score.
    Expert,
    /// As on the menu: no decisions, no scores.
    Menu,
}

/// How `actor` sees `project`; `None`: not at all. `bureau_path`: the accepting bureau with all above it, root first;
/// `assigned`: whether the actor is one of its experts; `menu_open`: whether the term's menu can be read yet.
#[must_use]
pub fn view(actor: &Actor, project: &Project, bureau_path: &[String], assigned: bool, menu_open: bool) -> Option<View> {
    if actor.held_over(&[Role::BureauOfficer], bureau_path).is_some() {
        return Some(View::Bureau);
    }
    if actor.is_at(Role::ProviderStaff, &project.provider) {
        return Some(View::Provider);
    }
    if assigned && actor.is(Role::Expert) {
        return Some(View::Expert);
    }
    // What was once on the menu stays readable, cancelled or over.
    (menu_open && project.published_at.is_some()).then_some(View::Menu)
}

/// The organisations for which `actor` holds `role`.
#[must_use]
pub fn organizations_of(actor: &Actor, role: Role) -> Vec<&str> {
    actor.roles.iter().filter(|held| held.role == role).map(|held| held.organization.as_str()).collect()
}

/// Whether an expert who holds roles in `paths` (each organisation with all above it) must not judge a project of
/// `provider`: he belongs to it, or to a part of it.
#[must_use]
pub fn conflicts<'a>(provider: &str, paths: impl IntoIterator<Item = &'a [String]>) -> bool {
    paths.into_iter().any(|path| path.iter().any(|organization| organization == provider))
}

#[cfg(test)]
mod tests {
    use proto::Held;

    use super::*;
    use crate::domain::project::tests::complete;

    fn actor(role: Role, organization: &str) -> Actor {
        Actor { roles: vec![Held { role, organization: organization.into() }], ..Actor::default() }
    }

    #[test]
    fn everyone_sees_what_is_his() {
        let path = ["organizations/city".to_owned(), "organizations/bureau".to_owned()];
        let draft = complete();
        let published = Project { published_at: Some(1), ..complete() };
        let see = |actor: &Actor, project: &Project, menu_open| view(actor, project, &path, false, menu_open);
        for bureau in ["organizations/bureau", "organizations/city"] {
            assert_eq!(see(&actor(Role::BureauOfficer, bureau), &draft, false), Some(View::Bureau));
        }
        assert_eq!(see(&actor(Role::BureauOfficer, "organizations/other"), &draft, true), None);
        assert_eq!(see(&actor(Role::ProviderStaff, "organizations/provider"), &draft, false), Some(View::Provider));
        assert_eq!(see(&actor(Role::ProviderStaff, "organizations/rival"), &draft, true), None);
        let teacher = actor(Role::Teacher, "organizations/school");
        assert_eq!(see(&teacher, &draft, true), None);
        assert_eq!(see(&teacher, &published, false), None);
        assert_eq!(see(&teacher, &published, true), Some(View::Menu));
        let expert = actor(Role::Expert, "organizations/school");
        assert_eq!(view(&expert, &draft, &path, true, false), Some(View::Expert));
        assert_eq!(view(&expert, &draft, &path, false, true), None);
    }

    #[test]
    fn an_expert_of_the_provider_or_of_a_part_of_it_conflicts() {
        let inside = ["organizations/provider".to_owned(), "organizations/institute".to_owned()];
        let outside = ["organizations/bureau".to_owned()];
        assert!(conflicts("organizations/provider", [outside.as_slice(), inside.as_slice()]));
        assert!(!conflicts("organizations/provider", [outside.as_slice()]));
    }
}
