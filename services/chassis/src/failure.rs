//! Why a call fails. One map for all services: `proto/shixun/common/v1/reason.proto` gives each reason its gRPC code and
//! its text in both languages; this file puts them on the wire.

use std::{collections::BTreeMap, fmt, sync::LazyLock, time::Duration};

use proto::common::v1::Reason;
use tonic::{Code, Status};
use tonic_types::{
    BadRequest, ErrorDetail, ErrorInfo, FieldViolation, LocalizedMessage, PreconditionFailure, PreconditionViolation,
    RetryInfo, StatusExt,
};

use crate::contract::{self, ReasonText};

/// Bytes of violations that an answer carries.
const VIOLATION_BYTES: usize = 5000;
/// Characters of a variable that an answer carries: what a caller wrote comes back to him several times, and peers refuse
/// headers of more than 16 KiB.
const VARIABLE_CHARS: usize = 160;

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

    /// The database cannot be asked now.
    fn away(cause: &sqlx::Error) -> Self {
        tracing::warn!(%cause, "the database is away");
        Self::new(Reason::Unavailable).with("service", "database").retry_after(Duration::from_secs(1))
    }

    pub(crate) fn replayed(reply: Vec<u8>) -> Self {
        Self(Box::new(Kind::Replayed(reply)))
    }

    pub(crate) fn conflict() -> Self {
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
                write!(f, "{}: {}", refusal.reason.as_str_name(), fill(&text.en, &refusal.metadata))
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
        use sqlx::Error::{Io, PoolClosed, PoolTimedOut, WorkerCrashed};
        if matches!(error, Io(_) | PoolClosed | PoolTimedOut | WorkerCrashed) {
            return Self::away(&error);
        }
        // 40001: serialization failure, 40P01: deadlock; 5: SQLITE_BUSY. Running the transaction again resolves them.
        // 57P…: the server ends, or ended the session; 57014, 25P03: our bounds on statements and idle transactions; 08…:
        // the connection broke; 53300: no connection left. Another try, with the same request id, is safe.
        let code = error.as_database_error().and_then(|error| error.code());
        match code.as_deref() {
            Some("40001" | "40P01" | "5" | "261" | "517" | "773") => Self::conflict(),
            Some("57014" | "25P03" | "53300") => Self::away(&error),
            // U+0000, the one character that PostgreSQL cannot keep in a text.
            Some("22021" | "22P05") => {
                let mut faults = Faults::new();
                faults.add("request", "文字不能含有字符 U+0000", "no text may contain the character U+0000");
                faults.check().err().unwrap_or_else(|| Self::internal(error))
            }
            Some(code) if code.starts_with("57P") || code.starts_with("08") => Self::away(&error),
            _ => Self::internal(format!("database: {error}")),
        }
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        match *failure.0 {
            Kind::Refused(refusal) => refusal.into(),
            Kind::Replayed(_) => Failure::internal("a replay left its handler as an error").into(),
            Kind::Conflict => Failure::new(Reason::Unavailable)
                .with("service", "database")
                .retry_after(Duration::from_millis(100))
                .into(),
            Kind::Internal(cause) => {
                tracing::error!(cause, "internal error");
                bare(Reason::Internal)
            }
        }
    }
}

/// The status of a reason without anything more to say.
fn bare(reason: Reason) -> Status {
    Failure::new(reason).into()
}

/// As many of the first as the trailers of an answer hold: peers refuse headers of more than 16 KiB.
fn fitting(violations: &mut Vec<Violation>) {
    let mut bytes = 0;
    // A field is told thrice: in the violation, among the metadata's `fields`, and in the text that names these.
    violations.retain(|violation| {
        let size = 3 * violation.field.len() + violation.zh.len() + violation.en.len();
        bytes += size;
        bytes <= VIOLATION_BYTES || bytes == size
    });
}

/// Cuts long variables short.
fn clip(metadata: &mut Metadata) {
    for value in metadata.values_mut() {
        if let Some((end, _)) = value.char_indices().nth(VARIABLE_CHARS) {
            value.truncate(end);
            value.push('…');
        }
    }
}

