//! The one place that enforces the contract's rules: identity and role for every call of every server. The gate is
//! checked where the transaction begins; what this layer found out travels there as an `Admission`.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use proto::{
    Actor,
    common::v1::{Reason, Role},
};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use crate::{
    call::Admission,
    contract::{self, Method, Rule},
    env::Env,
    failure::{Failure, Faults},
    gates,
    identity::{Identity, Verified},
    peer::SERVICE_HEADER,
    server::guard::Guard,
    tls::Came,
    trail::{Trail, reads_others},
};

/// Services that every gRPC server offers and no rule of ours is about.
const STANDARD: [&str; 3] = ["/grpc.health.v1.", "/grpc.reflection.v1.", "/grpc.reflection.v1alpha."];
/// What a hop takes off a deadline, so that its answer still arrives.
const HOP: Duration = Duration::from_millis(20);
/// With less than this left, a call between services is not begun.
const TOO_LATE: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Clone)]
pub struct RuleLayer {
    identity: Identity,
    env: Env,
    guard: Option<Arc<dyn Guard>>,
    trail: Trail,
}

impl RuleLayer {
    pub fn new(identity: Identity, env: Env, guard: Option<Arc<dyn Guard>>, trail: Trail) -> Self {
        Self { identity, env, guard, trail }
    }

    fn admit(&self, request: &http::Request<Body>) -> Result<Option<Admission>, Failure> {
        let path = request.uri().path();
        if STANDARD.iter().any(|standard| path.starts_with(standard)) {
            return Ok(None);
        }
        // A path of no contract goes on to the router, which knows no such method either.
        let Some(method) = contract::method(path) else {
            return Ok(None);
        };
        let Some(rule) = &method.rule else {
            return Err(Failure::internal(format!("{path} has no rule")));
        };
        if let Some(guard) = &self.guard {
            let from = request.extensions().get::<Came>().and_then(|came| came.from);
            guard.address(method, from, request.headers())?;
        }
        let timeout = header(request, "grpc-timeout").and_then(parse_timeout);
        let deadline = timeout.map(|timeout| tokio::time::Instant::now() + timeout.saturating_sub(HOP));
        let actor = self.actor(request, method, rule)?;
        if let Some(guard) = &self.guard {
            guard.caller(&actor)?;
        }
        if !actor.service.is_empty() && method.is_unary() {
            match timeout {
                None => {
                    let mut faults = Faults::new();
                    faults.add("grpc-timeout", "服务间调用须带期限", "a call between services needs a deadline");
                    faults.check()?;
                }
                Some(left) if left < TOO_LATE => return Err(Failure::new(Reason::DeadlineExceeded)),
                Some(_) => {}
            }
        }
        let trail = (rule.personal && reads_others(&actor)).then(|| self.trail.clone());
        Ok(Some(Admission { method, actor, at: self.env.clock.now(), deadline, trail }))
    }

    /// The caller with those of his roles that the rule names. A person's token decides before the service's that brings it.
    fn actor(&self, request: &http::Request<Body>, method: &Method, rule: &Rule) -> Result<Arc<Actor>, Failure> {
        if rule.public {
            return Ok(Arc::default());
        }
        let person = header(request, "authorization").map(|value| {
            let token = value.strip_prefix("Bearer ").ok_or_else(|| Failure::new(Reason::Unauthenticated))?;
            self.identity.person(token)
        });
        let service = header(request, SERVICE_HEADER).map(|token| self.identity.service(token));
        // Whoever vouches for a call must be who it says, also where a person's token decides.
        let service = service.transpose()?;
        if let Some(service) = &service {
            came_as(request, &service.actor.service)?;
        }
        if let Some(Verified { actor: person, .. }) = person.transpose()? {
            let named = |role: Role| rule.grants.iter().any(|grant| grant.roles.contains(&role));
            let roles = person.roles.iter().filter(|held| named(held.role)).count();
            if roles > 0 {
                return Ok(if roles == person.roles.len() { person } else { acting(&person, named) });
            }
            // Not as the service that brings him: what services alone may do, no person does through one.
            return Err(not_allowed(method, rule));
        }
        let Some(Verified { actor, .. }) = service else {
            return Err(Failure::new(Reason::Unauthenticated));
        };
        if rule.grants.iter().any(|grant| gates::serves(grant, &actor)) {
            return Ok(actor);
        }
        Err(not_allowed(method, rule))
    }
}

