//! What the intake measures of itself: how many wait, how many go together, how long they waited, how many were turned away.

use chassis::telemetry::{Counter, Histogram, KeyValue, SECONDS, meter};
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
    /// Instruments of queues with a name each, all of one limit.
    pub fn new<const N: usize>(queues: [(&'static str, &mpsc::Sender<Job>); N]) -> Self {
        let meter = meter();
        let limit = queues.first().map_or(0, |(_, queue)| count(queue.max_capacity()));
        // A queue ends with its last handler, not with its gauge.
        let weak = queues.map(|(name, queue)| (KeyValue::new("queue", name), queue.downgrade()));
        meter
            .u64_observable_gauge("shixun.intake.queue.depth")
            .with_unit("{submission}")
            .with_description("Submissions that wait")
            .with_callback(move |observer| {
                for (name, queue) in &weak {
                    let Some(queue) = queue.upgrade() else { continue };
                    let waiting = queue.max_capacity().saturating_sub(queue.capacity());
                    observer.observe(count(waiting), std::slice::from_ref(name));
                }
            })
            .build();
        meter
            .u64_observable_gauge("shixun.intake.queue.limit")
            .with_unit("{submission}")
            .with_description("Submissions that may wait in each queue (intake.queue)")
            .with_callback(move |observer| observer.observe(limit, &[]))
            .build();
        let refused = meter
            .u64_counter("shixun.intake.refused")
            .with_unit("{submission}")
            .with_description("Submissions turned away because the queue was full")
            .build();
        // What begins with the first one cannot be seen to have risen by it.
        refused.add(0, &[]);
        Self {
            batch: meter
                .u64_histogram("shixun.intake.batch.size")
                .with_unit("{submission}")
                .with_description("Submissions of one transaction")
                .build(),
            wait: meter
                .f64_histogram("shixun.intake.wait")
                .with_unit("s")
                .with_boundaries(SECONDS.to_vec())
                .with_description("Time from a submission's arrival to the beginning of its transaction")
                .build(),
            refused,
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
