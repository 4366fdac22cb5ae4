//! Request ids: every mutation is safe to repeat. The row is written in the transaction of the write, on success only.

use std::collections::BTreeMap;

use prost::Message;
use proto::{Actor, RequestId, common::v1::Reason};
use sha2::{Digest as _, Sha256};

use super::{Queries, Rows, Sql, Tx, args, insert, row};
use crate::failure::{Failure, Faults};

/// A request as it is recognised when it comes again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// Account or service.
    pub caller: String,
    /// Path of the method.
    pub method: String,
    /// The caller's id of the request.
    pub request_id: String,
    /// The scope in which the caller acts.
    pub organization: String,
    /// SHA-256 of the decoded message without its id, in hex.
    pub body_digest: String,
}

/// The first answers of those requests that had one.
/// LATERAL: the keys drive, whatever the planner believes of a table that was empty when it planned.
pub(crate) const ANSWERED_AMONG: Sql = Sql {
    sqlite: "SELECT r.caller AS caller, r.method AS method, r.request_id AS request_id, r.body_digest AS body_digest,
                    r.reply AS reply
             FROM json_each($1) CROSS JOIN request r
             WHERE r.caller = value ->> 0 AND r.method = value ->> 1 AND r.request_id = value ->> 2",
    postgres: "SELECT r.caller, r.method, r.request_id, r.body_digest, r.reply
               FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[]) AS k (caller, method, request_id) CROSS JOIN LATERAL (
                   SELECT * FROM request
                   WHERE caller = k.caller AND method = k.method AND request_id = k.request_id LIMIT 1) r",
};
pub(crate) const CLAIM: &str = "INSERT INTO request (caller, method, request_id, organization, body_digest, term, at)
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
pub(crate) const ANSWER: &str = "UPDATE request SET reply = $4 WHERE caller = $1 AND method = $2 AND request_id = $3";
pub(crate) const FREE: &str =
    "DELETE FROM request WHERE reply IS NULL AND caller = $1 AND method = $2 AND request_id = $3";
pub(crate) const ANSWER_ALL: Sql = insert!(
    "request",
    [caller TEXT, method TEXT, request_id TEXT, organization TEXT, body_digest TEXT, reply BYTEA, term TEXT, at BIGINT],
    "ON CONFLICT DO NOTHING"
);

/// Caller, method, request id.
pub(super) type Key = (String, String, String);

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// Not answered before: carry it out.
    Fresh,
    /// Answered before, with these bytes.
    Replay(Vec<u8>),
    /// Answered before, with what was erased since.
    Erased,
    /// The id was used for another body.
    Reused,
    /// The same request as the fresh one at this index of the batch: its answer is that one's.
    Twin(usize),
}

impl Claim {
    /// The claim of `message`, called by `actor`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` if the request id is empty or over 128 bytes.
    pub fn of<M: Message + RequestId + Clone>(actor: &Actor, method: &str, message: &M) -> Result<Self, Failure> {
        let mut body = message.clone();
        let request_id = body.take_request_id();
        Self::new(actor, method, request_id, hex::encode(Sha256::digest(body.encode_to_vec())))
    }

    /// The claim of a stream, which brings the digest of what it carries.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` if the request id is empty or over 128 bytes.
    pub fn new(actor: &Actor, method: &str, request_id: String, body_digest: String) -> Result<Self, Failure> {
        let mut faults = Faults::new();
        faults.request_id("request_id", &request_id);
        faults.check()?;
        Ok(Self {
            caller: caller(actor).to_owned(),
            method: method.to_owned(),
            request_id,
            organization: actor.roles.first().map(|held| held.organization.clone()).unwrap_or_default(),
            body_digest,
        })
    }
}

/// Who calls, as request rows and ids know him.
pub(super) fn caller(actor: &Actor) -> &str {
    if actor.account.is_empty() { &actor.service } else { &actor.account }
}

impl Tx {
    /// Claims the request of this transaction: whoever else has the same waits for its end.
    ///
    /// # Errors
    /// Those of the database.
    pub(super) async fn claim(&mut self, claim: &Claim) -> Result<Claimed, Failure> {
        let (term, at) = (self.term().to_owned(), self.at());
        let Claim { caller, method, request_id, organization, body_digest } = claim;
        let args = args![caller, method, request_id, organization, body_digest, term, at];
        if self.execute(CLAIM, args).await? == 1 {
            return Ok(Claimed::Fresh);
        }
        Ok(recall(self, &[claim]).await?.pop().filter(|old| *old != Claimed::Fresh).unwrap_or(Claimed::Reused))
    }

    /// The first reply of a request that was answered before, whatever has closed since.
    // (Of an erased one nothing is left to compare the body with: it is refused as any other.)
    pub(super) async fn answered(&mut self, claim: &Claim) -> Result<Option<Vec<u8>>, Failure> {
        let row = self
            .one(
                "SELECT reply FROM request
                 WHERE caller = $1 AND method = $2 AND request_id = $3 AND body_digest = $4",
                args![&claim.caller, &claim.method, &claim.request_id, &claim.body_digest],
            )
            .await?;
        row.map_or(Ok(None), |row| row.get("reply"))
    }

    /// Notes the reply of a claimed request; it is stored with the commit.
    pub fn reply(&mut self, claim: Claim, reply: &impl Message) {
        self.replies.push((claim, reply.encode_to_vec()));
    }

