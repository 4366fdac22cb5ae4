//! Where a phase's windows open anything: that is what the contracts say.

use std::collections::{BTreeMap, BTreeSet};

use chassis::contract;
use proto::common::v1::Phase;

/// The services that have methods which only a window of a phase allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gated(BTreeMap<Phase, BTreeSet<String>>);

impl Gated {
    /// As the contracts' rules have it.
    #[must_use]
    pub fn by_contract() -> Self {
        let mut gated: BTreeMap<Phase, BTreeSet<String>> = BTreeMap::new();
        for method in contract::methods() {
            for grant in method.rule.iter().flat_map(|rule| &rule.grants) {
                for phase in grant.phases.iter().filter(|phase| **phase != Phase::Any) {
                    gated.entry(*phase).or_default().insert(method.package.clone());
                }
            }
        }
        Self(gated)
    }

    /// Services with methods of `phase`, by name.
    pub fn services(&self, phase: Phase) -> impl Iterator<Item = &str> {
        self.0.get(&phase).into_iter().flatten().map(String::as_str)
    }
}
