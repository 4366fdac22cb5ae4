//! Projects seen full a moment ago, and how many wait to be told so.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How long what was seen is believed.
const LATELY: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
struct Seen {
    full_at: Option<Instant>,
    /// Who came while it was believed to be full, and has no answer yet and no place in the batches' queue.
    waiting: usize,
}

impl Seen {
    /// Nobody may overtake those who wait.
    fn lately(&self, now: Instant) -> bool {
        self.waiting > 0 || self.full_at.is_some_and(|at| now.saturating_duration_since(at) <= LATELY)
    }
}

/// What is known of each project. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Full(Arc<Mutex<BTreeMap<String, Seen>>>);

impl Full {
    /// Joins those who wait, if the project was seen full lately.
    pub fn join(&self, project: &str, now: Instant) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seen) = seen.get_mut(project).filter(|seen| seen.lately(now)) else { return false };
        seen.waiting += 1;
        true
    }

    /// Waits no more: has been answered, or stands in the batches' queue.
    pub fn leave(&self, project: &str) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = seen.get_mut(project) {
            seen.waiting = seen.waiting.saturating_sub(1);
        }
    }

    /// It has been looked at: so many places were free.
    pub fn see(&self, project: &str, free: i32, now: Instant) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, seen| seen.lately(now));
        if free < 1 {
            seen.entry(project.to_owned()).or_default().full_at = Some(now);
        } else if let Some(seen) = seen.get_mut(project) {
            seen.full_at = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_believed_for_a_moment_and_nobody_overtakes() {
        let (full, now) = (Full::default(), Instant::now());
        full.see("p", 0, now);
        full.see("q", 1, now);
        assert!(full.join("p", now) && !full.join("q", now));
        let later = now + LATELY + Duration::from_millis(1);
        assert!(full.join("p", later), "one waits");
        full.see("p", 2, later);
        full.leave("p");
        assert!(full.join("p", later), "another waits");
        full.leave("p");
        full.leave("p");
        assert!(!full.join("p", later), "a place was freed, and nobody waits");
    }
}
