//! Who may select in round 2, and in any round after the first.
//!
//! Who selected nothing in round 1, or whose round-1 selection the school rejected, may not: that is the regulation, and
//! these two bars are all of it. Policy `[round2]` decides the rest. In round 3 and later the rounds before are taken
//! together.

use proto::common::v1::Reason;

use super::{Ground, policy::Round2, state::State};

/// What became of one selection of the earlier rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Outcome {
    /// Where it stands.
    pub state: State,
    /// Whether the school approved it.
    pub approved: bool,
}

/// A teacher's earlier rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History<'a> {
    /// What he selected.
    pub outcomes: &'a [Outcome],
    /// He came onto the roster after the last day of round 1.
    pub joined_later: bool,
    /// The bureau lifted the bar for this round.
    pub overridden: bool,
}

/// Why a teacher may select.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Admitted {
    /// The bureau lifted the bar.
    Override,
    /// The school approved one of his selections.
    Approved,
    /// The school has not decided yet.
    Pending,
    /// His selections fell with their project; policy `round2.cancelled_may_select`.
    Cancelled,
    /// The school let them expire; policy `round2.expired_may_select`.
    Expired,
}

/// Why a teacher may not select.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bar {
    /// Nothing selected: regulation.
    NotSelected,
    /// Rejected by the school: regulation.
    Rejected,
    /// Joined later: needs the bureau's override.
    JoinedLater,
    /// Policy key that bars him.
    Policy(&'static str),
}

impl Bar {
    /// The reason on the wire.
    #[must_use]
    pub fn ground(self) -> Ground {
        match self {
            Self::NotSelected => Ground::new(Reason::Round2NotSelected),
            Self::Rejected => Ground::new(Reason::Round2Rejected),
            Self::JoinedLater => Ground::new(Reason::JoinedLater),
            Self::Policy(key) => Ground::new(Reason::Round2Policy).with("policy", key),
        }
    }

    /// As in the table.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotSelected => "barred: nothing selected",
            Self::Rejected => "barred: rejected by the school",
            Self::JoinedLater => "barred: joined later",
            Self::Policy(key) => key,
        }
    }
}

/// Whether a teacher with this history may select in a later round.
///
/// # Errors
/// The bar.
pub fn may_select(history: &History<'_>, policy: &Round2) -> Result<Admitted, Bar> {
    if history.overridden {
        return Ok(Admitted::Override);
    }
    // A withdrawn selection counts as none, approved or not.
    let counting = || history.outcomes.iter().filter(|outcome| outcome.state != State::Withdrawn);
    let any = |state: State| counting().any(|outcome| outcome.state == state);
    if counting().next().is_none() {
        return Err(if history.joined_later { Bar::JoinedLater } else { Bar::NotSelected });
    }
    if counting().any(|outcome| has_place(outcome.state)) && !policy.confirmed_may_select {
        return Err(Bar::Policy("round2.confirmed_may_select"));
    }
    if counting().any(|outcome| outcome.approved || implies_approval(outcome.state)) {
        return Ok(Admitted::Approved);
    }
    if any(State::SchoolRejected) {
        return Err(Bar::Rejected);
    }
    if any(State::Submitted) {
        return Ok(Admitted::Pending);
    }
    if any(State::Cancelled) && policy.cancelled_may_select {
        return Ok(Admitted::Cancelled);
    }
    if any(State::Expired) && policy.expired_may_select {
        return Ok(Admitted::Expired);
    }
    Err(Bar::Policy(if any(State::Expired) { "round2.expired_may_select" } else { "round2.cancelled_may_select" }))
}

/// States in which the teacher has, or had, a place.
const fn has_place(state: State) -> bool {
    matches!(
        state,
        State::Confirmed | State::Attended | State::NoShow | State::Passed | State::Failed | State::Credited
    )
}

/// States that are reached through the school's approval only.
const fn implies_approval(state: State) -> bool {
    has_place(state)
        || matches!(state, State::SchoolApproved | State::Declined | State::Waitlisted | State::Substituted)
}

/// The rule as a Markdown table, for the documentation: every history of one selection, then of none.
#[must_use]
pub fn markdown(policy: &Round2) -> String {
    let mut text = String::from("| what became of it | school approved it | in round 2 |\n| --- | --- | --- |\n");
    let verdict = |history: &History<'_>| match may_select(history, policy) {
        Ok(admitted) => format!("may select ({admitted:?})"),
        Err(Bar::Policy(key)) => format!("barred by policy `{key}`"),
        Err(bar) => bar.word().to_owned(),
    };
    for (joined_later, what) in [(false, "nothing selected"), (true, "nothing selected, joined later")] {
        let history = History { outcomes: &[], joined_later, overridden: false };
        text.push_str(&format!("| {what} | | {} |\n", verdict(&history)));
    }
    for state in State::ALL {
        for approved in [false, true] {
            if (implies_approval(*state) && !approved) || (never_approved(*state) && approved) {
                continue;
            }
            let outcomes = [Outcome { state: *state, approved }];
            let history = History { outcomes: &outcomes, joined_later: false, overridden: false };
            let yes = if approved { "yes" } else { "no" };
            text.push_str(&format!("| {} | {yes} | {} |\n", state.word(), verdict(&history)));
        }
    }
    let history = History { outcomes: &[], joined_later: false, overridden: true };
    text.push_str(&format!("| anything, with the bureau's override | | {} |\n", verdict(&history)));
    text
}

