//! Places for what may go on at once: bounded, and measured.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::telemetry::{Counter, KeyValue, meter};

/// What there are places for.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The metric's name: how many are taken. With ".limit": how many there are; with ".refused": who found none.
    pub name: &'static str,
    /// Its unit, e.g. "{call}".
    pub unit: &'static str,
    /// What takes a place, e.g. "Calls under way to a service".
    pub what: &'static str,
    /// The key of the configuration that bounds it.
    pub key: &'static str,
}

/// Places, until what took them is dropped.
#[derive(Debug)]
pub struct Places {
    free: Arc<Semaphore>,
    refused: Counter<u64>,
    label: KeyValue,
}

impl Places {
    /// None taken yet, and never more than `limit`. `label` tells those of one kind apart.
    #[must_use]
    pub fn new(kind: Kind, limit: usize, label: KeyValue) -> Self {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        let free = Arc::new(Semaphore::new(limit));
        let Kind { name, unit, what, key } = kind;
        // The gauges stay for ever, what they show does not.
        let weak = Arc::downgrade(&free);
        let gauge = |name: String, description: String, shown: fn(usize, usize) -> usize| {
            let (weak, label) = (weak.clone(), label.clone());
            meter()
                .u64_observable_gauge(name)
                .with_unit(unit)
                .with_description(description)
                .with_callback(move |observer| {
                    if let Some(free) = weak.upgrade() {
                        let shown = shown(limit, free.available_permits());
                        observer.observe(u64::try_from(shown).unwrap_or(u64::MAX), std::slice::from_ref(&label));
                    }
                })
                .build();
        };
        gauge(name.to_owned(), what.to_owned(), |limit, free| limit.saturating_sub(free));
        gauge(format!("{name}.limit"), format!("{what}: as many as may be ({key})"), |limit, _| limit);
        let refused = meter()
            .u64_counter(format!("{name}.refused"))
            .with_unit(unit)
            .with_description(format!("{what}: turned away because there were as many as may be"))
            .build();
        // What begins with the first one cannot be seen to have risen by it.
        refused.add(0, std::slice::from_ref(&label));
        Self { free, refused, label }
    }

    /// A place, until it is dropped; none if all are taken.
    #[must_use]
    pub fn take(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.free).try_acquire_owned().ok();
        if place.is_none() {
            self.refused.add(1, std::slice::from_ref(&self.label));
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_is_turned_away_until_a_place_is_free() {
        let kind = Kind { name: "shixun.test", unit: "{call}", what: "Calls of a test", key: "none" };
        let places = Places::new(kind, 2, KeyValue::new("service", "test"));
        let (one, other) = (places.take(), places.take());
        assert!(one.is_some() && other.is_some() && places.take().is_none());
        drop(one);
        assert!(places.take().is_some());
    }
}
