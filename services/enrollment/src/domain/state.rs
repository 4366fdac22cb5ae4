//! The life of a selection: a total function over every state and event.

/// Where a selection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Waits for the school.
    Submitted,
    /// Waits for the provider.
    SchoolApproved,
    /// Refused by the school.
    SchoolRejected,
    /// Has a place.
    Confirmed,
    /// Refused by the provider.
    Declined,
    /// Waits for a free place.
    Waitlisted,
    /// Taken back.
    Withdrawn,
    /// Its time ran out.
    Expired,
    /// Another person took the place.
    Substituted,
    /// Took part.
    Attended,
    /// Did not come.
    NoShow,
    /// Took part with success.
    Passed,
    /// Took part without.
    Failed,
    /// Its credit is in the ledger.
    Credited,
    /// The project, class or person is gone.
    Cancelled,
}

/// What happens to a selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// The school approves.
    Approve,
    /// The school rejects, with a reason.
    Reject,
    /// The provider, the settlement or the waiting list gives a place.
    Confirm,
    /// The provider declines, with a reason.
    Decline,
    /// No place for now.
    Waitlist,
    /// Taken back by the teacher, through the school, or by the bureau.
    Withdraw,
    /// Not reviewed in time, or the waiting is over.
    Expire,
    /// The place passes to another person.
    Substitute,
    /// Attendance was recorded.
    Attend,
    /// Results are confirmed without any attendance.
    MissAll,
    /// The result is a pass, also as a correction.
    Pass,
    /// The result is a failure, also as a correction.
    Fail,
    /// The ledger has the credit.
    Credit,
    /// The ledger's entry was reversed.
    ReverseCredit,
    /// Project, class or person is gone.
    Cancel,
    /// A reviewer of the school takes the review back while review is open.
    Reopen,
    /// The bureau puts it right: to be reviewed again.
    CorrectToSubmitted,
    /// The bureau puts it right: approved.
    CorrectToApproved,
}

impl State {
    /// Every state, in the contract's order.
    pub const ALL: &'static [Self] = &[
        Self::Submitted,
        Self::SchoolApproved,
        Self::SchoolRejected,
        Self::Confirmed,
        Self::Declined,
        Self::Waitlisted,
        Self::Withdrawn,
        Self::Expired,
        Self::Substituted,
        Self::Attended,
        Self::NoShow,
        Self::Passed,
        Self::Failed,
        Self::Credited,
        Self::Cancelled,
    ];

    /// As in SQL and in messages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::SchoolApproved => "school_approved",
            Self::SchoolRejected => "school_rejected",
            Self::Confirmed => "confirmed",
            Self::Declined => "declined",
            Self::Waitlisted => "waitlisted",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
            Self::Substituted => "substituted",
            Self::Attended => "attended",
            Self::NoShow => "no_show",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Credited => "credited",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.word() == word)
    }

    /// On its way: it counts against the limits, keeps its teacher from selecting the project again, and blocks the time of
    /// its sessions.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Submitted | Self::SchoolApproved | Self::Waitlisted | Self::Confirmed | Self::Attended)
    }

    /// Somebody has still to decide on it: what it warns of is worth telling.
    #[must_use]
    pub const fn is_undecided(self) -> bool {
        matches!(self, Self::Submitted | Self::SchoolApproved | Self::Waitlisted)
    }
}

impl Event {
    /// Every event.
    pub const ALL: &'static [Self] = &[
        Self::Approve,
        Self::Reject,
        Self::Confirm,
        Self::Decline,
        Self::Waitlist,
        Self::Withdraw,
        Self::Expire,
        Self::Substitute,
        Self::Attend,
        Self::MissAll,
        Self::Pass,
        Self::Fail,
        Self::Credit,
        Self::ReverseCredit,
        Self::Cancel,
        Self::Reopen,
        Self::CorrectToSubmitted,
        Self::CorrectToApproved,
    ];

    /// As in a refusal, and in the table of the documentation.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Confirm => "confirm",
            Self::Decline => "decline",
            Self::Waitlist => "waitlist",
            Self::Withdraw => "withdraw",
            Self::Expire => "expire",
            Self::Substitute => "substitute",
            Self::Attend => "attend",
            Self::MissAll => "miss_all",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Credit => "credit",
            Self::ReverseCredit => "reverse_credit",
            Self::Cancel => "cancel",
            Self::Reopen => "reopen",
            Self::CorrectToSubmitted => "correct_to_submitted",
            Self::CorrectToApproved => "correct_to_approved",
        }
    }

    /// As in a change: what has happened.
    #[must_use]
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Approve => "approved",
            Self::Reject => "rejected",
            Self::Confirm => "confirmed",
            Self::Decline => "declined",
            Self::Waitlist => "waitlisted",
            Self::Withdraw => "withdrawn",
            Self::Expire => "expired",
            Self::Substitute => "substituted",
            Self::Attend => "attended",
            Self::MissAll => "no_show",
            Self::Pass => "passed",
            Self::Fail => "failed",
            Self::Credit => "credited",
            Self::ReverseCredit => "credit_reversed",
            Self::Cancel => "cancelled",
            Self::Reopen => "reopened",
            Self::CorrectToSubmitted | Self::CorrectToApproved => "corrected",
        }
    }
}

