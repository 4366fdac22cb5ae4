//! The services behind the gateway, played: they note what they are asked, and fail where they are told to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use chassis::changes::feed::{chain_step, digest_step, zero};
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, Full};
use prost::{Message, Name};
use proto::{
    common::v1::{
        Change, Gates, GetStatusRequest, GetStatusResponse, PutGatesRequest, PutGatesResponse, Role, RoleGrant,
        RunStepRequest, RunStepResponse, SettleWindowRequest, SettleWindowResponse, StepCount, WaitMirrorRequest,
        WaitMirrorResponse, WatchRequest, WatchResponse,
        change_service_server::{ChangeService, ChangeServiceServer},
        gate_service_server::{GateService, GateServiceServer},
        step_service_server::{StepService, StepServiceServer},
    },
    roster::v1::{AuthenticateRequest, AuthenticateResponse, Identity, ResolveAccountRequest, ResolveAccountResponse},
};
use tokio::{net::TcpListener, sync::watch};
use tokio_stream::{StreamExt as _, wrappers::WatchStream};
use tonic::{
    Request, Response, Status,
    body::Body,
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tonic_types::{BadRequest, ErrorDetails, FieldViolation, StatusExt as _};

/// When a call fails the first time it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fails {
    Never,
    /// Nothing was done.
    Before,
    /// It was done, and the answer is lost.
    After,
}

/// A service that is played.
#[derive(Clone)]
pub struct Fake {
    pub service: &'static str,
    pub address: String,
    state: Arc<Mutex<State>>,
    /// What all services did, in order.
    log: Arc<Mutex<Vec<String>>>,
    feed: Arc<watch::Sender<Vec<WatchResponse>>>,
}

struct State {
    fails: Fails,
    away: bool,
    /// An action whose second page is never answered.
    hangs: Option<i32>,
    failed: BTreeSet<String>,
    gates: Option<Gates>,
    settled: BTreeSet<String>,
    replies: BTreeMap<String, (RunStepRequest, RunStepResponse)>,
    /// How often each page of an action was asked for.
    asked: BTreeMap<(i32, i32), usize>,
    /// Calls that were passed on: path and headers.
    passed: Vec<(String, HeaderMap)>,
    unavailable: usize,
}

impl Fake {
    pub async fn start(service: &'static str, log: &Arc<Mutex<Vec<String>>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = State {
            fails: Fails::Never,
            away: false,
            hangs: None,
            failed: BTreeSet::new(),
            gates: None,
            settled: BTreeSet::new(),
            replies: BTreeMap::new(),
            asked: BTreeMap::new(),
            passed: Vec::new(),
            unavailable: 0,
        };
        let fake = Self {
            service,
            address,
            state: Arc::new(Mutex::new(state)),
            log: Arc::clone(log),
            feed: Arc::new(watch::Sender::new(Vec::new())),
        };
        let mut routes = Routes::builder();
        routes.add_service(GateServiceServer::new(fake.clone()));
        routes.add_service(StepServiceServer::new(fake.clone()));
        routes.add_service(ChangeServiceServer::new(fake.clone()));
        let echo = fake.clone();
        let routes: Routes = routes
            .routes()
            .into_axum_router()
            .fallback(move |request| {
                let echo = echo.clone();
                async move { echo.answer(request).await }
            })
            .into();
        let server = Server::builder().add_routes(routes).serve_with_incoming(TcpIncoming::from(listener));
        tokio::spawn(server);
        fake
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn fails(&self, fails: Fails) {
        self.state().fails = fails;
    }

    pub fn away(&self, away: bool) {
        self.state().away = away;
    }

    pub fn hangs(&self, action: Option<i32>) {
        self.state().hangs = action;
    }

    pub fn asked(&self, action: i32, page: i32) -> usize {
        self.state().asked.get(&(action, page)).copied().unwrap_or_default()
    }

    pub fn gates(&self) -> Option<Gates> {
        self.state().gates.clone()
    }

    /// Calls that were passed on since the last time.
    pub fn passed(&self) -> Vec<(String, HeaderMap)> {
        std::mem::take(&mut self.state().passed)
    }

    /// So many of the next calls that are passed on are answered UNAVAILABLE.
    pub fn unavailable(&self, times: usize) {
        self.state().unavailable = times;
    }

