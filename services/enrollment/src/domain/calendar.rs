//! What the phases of the calendar mean to people.

use proto::common::v1::{Phase, Role};

/// Who takes part in a phase: is told when it opens. Source: the calendar's annex, DESIGN §4.
#[must_use]
pub const fn participants(phase: Phase) -> &'static [Role] {
    match phase {
        Phase::RosterUpdate | Phase::Browsing | Phase::Selection => {
            &[Role::BureauOfficer, Role::SchoolAdmin, Role::Teacher]
        }
        Phase::Declaration | Phase::Publication | Phase::Results => &[Role::BureauOfficer, Role::ProviderStaff],
        Phase::ProjectReview => &[Role::BureauOfficer, Role::Expert],
        Phase::SchoolReview => &[Role::Principal, Role::SchoolAdmin],
        Phase::ExpansionRequest | Phase::ProviderConfirmation => &[Role::ProviderStaff],
        Phase::ExpansionDecision => &[Role::BureauOfficer],
        // The participants themselves are told by the training notice.
        Phase::Training => &[Role::ProviderStaff],
        Phase::Unspecified | Phase::Any => &[],
    }
}

/// A phase's name in both languages: (zh, en).
#[must_use]
pub fn phase_name(phase: Phase) -> (&'static str, &'static str) {
    proto::words::words(phase.as_str_name()).unwrap_or_default()
}
