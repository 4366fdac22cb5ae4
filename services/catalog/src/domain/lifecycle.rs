//! The life of a project: a total function over every state and event.

use super::words::words;

words! {
    /// Where a project stands.
    State ~ proto::catalog::v1::project::State {
        /// Being written by its provider.
        Draft = "draft",
        /// Waits for the bureau's formal check.
        Submitted = "submitted",
        /// Formally in order; experts score it.
        Accepted = "accepted",
        /// Sent back with a reason; may be submitted again.
        Returned = "returned",
        /// Will be published.
        Approved = "approved",
        /// Refused for good.
        Rejected = "rejected",
        /// On the menu.
        Published = "published",
        /// Being taught.
        Running = "running",
        /// Over.
        Completed = "completed",
        /// Taken back by its provider before the decision.
        Withdrawn = "withdrawn",
        /// Called off by its bureau.
        Cancelled = "cancelled",
        /// Not submitted, or not decided, in time.
        Lapsed = "lapsed",
    }
}

/// What happens to a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// The provider hands it in.
    Submit,
    /// The bureau finds it formally in order.
    Accept,
    /// The bureau sends it back with a reason.
    Return,
    /// The bureau approves it.
    Approve,
    /// The bureau refuses it with a reason.
    Reject,
    /// It goes on the menu.
    Publish,
    /// Training begins.
    Start,
    /// The term's results are closed.
    Complete,
    /// The provider takes it back.
    Withdraw,
    /// The bureau calls it off.
    Cancel,
    /// Its time has run out.
    Lapse,
}

impl Event {
    /// Every event.
    pub const ALL: &'static [Self] = &[
        Self::Submit,
        Self::Accept,
        Self::Return,
        Self::Approve,
        Self::Reject,
        Self::Publish,
        Self::Start,
        Self::Complete,
        Self::Withdraw,
        Self::Cancel,
        Self::Lapse,
    ];

    /// As in a refusal.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Accept => "accept",
            Self::Return => "return",
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Publish => "publish",
            Self::Start => "start",
            Self::Complete => "complete",
            Self::Withdraw => "withdraw",
            Self::Cancel => "cancel",
            Self::Lapse => "lapse",
        }
    }

    /// As in a change: what has happened.
    #[must_use]
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Submit => "submitted",
            Self::Accept => "accepted",
            Self::Return => "returned",
            Self::Approve => "approved",
            Self::Reject => "rejected",
            Self::Publish => "published",
            Self::Start => "started",
            Self::Complete => "completed",
            Self::Withdraw => "withdrawn",
            Self::Cancel => "cancelled",
            Self::Lapse => "lapsed",
        }
    }
}

/// The state after `event` in `state`; `None` where the event is not possible. When an event may come is the
/// calendar's business, who may cause it the method's rule.
#[must_use]
pub const fn next(state: State, event: Event) -> Option<State> {
    use State::{
        Accepted, Approved, Cancelled, Completed, Draft, Lapsed, Published, Rejected, Returned, Running, Submitted,
        Withdrawn,
    };
    let after = match (state, event) {
        (Draft | Returned, Event::Submit) => Submitted,
        (Submitted, Event::Accept) => Accepted,
        (Submitted | Accepted, Event::Return) => Returned,
        (Accepted, Event::Approve) => Approved,
        (Accepted, Event::Reject) => Rejected,
        (Approved, Event::Publish) => Published,
        (Published, Event::Start) => Running,
        (Running, Event::Complete) => Completed,
        (Submitted | Accepted | Returned, Event::Withdraw) => Withdrawn,
        (Approved | Published | Running, Event::Cancel) => Cancelled,
        (Draft | Submitted | Accepted | Returned, Event::Lapse) => Lapsed,
        _ => return None,
    };
    Some(after)
}

/// Whether the provider may still write in it.
#[must_use]
pub const fn is_editable(state: State) -> bool {
    matches!(state, State::Draft | State::Returned)
}

/// Whether it was approved and lives: its classes may be cancelled, its places raised.
#[must_use]
pub const fn is_live(state: State) -> bool {
    matches!(state, State::Approved | State::Published | State::Running)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// DESIGN §5, sentence by sentence; events are told apart by where they lead.
    const DESIGN: &[(&[State], &[State])] = &[
        (&[State::Draft], &[State::Submitted]),
        (&[State::Submitted], &[State::Accepted, State::Returned]),
        (&[State::Returned], &[State::Submitted]),
        (&[State::Accepted], &[State::Approved, State::Returned, State::Rejected]),
        (&[State::Approved], &[State::Published]),
        (&[State::Published], &[State::Running]),
        (&[State::Running], &[State::Completed]),
        (&[State::Submitted, State::Accepted, State::Returned], &[State::Withdrawn]),
        (&[State::Approved, State::Published, State::Running], &[State::Cancelled]),
        // What was submitted and never looked at is undecided like what was accepted.
        (&[State::Draft, State::Returned, State::Accepted, State::Submitted], &[State::Lapsed]),
    ];

    const FINAL: &[State] = &[State::Rejected, State::Completed, State::Withdrawn, State::Cancelled, State::Lapsed];

    #[test]
    fn the_machine_is_the_design_and_nothing_more() {
        for state in State::ALL {
            let mut reached: Vec<State> = Event::ALL.iter().filter_map(|event| next(*state, *event)).collect();
            let mut designed: Vec<State> =
                DESIGN.iter().filter(|(from, _)| from.contains(state)).flat_map(|(_, to)| to.iter().copied()).collect();
            reached.sort();
            designed.sort();
            assert_eq!(reached, designed, "from {}", state.word());
        }
    }

    #[test]
    fn an_event_leads_to_one_state_whatever_the_state_before() {
        for event in Event::ALL {
            let mut after: Vec<State> = State::ALL.iter().filter_map(|state| next(*state, *event)).collect();
            after.sort();
            after.dedup();
            assert_eq!(after.len(), 1, "{}", event.word());
        }
    }

    proptest! {
        /// Any history of events, impossible ones refused: what is over stays over, what is on the menu went through
        /// every gate, and a decision of the bureau cannot be lapsed away.
        #[test]
        fn histories_keep_the_order(events in prop::collection::vec(prop::sample::select(Event::ALL), 0..60)) {
            let mut state = State::Draft;
            let mut happened = Vec::new();
            for event in events {
                let Some(after) = next(state, event) else { continue };
                prop_assert!(!FINAL.contains(&state), "{} left {}", event.word(), state.word());
                happened.push(event);
                let has = |wanted| happened.contains(&wanted);
                match after {
                    State::Approved => prop_assert!(has(Event::Submit) && has(Event::Accept)),
                    State::Published => prop_assert!(has(Event::Approve)),
                    State::Running => prop_assert!(has(Event::Publish)),
                    State::Lapsed | State::Withdrawn | State::Returned => prop_assert!(!has(Event::Approve)),
                    State::Cancelled => prop_assert!(has(Event::Approve)),
                    _ => {}
                }
                state = after;
            }
        }
    }
}
