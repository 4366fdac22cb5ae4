//! The load: requests made beforehand, sent over few HTTP/2 connections. It shares the machine with what it measures, so it
//! speaks HTTP/2 itself: a gRPC client would cost as much again.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use hdrhistogram::Histogram;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use prost::Message;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A gRPC message in its frame begins after this many bytes.
const FRAME_HEAD: usize = 5;
/// How long a caller waits for an answer.
const PATIENCE: &str = "30S";
/// A `HealthCheckResponse` of status SERVING: field 1, 1.
const SERVING: &[u8] = &[8, 1];
/// How long a caller insists on an answer.
const PERSISTENCE: Duration = Duration::from_secs(60);
/// What lies between one attempt and the next.
const AGAIN: Duration = Duration::from_millis(20);
/// Requests that one connection may have under way before the server has said how many it allows.
const STREAMS: usize = 1024;

/// A request, ready to be sent.
#[derive(Debug, Clone)]
pub struct Shot {
    path: Uri,
    authorization: HeaderValue,
    body: Bytes,
}

impl Shot {
    /// A call of `path` ("package.Service/Method") with a token.
    ///
    /// # Errors
    /// If the token is no header's value.
    pub fn new(address: SocketAddr, path: &str, token: &str, message: &impl Message) -> anyhow::Result<Self> {
        let mut body = BytesMut::with_capacity(FRAME_HEAD + message.encoded_len());
        body.put_u8(0);
        body.put_u32(u32::try_from(message.encoded_len())?);
        message.encode(&mut body)?;
        let mut authorization = HeaderValue::try_from(format!("Bearer {token}"))?;
        // Everyone has his own: in the header compression's table it would only push out what repeats.
        authorization.set_sensitive(true);
        Ok(Self { path: format!("http://{address}/{path}").parse()?, authorization, body: body.freeze() })
    }

    fn request(&self) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = self.path.clone();
        let headers = request.headers_mut();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
        headers.insert("grpc-timeout", HeaderValue::from_static(PATIENCE));
        headers.insert(http::header::AUTHORIZATION, self.authorization.clone());
        request
    }
}

/// What a shot was answered with.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The reply, undecoded.
    Reply(Bytes),
    /// The headers that hold the refusal.
    Refusal(Box<HeaderMap>),
    /// None: the connection broke.
    Broken(String),
}

impl Answer {
    /// Whether asking again would be no use: it was done, or refused for a reason that stands.
    fn is_final(&self) -> bool {
        match self {
            Self::Reply(_) => true,
            Self::Broken(_) => false,
            Self::Refusal(headers) => {
                let passing = |status: Status| {
                    let told = status.get_details_retry_info().is_some();
                    told || matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled)
                };
                !Status::from_header_map(headers).is_none_or(passing)
            }
        }
    }

    /// The reply.
    ///
    /// # Errors
    /// The refusal, or why there was no answer.
    pub fn decode<M: Message + Default>(&self) -> Result<M, Status> {
        match self {
            Self::Reply(body) => M::decode(body.clone()).map_err(|error| Status::internal(error.to_string())),
            Self::Refusal(headers) => {
                Err(Status::from_header_map(headers).unwrap_or_else(|| Status::unknown("an answer without a status")))
            }
            Self::Broken(error) => Err(Status::unavailable(error.clone())),
        }
    }
}

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

    fn sender(&self, caller: usize) -> Option<SendRequest<Bytes>> {
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

/// What came of a flood: how many answers of each kind, and their latencies.
pub type Kinds = BTreeMap<String, Histogram<u64>>;

impl Client {
    /// A closed loop without an end: `callers` send what `shot` makes of the numbers from 0 on, each at once after the answer to
    /// its last, however that was, until `within` is over. Answers are not kept: `kind` tells what to count them as.
    ///
    /// # Errors
    /// If a shot cannot be made.
    pub async fn flood<S, K>(&self, shot: S, kind: K, callers: usize, within: Duration) -> anyhow::Result<Kinds>
    where
        S: Fn(usize) -> anyhow::Result<Shot> + Send + Sync + 'static,
        K: Fn(usize, &Answer) -> String + Send + Sync + 'static,
    {
        let next = AtomicUsize::new(0);
        let kinds = Mutex::new(Kinds::new());
        let shared = Arc::new((shot, kind, next, kinds));
        let began = Instant::now();
        let mut tasks = Vec::with_capacity(callers);
        for caller in 0..callers {
            let mut sender = self.sender(caller).context("a client without connections")?;
            let shared = Arc::clone(&shared);
            tasks.push(tokio::spawn(async move {
                let (shot, kind, next, kinds) = &*shared;
                while began.elapsed() < within {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let shot = shot(index)?;
                    let sent = Instant::now();
                    let answer = fire(&mut sender, &shot).await;
                    let latency = micros(sent.elapsed());
                    let kind = kind(index, &answer);
                    let mut kinds = kinds.lock().unwrap_or_else(PoisonError::into_inner);
                    match kinds.get_mut(&kind) {
                        Some(kind) => kind.record(latency)?,
                        None => {
                            let mut first = histogram()?;
                            first.record(latency)?;
                            kinds.insert(kind, first);
                        }
                    }
                    drop(kinds);
                    if matches!(answer, Answer::Broken(_)) {
                        break;
                    }
                }
                anyhow::Ok(())
            }));
        }
        for task in tasks {
            task.await??;
        }
        let mut kinds = shared.3.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *kinds))
    }

    /// Opens a stream with each shot and listens to all of them until the listeners are dropped. Every stream has had its first
    /// message when this returns.
    ///
    /// # Errors
    /// If one is refused.
    pub async fn listen(&self, shots: &[Shot]) -> anyhow::Result<Listeners> {
        let messages = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        let (first, mut firsts) = mpsc::unbounded_channel();
        for (caller, shot) in shots.iter().enumerate() {
            let mut sender = self.sender(caller).context("a client without connections")?;
            futures::future::poll_fn(|context| sender.poll_ready(context)).await?;
            let (answer, mut stream) = sender.send_request(shot.request(), false)?;
            stream.send_data(shot.body.clone(), true)?;
            let (messages, first) = (Arc::clone(&messages), first.clone());
            tasks.spawn(async move {
                let mut body = answer.await?.into_body();
                let mut first = Some(first);
                while let Some(chunk) = body.data().await {
                    let chunk = chunk?;
                    body.flow_control().release_capacity(chunk.len())?;
                    messages.fetch_add(1, Ordering::Relaxed);
                    if let Some(first) = first.take() {
                        let _ = first.send(());
                    }
                }
                anyhow::Ok(())
            });
        }
        drop(first);
        for _ in shots {
            firsts.recv().await.context("a stream ended before its first message")?;
        }
        Ok(Listeners { messages, tasks })
    }
}

