//! How many calls are under way to a service: bounded, and measured.

use std::sync::Arc;

use chassis::telemetry::{Counter, KeyValue, meter};
use tokio::sync::{Semaphore, SemaphorePermit};

/// The calls to one service.
#[derive(Debug)]
pub(super) struct Calls {
    places: Arc<Semaphore>,
    refused: Counter<u64>,
    service: KeyValue,
}

impl Calls {
    /// None yet, and never more than `limit`.
    pub fn new(service: &'static str, limit: usize) -> Self {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(limit));
        let service = KeyValue::new("service", service);
        let meter = meter();
        meter
            .u64_observable_gauge("shixun.edge.calls")
            .with_unit("{call}")
            .with_description("Calls under way to a service")
            .with_callback({
                // It ends with the last call, not with its gauge.
                let (weak, service) = (Arc::downgrade(&places), service.clone());
                move |observer| {
                    if let Some(places) = weak.upgrade() {
                        let under_way = limit.saturating_sub(places.available_permits());
                        observer.observe(count(under_way), std::slice::from_ref(&service));
                    }
                }
            })
            .build();
        meter
            .u64_observable_gauge("shixun.edge.calls.limit")
            .with_unit("{call}")
            .with_description("Calls that may be under way to a service (edge.calls)")
            .with_callback({
                let service = service.clone();
                move |observer| observer.observe(count(limit), std::slice::from_ref(&service))
            })
            .build();
        let refused = meter
            .u64_counter("shixun.edge.calls.refused")
            .with_unit("{call}")
            .with_description("Calls turned away because as many were under way as may be")
            .build();
        Self { places, refused, service }
    }

    /// A place, until it is dropped; none if all are taken.
    pub fn begin(&self) -> Option<SemaphorePermit<'_>> {
        let place = self.places.try_acquire().ok();
        if place.is_none() {
            self.refused.add(1, std::slice::from_ref(&self.service));
        }
        place
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_is_turned_away_until_a_place_is_free() {
        let calls = Calls::new("enrollment", 2);
        let (one, other) = (calls.begin(), calls.begin());
        assert!(one.is_some() && other.is_some() && calls.begin().is_none());
        drop(one);
        assert!(calls.begin().is_some());
    }
}
