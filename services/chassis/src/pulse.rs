//! Whether what is waited for still answers. A database or a service that is frozen, or behind a network that swallows
//! everything, refuses nothing: whoever waits for it would do so for all the time that they have. So while somebody waits it is
//! asked, and if it does not answer even that, all who wait are told, and whoever comes is told at once, until it answers again.

use std::{
    fmt,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use opentelemetry::{KeyValue, metrics::Gauge};
use tokio::sync::watch;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{replicas::Replicas, server::health::LIVENESS, telemetry::meter};

/// When it is asked, and how long it may take.
#[derive(Clone, Copy)]
struct Pace {
    /// Between two questions while somebody waits.
    quiet: Duration,
    /// How long an answer may take, unless others come meanwhile.
    patience: Duration,
    /// Between two questions to one that is away.
    again: Duration,
}

const PACE: Pace =
    Pace { quiet: Duration::from_secs(1), patience: Duration::from_secs(3), again: Duration::from_millis(500) };

static AWAY: LazyLock<Gauge<u64>> = LazyLock::new(|| {
    meter()
        .u64_gauge("shixun.dependency.away")
        .with_description("1: what a service depends on does not answer it; whoever needs it is refused at once")
        .build()
});

type Ask = Box<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Pulse(Arc<Inner>);

struct Inner {
    /// Whether it answers: false at once if it cannot be reached.
    ask: Ask,
    labels: [KeyValue; 2],
    pace: Pace,
    away: watch::Sender<bool>,
    waiting: AtomicUsize,
    answers: AtomicU64,
    /// Whether somebody looks after those who wait.
    looking: AtomicBool,
}

impl fmt::Debug for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pulse").field("of", &self.0.labels).field("away", &self.is_away()).finish_non_exhaustive()
    }
}

impl Pulse {
    /// That of something on which `service` depends. `ask` tells whether it answers.
    pub fn new(
        service: &'static str,
        dependency: &'static str,
        ask: impl Fn() -> BoxFuture<'static, bool> + Send + Sync + 'static,
    ) -> Self {
        Self::paced(service, dependency, PACE, ask)
    }

    fn paced(
        service: &'static str,
        dependency: &'static str,
        pace: Pace,
        ask: impl Fn() -> BoxFuture<'static, bool> + Send + Sync + 'static,
    ) -> Self {
        let labels = [KeyValue::new("service", service), KeyValue::new("dependency", dependency)];
        AWAY.record(0, &labels);
        Self(Arc::new(Inner {
            ask: Box::new(ask),
            labels,
            pace,
            away: watch::Sender::new(false),
            waiting: AtomicUsize::new(0),
            answers: AtomicU64::new(0),
            looking: AtomicBool::new(false),
        }))
    }

    /// That of a neighbour: any of its replicas may answer.
    #[must_use]
    pub fn of_neighbour(service: &'static str, neighbour: &'static str, replicas: Replicas) -> Self {
        Self::new(service, neighbour, move || {
            let mut health = HealthClient::new(replicas.clone());
            Box::pin(async move { health.check(HealthCheckRequest { service: LIVENESS.to_owned() }).await.is_ok() })
        })
    }

    /// Whether it was found not to answer, and has not answered since.
    #[must_use]
    pub fn is_away(&self) -> bool {
        *self.0.away.borrow()
    }

