//! Connections, and the loops in which they send: closed, each after the answer to the last, or open, at instants of chance.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use h2::client::SendRequest;
use hdrhistogram::Histogram;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use tokio::{net::TcpStream, sync::mpsc, time::Instant};

use super::shot::{Answer, Shot, fire};

/// Requests that one connection may have under way before the server has said how many it allows.
const STREAMS: usize = 1024;

/// What came of many shots.
#[derive(Debug)]
pub struct Volley {
    /// Microseconds from sending (open loop: from when it should have been sent) to the answer.
    pub latency: Histogram<u64>,
    /// Index of the shot, and its answer.
    pub answers: Vec<(usize, Answer)>,
    /// From the first shot to the last answer.
    pub elapsed: Duration,
}

impl Volley {
    /// Answers a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.answers.len() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Takes another one's answers and time as well, which came after this one.
    ///
    /// # Errors
    /// None that is known: the histograms are alike.
    pub fn join(&mut self, other: Self) -> anyhow::Result<()> {
        self.latency.add(other.latency)?;
        self.answers.extend(other.answers);
        self.elapsed += other.elapsed;
        Ok(())
    }
}

/// A histogram from a microsecond to a minute and a half, exact to a thousandth.
///
/// # Errors
/// None: the bounds are constants.
pub fn histogram() -> anyhow::Result<Histogram<u64>> {
    let mut histogram = Histogram::new_with_bounds(1, 100_000_000, 3)?;
    histogram.auto(true);
    Ok(histogram)
}

/// Connections to one server.
#[derive(Clone)]
pub struct Client(Vec<SendRequest<Bytes>>);

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({} connections)", self.0.len())
    }
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// If the server is not there.
    pub async fn connect(address: SocketAddr, connections: usize) -> anyhow::Result<Self> {
        let mut senders = Vec::new();
        for _ in 0..connections {
            let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
            stream.set_nodelay(true)?;
            let mut builder = h2::client::Builder::new();
            builder
                .initial_max_send_streams(STREAMS)
                .initial_window_size(1 << 20)
                .initial_connection_window_size(16 << 20);
            let (sender, connection) = builder.handshake(stream).await?;
            // It ends with the last sender; how it broke is seen by whoever waits for an answer.
            tokio::spawn(async move { drop(connection.await) });
            senders.push(sender);
        }
        Ok(Self(senders))
    }

    pub(super) fn sender(&self, caller: usize) -> Option<SendRequest<Bytes>> {
        self.0.get(caller % self.0.len().max(1)).cloned()
    }

    /// Closed loop: `callers` send one shot after the other, each after the answer to its last, until all are sent or `within`
    /// is over.
    ///
    /// # Errors
    /// If a caller's task fails.
    pub async fn closed(&self, shots: &Arc<Vec<Shot>>, callers: usize, within: Duration) -> anyhow::Result<Volley> {
        let next = Arc::new(AtomicUsize::new(0));
        let began = Instant::now();
        let mut tasks = Vec::with_capacity(callers);
        for caller in 0..callers {
            let mut sender = self.sender(caller).context("a client without connections")?;
            let (shots, next) = (Arc::clone(shots), Arc::clone(&next));
            tasks.push(tokio::spawn(async move {
                let (mut latency, mut answers) = (histogram()?, Vec::new());
                while began.elapsed() < within {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(shot) = shots.get(index) else { break };
                    let sent = Instant::now();
                    let answer = fire(&mut sender, shot).await;
                    latency.record(micros(sent.elapsed()))?;
                    let broken = matches!(answer, Answer::Broken(_));
                    answers.push((index, answer));
                    if broken {
                        break;
                    }
                }
                anyhow::Ok((latency, answers))
            }));
        }
        let mut volley = Volley { latency: histogram()?, answers: Vec::new(), elapsed: Duration::ZERO };
        for task in tasks {
            let (latency, answers) = task.await??;
            volley.latency.add(latency)?;
            volley.answers.extend(answers);
        }
        volley.elapsed = began.elapsed();
        Ok(volley)
    }

    /// Open loop: shots at `rate` a second on average, at instants of chance (Poisson), whatever has been answered by then. A
    /// latency counts from when the shot was due, so that nobody is left out who would have waited to send.
    ///
    /// # Errors
    /// If a task fails.
    pub async fn open(&self, shots: &Arc<Vec<Shot>>, rate: f64, within: Duration, seed: u64) -> anyhow::Result<Volley> {
        let began = Instant::now();
        let mut due = Vec::new();
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let mut at = 0.0;
        while due.len() < shots.len() {
            at -= rng.random::<f64>().max(f64::MIN_POSITIVE).ln() / rate;
            if at >= within.as_secs_f64() {
                break;
            }
            due.push(began + Duration::from_secs_f64(at));
        }
        let (fired, mut tasks) = mpsc::unbounded_channel();
        let (client, shots) = (self.clone(), Arc::clone(shots));
        let runtime = tokio::runtime::Handle::current();
        // A thread of its own: the runtime's timers know milliseconds only.
        let trigger = std::thread::spawn(move || {
            for (index, due) in due.into_iter().enumerate() {
                let Some(mut sender) = client.sender(index) else { return };
                let shots = Arc::clone(&shots);
                loop {
                    let left = due.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    std::thread::park_timeout(left);
                }
                let task = runtime.spawn(async move {
                    let shot = shots.get(index)?;
                    let answer = fire(&mut sender, shot).await;
                    Some((index, answer, due.elapsed()))
                });
                if fired.send(task).is_err() {
                    return;
                }
            }
        });
        let mut volley = Volley { latency: histogram()?, answers: Vec::new(), elapsed: Duration::ZERO };
        while let Some(task) = tasks.recv().await {
            let (index, answer, latency) = task.await?.context("a shot that was not there")?;
            volley.latency.record(micros(latency))?;
            volley.answers.push((index, answer));
        }
        trigger.join().map_err(|_| anyhow::anyhow!("the trigger's thread panicked"))?;
        volley.elapsed = began.elapsed();
        Ok(volley)
    }
}

pub(super) fn micros(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX).max(1)
}
