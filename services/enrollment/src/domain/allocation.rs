//! How the places of a project are given in a round.

use serde::Deserialize;

use super::{policy::Allocations, project::Project};

/// An allocation policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Allocation {
    /// No upper limit while selecting; the provider screens what is oversubscribed.
    UncappedThenScreen,
    /// A seat is held at submission, released by rejection, withdrawal or expiry.
    FirstCome,
}

/// The allocation of `project` in `round`: the project's own, else the policy's (`allocation.rounds`), else
/// `UNCAPPED_THEN_SCREEN` in round 1 and `FIRST_COME` later.
#[must_use]
pub fn allocation(project: &Project, policy: &Allocations, round: i32) -> Allocation {
    let own = project.allocations.get(&round).copied();
    own.or_else(|| policy.rounds.get(&round.to_string()).copied()).unwrap_or(if round <= 1 {
        Allocation::UncappedThenScreen
    } else {
        Allocation::FirstCome
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_comes_before_the_policy_before_the_default() {
        let mut project = Project::default();
        let mut policy = Allocations::default();
        assert_eq!(allocation(&project, &policy, 1), Allocation::UncappedThenScreen);
        assert_eq!(allocation(&project, &policy, 2), Allocation::FirstCome);
        assert_eq!(allocation(&project, &policy, 3), Allocation::FirstCome);
        policy.rounds.insert("2".to_owned(), Allocation::UncappedThenScreen);
        assert_eq!(allocation(&project, &policy, 2), Allocation::UncappedThenScreen);
        project.allocations.insert(2, Allocation::FirstCome);
        assert_eq!(allocation(&project, &policy, 2), Allocation::FirstCome);
    }
}
