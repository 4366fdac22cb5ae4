//! Business time: the system's clock, or a rehearsal's virtual one.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

/// Where business time comes from.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that is moved by `Advance`.
    Rehearsal(RehearsalClock),
}

impl Clock {
    /// Whether time passes by itself.
    #[must_use]
    pub fn runs(&self) -> bool {
        match self {
            Self::System => true,
            Self::Rehearsal(clock) => clock.runs(),
        }
    }

    /// Now, in microseconds since the epoch.
    #[must_use]
    pub fn now(&self) -> i64 {
        match self {
            Self::System => wall_micros(),
            Self::Rehearsal(clock) => clock.now(),
        }
    }
}

/// A clock that stands where it was put, or runs on from there at real speed. Never goes back.
#[derive(Clone, Debug)]
pub struct RehearsalClock(Arc<Mutex<Hand>>);

#[derive(Debug)]
struct Hand {
    at: i64,
    running_since: Option<Instant>,
}

impl Hand {
    fn now(&self) -> i64 {
        let run = self.running_since.map_or(0, |since| since.elapsed().as_micros());
        self.at.saturating_add(i64::try_from(run).unwrap_or(i64::MAX))
    }
}

impl RehearsalClock {
    /// Stands at `at`.
    #[must_use]
    pub fn at(at: i64) -> Self {
        Self(Arc::new(Mutex::new(Hand { at, running_since: None })))
    }

    /// Now, in microseconds since the epoch.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).now()
    }

    /// Whether it runs on by itself.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).running_since.is_some()
    }

    /// Moves forward to `to`, or stays if that is past, and from there runs or stands. Returns the new time.
    #[must_use]
    pub fn advance(&self, to: i64, running: bool) -> i64 {
        let mut hand = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = hand.now().max(to);
        *hand = Hand { at, running_since: running.then(monotonic) };
        at
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clocks")]
fn monotonic() -> Instant {
    Instant::now()
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clocks")]
pub(super) fn wall_micros() -> i64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)
}
