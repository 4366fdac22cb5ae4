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
pub const fn phase_name(phase: Phase) -> (&'static str, &'static str) {
    match phase {
        Phase::RosterUpdate => ("教师信息维护", "roster update"),
        Phase::Declaration => ("项目申报", "declaration"),
        Phase::ProjectReview => ("项目评审", "project review"),
        Phase::Publication => ("项目发布", "publication"),
        Phase::Browsing => ("项目浏览", "browsing"),
        Phase::Selection => ("教师选课", "selection"),
        Phase::SchoolReview => ("学校审核", "school review"),
        Phase::ExpansionRequest => ("申请扩容", "expansion request"),
        Phase::ExpansionDecision => ("扩容审批", "expansion decision"),
        Phase::ProviderConfirmation => ("机构确认", "provider confirmation"),
        Phase::Training => ("培训实施", "training"),
        Phase::Results => ("成绩补录", "results"),
        Phase::Unspecified | Phase::Any => ("", ""),
    }
}
