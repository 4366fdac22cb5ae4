//! Whom to call: a refusal after which the bureau must act goes out with the contacts of the terms' calendars. Services know no
//! telephone numbers, so it is the gateway that adds them.

use std::sync::{Arc, Mutex, PoisonError};

use chassis::{Failure, db::Db};
use http::Response;
use proto::common::v1::Reason;
use tonic::{Code, Status, body::Body};
use tonic_types::{ErrorDetail, Help, HelpLink, StatusExt as _};

use crate::{
    calendar::{Contact, contacts},
    store::terms,
};

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

/// The contacts of all terms, those of the newest calendars first.
#[derive(Clone)]
pub(super) struct HelpDesk {
    db: Db,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    /// The calendars that were read: term and version.
    versions: Vec<(String, i64)>,
    contacts: Arc<[Contact]>,
}

impl HelpDesk {
    pub fn new(db: Db) -> Self {
        Self { db, kept: Arc::default() }
    }

    /// The answer, with whom to call if it is a refusal that the bureau can help with.
    pub async fn beside(&self, answer: Response<Body>) -> Response<Body> {
        let Some(status) = Status::from_header_map(answer.headers()).filter(is_the_bureaus) else { return answer };
        match self.contacts().await {
            Ok(contacts) if contacts.is_empty() => answer,
            Ok(contacts) => with_help(&status, &contacts).into_http(),
            Err(failure) => {
                // Without help it is a refusal all the same.
                tracing::warn!(%failure, "the contacts could not be read");
                answer
            }
        }
    }

    /// Read again when a calendar was put.
    async fn contacts(&self) -> Result<Arc<[Contact]>, Failure> {
        let mut db = self.db.reader();
        let versions = terms::versions_in_force(&mut db).await?;
        {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.versions == versions {
                return Ok(Arc::clone(&kept.contacts));
            }
        }
        let mut found = Vec::new();
        for (term, version) in &versions {
            if let Some(calendar) = terms::calendar_of(&mut db, term, *version).await? {
                found.extend(
                    contacts(&calendar.document)
                        .into_iter()
                        .filter(|contact| !found.contains(contact))
                        .collect::<Vec<_>>(),
                );
            }
        }
        let contacts: Arc<[Contact]> = found.into();
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Kept { versions, contacts: Arc::clone(&contacts) };
        Ok(contacts)
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
