//! The hot path: submissions wait in a bounded queue; one writer a process drains all that wait into one transaction, and
//! answers after its commit.

mod batch;
mod judge;
mod meters;

use std::{collections::BTreeMap, time::Duration};

use chassis::{Admission, Call, Failure, db::Db};
use proto::{
    common::v1::Reason,
    enrollment::v1::{SubmitSelectionRequest, SubmitSelectionResponse},
};
use serde::Deserialize;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use self::meters::Meters;

pub(crate) use judge::{first_round_ends_on, open_selection_window};

/// `[intake]` of the configuration.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IntakeConfig {
    /// Submissions that may wait; one more is refused at once.
    pub queue: usize,
    /// Most submissions of one transaction.
    pub batch: usize,
}

impl Default for IntakeConfig {
    fn default() -> Self {
        Self { queue: 4096, batch: 512 }
    }
}

/// When a refused caller should try again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Runs of a batch whose transaction meets others, before its submissions are run one by one.
const RUNS: usize = 3;

/// A submission that waits.
#[derive(Debug)]
struct Job {
    admission: Admission,
    message: SubmitSelectionRequest,
    answer: oneshot::Sender<Answer>,
    queued: Instant,
}

type Answer = Result<SubmitSelectionResponse, Failure>;

/// The queue's entrance. Cheap to clone; the writer ends with the last one.
#[derive(Debug, Clone)]
pub struct Intake {
    queue: mpsc::Sender<Job>,
    meters: Meters,
}

impl Intake {
    /// A queue, and the writer that empties it: to be spawned.
    pub fn new(db: Db, config: IntakeConfig) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, waiting) = mpsc::channel(config.queue.max(1));
        let meters = Meters::new(&queue);
        let writer = write(db, waiting, config.batch.max(1), meters.clone());
        (Self { queue, meters }, writer)
    }

    /// Waits in the queue and for the commit.
    ///
    /// # Errors
    /// The refusal; `OVERLOADED` at once if the queue is full.
    pub async fn submit(&self, call: Call<SubmitSelectionRequest>) -> Answer {
        let (answer, answered) = oneshot::channel();
        let job = Job { admission: call.admission, message: call.message, answer, queued: Instant::now() };
        if self.queue.try_send(job).is_err() {
            self.meters.refused();
            return Err(Failure::new(Reason::Overloaded).retry_after(RETRY_AFTER));
        }
        answered.await.unwrap_or_else(|_| Err(Failure::new(Reason::Unavailable).with("service", "enrollment")))
    }
}

async fn write(db: Db, mut waiting: mpsc::Receiver<Job>, limit: usize, meters: Meters) {
    let mut jobs = Vec::with_capacity(limit);
    while waiting.recv_many(&mut jobs, limit).await > 0 {
        meters.batch(&jobs);
        let mut by_term: BTreeMap<String, Vec<Job>> = BTreeMap::new();
        for job in jobs.drain(..) {
            by_term.entry(job.message.parent.clone()).or_default().push(job);
        }
        for (term, mut jobs) in by_term {
            while !jobs.is_empty() {
                jobs = take(&db, &term, jobs).await;
            }
        }
    }
}

/// Carries a run of submissions of one term out and answers them. Returns those that repeat another of the same run: they
/// find its reply in the next one.
async fn take(db: &Db, term: &str, jobs: Vec<Job>) -> Vec<Job> {
    let mut outcome = batch::run(db, term, &jobs).await;
    for _ in 1..RUNS {
        match &outcome {
            Err(failure) if failure.is_conflict() => outcome = batch::run(db, term, &jobs).await,
            _ => break,
        }
    }
    match outcome {
        Ok(verdicts) => {
            let mut again = Vec::new();
            for (job, verdict) in jobs.into_iter().zip(verdicts) {
                match verdict {
                    Some(verdict) => job.answer(verdict),
                    None => again.push(job),
                }
            }
            again
        }
        Err(failure) => {
            // One bad request never fails a batch: each by itself. Who still meets another transaction is run again by
            // `answer`.
            tracing::debug!(%failure, size = jobs.len(), "a batch failed; running its submissions one by one");
            for job in jobs {
                let verdicts = batch::run(db, term, std::slice::from_ref(&job)).await;
                let alone = || Err(Failure::internal("a submission without a verdict"));
                job.answer(verdicts.and_then(|mut verdicts| verdicts.pop().flatten().unwrap_or_else(alone)));
            }
            Vec::new()
        }
    }
}

impl Job {
    /// A caller who has gone away needs no answer.
    fn answer(self, answer: Answer) {
        drop(self.answer.send(answer));
    }
}
