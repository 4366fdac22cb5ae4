//! The programme: every mistake that is made on purpose and every mishap, by its name in the report, so that the report can
//! say of each whether this county played it.

use proto::common::v1::Reason;

/// A mistake made on purpose, and the reasons of which one has to refuse it.
#[derive(Debug, Clone, Copy)]
pub struct Mistake {
    /// Its name.
    pub what: &'static str,
    /// Any of these refuses it.
    pub reasons: &'static [Reason],
}

/// Something that happens to people, or that they do rarely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mishap(pub &'static str);

macro_rules! mistakes {
    ($($name:ident: $what:literal, [$($reason:ident),+];)+) => {
        $(pub const $name: Mistake = Mistake { what: $what, reasons: &[$(Reason::$reason),+] };)+
        const MISTAKES: &[Mistake] = &[$($name),+];
    };
}

macro_rules! mishaps {
    ($($name:ident: $what:literal;)+) => {
        $(pub const $name: Mishap = Mishap($what);)+
        const MISHAPS: &[Mishap] = &[$($name),+];
    };
}

mistakes! {
    // Declaration, review
    DECLARE_REUSED_ID: "another body under a request id", [RequestIdReused];
    DECLARE_NOTHING: "submit an empty project", [InvalidArgument];
    DECLARE_AS_TEACHER: "a teacher declares a project", [RoleNotAllowed];
    DECLARE_AS_NOBODY: "call without logging in", [Unauthenticated];
    DECLARE_TOO_LATE: "declare a project too late", [WindowClosed, WindowSettled];
    WITHDRAW_OTHERS_PROJECT: "withdraw another provider's project", [OutOfScope, NotFound];
    ASSIGN_PARTIAL_EXPERT: "an expert for his own organisation's project", [ExpertConflict];
    APPROVE_POOR: "approve a project with poor scores", [ScoreTooLow];
    APPROVE_UNSCORED: "approve a project with too few scores", [ScoresMissing];
    DECIDE_ABOVE: "decide on the city's project as the county", [OutOfScope, NotFound];
    // Roster, credit
    CONFIRM_ELSEWHERE: "confirm a correction at someone else's school", [OutOfScope, NotFound];
    OPEN_OWN_BALANCE: "a teacher enters credit of his own", [RoleNotAllowed];
    REVERSE_TWICE: "reverse an entry twice", [AlreadyReversed];
    // Selection
    SELECT_WHILE_BROWSING: "select while the menu can only be read", [WindowClosed, WindowSettled];
    SELECT_TOO_EARLY: "select a second before the window opens", [WindowClosed, WindowSettled];
    SELECT_TOO_LATE: "select a second after the window closed", [WindowClosed, WindowSettled];
    FOURTH: "a fourth selection", [SelectionLimit];
    OVERLAPPING: "overlapping sessions", [SessionsOverlap];
    SECOND_INTENSIVE: "a second intensive project", [IntensiveLimit];
    TWICE: "select a project twice", [AlreadySelected];
    SELECT_REUSED_ID: "another selection under a repeated request id", [RequestIdReused];
    FOR_OTHERS: "a project for others", [AudienceMismatch];
    NOT_ON_MENU: "a project that is not on the menu", [ProjectNotOpen, NotFound];
    PROVIDER_SELECTS: "a provider selects for a teacher", [RoleNotAllowed];
    SELECT_FOR_STRANGER: "an administrator selects for someone else's teacher", [OutOfScope, NotFound];
    WITHDRAW_OTHERS: "withdraw another's selection", [OutOfScope, NotFound];
    BARRED_ABSTAINER: "round 2 after selecting nothing", [Round2NotSelected];
    BARRED_REJECTED: "round 2 after the school's rejection", [Round2Rejected];
    // School review
    REVIEW_OWN: "review one's own selection, or what one submitted", [OwnSelection];
    REVIEW_UNMATCHED: "approve an intensive project that does not match, without a reason", [MatchReasonRequired];
    REVIEW_ELSEWHERE: "review someone else's school", [OutOfScope, NotFound];
    REVIEW_AS_TEACHER: "a teacher reviews", [RoleNotAllowed];
    // Expansion, confirmation, training
    EXPAND_TOO_FAR: "ask for more places than the policy allows", [ExpansionLimit];
    EXPAND_AGAIN: "ask for a second expansion", [ExpansionExists];
    OVERSELL: "confirm more than there are places", [Full];
    DEVIATE: "pass over who ranks higher, without a reason", [DeviationReasonRequired];
    DECLINE_WITHOUT_REASON: "decline without a reason", [InvalidArgument, DeviationReasonRequired];
    DECIDE_ELSEWHERE: "decide on another provider's project", [OutOfScope, NotFound];
    WITHDRAW_AFTER_NOTICE: "withdraw after the notice was issued", [NoticeIssued];
    ATTENDANCE_AFTER_ALL: "record attendance after confirming", [ResultsConfirmed];
}

mishaps! {
    DECLARE_AGAIN: "a repeated request id: the first answer again";
    SELECT_AGAIN: "a selection under a repeated request id: the first one again";
    EXPERT_STEPS_BACK: "an expert steps back";
    DECIDED_LATE: "a decision on the day of publication";
    CORRECTION_CONFIRMED: "a correction that the school confirms";
    CORRECTION_REFUSED: "a correction that the school refuses";
    REVIEWERS_LEAVE: "a school whose reviewers are gone";
    IDLE_SCHOOL: "a school that reviews nothing";
    SELECTED_FOR: "an administrator selects for a teacher";
    REORDERED: "selections put into another order";
    SECOND_THOUGHTS: "a selection withdrawn and made again";
    TRANSFER: "a transfer between submission and review";
    LEAVE: "a leave between submission and review";
    RETIREMENT: "a retirement between submission and review";
    REVOKED_DECISION: "a decision revoked: rejected, then approved";
    BAR_LIFTED: "a bar of a later round lifted";
    CLASS_CANCELLED: "a class cancelled as too small";
    PROJECT_CANCELLED: "a project cancelled as too small";
    EXPANDED_IN_PART: "an expansion granted in part";
    EXPANDED_IN_FULL: "an expansion granted in full";
    EXPANSION_DENIED: "an expansion denied";
    EXPANSION_UNDECIDED: "an expansion left undecided";
    WITHDRAWN_BY_BUREAU: "a selection withdrawn by the bureau after the notice";
    RESULT_CORRECTED: "a result corrected";
    ENTRY_REVERSED: "an entry reversed";
}

/// The names of everything in it.
pub fn programme() -> impl Iterator<Item = &'static str> {
    MISTAKES.iter().map(|mistake| mistake.what).chain(MISHAPS.iter().map(|mishap| mishap.0))
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_name_stands_for_one_thing() {
        let mut names: Vec<&str> = super::programme().collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