/// Streams that are listened to.
#[derive(Debug)]
pub struct Listeners {
    messages: Arc<AtomicUsize>,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Listeners {
    /// Chunks of messages that have come so far.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.messages.load(Ordering::Relaxed)
    }

    /// Streams that have ended meanwhile.
    #[must_use]
    pub fn ended(&mut self) -> usize {
        std::iter::from_fn(|| self.tasks.try_join_next()).count()
    }
}

/// Waits until a server says that it serves.
///
/// # Errors
/// If it has not within `PERSISTENCE`.
pub async fn until_serving(address: SocketAddr) -> anyhow::Result<()> {
    let shot = Shot::new(address, "grpc.health.v1.Health/Check", "", &())?;
    let until = Instant::now() + PERSISTENCE;
    loop {
        if let Ok(client) = Client::connect(address, 1).await
            && let Some(mut sender) = client.sender(0)
            && let Answer::Reply(status) = fire(&mut sender, &shot).await
            && status == SERVING
        {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < until, "it does not serve within {PERSISTENCE:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Sends all shots by `callers`, each again and again with the same request id until its answer is final, whatever breaks
/// meanwhile. `answered` counts the final answers. In the order of the shots.
///
/// # Errors
/// If a shot has no final answer within `PERSISTENCE`.
pub async fn insist(
    address: SocketAddr,
    shots: Arc<Vec<Shot>>,
    callers: usize,
    answered: watch::Sender<usize>,
) -> anyhow::Result<Vec<Answer>> {
    let next = Arc::new(AtomicUsize::new(0));
    let answered = Arc::new(answered);
    let mut tasks = Vec::new();
    for _ in 0..callers {
        let (shots, next, answered) = (Arc::clone(&shots), Arc::clone(&next), Arc::clone(&answered));
        tasks.push(tokio::spawn(async move {
            let mut client = None;
            let mut answers = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(shot) = shots.get(index) else { return anyhow::Ok(answers) };
                answers.push((index, finally(address, &mut client, shot).await?));
                answered.send_modify(|count| *count += 1);
            }
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    all.sort_by_key(|(index, _)| *index);
    Ok(all.into_iter().map(|(_, answer)| answer).collect())
}

async fn finally(address: SocketAddr, client: &mut Option<Client>, shot: &Shot) -> anyhow::Result<Answer> {
    let until = Instant::now() + PERSISTENCE;
    loop {
        if client.is_none() {
            *client = Client::connect(address, 1).await.ok();
        }
        let answer = match client.as_ref().and_then(|client| client.sender(0)) {
            Some(mut sender) => fire(&mut sender, shot).await,
            None => Answer::Broken("no connection".to_owned()),
        };
        if matches!(answer, Answer::Broken(_)) {
            *client = None;
        }
        if answer.is_final() {
            return Ok(answer);
        }
        anyhow::ensure!(Instant::now() < until, "no final answer within {PERSISTENCE:?}, but {answer:?}");
        tokio::time::sleep(AGAIN).await;
    }
}

fn micros(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX).max(1)
}

async fn fire(sender: &mut SendRequest<Bytes>, shot: &Shot) -> Answer {
    match exchange(sender, shot).await {
        Ok(answer) => answer,
        Err(error) => Answer::Broken(error.to_string()),
    }
}

async fn exchange(sender: &mut SendRequest<Bytes>, shot: &Shot) -> Result<Answer, h2::Error> {
    futures::future::poll_fn(|context| sender.poll_ready(context)).await?;
    let (answer, mut stream) = sender.send_request(shot.request(), false)?;
    stream.send_data(shot.body.clone(), true)?;
    let (head, mut body) = answer.await?.into_parts();
    if head.headers.contains_key(Status::GRPC_STATUS) {
        return Ok(Answer::Refusal(Box::new(head.headers)));
    }
    let mut message = Bytes::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        message = if message.is_empty() { chunk } else { [message, chunk].concat().into() };
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    let done = trailers.get(Status::GRPC_STATUS).is_some_and(|status| status == "0");
    if done && message.len() >= FRAME_HEAD {
        return Ok(Answer::Reply(message.slice(FRAME_HEAD..)));
    }
    Ok(Answer::Refusal(Box::new(trailers)))
}
