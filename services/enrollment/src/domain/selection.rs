//! A teacher's selection of a project.

use super::{seats::Seat, state::State};

/// A selection, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// "terms/…/selections/…"
    pub name: String,
    /// "teachers/…"
    pub teacher: String,
    /// "terms/…/projects/…"
    pub project: String,
    /// The class it is placed in; empty while it is in none.
    pub class: String,
    /// The round it was submitted in.
    pub round: i32,
    /// 1 is the teacher's first choice of the round.
    pub preference: i32,
    /// Where it stands.
    pub state: State,
    /// What it has of the project's places.
    pub seat: Seat,
    /// The school that reviews it.
    pub school: String,
    /// Microseconds since the epoch.
    pub submitted_at: i64,
    /// "accounts/…"
    pub submitted_by: String,
    /// Coded reason of the last decision.
    pub reason: String,
    /// What the person who decided wrote.
    pub reason_text: String,
    /// Whether the project fits the teacher (policy `match.dimensions`), when it was submitted.
    pub matched: bool,
    /// Whether the school has approved it, whatever came later; taken back with the review.
    pub approved: bool,
    /// Place in the waiting list, from 1; 0: none. Places are given by the settlement of its round.
    pub waiting_position: i32,
    /// Roster position the last review used.
    pub roster_position: i64,
    /// Policy version of the last decision.
    pub policy_version: i64,
    /// Rises with every write.
    pub revision: i64,
    /// Sessions attended; -1 before any attendance was recorded.
    pub sessions_attended: i32,
    /// The provider's verdict, before its confirmation too.
    pub passed: Option<bool>,
    /// Result coefficient; 100 = 1.00.
    pub coefficient_percent: i32,
    /// The ledger's entry; empty before there is one.
    pub entry: String,
}

impl Selection {
    /// A selection as it is submitted.
    #[must_use]
    pub fn submitted(name: &str, teacher: &str, project: &str, round: i32, at: i64) -> Self {
        Self {
            name: name.to_owned(),
            teacher: teacher.to_owned(),
            project: project.to_owned(),
            class: String::new(),
            round,
            preference: 1,
            state: State::Submitted,
            seat: Seat::None,
            school: String::new(),
            submitted_at: at,
            submitted_by: String::new(),
            reason: String::new(),
            reason_text: String::new(),
            matched: true,
            approved: false,
            waiting_position: 0,
            roster_position: 0,
            policy_version: 0,
            revision: 1,
            sessions_attended: -1,
            passed: None,
            coefficient_percent: 100,
            entry: String::new(),
        }
    }
}