impl From<Refusal> for Status {
    fn from(mut refusal: Refusal) -> Self {
        fitting(&mut refusal.violations);
        clip(&mut refusal.metadata);
        refusal.preconditions.iter_mut().for_each(|failed| clip(&mut failed.metadata));
        let text = contract::reason_text(refusal.reason);
        let mut metadata = refusal.metadata;
        if !refusal.violations.is_empty() {
            let fields: Vec<_> = refusal.violations.iter().map(|violation| violation.field.as_str()).collect();
            metadata.entry("fields".to_owned()).or_insert_with(|| fields.join(", "));
        }
        if !refusal.preconditions.is_empty() {
            let reasons: Vec<_> = refusal.preconditions.iter().map(|failed| failed.reason.as_str_name()).collect();
            metadata.entry("reasons".to_owned()).or_insert_with(|| reasons.join(", "));
        }
        let (zh, en) = (fill(&text.zh, &metadata), fill(&text.en, &metadata));
        let mut details = vec![
            ErrorDetail::from(ErrorInfo::new(
                refusal.reason.as_str_name(),
                DOMAIN,
                metadata.into_iter().collect::<std::collections::HashMap<_, _>>(),
            )),
            LocalizedMessage::new("zh-CN", zh).into(),
            LocalizedMessage::new("en", en.clone()).into(),
        ];
        if !refusal.violations.is_empty() {
            let violations = refusal.violations.into_iter();
            details.push(
                BadRequest::new(
                    violations
                        .map(|fault| FieldViolation::new(fault.field, format!("{} / {}", fault.zh, fault.en)))
                        .collect::<Vec<_>>(),
                )
                .into(),
            );
        }
        if !refusal.preconditions.is_empty() {
            let failed = refusal.preconditions.into_iter();
            details.push(
                PreconditionFailure::new(
                    failed
                        .map(|failed| {
                            let text = contract::reason_text(failed.reason);
                            let (zh, en) = (fill(&text.zh, &failed.metadata), fill(&text.en, &failed.metadata));
                            PreconditionViolation::new(
                                failed.reason.as_str_name(),
                                failed.subject,
                                format!("{zh} / {en}"),
                            )
                        })
                        .collect::<Vec<_>>(),
                )
                .into(),
            );
        }
        if let Some(delay) = refusal.retry_after {
            details.push(RetryInfo::new(Some(delay)).into());
        }
        Status::with_error_details_vec(text.code, en, details)
    }
}

/// A reason's text with its variables filled in, in both languages: (zh, en).
#[must_use]
pub fn localized(reason: Reason, metadata: &Metadata) -> (String, String) {
    let text = contract::reason_text(reason);
    (fill(&text.zh, metadata), fill(&text.en, metadata))
}

/// Puts values for `{keys}`, once: what stands in a value is left as it is.
fn fill(template: &str, metadata: &Metadata) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let value = after.split_once('}').and_then(|(key, behind)| Some((metadata.get(key)?, behind)));
        if let Some((value, behind)) = value {
            text.push_str(value);
            rest = behind;
        } else {
            text.push('{');
            rest = after;
        }
    }
    text + rest
}

/// Faults of a request, collected so that all are told at once.
#[derive(Debug, Default)]
pub struct Faults(Vec<Violation>);

impl Faults {
    /// No faults yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that `field` is wrong, with the remedy in both languages.
    pub fn add(&mut self, field: impl Into<String>, zh: impl Into<String>, en: impl Into<String>) {
        self.0.push(Violation { field: field.into(), zh: zh.into(), en: en.into() });
    }

    /// Notes `field` as missing if `value` is empty.
    pub fn required(&mut self, field: &str, value: &str) {
        if value.is_empty() {
            self.add(field, "必填", "required");
        }
    }

    /// Whether nothing is wrong so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// # Errors
    /// `INVALID_ARGUMENT` with every fault, if there is any.
    pub fn check(self) -> Result<(), Failure> {
        self.check_as(Reason::InvalidArgument)
    }

    /// # Errors
    /// `reason` with every fault, if there is any.
    pub fn check_as(self, reason: Reason) -> Result<(), Failure> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut failure = Failure::new(reason).with("count", self.0.len());
        if let Kind::Refused(refusal) = &mut *failure.0 {
            refusal.violations = self.0;
        }
        Err(failure)
    }
}

static UNSPECIFIED: LazyLock<ReasonText> =
    LazyLock::new(|| ReasonText { code: Code::Unknown, zh: String::new(), en: String::new() });

pub(crate) fn unspecified() -> &'static ReasonText {
    &UNSPECIFIED
}