/// The state after `event` in `state`; `None` where the event is not possible. Who may cause it is the method's rule, when
/// the calendar's. Source: DESIGN §5.
#[must_use]
pub const fn next(state: State, event: Event) -> Option<State> {
    use State::{
        Attended, Cancelled, Confirmed, Credited, Declined, Expired, Failed, NoShow, Passed, SchoolApproved,
        SchoolRejected, Submitted, Substituted, Waitlisted, Withdrawn,
    };
    let after = match (state, event) {
        (Submitted, Event::Approve) => SchoolApproved,
        (Submitted, Event::Reject) => SchoolRejected,
        (SchoolApproved | Waitlisted, Event::Confirm) => Confirmed,
        (SchoolApproved | Waitlisted, Event::Decline) => Declined,
        (SchoolApproved, Event::Waitlist) => Waitlisted,
        (Submitted | SchoolApproved | Waitlisted | Confirmed, Event::Withdraw) => Withdrawn,
        (Submitted | Waitlisted, Event::Expire) => Expired,
        (Confirmed, Event::Substitute) => Substituted,
        (Confirmed, Event::Attend) => Attended,
        (Confirmed, Event::MissAll) => NoShow,
        (Attended | Failed, Event::Pass) => Passed,
        (Attended | Passed, Event::Fail) => Failed,
        (Passed, Event::Credit) => Credited,
        (Credited, Event::ReverseCredit) => Passed,
        (Submitted | SchoolApproved | Waitlisted | Confirmed | Attended, Event::Cancel) => Cancelled,
        (SchoolApproved | SchoolRejected, Event::Reopen) => Submitted,
        (Expired | SchoolRejected | Declined, Event::CorrectToSubmitted) => Submitted,
        (Expired | SchoolRejected | Declined, Event::CorrectToApproved) => SchoolApproved,
        _ => return None,
    };
    Some(after)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{State::*, *};

    /// DESIGN §5, sentence by sentence.
    const DESIGN: &[(&[State], &[State])] = &[
        (&[Submitted], &[SchoolApproved, SchoolRejected, Withdrawn, Expired]),
        (&[SchoolApproved], &[Confirmed, Declined, Waitlisted, Withdrawn]),
        (&[Waitlisted], &[Confirmed, Declined, Withdrawn, Expired]),
        (&[Confirmed], &[Withdrawn, Substituted, Attended, NoShow]),
        (&[Attended], &[Passed, Failed]),
        (&[Passed], &[Credited]),
        (&[Submitted, SchoolApproved, Waitlisted, Confirmed, Attended], &[Cancelled]),
        (&[SchoolApproved, SchoolRejected], &[Submitted]),
        (&[Expired, SchoolRejected, Declined], &[Submitted, SchoolApproved]),
        (&[Failed], &[Passed]),
        (&[Passed], &[Failed]),
        (&[Credited], &[Passed]),
    ];

    #[test]
    fn the_machine_is_the_design_and_nothing_more() {
        for state in State::ALL {
            let mut reached: Vec<_> = Event::ALL.iter().filter_map(|event| next(*state, *event)).collect();
            let mut designed: Vec<_> =
                DESIGN.iter().filter(|(from, _)| from.contains(state)).flat_map(|(_, to)| to.iter().copied()).collect();
            reached.sort();
            reached.dedup();
            designed.sort();
            designed.dedup();
            assert_eq!(reached, designed, "from {}", state.word());
        }
    }

    #[test]
    fn an_event_leads_to_one_state_whatever_the_state_before() {
        for event in Event::ALL {
            let mut after: Vec<_> = State::ALL.iter().filter_map(|state| next(*state, *event)).collect();
            after.sort();
            after.dedup();
            assert_eq!(after.len(), 1, "{}", event.word());
        }
    }

    #[test]
    fn every_live_state_can_be_cancelled_and_no_other() {
        for state in State::ALL {
            assert_eq!(next(*state, Event::Cancel).is_some(), state.is_live(), "{}", state.word());
        }
    }

    #[test]
    fn words_are_distinct_and_read_back() {
        for state in State::ALL {
            assert_eq!(State::from_word(state.word()), Some(*state));
        }
        assert_eq!(State::from_word(""), None);
    }

    proptest! {
        /// Whatever happens: a withdrawn, substituted, cancelled or absent one stays so; only corrections bring the dead back.
        #[test]
        fn ends_are_ends(history in proptest::collection::vec(proptest::sample::select(Event::ALL), 0..40)) {
            let mut state = Submitted;
            for event in history {
                let Some(after) = next(state, event) else { continue };
                prop_assert!(!matches!(state, Withdrawn | Substituted | Cancelled | NoShow), "{state:?} has an end");
                if !state.is_live() && after.is_live() {
                    prop_assert!(matches!(event, Event::Reopen | Event::CorrectToSubmitted | Event::CorrectToApproved));
                }
                state = after;
            }
        }
    }
}
