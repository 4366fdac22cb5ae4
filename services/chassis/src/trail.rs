//! The trail of reading: who read data of other persons, and by which request, is kept before the answer leaves. Which methods
//! hand out such data, their rules say (`personal`).

use std::time::Duration;

use prost_reflect::{DynamicMessage, Value};
use proto::{
    Actor,
    common::v1::{Reason, Role},
};
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use crate::{
    call::Admission,
    contract,
    db::{Db, Rows, Tx, args, insert, row},
    failure::Failure,
};

/// Readings that may wait to be kept; one more is refused.
const WAITING: usize = 1024;
/// Most readings of one transaction.
const TOGETHER: usize = 256;
/// When a refused reader should try again.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// When there may be room again on a full disk.
const ROOM_AFTER: Duration = Duration::from_secs(10);
/// What the names of resources begin with. Everything else of a request, such as words looked for, may tell of a person.
const COLLECTIONS: [&str; 4] = ["teachers/", "accounts/", "organizations/", "terms/"];

/// What is kept of a reading.
#[derive(Debug)]
struct Reading {
    at: i64,
    account: String,
    roles: String,
    method: &'static str,
    about: String,
    /// Why it could not be kept; nothing: it is.
    kept: oneshot::Sender<Result<(), Reason>>,
}

/// The way to the trail. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Trail(mpsc::Sender<Reading>);

impl Trail {
    /// The trail, and what writes it: to be spawned, ends with the last way to it.
    pub fn new(db: Db) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (sender, readings) = mpsc::channel(WAITING);
        (Self(sender), write(db, readings))
    }

    /// Returns once it is kept that the call read what it asks for.
    ///
    /// # Errors
    /// `OVERLOADED` if too many wait; `STORAGE_FULL` or `UNAVAILABLE` if it could not be kept: then nothing may be handed out.
    async fn keep(&self, admission: &Admission, about: String) -> Result<(), Failure> {
        let (kept, answered) = oneshot::channel();
        let Actor { account, roles, .. } = admission.actor.as_ref();
        let roles: Vec<_> =
            roles.iter().map(|held| format!("{} {}", held.role.as_str_name(), held.organization)).collect();
        let reading = Reading {
            at: admission.at,
            account: account.clone(),
            roles: roles.join(", "),
            method: admission.method.path.trim_start_matches('/'),
            about,
            kept,
        };
        match self.0.try_send(reading) {
            Ok(()) => match answered.await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(Reason::StorageFull)) => Err(Failure::new(Reason::StorageFull).retry_after(ROOM_AFTER)),
                Ok(Err(_)) | Err(_) => Err(Failure::away("database")),
            },
            Err(TrySendError::Closed(_)) => Err(Failure::away("database")),
            Err(TrySendError::Full(_)) => Err(Failure::new(Reason::Overloaded).retry_after(RETRY_AFTER)),
        }
    }
}

/// Keeps that a call reads data of others, if it does.
///
/// # Errors
/// As [`Trail::keep`].
pub(crate) async fn keep(admission: &Admission, about: String) -> Result<(), Failure> {
    let Some(trail) = &admission.trail else { return Ok(()) };
    if is_own(&admission.actor, &about) { Ok(()) } else { trail.keep(admission, about).await }
}

/// Whether a request names nobody and nothing but the caller himself.
fn is_own(actor: &Actor, about: &str) -> bool {
    let own =
        |field: &str| field.split_once('=').is_some_and(|(_, name)| name == actor.account || name == actor.teacher);
    !about.is_empty() && about.split(' ').all(own)
}

/// Whether a caller with these roles may read of others: a teacher alone reads of himself.
pub(crate) fn reads_others(actor: &Actor) -> bool {
    actor.service.is_empty() && actor.roles.iter().any(|held| held.role != Role::Teacher)
}

/// The fields of a request that are names of resources.
pub(crate) fn about<M: prost::Name>(message: &M) -> String {
    let descriptor = contract::pool().get_message_by_name(&M::full_name());
    let message = descriptor.and_then(|it| DynamicMessage::decode(it, message.encode_to_vec().as_slice()).ok());
    let Some(message) = message else { return String::new() };
    let mut found = Vec::new();
    for (field, value) in message.fields() {
        let values = match value {
            Value::List(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        let names = values.iter().filter_map(Value::as_str).filter(|text| is_name(text));
        found.extend(names.map(|name| format!("{}={name}", field.name())));
    }
    found.join(" ")
}

fn is_name(text: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/-_.:".contains(letter);
    COLLECTIONS.iter().any(|collection| text.starts_with(collection)) && text.chars().all(plain)
}

async fn write(db: Db, mut readings: mpsc::Receiver<Reading>) {
    let mut some = Vec::with_capacity(TOGETHER);
    while readings.recv_many(&mut some, TOGETHER).await > 0 {
        let kept = append(&db, &some).await;
        if let Err(failure) = &kept {
            tracing::warn!(service = db.service(), %failure, "readings could not be kept; they are refused");
        }
        let outcome = kept.map_err(|failure| failure.reason().unwrap_or(Reason::Unavailable));
        for reading in some.drain(..) {
            // Who has gone away was handed nothing.
            let _ = reading.kept.send(outcome);
        }
    }
}

async fn append(db: &Db, readings: &[Reading]) -> Result<(), Failure> {
    let mut rows = Rows::new();
    for Reading { at, account, roles, method, about, .. } in readings {
        rows.push(row![*at, account.as_str(), roles.as_str(), *method, about.as_str()]);
    }
    let mut tx = db.begin_own(db.env().clock.now(), "readings").await?;
    let sql = insert!("reading", [at BIGINT, account TEXT, roles TEXT, method TEXT, about TEXT], "");
    tx.insert(sql, rows).await?;
    tx.finish().await?;
    Ok(())
}

/// Deletes at most `limit` readings from before an instant. Returns how many.
///
/// # Errors
/// Those of the database.
pub(crate) async fn purge(tx: &mut Tx, before: i64, limit: usize) -> Result<usize, Failure> {
    let sql = "DELETE FROM reading WHERE line IN (SELECT line FROM reading WHERE at < $1 LIMIT $2)";
    usize::try_from(tx.execute(sql, args![before, limit]).await?).map_err(Failure::internal)
}

#[cfg(test)]
mod tests {
    use proto::roster::v1::ListTeachersRequest;

    use super::*;

    #[test]
    fn names_are_kept_and_words_are_not() {
        let request = ListTeachersRequest {
            organization: "organizations/school-1".to_owned(),
            query: "王".to_owned(),
            ..ListTeachersRequest::default()
        };
        assert_eq!(about(&request), "organization=organizations/school-1");
        let request = ListTeachersRequest { query: "teachers/1 王".to_owned(), ..ListTeachersRequest::default() };
        assert_eq!(about(&request), "");
    }
}