    /// Appends a change to the feed.
    pub fn tell<M: Message + Name>(&self, resource: &str, at: i64, after: &M) {
        self.feed.send_modify(|feed| {
            let after = prost_types::Any { type_url: M::type_url(), value: after.encode_to_vec() };
            let at = Some(proto::timestamp(at));
            let change = Change { resource: resource.to_owned(), at, after: Some(after), ..Change::default() };
            let digest = digest_step(&zero(), &change.encode_to_vec());
            let position = feed.len() as i64 + 1;
            let before = feed.last().map_or_else(zero, |last| last.chain.clone());
            let chain = chain_step(&before, position, &digest);
            feed.push(WatchResponse { position, first: 0, changes: vec![change], count: 1, digest, chain });
        });
    }

    /// Where its feed stands.
    fn position(&self) -> i64 {
        self.feed.borrow().len() as i64
    }

    /// One call: fails as told, else has its effect.
    fn call<R>(
        &self,
        key: String,
        effect: impl FnOnce(&mut State, &mut Vec<String>) -> Result<R, Status>,
    ) -> Result<R, Status> {
        let mut state = self.state();
        if state.away {
            return Err(Status::unavailable("away"));
        }
        if state.fails == Fails::Before && state.failed.insert(key.clone()) {
            return Err(Status::unavailable("lost on the way here"));
        }
        let reply = effect(&mut state, &mut self.log.lock().unwrap())?;
        if state.fails == Fails::After && state.failed.insert(key) {
            return Err(Status::unavailable("lost on the way back"));
        }
        Ok(reply)
    }

    /// Sends back what comes, in its frames; knows who may log in.
    async fn answer(&self, request: http::Request<axum::body::Body>) -> http::Response<Body> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let refused = {
            let mut state = self.state();
            state.passed.push((path.clone(), parts.headers));
            let refused = state.away || state.unavailable > 0;
            state.unavailable = state.unavailable.saturating_sub(1);
            refused
        };
        if refused {
            return Status::unavailable("away").into_http();
        }
        let replied = match path.rsplit('/').next() {
            Some("Authenticate") => {
                let request: AuthenticateRequest = decode(body).await;
                match identity(&request.login).filter(|_| request.password == "right") {
                    Some(identity) => AuthenticateResponse { identity: Some(identity) }.encode_to_vec(),
                    None => {
                        let details = ErrorDetails::with_error_info("REASON_BAD_CREDENTIALS", "shixun", []);
                        return Status::with_error_details(tonic::Code::Unauthenticated, "no", details).into_http();
                    }
                }
            }
            Some("ResolveAccount") => {
                let request: ResolveAccountRequest = decode(body).await;
                let login = request.account.trim_start_matches("accounts/");
                ResolveAccountResponse { identity: identity(login) }.encode_to_vec()
            }
            _ => return grpc(body),
        };
        let mut frame = vec![0];
        frame.extend(u32::try_from(replied.len()).unwrap().to_be_bytes());
        frame.extend(replied);
        grpc(Full::new(bytes::Bytes::from(frame)).map_err(axum::Error::new))
    }
}

async fn decode<M: Message + Default>(body: axum::body::Body) -> M {
    let bytes = body.collect().await.unwrap().to_bytes();
    M::decode(&bytes[5..]).unwrap()
}

fn grpc<B>(body: B) -> http::Response<Body>
where
    B: http_body::Body<Data = bytes::Bytes, Error = axum::Error> + Send + 'static,
{
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Body::new(body.with_trailers(async { Some(Ok(trailers)) }));
    http::Response::builder().header("content-type", "application/grpc").body(body).unwrap()
}

/// Who logs in: the login is the role.
fn identity(login: &str) -> Option<Identity> {
    let role = match login {
        "officer" => Role::BureauOfficer,
        "operator" => Role::Operator,
        "teacher" => Role::Teacher,
        _ => return None,
    };
    Some(Identity {
        account: format!("accounts/{login}"),
        teacher: if role == Role::Teacher { "teachers/t1".to_owned() } else { String::new() },
        roles: vec![RoleGrant { role: role.into(), organization: "organizations/o1".to_owned() }],
    })
}

