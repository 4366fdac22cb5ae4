//! Why something is refused, or worth knowing: a reason of the contract with the variables of its text.

use std::collections::BTreeMap;

use proto::common::v1::Reason;

/// A reason with its variables: ids and codes only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// The reason.
    pub reason: Reason,
    /// Variables of the reason's text.
    pub metadata: BTreeMap<String, String>,
}

impl Ground {
    /// A reason without variables.
    #[must_use]
    pub const fn new(reason: Reason) -> Self {
        Self { reason, metadata: BTreeMap::new() }
    }

    /// With a variable.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    /// `resource` is in `state`, which has no `event`.
    #[must_use]
    pub fn state(resource: &str, state: &str, event: &str) -> Self {
        Self::new(Reason::StateConflict).with("resource", resource).with("state", state).with("event", event)
    }

    /// `project` has no free place.
    #[must_use]
    pub fn full(project: &str) -> Self {
        Self::new(Reason::Full).with("project", project)
    }
}
