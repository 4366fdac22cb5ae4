//! What the intake measures of itself: how many wait, how many go together, how long they waited, how many were turned away.

use chassis::telemetry::{Counter, Histogram, meter};
use tokio::sync::mpsc;

use super::Job;

/// The intake's instruments. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Meters {
    batch: Histogram<u64>,
    wait: Histogram<f64>,
    refused: Counter<u64>,
}

impl Meters {
    /// Instruments of a queue.
    pub fn new(queue: &mpsc::Sender<Job>) -> Self {
        let meter = meter();
        // The queue ends with its last handler, not with its gauge.
        let weak = queue.downgrade();
        meter
            .u64_observable_gauge("shixun.intake.queue.depth")
            .with_unit("{submission}")
            .with_description("Submissions that wait")
            .with_callback(move |observer| {
                if let Some(queue) = weak.upgrade() {
                    observer.observe(count(queue.max_capacity().saturating_sub(queue.capacity())), &[]);
                }
            })
            .build();
        let limit = count(queue.max_capacity());
        meter
            .u64_observable_gauge("shixun.intake.queue.limit")
            .with_unit("{submission}")
            .with_description("Submissions that may wait (intake.queue)")
            .with_callback(move |observer| observer.observe(limit, &[]))
            .build();
        Self {
            batch: meter
                .u64_histogram("shixun.intake.batch.size")
                .with_unit("{submission}")
                .with_description("Submissions of one transaction")
                .build(),
            wait: meter
                .f64_histogram("shixun.intake.wait")
                .with_unit("s")
                .with_description("Time from a submission's arrival to the beginning of its transaction")
                .build(),
            refused: meter
                .u64_counter("shixun.intake.refused")
                .with_unit("{submission}")
                .with_description("Submissions turned away because the queue was full")
                .build(),
        }
    }

    /// A submission found the queue full.
    pub fn refused(&self) {
        self.refused.add(1, &[]);
    }

    /// Submissions go into one transaction; the first has waited longest.
    pub fn batch(&self, jobs: &[Job]) {
        self.batch.record(u64::try_from(jobs.len()).unwrap_or(u64::MAX), &[]);
        if let Some(first) = jobs.first() {
            self.wait.record(first.queued.elapsed().as_secs_f64(), &[]);
        }
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