#[tonic::async_trait]
impl GateService for Fake {
    async fn put_gates(&self, request: Request<PutGatesRequest>) -> Result<Response<PutGatesResponse>, Status> {
        let PutGatesRequest { gates, validate_only } = request.into_inner();
        let gates = gates.unwrap();
        let table: toml::Table = gates.policy.parse().unwrap_or_default();
        if table
            .get(self.service)
            .and_then(|section| section.get("limit"))
            .is_some_and(|limit| limit.as_integer() < Some(0))
        {
            let field = format!("policy.{}.limit", self.service);
            let violations = vec![FieldViolation::new(field, "不得为负 / must not be negative")];
            let details = ErrorDetails::with_bad_request(BadRequest::new(violations).field_violations);
            return Err(Status::with_error_details(tonic::Code::InvalidArgument, "faults", details));
        }
        let version = gates.version;
        if !validate_only {
            self.call(format!("put {version}"), |state, log| {
                if state.gates.as_ref().is_none_or(|known| known.version < version) {
                    log.push(format!("{} takes gates {version}", self.service));
                    state.gates = Some(gates);
                }
                Ok(())
            })?;
        } else if self.state().away {
            return Err(Status::unavailable("away"));
        }
        Ok(Response::new(PutGatesResponse { version }))
    }

    async fn settle_window(
        &self,
        request: Request<SettleWindowRequest>,
    ) -> Result<Response<SettleWindowResponse>, Status> {
        let window = request.into_inner().window;
        self.call(format!("settle {window}"), |state, log| {
            let gates = state.gates.as_ref().ok_or_else(|| Status::internal("settled before the gates came"))?;
            if !gates.windows.iter().any(|known| known.id == window) {
                return Err(Status::not_found("no such window"));
            }
            if state.settled.insert(window.clone()) {
                log.push(format!("{} settles {window}", self.service));
            }
            Ok(Response::new(SettleWindowResponse { position: self.position() }))
        })
    }

    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        let position = self.position();
        self.call(format!("status {position}"), |_, _| {
            Ok(Response::new(GetStatusResponse { position, ..GetStatusResponse::default() }))
        })
    }

    async fn wait_mirror(&self, request: Request<WaitMirrorRequest>) -> Result<Response<WaitMirrorResponse>, Status> {
        let WaitMirrorRequest { source, position } = request.into_inner();
        self.call(format!("wait {source} {position}"), |_, log| {
            log.push(format!("{} mirrors {source}", self.service));
            Ok(Response::new(WaitMirrorResponse { position }))
        })
    }
}

#[tonic::async_trait]
impl StepService for Fake {
    async fn run_step(&self, request: Request<RunStepRequest>) -> Result<Response<RunStepResponse>, Status> {
        let mut request = request.into_inner();
        request.gate_version = 0;
        let hangs = {
            let mut state = self.state();
            *state.asked.entry((request.action, request.page)).or_default() += 1;
            state.hangs == Some(request.action) && request.page == 1
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        self.call(request.request_id.clone(), |state, log| {
            if let Some((first, reply)) = state.replies.get(&request.request_id) {
                assert_eq!(first, &request, "a request id was used again for something else");
                return Ok(Response::new(reply.clone()));
            }
            let action = request.action().as_str_name();
            log.push(format!("{} {action} {}{} {}", self.service, request.window, request.subject, request.page));
            let reply = RunStepResponse {
                changed: 1,
                // Some take several pages.
                more: action.contains("LAPSE") && request.page < 2,
                position: self.position(),
                counts: vec![StepCount { key: "done".to_owned(), value: 10 }],
            };
            state.replies.insert(request.request_id.clone(), (request, reply.clone()));
            Ok(Response::new(reply))
        })
    }
}

#[tonic::async_trait]
impl ChangeService for Fake {
    type WatchStream = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let mut sent = request.into_inner().after.unwrap_or_default().position;
        let stream = WatchStream::new(self.feed.subscribe()).map(move |feed| {
            let fresh: Vec<_> = feed.into_iter().filter(|message| message.position > sent).collect();
            sent = fresh.last().map_or(sent, |last| last.position);
            fresh
        });
        let stream = futures::StreamExt::flat_map(stream, |fresh| futures::stream::iter(fresh.into_iter().map(Ok)));
        Ok(Response::new(Box::pin(stream)))
    }
}