/// A service's token is good on that service's own connections alone: who took it from somewhere else has not its certificate.
fn came_as(request: &http::Request<Body>, service: &str) -> Result<(), Failure> {
    let caller = request.extensions().get::<Came>().map(|came| &came.caller);
    if caller.is_some_and(|caller| caller.may_be(service)) {
        return Ok(());
    }
    tracing::warn!(service, ?caller, "a service's token over a connection that is not the service's");
    Err(Failure::new(Reason::Unauthenticated))
}

/// The person with those of his roles that are `named`.
fn acting(person: &Actor, named: impl Fn(Role) -> bool) -> Arc<Actor> {
    let roles = person.roles.iter().filter(|held| named(held.role)).cloned().collect();
    let (account, teacher) = (person.account.clone(), person.teacher.clone());
    Arc::new(Actor { account, teacher, roles, service: String::new() })
}

fn not_allowed(method: &Method, rule: &Rule) -> Failure {
    let mut allowed: Vec<_> = rule.grants.iter().flat_map(|grant| &grant.roles).map(Role::as_str_name).collect();
    allowed.sort_unstable();
    allowed.dedup();
    Failure::new(Reason::RoleNotAllowed).with("method", &method.name).with("allowed", allowed.join(", "))
}

fn refused(failure: Failure) -> http::Response<Body> {
    Status::from(failure).into_http()
}

/// What the codec would not read is the caller's fault, and tonic calls it internal, or out of range: every failure of ours has
/// details.
fn legible(answer: http::Response<Body>) -> http::Response<Body> {
    let headers = answer.headers();
    if headers.contains_key("grpc-status-details-bin") {
        return answer;
    }
    let (zh, en) = match headers.get(Status::GRPC_STATUS).map(http::HeaderValue::as_bytes) {
        Some(b"11") => ("请求过大：请分页或分批发送", "the message is too large: send it in parts"),
        Some(b"13") => ("请求内容不是本方法的消息", "the bytes are no message of this method"),
        _ => return answer,
    };
    let mut faults = Faults::new();
    faults.add("request", zh, en);
    faults.check().map_or_else(refused, |()| answer)
}

fn header<'a>(request: &'a http::Request<Body>, name: &str) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// `grpc-timeout`: up to eight digits and a unit.
pub(crate) fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value.checked_mul(3600)?),
        "M" => Duration::from_secs(value.checked_mul(60)?),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

impl<S> Layer<S> for RuleLayer {
    type Service = Ruled<S>;
    fn layer(&self, inner: S) -> Ruled<S> {
        Ruled { inner, rules: self.clone() }
    }
}

/// See [`RuleLayer`].
#[derive(Clone)]
pub struct Ruled<S> {
    inner: S,
    rules: RuleLayer,
}

impl<S> Service<http::Request<Body>> for Ruled<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        match self.rules.admit(&request) {
            Ok(admission) => {
                let deadline = admission.as_ref().and_then(|admission| admission.deadline);
                if let Some(admission) = admission {
                    request.extensions_mut().insert(admission);
                }
                let work = self.inner.call(request);
                Box::pin(async move {
                    let answered = match deadline {
                        Some(deadline) => tokio::time::timeout_at(deadline, work).await,
                        None => Ok(work.await),
                    };
                    answered.map_or_else(
                        |_| Ok(refused(Failure::new(Reason::DeadlineExceeded))),
                        |answer| Ok(legible(answer?)),
                    )
                })
            }
            Err(failure) => {
                let refused = refused(failure);
                Box::pin(async move { Ok(refused) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_has_them() {
        let read = [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("3S", Duration::from_secs(3)),
            ("99999999m", Duration::from_millis(99_999_999)),
            ("5u", Duration::from_micros(5)),
            ("6n", Duration::from_nanos(6)),
        ];
        for (text, expected) in read {
            assert_eq!(parse_timeout(text), Some(expected), "{text}");
        }
        for text in ["", "S", "1", "1s", "-1S", "+1S", " 1S", "1 S", "1.5S", "123456789S", "1秒", "秒"] {
            assert_eq!(parse_timeout(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_timeout_panics(text in ".*", number: u64, unit in "[HMSmun]") {
            let _ = parse_timeout(&text);
            let _ = parse_timeout(&format!("{number}{unit}"));
        }
    }
}
