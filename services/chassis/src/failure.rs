//! Why a call fails. One map for all services: `proto/shixun/common/v1/reason.proto` gives each reason its gRPC code and
//! its text in both languages; `wire` sends them.

mod faults;
mod wire;

use std::{collections::BTreeMap, fmt, sync::LazyLock, time::Duration};

use opentelemetry::metrics::Counter;
use proto::{
    common::v1::{Ground, Reason},
    words::Language,
};
use tonic::Code;

pub use faults::Faults;
use wire::fill;

use crate::{
    contract::{self, ReasonText},
    db::renewal::{READ_ONLY, is_overtaken},
    telemetry::meter,
};

/// Statements that a full disk refused.
pub(crate) static STORAGE_FULL: LazyLock<Counter<u64>> = LazyLock::new(|| {
    meter().u64_counter("shixun.database.full").with_description("Statements refused because a disk is full").build()
});

/// The domain of our `ErrorInfo`s.
pub const DOMAIN: &str = "shixun";

/// Variables of a reason's text.
pub type Metadata = BTreeMap<String, String>;

/// Why a call fails, or (never seen by a handler) why it need not run: its first reply is there already.
#[derive(Debug)]
pub struct Failure(Box<Kind>);

#[derive(Debug)]
enum Kind {
    Refused(Refusal),
    /// The request was answered before: these are the first reply's bytes.
    Replayed(Vec<u8>),
    /// The transaction met another one; run it again.
    Conflict,
    Internal(String),
}

#[derive(Debug)]
struct Refusal {
    reason: Reason,
    metadata: Metadata,
    violations: Vec<Violation>,
    preconditions: Vec<Precondition>,
    retry_after: Option<Duration>,
}

#[derive(Debug)]
struct Violation {
    field: String,
    zh: String,
    en: String,
}

#[derive(Debug)]
struct Precondition {
    reason: Reason,
    subject: String,
    metadata: Metadata,
}

impl Failure {
    /// Refused for `reason`.
    #[must_use]
    pub fn new(reason: Reason) -> Self {
        Self(Box::new(Kind::Refused(Refusal {
            reason,
            metadata: Metadata::new(),
            violations: Vec::new(),
            preconditions: Vec::new(),
            retry_after: None,
        })))
    }

    /// A fault of the software: the caller learns only that, the log gets `cause`.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self(Box::new(Kind::Internal(cause.to_string())))
    }

    /// `resource` does not exist, or not for this caller.
    #[must_use]
    pub fn not_found(resource: &str) -> Self {
        Self::new(Reason::NotFound).with("resource", resource)
    }

    /// `resource` is another's.
    #[must_use]
    pub fn out_of_scope(resource: &str) -> Self {
        Self::new(Reason::OutOfScope).with("resource", resource)
    }

    /// `resource` is in `state`, which has no `event`.
    #[must_use]
    pub fn state(resource: &str, state: &str, event: &str) -> Self {
        Self::new(Reason::StateConflict).with("resource", resource).with("state", state).with("event", event)
    }

    /// A service, or the "database", cannot be asked now.
    #[must_use]
    pub fn away(service: &str) -> Self {
        Self::new(Reason::Unavailable).with("service", service).retry_after(Duration::from_secs(1))
    }

    /// The database cannot be asked now.
    fn database_away(cause: &sqlx::Error) -> Self {
        tracing::warn!(%cause, "the database is away");
        Self::away("database")
    }

    /// The database has no room for what was to be written.
    fn storage_full(cause: &sqlx::Error) -> Self {
        tracing::error!(%cause, "the database has no room left");
        STORAGE_FULL.add(1, &[]);
        Self::new(Reason::StorageFull).retry_after(Duration::from_secs(10))
    }

    pub(crate) fn replayed(reply: Vec<u8>) -> Self {
        Self(Box::new(Kind::Replayed(reply)))
    }

    /// The transaction met another one, or what another one left: it is run again.
    #[must_use]
    pub fn conflict() -> Self {
        Self(Box::new(Kind::Conflict))
    }

    /// Adds a variable of the reason's text. Never personal data.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        if let Kind::Refused(refusal) = &mut *self.0 {
            refusal.metadata.insert(key.to_owned(), value.to_string());
        }
        self
    }

    /// Adds a rule that is not met; several make one answer.
    #[must_use]
    pub fn precondition(mut self, reason: Reason, subject: &str, metadata: Metadata) -> Self {
        if let Kind::Refused(refusal) = &mut *self.0 {
            refusal.preconditions.push(Precondition { reason, subject: subject.to_owned(), metadata });
        }
        self
    }

    /// Tells the caller when to try again.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        if let Kind::Refused(refusal) = &mut *self.0 {
            refusal.retry_after = Some(delay);
        }
        self
    }

    /// The reason of a refusal; `None` for an internal fault.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match &*self.0 {
            Kind::Refused(refusal) => Some(refusal.reason),
            _ => None,
        }
    }

    /// The variables of a refusal's text; none of an internal fault.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        match &*self.0 {
            Kind::Refused(refusal) => refusal.metadata.clone(),
            _ => Metadata::new(),
        }
    }

    /// This failure, told together with `faults`: bad input lists all that is wrong with it, and is told before any rule.
    pub(crate) fn beside(mut self, faults: Faults) -> Self {
        match &mut *self.0 {
            Kind::Refused(refusal) if !refusal.violations.is_empty() => {
                let told = std::mem::take(&mut refusal.violations);
                let new = |fault: &Violation| told.iter().all(|violation| violation.field != fault.field);
                // First: an answer holds no more than the first of very many.
                let mut all: Vec<_> = faults.0.into_iter().filter(new).collect();
                if let Some(count) = refusal.metadata.get_mut("count") {
                    *count = count.parse::<usize>().unwrap_or(told.len()).saturating_add(all.len()).to_string();
                }
                all.extend(told);
                refusal.violations = all;
                self
            }
            Kind::Refused(_) => faults.check().err().unwrap_or(self),
            Kind::Replayed(_) | Kind::Conflict | Kind::Internal(_) => self,
        }
    }

    /// Whether the transaction met another one and is to be run again.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(&*self.0, Kind::Conflict)
    }

    pub(crate) fn into_replay(self) -> Result<Vec<u8>, Self> {
        match *self.0 {
            Kind::Replayed(reply) => Ok(reply),
            other => Err(Self(Box::new(other))),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kind::Refused(refusal) => {
                let text = contract::reason_text(refusal.reason);
                write!(f, "{}: {}", refusal.reason.as_str_name(), fill(&text.en, &refusal.metadata, Language::English))
            }
            Kind::Replayed(_) => f.write_str("answered before"),
            Kind::Conflict => f.write_str("the transaction met another one"),
            Kind::Internal(cause) => f.write_str(cause),
        }
    }
}

