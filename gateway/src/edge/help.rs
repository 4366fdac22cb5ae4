//! Whom to call: a refusal after which the bureau must act goes out with the contacts of the terms' calendars. Services know no
//! telephone numbers, so it is the gateway that adds them.

use http::Response;
use proto::common::v1::Reason;
use tonic::{Code, Status, body::Body};
use tonic_types::{ErrorDetail, Help, HelpLink, StatusExt as _};

use crate::calendar::{Contact, ContactBook};

/// Refusals whose remedy is the bureau's: a correction, an override, a withdrawal or a supplementary window.
const THE_BUREAUS: [Reason; 7] = [
    Reason::WindowSettled,
    Reason::Round2NotSelected,
    Reason::Round2Rejected,
    Reason::Round2Policy,
    Reason::JoinedLater,
    Reason::NoticeIssued,
    Reason::ResultsConfirmed,
];
/// Contacts that a refusal carries: it travels in a header.
const MOST: usize = 5;

/// The answer, with whom to call if it is a refusal that the bureau can help with.
pub(super) async fn beside(book: &ContactBook, answer: Response<Body>) -> Response<Body> {
    let Some(status) = Status::from_header_map(answer.headers()).filter(is_the_bureaus) else { return answer };
    match book.of("").await {
        Ok(contacts) if contacts.is_empty() => answer,
        Ok(contacts) => with_help(&status, &contacts).into_http(),
        Err(failure) => {
            // Without help it is a refusal all the same.
            tracing::warn!(%failure, "the contacts could not be read");
            answer
        }
    }
}

fn is_the_bureaus(status: &Status) -> bool {
    if !matches!(status.code(), Code::FailedPrecondition | Code::PermissionDenied) {
        return false;
    }
    let details = status.get_error_details();
    let failed = details.precondition_failure().map(|failed| failed.violations.as_slice()).unwrap_or_default();
    let reasons = details.error_info().map(|info| info.reason.as_str()).into_iter();
    let mut reasons = reasons.chain(failed.iter().map(|one| one.r#type.as_str()));
    reasons.any(|name| THE_BUREAUS.iter().any(|reason| reason.as_str_name() == name))
}

fn with_help(status: &Status, contacts: &[Contact]) -> Status {
    let links = contacts.iter().take(MOST).map(|contact| {
        let number: String = contact.telephone.chars().filter(|c| !c.is_whitespace()).collect();
        HelpLink::new(
            format!("{}：{}（{}）", contact.office, contact.telephone, contact.organization),
            format!("tel:{number}"),
        )
    });
    let mut details = status.get_error_details_vec();
    details.push(ErrorDetail::Help(Help::new(links.collect::<Vec<_>>())));
    Status::with_error_details_vec(status.code(), status.message(), details)
}
