//! A person at the gateway: logged in once, calling under deadlines, trying again when told to.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{ConstantBuilder, Retryable as _};
use chassis::contract;
use prost::{Message, Name};
use proto::common::v1::Idempotency;
use proto::gateway::v1::session_service_client::SessionServiceClient;
use proto::gateway::v1::{LoginRequest, Session};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};

use super::books::Refusal;
use super::journal::Journal;

/// How long a person waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Calls one method of a client as a person: `call!(person, SelectionServiceClient.submit_selection(message))`.
macro_rules! call {
    ($caller:expr, $client:ident . $method:ident ($message:expr)) => {
        $caller.call($message, |channel, request| async move { $client::new(channel).$method(request).await }).await
    };
}
pub(super) use call;

/// A person who is logged in. Cheap to clone.
#[derive(Clone)]
pub struct Caller(Arc<Inner>);

struct Inner {
    channel: Channel,
    login: String,
    password: String,
    session: Mutex<Session>,
    journal: Arc<Journal>,
}

impl Caller {
    /// Logs in. Who did before the play was interrupted does it again with the first call that has no answer yet.
    ///
    /// # Errors
    /// The refusal.
    pub async fn log_in(channel: Channel, login: &str, password: &str, journal: Arc<Journal>) -> Result<Self, Refusal> {
        // Tokens are not for a file.
        let lasting = |session: Session| Session { account: session.account, ..Session::default() };
        let question = LoginRequest { login: login.to_owned(), password: String::new() };
        let session = match journal.answer(login, &question) {
            Some(session) => session?,
            None => {
                let session = authenticate(&channel, login, password).await;
                journal.keep(login, &question, &session.clone().map(lasting));
                session?
            }
        };
        Ok(Self(Arc::new(Inner {
            channel,
            login: login.to_owned(),
            password: password.to_owned(),
            session: Mutex::new(session),
            journal,
        })))
    }

    /// "accounts/…"
    #[must_use]
    pub fn account(&self) -> String {
        self.session(|session| session.account.clone())
    }

    /// What the person logs in with.
    #[must_use]
    pub fn login(&self) -> &str {
        &self.0.login
    }

    fn session<T>(&self, read: impl FnOnce(&Session) -> T) -> T {
        read(&self.0.session.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One call of the play: answered from the journal where it was answered before.
    ///
    /// # Errors
    /// The refusal.
    pub async fn call<M, R, Send, Sent>(&self, message: M, send: Send) -> Result<R, Refusal>
    where
        M: Name + Clone,
        R: Message + Default,
        Send: Fn(Channel, Request<M>) -> Sent,
        Sent: Future<Output = Result<Response<R>, Status>>,
    {
        let Inner { login, journal, .. } = &*self.0;
        if let Some(answer) = journal.answer(login, &message) {
            return answer;
        }
        if acts::<M>() {
            journal.settle().await;
        }
        let answer = self.ask(message.clone(), send).await;
        journal.keep(login, &message, &answer);
        answer
    }

    /// One call beside the play, always made. What is safe to repeat is repeated: overload and absence of a service, and a
    /// token that ran out.
    ///
    /// # Errors
    /// The refusal.
    pub async fn ask<M, R, Send, Sent>(&self, message: M, send: Send) -> Result<R, Refusal>
    where
        M: Clone,
        Send: Fn(Channel, Request<M>) -> Sent,
        Sent: Future<Output = Result<Response<R>, Status>>,
    {
        let once = || async {
            let mut request = Request::new(message.clone());
            request.set_timeout(PATIENCE);
            let bearer = self.session(|session| format!("Bearer {}", session.access_token));
            if let Ok(bearer) = bearer.parse() {
                request.metadata_mut().insert("authorization", bearer);
            }
            send(self.0.channel.clone(), request).await.map(Response::into_inner).map_err(Refusal::from)
        };
        let patient = || once.retry(patience()).when(Refusal::is_passing);
        match patient().await {
            Err(refusal) if refusal.code == Code::Unauthenticated && !self.0.password.is_empty() => {
                let renewed = authenticate(&self.0.channel, &self.0.login, &self.0.password).await?;
                *self.0.session.lock().unwrap_or_else(PoisonError::into_inner) = renewed;
                patient().await
            }
            other => other,
        }
    }

    /// One call that is answered by a stream.
    ///
    /// # Errors
    /// The refusal.
    pub async fn stream<M, R, Send, Sent>(&self, message: M, send: Send) -> Result<Streaming<R>, Refusal>
    where
        M: Clone,
        Send: Fn(Channel, Request<M>) -> Sent,
        Sent: Future<Output = Result<Response<Streaming<R>>, Status>>,
    {
        // A stream has no deadline.
        self.ask(message, |channel, request| {
            let mut request = request;
            request.metadata_mut().remove("grpc-timeout");
            send(channel, request)
        })
        .await
    }

    /// The same connection without a token.
    #[must_use]
    pub fn nobody(&self) -> Self {
        Self(Arc::new(Inner {
            channel: self.0.channel.clone(),
            login: String::new(),
            password: String::new(),
            session: Mutex::default(),
            journal: self.0.journal.clone(),
        }))
    }
}

/// Whether a call changes anything: by its method's rule, and without one.
fn acts<M: Name>() -> bool {
    let name = M::full_name();
    let rule = contract::methods().find(|method| method.input == name).and_then(|method| method.rule.as_ref());
    rule.is_none_or(|rule| rule.idempotency != Idempotency::ReadOnly)
}

/// A service that is being restarted is away for a moment.
fn patience() -> ConstantBuilder {
    ConstantBuilder::default().with_delay(Duration::from_millis(50)).with_max_times(400)
}

async fn authenticate(channel: &Channel, login: &str, password: &str) -> Result<Session, Refusal> {
    let once = || async {
        let mut request = Request::new(LoginRequest { login: login.to_owned(), password: password.to_owned() });
        request.set_timeout(PATIENCE);
        let reply = SessionServiceClient::new(channel.clone()).login(request).await?.into_inner();
        reply.session.ok_or_else(|| Refusal::from(Status::internal("no session in the reply to a login")))
    };
    once.retry(patience()).when(Refusal::is_passing).await
}

#[cfg(test)]
mod tests {
    use proto::enrollment::v1::{ListSelectionsRequest, ListSelectionsResponse};
    use proto::enrollment::v1::{WithdrawSelectionRequest, WithdrawSelectionResponse};

    use super::*;

    /// Decided by an answer that a power cut takes away, an act could not be understood afterwards.
    #[tokio::test]
    async fn nobody_acts_before_the_answers_are_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Arc::new(Journal::open(&folder.path().join("journal")).unwrap());
        let caller = Caller(Arc::new(Inner {
            channel: chassis::peer::channel("http://127.0.0.1:1").unwrap(),
            login: "t1".to_owned(),
            password: String::new(),
            session: Mutex::default(),
            journal: journal.clone(),
        }));
        let listed = || async { Ok::<_, Status>(Response::new(ListSelectionsResponse::default())) };
        caller.call(ListSelectionsRequest::default(), |_, _| listed()).await.unwrap();
        assert!(!journal.is_settled(), "reading waits for no disk");
        let act = |settled: bool| async move {
            assert!(settled);
            Ok::<_, Status>(Response::new(WithdrawSelectionResponse::default()))
        };
        caller.call(WithdrawSelectionRequest::default(), |_, _| act(journal.is_settled())).await.unwrap();
    }
}