impl std::error::Error for Failure {}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error::{Io, PoolClosed, PoolTimedOut, Protocol, Tls, WorkerCrashed};
        // A load balancer whose server has died takes a connection and hangs up: sqlx reads that as a wrong answer to its SSLRequest,
        // or as a handshake that failed.
        let hung_up = matches!(&error, Protocol(told) if told.contains("SSLRequest"));
        if hung_up || matches!(error, Io(_) | PoolClosed | PoolTimedOut | Tls(_) | WorkerCrashed) {
            return Self::database_away(&error);
        }
        if is_overtaken(&error) {
            return Self::conflict();
        }
        // 40001: serialization failure, 40P01: deadlock; 5: SQLITE_BUSY. Running the transaction again resolves them.
        // 57P…: the server ends, or ended the session; 57014, 25P03: our bounds on statements and idle transactions; 08…:
        // the connection broke; 53…: no connection, or no memory, left; 25006: the server is a standby, as one becomes at a failover.
        // Another try, with the same request id, is safe.
        let code = error.as_database_error().and_then(|error| error.code());
        match code.as_deref() {
            Some("40001" | "40P01" | "5" | "261" | "517" | "773") => Self::conflict(),
            // 53100: disk_full; 13: SQLITE_FULL; 778: SQLITE_IOERR_WRITE, 4874: SQLITE_IOERR_SHMSIZE, which is a full disk too.
            Some("53100" | "13" | "778" | "4874") => Self::storage_full(&error),
            Some("57014" | "25P03" | READ_ONLY) => Self::database_away(&error),
            // SQLite's codes are shorter.
            Some(code) if code.len() == 5 && ["57P", "08", "53"].iter().any(|class| code.starts_with(class)) => {
                Self::database_away(&error)
            }
            _ => Self::internal(format!("database: {error}")),
        }
    }
}

/// A reason's text with its variables filled in, in both languages: (zh, en).
#[must_use]
pub fn localized(reason: Reason, metadata: &Metadata) -> (String, String) {
    let text = contract::reason_text(reason);
    (fill(&text.zh, metadata, Language::Chinese), fill(&text.en, metadata, Language::English))
}

/// A reason with its variables and its text, as callers see it.
#[must_use]
pub fn ground(reason: Reason, metadata: Metadata) -> Ground {
    let (zh, en) = localized(reason, &metadata);
    Ground { reason: reason.into(), metadata, zh, en }
}

static UNSPECIFIED: LazyLock<ReasonText> =
    LazyLock::new(|| ReasonText { code: Code::Unknown, zh: String::new(), en: String::new() });

pub(crate) fn unspecified() -> &'static ReasonText {
    &UNSPECIFIED
}
