//! Recognition (认定): a passed result becomes credit once; a corrected one is reversed and entered anew.

use jiff::civil::Date;
use proto::Credit;

use super::{entry::Entry, policy::Policy};

/// base × difficulty × result, each coefficient in percent.
#[must_use]
pub const fn award(base: Credit, difficulty_percent: i64, coefficient_percent: i64) -> Credit {
    base.times_percent(difficulty_percent).times_percent(coefficient_percent)
}

/// Whether a training is the intensive one (集中培训) of a cycle: held as such, and of the regulation's base credits (DESIGN §5,
/// policy `requirements.intensive_base`).
#[must_use]
pub fn is_intensive(held_as_such: bool, base: Credit, policy: &Policy) -> bool {
    held_as_such && base >= policy.intensive_base
}

/// What of a project's credit was earned by practice (实践培训): as many parts of it as of its hours are practice.
#[must_use]
pub fn practice(awarded: Credit, practice_hours: i64, total_hours: i64) -> Credit {
    let hours = practice_hours.clamp(0, total_hours.max(0));
    Credit(awarded.0.saturating_mul(hours).checked_div(total_hours).unwrap_or_default())
}

/// A result as enrollment last told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// "terms/…/selections/…"
    pub selection: String,
    /// "teachers/…"
    pub teacher: String,
    /// "terms/…/projects/…"
    pub project: String,
    /// Rises whenever what it earns changes.
    pub revision: i64,
    /// What it earns; none for a failure or no-show.
    pub earned: Option<Earned>,
}

/// What a passed result earns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earned {
    /// The project's base credit.
    pub base: Credit,
    /// Base × difficulty × result.
    pub awarded: Credit,
    /// The class's last day.
    pub effective_on: Date,
}

impl Earned {
    fn is_of(&self, entry: &Entry) -> bool {
        self.base == entry.base && self.awarded == entry.awarded && self.effective_on == entry.effective_on
    }
}

/// What recognition does about a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Nothing: the ledger says it already.
    Keep,
    /// Enter it.
    Enter(Earned),
    /// Undo the live entry.
    Reverse,
    /// Undo the live entry and enter the corrected one.
    Replace(Earned),
}

/// Decides on a result, given the last entry of its selection.
///
/// What was recognised at this revision stays as it is, also when the bureau has reversed it since: only a new result
/// brings credit back.
#[must_use]
pub fn decide(outcome: &Outcome, last: Option<&Entry>) -> Act {
    match (outcome.earned, last) {
        (None, Some(entry)) if entry.is_live() => Act::Reverse,
        (None, _) => Act::Keep,
        (Some(earned), None) => Act::Enter(earned),
        (Some(_), Some(entry)) if entry.revision >= outcome.revision => Act::Keep,
        (Some(earned), Some(entry)) if entry.is_live() => {
            if earned.is_of(entry) {
                Act::Keep
            } else {
                Act::Replace(earned)
            }
        }
        (Some(earned), Some(_)) => Act::Enter(earned),
    }
}
