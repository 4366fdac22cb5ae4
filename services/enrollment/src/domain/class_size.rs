//! Which classes are too small to open.

use super::{policy::ClassSize, project::Project};

/// Participants that a class needs: policy `class.min_percent` of its places, and `class.min_people`.
#[must_use]
pub fn needed(places: i32, policy: &ClassSize) -> i32 {
    let share = i64::from(places.max(0)).saturating_mul(policy.min_percent).saturating_add(99) / 100;
    i32::try_from(share.max(policy.min_people)).unwrap_or(i32::MAX)
}

/// A class that is too small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooSmall {
    /// The class.
    pub class: String,
    /// Who would come.
    pub participants: i32,
    /// Who would have to.
    pub needed: i32,
}

/// The classes of `project` that would be too small: `placed` are in a class, `unplaced` more are approved and fill the
/// classes one after the other, so that as few as possible are too small.
#[must_use]
pub fn too_small(
    project: &Project,
    placed: impl Fn(&str) -> i32,
    mut unplaced: i32,
    policy: &ClassSize,
) -> Vec<TooSmall> {
    let mut small = Vec::new();
    for class in project.active() {
        let sure = placed(&class.name);
        let room = class.places.saturating_sub(sure).max(0);
        let filled = unplaced.min(room).max(0);
        unplaced = unplaced.saturating_sub(filled);
        let (participants, needed) = (sure.saturating_add(filled), needed(class.places, policy));
        if participants < needed {
            small.push(TooSmall { class: class.name.clone(), participants, needed });
        }
    }
    small
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::project::Class;

    #[test]
    fn sixty_percent_and_twenty_people() {
        let policy = ClassSize::default();
        assert_eq!(needed(30, &policy), 20);
        assert_eq!(needed(40, &policy), 24);
        assert_eq!(needed(41, &policy), 25, "rounded up");
    }

    #[test]
    fn as_few_as_possible_are_too_small() {
        let class = |name: &str| {
            let class = Class { name: name.to_owned(), places: 30, active: true, ..Class::default() };
            (name.to_owned(), class)
        };
        let project = Project { classes: [class("a"), class("b")].into(), ..Project::default() };
        let names = |unplaced| {
            let small = too_small(&project, |_| 0, unplaced, &ClassSize::default());
            small.into_iter().map(|small| (small.class, small.participants)).collect::<Vec<_>>()
        };
        assert_eq!(names(50), []);
        assert_eq!(names(40), [("b".to_owned(), 10)]);
        assert_eq!(names(19), [("a".to_owned(), 19), ("b".to_owned(), 0)]);
    }
}
