//! Selections on the wire.

use chassis::failure;
use proto::enrollment::v1::{self as pb, selection::State as Wire};

use crate::domain::{Ground, Selection, State};

/// A selection as its callers see it.
#[must_use]
pub fn selection(selection: &Selection) -> pb::Selection {
    pb::Selection { reason_text: selection.reason_text.clone(), ..facts(selection) }
}

/// A selection as changes carry it: without what people wrote.
#[must_use]
pub fn facts(selection: &Selection) -> pb::Selection {
    pb::Selection {
        name: selection.name.clone(),
        teacher: selection.teacher.clone(),
        project: selection.project.clone(),
        class: selection.class.clone(),
        round: selection.round,
        preference: selection.preference,
        state: state(selection.state).into(),
        school: selection.school.clone(),
        submitted_at: Some(proto::timestamp(selection.submitted_at)),
        submitted_by: selection.submitted_by.clone(),
        reason: selection.reason.clone(),
        reason_text: String::new(),
        matched: selection.matched,
        waiting_position: selection.waiting_position,
        roster_position: selection.roster_position,
        policy_version: selection.policy_version,
        etag: selection.revision.to_string(),
        warnings: Vec::new(),
    }
}

/// A state on the wire.
#[must_use]
pub const fn state(state: State) -> Wire {
    match state {
        State::Submitted => Wire::Submitted,
        State::SchoolApproved => Wire::SchoolApproved,
        State::SchoolRejected => Wire::SchoolRejected,
        State::Confirmed => Wire::Confirmed,
        State::Declined => Wire::Declined,
        State::Waitlisted => Wire::Waitlisted,
        State::Withdrawn => Wire::Withdrawn,
        State::Expired => Wire::Expired,
        State::Substituted => Wire::Substituted,
        State::Attended => Wire::Attended,
        State::NoShow => Wire::NoShow,
        State::Passed => Wire::Passed,
        State::Failed => Wire::Failed,
        State::Credited => Wire::Credited,
        State::Cancelled => Wire::Cancelled,
    }
}

/// The domain's state of one on the wire; `None` if it is unspecified.
#[must_use]
pub fn state_from(wire: i32) -> Option<State> {
    let wire = Wire::try_from(wire).ok()?;
    State::ALL.iter().copied().find(|own| state(*own) == wire)
}

/// A ground as callers see it in a check.
#[must_use]
pub fn ground(Ground { reason, metadata }: Ground) -> proto::common::v1::Ground {
    failure::ground(reason, metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_the_same_words_on_the_wire() {
        for own in State::ALL {
            assert_eq!(state_from(state(*own).into()), Some(*own));
            assert_eq!(state(*own).as_str_name(), format!("STATE_{}", own.word().to_uppercase()));
        }
        assert_eq!(state_from(0), None);
        assert_eq!(state_from(99), None);
    }
}
