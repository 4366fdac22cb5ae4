//! What the rehearsal keeps book of while it plays: refusals, deliberate mistakes, and what went otherwise than meant.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use proto::common::v1::Reason;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::programme::{Mishap, Mistake, programme};

/// A call that was refused.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The gRPC code.
    pub code: Code,
    /// The reason, without its prefix: "WINDOW_CLOSED"; empty where the status carries none.
    pub reason: String,
    /// Reasons of the preconditions, in order.
    pub preconditions: Vec<String>,
    /// The message, for the person at the terminal.
    pub message: String,
}

impl From<tonic::Status> for Refusal {
    fn from(status: tonic::Status) -> Self {
        let details = status.get_error_details();
        let bare = |reason: &str| reason.trim_start_matches("REASON_").to_owned();
        let failed = details.precondition_failure().map(|failure| failure.violations.as_slice()).unwrap_or_default();
        let fields = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
        let fields: Vec<String> =
            fields.iter().map(|fault| format!("{}: {}", fault.field, fault.description)).collect();
        Self {
            code: status.code(),
            reason: details.error_info().map(|info| bare(&info.reason)).unwrap_or_default(),
            preconditions: failed.iter().map(|violation| bare(&violation.r#type)).collect(),
            message: format!("{} {}", status.message(), fields.join("; ")).trim_end().to_owned(),
        }
    }
}

impl Refusal {
    /// Whether trying again may help: overload, a service that is away, a connection that broke.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        let broken = matches!(self.code, Code::Unknown | Code::Cancelled | Code::Internal) && self.reason.is_empty();
        self.code == Code::Unavailable || self.reason == "OVERLOADED" || broken
    }

    /// Whether it was refused for this reason, or for this among several.
    #[must_use]
    pub fn is(&self, reason: Reason) -> bool {
        let name = reason.as_str_name().trim_start_matches("REASON_");
        self.reason == name || self.preconditions.iter().any(|one| one == name)
    }
}

/// The books. Adding to them commutes, so that acts of a wave may write in any order.
#[derive(Debug, Default)]
pub struct Books(Mutex<Pages>);

/// What the books hold.
#[derive(Debug, Default, Clone)]
pub struct Pages {
    /// Acts: what people did or tried.
    pub acts: u64,
    /// Refused calls by reason; each reason of a refusal with several counts.
    pub refusals: BTreeMap<String, u64>,
    /// Deliberate mistakes: what was tried, how it was refused, how often.
    pub mistakes: BTreeMap<(String, String), u64>,
    /// Mishaps: what befell people, how often.
    pub mishaps: BTreeMap<&'static str, u64>,
    /// What went otherwise than the rehearsal meant it to.
    pub surprises: Vec<String>,
}

impl Pages {
    /// What of the programme this county did not play: nobody was in the place to, or the calendar has no window for it.
    #[must_use]
    pub fn not_played(&self) -> Vec<String> {
        let mistaken = |what: &str| self.mistakes.keys().any(|(mistake, _)| mistake == what);
        let played = |what: &&str| mistaken(what) || self.mishaps.contains_key(what);
        programme().filter(|what| !played(what)).map(str::to_owned).collect()
    }
}

impl Books {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As they stand; surprises sorted, since the acts of a wave finish in any order.
    #[must_use]
    pub fn closed(&self) -> Pages {
        let mut pages = self.pages().clone();
        pages.surprises.sort();
        pages
    }

    fn acted(&self) {
        let mut pages = self.pages();
        pages.acts = pages.acts.saturating_add(1);
    }

    /// Notes something that should not have happened.
    pub fn surprise(&self, what: impl Into<String>) {
        let what = what.into();
        tracing::warn!(what, "the rehearsal is surprised");
        self.pages().surprises.push(what);
    }

    /// An act that has to succeed.
    pub fn must<R>(&self, what: &str, outcome: Result<R, Refusal>) -> Option<R> {
        self.acted();
        match outcome {
            Ok(reply) => Some(reply),
            Err(refusal) => {
                self.refused(&refusal);
                let Refusal { code, reason, preconditions, message } = refusal;
                self.surprise(format!("{what}: refused: {code:?} {reason} {preconditions:?}: {message}"));
                None
            }
        }
    }

    /// An act that may be refused in the course of things, for one of these reasons.
    pub fn may<R>(&self, what: &str, reasons: &[Reason], outcome: Result<R, Refusal>) -> Option<R> {
        match outcome {
            Err(refusal) if reasons.iter().any(|reason| refusal.is(*reason)) => {
                self.acted();
                self.refused(&refusal);
                None
            }
            other => self.must(what, other),
        }
    }

