//! The calendar's windows, as the script asks for them.

use std::collections::BTreeSet;

use proto::common::v1::{Phase, Window};

/// The windows of a calendar.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Windows(pub Vec<Window>);

impl Windows {
    /// The ordinary window of a phase and round.
    #[must_use]
    pub fn of(&self, phase: Phase, round: i32) -> Option<&Window> {
        let ordinary = |window: &&Window| window.organizations.is_empty();
        self.0.iter().filter(ordinary).find(|window| window.phase() == phase && window.round == round)
    }

    /// When it opens, in microseconds since the epoch.
    #[must_use]
    pub fn opens(&self, phase: Phase, round: i32) -> Option<i64> {
        self.of(phase, round)?.opens.as_ref().map(proto::instant)
    }

    /// When it closes, exclusive.
    #[must_use]
    pub fn closes(&self, phase: Phase, round: i32) -> Option<i64> {
        self.of(phase, round)?.closes.as_ref().map(proto::instant)
    }

    /// The rounds of selection.
    #[must_use]
    pub fn rounds(&self) -> BTreeSet<i32> {
        self.0.iter().filter(|window| window.phase() == Phase::Selection).map(|window| window.round).collect()
    }
}
