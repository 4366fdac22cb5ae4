//! The hot path: submissions wait in bounded queues, the crowd's and the one aside of it; each has one writer a process, which drains
//! all that wait into one transaction, and answers after its commit. What goes to a project that was seen full a moment ago is looked
//! at before it joins them.

mod batch;
mod full;
mod judge;
mod lanes;
mod meters;
mod refusals;
mod thread;

use std::{collections::BTreeMap, time::Duration};

use chassis::{
    Admission, Call, Failure,
    db::{Claim, Db, Lane},
    telemetry::shared,
};
use proto::{
    common::v1::Reason,
    enrollment::v1::{SubmitSelectionRequest, SubmitSelectionResponse},
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    time::Instant,
};
use tracing::{Instrument as _, Span};

use self::{
    batch::Recalled,
    full::Full,
    lanes::{Lanes, Place},
    meters::Meters,
};

pub(crate) use judge::{first_round_ends_on, open_selection_window};

/// `[intake]` of the configuration.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IntakeConfig {
    /// Submissions that may wait, as many aside of a crowd, and as many to projects seen full; one more is refused at once.
    #[schemars(range(min = 1, max = 100000))]
    pub queue: usize,
    /// Most submissions of one transaction.
    #[schemars(range(min = 1, max = 100000))]
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
    claim: Claim,
    message: SubmitSelectionRequest,
    answer: oneshot::Sender<Answer>,
    queued: Instant,
    /// The call's.
    span: Span,
    /// Held until it is answered.
    place: Option<Place>,
}

type Answer = Result<SubmitSelectionResponse, Failure>;

/// The writers' queues. Cheap to clone.
#[derive(Debug, Clone)]
struct Queues {
    main: mpsc::Sender<Job>,
    aside: mpsc::Sender<Job>,
    lanes: Lanes,
}

impl Queues {
    /// Gives it a place; returns the queue in which it is to wait.
    fn direct(&self, job: &mut Job) -> &mpsc::Sender<Job> {
        let place = self.lanes.enter(&job.message.project);
        let queue = match place.lane {
            Lane::Main => &self.main,
            Lane::Aside => &self.aside,
        };
        job.place = Some(place);
        queue
    }
}

/// The queues' entrance. Cheap to clone; what empties them ends with the last one.
#[derive(Debug, Clone)]
pub struct Intake {
    queues: Queues,
    /// Submissions to projects that were seen full.
    doubtful: mpsc::Sender<Job>,
    full: Full,
    meters: Meters,
}

impl Intake {
    /// The queues, and what empties them: to be spawned.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn new(db: Db, config: IntakeConfig) -> std::io::Result<(Self, impl Future<Output = ()> + Send + 'static)> {
        let queue = || mpsc::channel(config.queue.max(1));
        let ((main, crowd), (aside, few), (doubtful, asking)) = (queue(), queue(), queue());
        let (full, limit) = (Full::default(), config.batch.max(1));
        let meters = Meters::new([("batch", &main), ("aside", &aside), ("full", &doubtful)]);
        let queues = Queues { main, aside, lanes: Lanes::default() };
        let writers = [(Lane::Main, crowd), (Lane::Aside, few)];
        let [main, aside] =
            writers.map(|(lane, waiting)| write(db.clone(), lane, waiting, limit, full.clone(), meters.clone()));
        let reader = refuse(db, asking, queues.clone(), limit, full.clone());
        let aside = thread::run("aside", aside)?;
        let work = async {
            tokio::join!(main, aside, reader);
        };
        Ok((Self { queues, doubtful, full, meters }, work))
    }

    /// Waits in the queue and for the commit.
    ///
    /// # Errors
    /// The refusal; `OVERLOADED` at once if the queue is full.
    pub async fn submit(&self, call: Call<SubmitSelectionRequest>) -> Answer {
        let (answer, answered) = oneshot::channel();
        let mut job = Job {
            claim: Claim::of(call.actor(), &call.admission.method.path, &call.message)?,
            admission: call.admission,
            message: call.message,
            answer,
            queued: Instant::now(),
            span: Span::current(),
            place: None,
        };
        let joined = if self.full.join(&job.message.project, job.queued) {
            self.doubtful.try_send(job).inspect_err(|refused| {
                let (TrySendError::Full(job) | TrySendError::Closed(job)) = refused;
                self.full.leave(&job.message.project);
            })
        } else {
            self.queues.direct(&mut job).try_send(job)
        };
        if joined.is_err() {
            self.meters.refused();
            return Err(Failure::new(Reason::Overloaded).retry_after(RETRY_AFTER));
        }
        answered.await.unwrap_or_else(|_| Err(Failure::away("enrollment")))
    }
}

/// Refuses who can be refused; the others join the queue, and those after them wait until they have.
async fn refuse(db: Db, mut asking: mpsc::Receiver<Job>, queues: Queues, limit: usize, full: Full) {
    let mut jobs = Vec::with_capacity(limit);
    while asking.recv_many(&mut jobs, limit).await > 0 {
        for (term, jobs) in by_term(&mut jobs) {
            let span = shared("refusals", jobs.iter().map(|job| job.span.clone()));
            let mut refusals = refusals::run(&db, &term, &jobs, &full)
                .instrument(span)
                .await
                .inspect_err(|failure| tracing::debug!(%failure, "nobody could be refused on a reading"))
                .unwrap_or_default()
                .into_iter();
            for mut job in jobs {
                let project = job.message.project.clone();
                match refusals.next().flatten() {
                    Some(refusal) => job.answer(refusal),
                    // The writer lives as long as this sender.
                    None => drop(queues.direct(&mut job).send(job).await),
                }
                full.leave(&project);
            }
        }
    }
}

fn by_term(jobs: &mut Vec<Job>) -> BTreeMap<String, Vec<Job>> {
    let mut by_term: BTreeMap<String, Vec<Job>> = BTreeMap::new();
    for job in jobs.drain(..) {
        by_term.entry(job.message.parent.clone()).or_default().push(job);
    }
    by_term
}

async fn write(db: Db, lane: Lane, mut waiting: mpsc::Receiver<Job>, limit: usize, full: Full, meters: Meters) {
    let mut jobs = Vec::with_capacity(limit);
    while waiting.recv_many(&mut jobs, limit).await > 0 {
        // Who has gone away meanwhile is not waited for.
        jobs.retain(|job| !job.answer.is_closed());
        if jobs.is_empty() {
            continue;
        }
        meters.batch(&jobs);
        for (term, mut jobs) in by_term(&mut jobs) {
            while !jobs.is_empty() {
                let span = shared("batch", jobs.iter().map(|job| job.span.clone()));
                jobs = take(&db, lane, &term, jobs, &full).instrument(span).await;
            }
        }
    }
}

/// Carries a run of submissions of one term out and answers them. Returns those that repeat another of the same run: they
/// find its reply in the next one.
async fn take(db: &Db, lane: Lane, term: &str, jobs: Vec<Job>, full: &Full) -> Vec<Job> {
    let mut outcome = batch::run(db, lane, term, &jobs, full, Recalled::Refused).await;
    for _ in 1..RUNS {
        match &outcome {
            Err(failure) if failure.is_conflict() => {
                outcome = batch::run(db, lane, term, &jobs, full, Recalled::All).await;
            }
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
                let verdicts = batch::run(db, lane, term, std::slice::from_ref(&job), full, Recalled::All).await;
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