    /// A mistake made on purpose, which has to be refused for one of its reasons.
    pub fn mistake<R>(&self, mistake: Mistake, outcome: Result<R, Refusal>) {
        self.acted();
        let Mistake { what, reasons } = mistake;
        let refusal = match outcome {
            Ok(_) => return self.surprise(format!("{what}: was allowed")),
            Err(refusal) => refusal,
        };
        self.refused(&refusal);
        let Some(reason) = reasons.iter().find(|reason| refusal.is(**reason)) else {
            let Refusal { reason, preconditions, message, .. } = refusal;
            let meant: Vec<&str> = reasons.iter().map(Reason::as_str_name).collect();
            return self.surprise(format!("{what}: {reason} {preconditions:?} instead of {meant:?}: {message}"));
        };
        let reason = reason.as_str_name().trim_start_matches("REASON_").to_owned();
        let mut pages = self.pages();
        let count = pages.mistakes.entry((what.to_owned(), reason)).or_default();
        *count = count.saturating_add(1);
    }

    /// A mishap that took its course.
    pub fn happened(&self, mishap: Mishap) {
        let mut pages = self.pages();
        let count = pages.mishaps.entry(mishap.0).or_default();
        *count = count.saturating_add(1);
    }

    fn refused(&self, refusal: &Refusal) {
        let mut pages = self.pages();
        let reasons = if refusal.preconditions.is_empty() {
            std::slice::from_ref(&refusal.reason)
        } else {
            refusal.preconditions.as_slice()
        };
        for reason in reasons {
            let count = pages.refusals.entry(reason.clone()).or_default();
            *count = count.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::programme::{DECLARE_TOO_LATE, FOURTH, SELECT_TOO_LATE, TRANSFER};
    use super::*;

    fn refusal(reason: &str, preconditions: &[&str]) -> Refusal {
        Refusal {
            code: Code::FailedPrecondition,
            reason: reason.to_owned(),
            preconditions: preconditions.iter().map(|&one| one.to_owned()).collect(),
            message: String::new(),
        }
    }

    #[test]
    fn a_mistake_is_refused_for_its_reason_or_it_is_a_surprise() {
        let books = Books::default();
        let several = refusal("NOT_ELIGIBLE", &["FULL", "SELECTION_LIMIT"]);
        books.mistake::<()>(FOURTH, Err(several));
        books.mistake::<()>(SELECT_TOO_LATE, Err(refusal("OUT_OF_SCOPE", &[])));
        books.mistake(DECLARE_TOO_LATE, Ok(()));
        let pages = books.closed();
        assert_eq!(pages.mistakes, BTreeMap::from([((FOURTH.what.to_owned(), "SELECTION_LIMIT".to_owned()), 1)]));
        assert_eq!(pages.surprises.len(), 2);
        let counted =
            [("FULL", 1), ("SELECTION_LIMIT", 1), ("OUT_OF_SCOPE", 1)].map(|(reason, n)| (reason.to_owned(), n));
        assert_eq!(pages.refusals, BTreeMap::from(counted));
        assert_eq!(pages.acts, 3);
    }

    #[test]
    fn what_was_not_played_is_told() {
        let books = Books::default();
        let all = books.closed().not_played();
        books.mistake::<()>(FOURTH, Err(refusal("SELECTION_LIMIT", &[])));
        books.happened(TRANSFER);
        books.happened(TRANSFER);
        let pages = books.closed();
        assert_eq!(pages.mishaps, BTreeMap::from([(TRANSFER.0, 2)]));
        let left: Vec<String> =
            all.into_iter().filter(|what| ![FOURTH.what, TRANSFER.0].contains(&what.as_str())).collect();
        assert_eq!(pages.not_played(), left);
        assert_eq!(left.len() + 2, programme().count());
    }

    #[test]
    fn what_may_be_refused_is_no_surprise_and_what_must_not_is_one() {
        let books = Books::default();
        assert_eq!(books.may::<()>("try", &[Reason::Full], Err(refusal("FULL", &[]))), None);
        assert_eq!(books.may("try", &[Reason::Full], Ok(1)), Some(1));
        assert!(books.closed().surprises.is_empty());
        assert_eq!(books.must::<()>("do", Err(refusal("FULL", &[]))), None);
        assert_eq!(books.closed().surprises.len(), 1);
        assert_eq!(books.closed().acts, 3);
    }

    #[test]
    fn only_what_passes_is_tried_again() {
        assert!(!refusal("FULL", &[]).is_passing());
        assert!(Refusal { code: Code::Unavailable, ..refusal("UNAVAILABLE", &[]) }.is_passing());
        assert!(Refusal { code: Code::Unknown, ..refusal("", &[]) }.is_passing());
        assert!(!Refusal { code: Code::Internal, ..refusal("INTERNAL", &[]) }.is_passing());
        assert!(Refusal { code: Code::ResourceExhausted, ..refusal("OVERLOADED", &[]) }.is_passing());
    }
}
