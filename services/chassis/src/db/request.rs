//! Request ids: every mutation is safe to repeat. The row is written in the transaction of the write, on success only.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use proto::{Actor, RequestId, common::v1::Reason};
use sha2::{Digest as _, Sha256};

use super::{Queries, Rows, Tx, args, row};
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
pub(crate) const ANSWERED_AMONG: &str = "SELECT r.caller AS caller, r.method AS method, r.request_id AS request_id, r.body_digest AS body_digest, r.reply AS reply
     FROM request r JOIN json_each($1) ON r.caller = value ->> 0 AND r.method = value ->> 1 AND r.request_id = value ->> 2";
pub(crate) const ANSWER: &str = "UPDATE request SET reply = unhex(answered.reply)
     FROM (SELECT value ->> 0 AS caller, value ->> 1 AS method, value ->> 2 AS request_id, value ->> 3 AS reply
           FROM json_each($1)) AS answered
     WHERE request.caller = answered.caller AND request.method = answered.method
       AND request.request_id = answered.request_id";
pub(crate) const FREE: &str = "DELETE FROM request WHERE reply IS NULL AND (caller, method, request_id) IN
         (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1))";

/// Caller, method, request id.
pub(super) type Key = (String, String, String);

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// First time: carry it out.
    Fresh,
    /// Answered before, with these bytes.
    Replay(Vec<u8>),
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
    /// Claims requests, in the order of their keys whatever the order given; the answers are in the order given.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn claim(&mut self, claims: &[Claim]) -> Result<Vec<Claimed>, Failure> {
        if claims.is_empty() {
            return Ok(Vec::new());
        }
        let mut sorted: Vec<_> = claims.iter().collect();
        // Stable, so that of two with one key the first given is kept: it is the one that is carried out.
        sorted.sort_by_key(|claim| key(claim));
        sorted.dedup_by_key(|claim| key(claim));
        let mut rows = Rows::new();
        for claim in sorted {
            rows.push(row![
                claim.caller.as_str(),
                claim.method.as_str(),
                claim.request_id.as_str(),
                claim.organization.as_str(),
                claim.body_digest.as_str()
            ]);
        }
        let json = rows.json();
        let (term, at) = (self.term().to_owned(), self.at());
        let fresh = self
            .all(
                "INSERT INTO request (caller, method, request_id, organization, body_digest, term, at)
                 SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, $2, CAST($3 AS BIGINT)
                 FROM json_each($1) WHERE TRUE
                 ON CONFLICT DO NOTHING RETURNING caller, method, request_id",
                args![&json, term, at],
            )
            .await?;
        let mut known: BTreeSet<Key> = BTreeSet::new();
        for row in &fresh {
            known.insert((row.get("caller")?, row.get("method")?, row.get("request_id")?));
        }
        let mut taken: BTreeMap<Key, (usize, &str)> = BTreeMap::new();
        let mut old = BTreeMap::new();
        if claims.iter().any(|claim| !known.contains(&owned_key(claim))) {
            let rows = self.all(ANSWERED_AMONG, args![&json]).await?;
            for row in &rows {
                let key: Key = (row.get("caller")?, row.get("method")?, row.get("request_id")?);
                old.insert(key, (row.get::<String>("body_digest")?, row.get::<Option<Vec<u8>>>("reply")?));
            }
        }
        self.claimed.extend(known.iter().cloned());
        Ok(claims
            .iter()
            .enumerate()
            .map(|(index, claim)| {
                let key = owned_key(claim);
                match (known.contains(&key), taken.get(&key)) {
                    (true, None) => {
                        taken.insert(key, (index, &claim.body_digest));
                        Claimed::Fresh
                    }
                    (true, Some((first, digest))) if *digest == claim.body_digest => Claimed::Twin(*first),
                    (true, Some(_)) => Claimed::Reused,
                    (false, _) => match old.get(&key) {
                        Some((digest, Some(reply))) if *digest == claim.body_digest => Claimed::Replay(reply.clone()),
                        _ => Claimed::Reused,
                    },
                }
            })
            .collect())
    }

    /// The first reply of a request that was answered before, whatever has closed since.
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
        let replies = std::mem::take(&mut self.replies);
        let mut refused = std::mem::take(&mut self.claimed);
        if !replies.is_empty() {
            let mut rows = Rows::new();
            for (claim, reply) in replies {
                refused.remove(&owned_key(&claim));
                rows.push(row![claim.caller, claim.method, claim.request_id, hex::encode(reply)]);
            }
            self.execute(ANSWER, args![rows.json()]).await?;
        }
        if !refused.is_empty() {
            // On success only: what this batch refused may be tried again under its id.
            let mut rows = Rows::new();
            for (caller, method, request_id) in refused {
                rows.push(row![caller, method, request_id]);
            }
            self.execute(FREE, args![rows.json()]).await?;
        }
        Ok(())
    }
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
