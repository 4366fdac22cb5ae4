//! Grounds as failures.

use chassis::Failure;
use proto::common::v1::Reason;

use crate::domain::Ground;

impl From<Ground> for Failure {
    fn from(ground: Ground) -> Self {
        let failure = Self::new(ground.reason);
        ground.metadata.iter().fold(failure, |failure, (key, value)| failure.with(key, value))
    }
}

/// A refusal as a ground, for a check that only tells.
pub fn ground(failure: &Failure) -> Ground {
    Ground { reason: failure.reason().unwrap_or(Reason::Internal), metadata: failure.metadata() }
}

/// The failure of every ground at once: one by itself, several under `several`.
#[must_use]
pub fn all(grounds: Vec<Ground>, several: Reason, subject: &str) -> Option<Failure> {
    let mut grounds = grounds.into_iter();
    let (first, second) = (grounds.next()?, grounds.next());
    let Some(second) = second else { return Some(first.into()) };
    let told = [first, second].into_iter().chain(grounds);
    let failure = Failure::new(several).with("resource", subject);
    Some(told.fold(failure, |failure, ground| failure.precondition(ground.reason, subject, ground.metadata)))
}