    pub(super) async fn write_replies(&mut self) -> Result<(), Failure> {
        let mut replies = std::mem::take(&mut self.replies);
        if let Some(Claim { caller, method, request_id, .. }) = self.claim.clone() {
            match replies.pop() {
                Some((_, reply)) => self.later(ANSWER, args![caller, method, request_id, reply]).await?,
                // On success only: what was refused may be tried again under its id.
                None => drop(self.execute(FREE, args![caller, method, request_id]).await?),
            }
            return Ok(());
        }
        if replies.is_empty() {
            return Ok(());
        }
        // In the order of their keys, so that two batches that share requests do not wait for each other in a ring.
        replies.sort_by(|(one, _), (other, _)| key(one).cmp(&key(other)));
        let (term, at) = (self.term().to_owned(), self.at());
        let mut rows = Rows::new();
        for (Claim { caller, method, request_id, organization, body_digest }, reply) in replies {
            rows.push(row![caller, method, request_id, organization, body_digest, reply, &term, at]);
        }
        // Another process may have answered one of them since they were recalled: it has to be replayed.
        self.insert_new_later(ANSWER_ALL, rows).await
    }
}

/// Tells the requests of a batch apart, in the order given, and finds those that were answered before. Nothing is claimed yet:
/// the ids are taken with the replies, and whoever took one meanwhile makes that a conflict.
///
/// # Errors
/// Those of the database.
pub async fn recall(queries: &mut impl Queries, claims: &[&Claim]) -> Result<Vec<Claimed>, Failure> {
    if claims.is_empty() {
        return Ok(Vec::new());
    }
    let mut rows = Rows::new();
    for claim in claims {
        rows.push(row![claim.caller.as_str(), claim.method.as_str(), claim.request_id.as_str()]);
    }
    let mut old = BTreeMap::new();
    for row in &queries.all(ANSWERED_AMONG, args![rows]).await? {
        let key: Key = (row.get("caller")?, row.get("method")?, row.get("request_id")?);
        old.insert(key, (row.get::<String>("body_digest")?, row.get::<Option<Vec<u8>>>("reply")?));
    }
    let mut recalled = tell_apart(claims);
    if !old.is_empty() {
        for (claim, recalled) in claims.iter().zip(&mut recalled) {
            match old.get(&owned_key(claim)) {
                Some((digest, Some(reply))) if *digest == claim.body_digest => {
                    *recalled = Claimed::Replay(reply.clone());
                }
                Some((_, None)) => *recalled = Claimed::Erased,
                Some(_) => *recalled = Claimed::Reused,
                None => {}
            }
        }
    }
    Ok(recalled)
}

/// Tells the requests of a batch apart by themselves, without looking for those that were answered before: for whoever expects
/// that hardly one was. The conflict tells if it was carried out again.
#[must_use]
pub fn tell_apart(claims: &[&Claim]) -> Vec<Claimed> {
    let mut first: BTreeMap<(&str, &str, &str), (usize, &str)> = BTreeMap::new();
    let mut apart = Vec::with_capacity(claims.len());
    for (index, claim) in claims.iter().enumerate() {
        let (twin, digest) = *first.entry(key(claim)).or_insert((index, &claim.body_digest));
        apart.push(match (twin == index, digest == claim.body_digest) {
            (true, _) => Claimed::Fresh,
            (false, true) => Claimed::Twin(twin),
            (false, false) => Claimed::Reused,
        });
    }
    apart
}

/// Forgets what was answered to requests by or about these persons ("teachers/…", "accounts/…"): that they were carried out
/// stays known, so that none is carried out again. A reply that tells of several is forgotten whole. Returns how many.
///
/// # Errors
/// Those of the database.
pub async fn forget(tx: &mut Tx, persons: &[&str]) -> Result<u64, Failure> {
    let mut rows = Rows::new();
    for person in persons.iter().filter(|person| !person.is_empty()) {
        // As a field of a message: its length stands before it, so that nobody is taken for another.
        let mut field = Vec::new();
        prost::encoding::encode_varint(u64::try_from(person.len()).unwrap_or(u64::MAX), &mut field);
        field.extend_from_slice(person.as_bytes());
        rows.push(row![*person, hex::encode(field)]);
    }
    if rows.is_empty() {
        return Ok(0);
    }
    tx.execute(FORGET, args![rows.json()]).await
}

const FORGET: Sql = Sql {
    sqlite: "UPDATE request SET reply = NULL, body_digest = ''
             WHERE reply IS NOT NULL AND EXISTS (
                 SELECT 1 FROM json_each($1) WHERE caller = value ->> 0 OR instr(reply, unhex(value ->> 1)) > 0)",
    postgres: "UPDATE request SET reply = NULL, body_digest = ''
               WHERE reply IS NOT NULL AND EXISTS (
                   SELECT 1 FROM json_each($1)
                   WHERE caller = value ->> 0 OR position(unhex(value ->> 1) IN reply) > 0)",
};

/// Deletes at most `limit` requests of a term, or of none, that were admitted before an instant. Whoever repeats one of them
/// later makes a new request. Returns how many.
///
/// # Errors
/// Those of the database.
pub async fn purge(tx: &mut Tx, term: &str, before: i64, limit: usize) -> Result<usize, Failure> {
    // In no order: the oldest are where a table is read first.
    let sql = "DELETE FROM request WHERE (caller, method, request_id) IN (
                   SELECT caller, method, request_id FROM request
                   WHERE (term = $1 OR term = '') AND at < $2 LIMIT $3)";
    let purged = tx.execute(sql, args![term, before, limit]).await?;
    usize::try_from(purged).map_err(Failure::internal)
}

/// The failure of an id that was used for another body.
pub(super) fn reused() -> Failure {
    Failure::new(Reason::RequestIdReused)
}

fn key(claim: &Claim) -> (&str, &str, &str) {
    (&claim.caller, &claim.method, &claim.request_id)
}

fn owned_key(claim: &Claim) -> Key {
    (claim.caller.clone(), claim.method.clone(), claim.request_id.clone())
}
