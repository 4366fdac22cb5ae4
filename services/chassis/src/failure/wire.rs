//! Failures on the wire: `google.rpc.Status` with its details. Its texts tell coded values in words; their names are in the
//! metadata.

use std::time::Duration;

use proto::{
    common::v1::Reason,
    words::{Language, in_words, service_in_words, words},
};
use tonic::Status;
use tonic_types::{
    BadRequest, ErrorDetail, ErrorInfo, FieldViolation, LocalizedMessage, PreconditionFailure, PreconditionViolation,
    RetryInfo, StatusExt,
};

use super::{DOMAIN, Failure, Kind, Metadata, Precondition, Refusal, Violation, localized};
use crate::contract::{self, ReasonText};

/// Bytes of violations that an answer carries.
const VIOLATION_BYTES: usize = 5000;
/// Characters of a variable that an answer carries: what a caller wrote comes back to him several times, and peers refuse
/// headers of more than 16 KiB.
const VARIABLE_CHARS: usize = 160;
/// Variables that hold coded values.
const CODED: [&str; 9] = ["allowed", "dimension", "event", "kind", "kinds", "phase", "reviewer", "state", "status"];

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

/// Cuts long variables short, but for those that only hold what our table has.
fn clip(metadata: &mut Metadata) {
    let ours = |key: &str, value: &str| CODED.contains(&key) && value.split(", ").all(|one| words(one).is_some());
    for (_, value) in metadata.iter_mut().filter(|(key, value)| !ours(key, value)) {
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
            metadata.entry("listed".to_owned()).or_insert_with(|| fields.len().to_string());
        }
        if !refusal.preconditions.is_empty() {
            let reasons: Vec<_> = refusal.preconditions.iter().map(|failed| failed.reason.as_str_name()).collect();
            metadata.entry("reasons".to_owned()).or_insert_with(|| reasons.join(", "));
        }
        let (zh, en) = said(text, &metadata, &refusal.preconditions);
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
                            let (zh, en) = localized(failed.reason, &failed.metadata);
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

/// A reason's text in both languages: (zh, en). Its `{reasons}` are told as a person reads them; programs have the names.
fn said(text: &ReasonText, metadata: &Metadata, failed: &[Precondition]) -> (String, String) {
    let told = |texts: Vec<String>, between: &str| {
        let mut metadata = metadata.clone();
        if !texts.is_empty() {
            let texts: Vec<_> = texts.iter().map(|text| text.trim_end_matches(['。', '.'])).collect();
            metadata.insert("reasons".to_owned(), texts.join(between));
        }
        metadata
    };
    let (zh, en) = failed.iter().map(|one| localized(one.reason, &one.metadata)).unzip();
    (fill(&text.zh, &told(zh, "；"), Language::Chinese), fill(&text.en, &told(en, "; "), Language::English))
}

/// Puts values for `{keys}`, once: what stands in a value is left as it is, but for coded values, which are told in words.
pub(super) fn fill(template: &str, metadata: &Metadata, language: Language) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let value = after.split_once('}').and_then(|(key, behind)| Some((key, metadata.get(key)?, behind)));
        if let Some((key, value, behind)) = value {
            if CODED.contains(&key) {
                text.push_str(&in_words(value, language));
            } else if key == "service" {
                text.push_str(service_in_words(value, language));
            } else {
                text.push_str(value);
            }
            rest = behind;
        } else {
            text.push('{');
            rest = after;
        }
    }
    text + rest
}