    /// Waits for `work`; `None` as soon as what it waits for is away.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        if self.is_away() {
            return None;
        }
        let _waits = self.wait();
        tokio::select! {
            biased;
            done = work => {
                self.0.answers.fetch_add(1, Ordering::Relaxed);
                Some(done)
            }
            () = self.gone() => None,
        }
    }

    /// Counts as somebody who waits, until it is dropped.
    #[must_use]
    pub fn wait(&self) -> Waits {
        self.0.waiting.fetch_add(1, Ordering::AcqRel);
        self.look();
        Waits(Arc::clone(&self.0))
    }

    /// Comes when it is away.
    pub fn gone(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut away = self.0.away.subscribe();
        async move {
            // Whoever waits for this has the sender.
            let _ = away.wait_for(|away| *away).await;
        }
    }

    /// Comes when it answers, at once if it does.
    pub(crate) async fn back(&self) {
        // Whoever waits for this has the sender.
        let _ = self.0.away.subscribe().wait_for(|away| !*away).await;
    }

    fn look(&self) {
        if self.0.looking.swap(true, Ordering::AcqRel) {
            return;
        }
        let weak = Arc::downgrade(&self.0);
        let Pace { quiet, again, .. } = self.0.pace;
        tokio::spawn(async move {
            let mut pause = quiet;
            loop {
                tokio::time::sleep(pause).await;
                let Some(inner) = weak.upgrade() else { return };
                if !*inner.away.borrow() && !inner.is_waited_for() {
                    inner.looking.store(false, Ordering::Release);
                    // Who came between the look and the store took this task to be looking still.
                    if !inner.is_waited_for() || inner.looking.swap(true, Ordering::AcqRel) {
                        return;
                    }
                }
                pause = if inner.answers().await { quiet } else { again };
            }
        });
    }
}

impl Inner {
    fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Asks, and shows what came of it.
    async fn answers(&self) -> bool {
        let before = self.answers.load(Ordering::Relaxed);
        let answered = tokio::time::timeout(self.pace.patience, (self.ask)()).await.unwrap_or(false)
            || self.answers.load(Ordering::Relaxed) != before;
        let moved = self.away.send_if_modified(|away| std::mem::replace(away, !answered) == answered);
        if moved {
            AWAY.record(u64::from(!answered), &self.labels);
            let [service, dependency] = &self.labels;
            let (service, dependency) = (service.value.as_str(), dependency.value.as_str());
            if answered {
                tracing::info!(%service, %dependency, "it answers again");
            } else {
                tracing::warn!(%service, %dependency, "it does not answer: whoever needs it is refused at once");
            }
        }
        answered
    }
}

/// See [`Pulse::wait`].
pub struct Waits(Arc<Inner>);

impl fmt::Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waits")
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::Instant;

    use super::*;

    const FAST: Pace = Pace {
        quiet: Duration::from_millis(10),
        patience: Duration::from_millis(200),
        again: Duration::from_millis(5),
    };

    /// A pulse of something that answers only while the switch is on.
    fn pulse() -> (Pulse, watch::Sender<bool>) {
        let (switch, state) = watch::channel(true);
        let ask = move || -> BoxFuture<'static, bool> {
            let mut state = state.clone();
            Box::pin(async move { state.wait_for(|on| *on).await.is_ok() })
        };
        (Pulse::paced("test", "test", FAST, ask), switch)
    }

    #[tokio::test]
    async fn who_waits_for_what_is_frozen_is_told_and_who_comes_later_at_once() {
        let (pulse, switch) = pulse();
        assert_eq!(pulse.during(async { 1 }).await, Some(1));
        switch.send_replace(false);
        let began = Instant::now();
        assert_eq!(pulse.during(pending::<()>()).await, None);
        assert!(began.elapsed() >= FAST.patience, "{:?}", began.elapsed());
        assert!(pulse.is_away());
        // Nothing is begun that would not be answered.
        assert_eq!(pulse.during(async { unreachable!("it is away") }).await, None::<()>);
        switch.send_replace(true);
        pulse.back().await;
        assert!(!pulse.is_away());
        assert_eq!(pulse.during(async { 3 }).await, Some(3));
    }

    #[tokio::test]
    async fn what_is_slow_and_answers_is_waited_for() {
        let (pulse, _switch) = pulse();
        assert_eq!(pulse.during(tokio::time::sleep(FAST.patience * 3)).await, Some(()));
    }

    #[tokio::test]
    async fn a_question_that_is_lost_while_others_are_answered_proves_nothing() {
        let (pulse, switch) = pulse();
        switch.send_replace(false);
        let long = pulse.during(tokio::time::sleep(FAST.patience * 3));
        tokio::pin!(long);
        loop {
            tokio::select! {
                biased;
                done = &mut long => break assert_eq!(done, Some(())),
                other = pulse.during(tokio::task::yield_now()) => assert_eq!(other, Some(())),
            }
        }
    }
}