/// States that are left by the school's approval.
const fn never_approved(state: State) -> bool {
    matches!(state, State::Submitted | State::SchoolRejected)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn judge(outcomes: &[Outcome]) -> Result<Admitted, Bar> {
        may_select(&History { outcomes, joined_later: false, overridden: false }, &Round2::default())
    }

    fn outcome(state: State) -> Outcome {
        Outcome { state, approved: implies_approval(state) }
    }

    #[test]
    fn the_regulation_bars_two_cases() {
        assert_eq!(judge(&[]), Err(Bar::NotSelected));
        assert_eq!(judge(&[outcome(State::SchoolRejected)]), Err(Bar::Rejected));
    }

    #[test]
    fn a_withdrawn_selection_counts_as_none() {
        assert_eq!(judge(&[outcome(State::Withdrawn)]), Err(Bar::NotSelected));
        assert_eq!(judge(&[Outcome { state: State::Withdrawn, approved: true }]), Err(Bar::NotSelected));
    }

    #[test]
    fn one_approval_lifts_the_bar_where_several_differ() {
        assert_eq!(judge(&[outcome(State::SchoolRejected), outcome(State::Declined)]), Ok(Admitted::Approved));
        assert_eq!(judge(&[outcome(State::SchoolRejected), outcome(State::Expired)]), Err(Bar::Rejected));
    }

    #[test]
    fn policy_decides_on_the_expired_and_the_confirmed() {
        let closed = Round2 { expired_may_select: false, confirmed_may_select: false, cancelled_may_select: false };
        let judge = |state| {
            let outcomes = [outcome(state)];
            may_select(&History { outcomes: &outcomes, joined_later: false, overridden: false }, &closed)
        };
        assert_eq!(judge(State::Expired), Err(Bar::Policy("round2.expired_may_select")));
        assert_eq!(judge(State::Confirmed), Err(Bar::Policy("round2.confirmed_may_select")));
        assert_eq!(judge(State::Cancelled), Err(Bar::Policy("round2.cancelled_may_select")));
        assert_eq!(judge(State::Declined), Ok(Admitted::Approved));
    }

    #[test]
    fn the_table_is_complete() {
        let table = markdown(&Round2::default());
        for state in State::ALL {
            assert!(table.contains(&format!("| {} |", state.word())), "{}", state.word());
        }
    }

    proptest! {
        /// The rule again, said the other way round, over every history of up to five selections.
        #[test]
        fn the_bars_are_these_and_no_more(
            states in proptest::collection::vec((proptest::sample::select(State::ALL), any::<bool>()), 0..6),
            joined_later: bool, overridden: bool,
            expired_may_select: bool, confirmed_may_select: bool, cancelled_may_select: bool,
        ) {
            let outcomes: Vec<_> = states
                .iter()
                .map(|(state, flag)| Outcome { state: *state, approved: implies_approval(*state) || (*flag && !never_approved(*state)) })
                .collect();
            let policy = Round2 { expired_may_select, confirmed_may_select, cancelled_may_select };
            let verdict = may_select(&History { outcomes: &outcomes, joined_later, overridden }, &policy);
            let kept: Vec<_> = outcomes.iter().filter(|outcome| outcome.state != State::Withdrawn).collect();
            match verdict {
                Ok(Admitted::Override) => prop_assert!(overridden),
                Ok(Admitted::Approved) => prop_assert!(kept.iter().any(|outcome| outcome.approved)),
                Ok(_) => {
                    prop_assert!(!kept.is_empty());
                    prop_assert!(kept.iter().all(|outcome| !outcome.approved && outcome.state != State::SchoolRejected));
                }
                Err(Bar::NotSelected) => prop_assert!(kept.is_empty() && !joined_later && !overridden),
                Err(Bar::JoinedLater) => prop_assert!(kept.is_empty() && joined_later && !overridden),
                Err(Bar::Rejected) => {
                    prop_assert!(kept.iter().any(|outcome| outcome.state == State::SchoolRejected));
                    prop_assert!(kept.iter().all(|outcome| !outcome.approved));
                }
                Err(Bar::Policy(_)) => prop_assert!(!(expired_may_select && confirmed_may_select && cancelled_may_select)),
            }
        }

        /// The order of the selections does not matter.
        #[test]
        fn order_does_not_matter(states in proptest::collection::vec(proptest::sample::select(State::ALL), 0..6)) {
            let mut outcomes: Vec<_> = states.iter().map(|state| outcome(*state)).collect();
            let one = judge(&outcomes);
            outcomes.reverse();
            prop_assert_eq!(one, judge(&outcomes));
        }
    }
}
