//! The doors to a database: `Db::begin` to writing, admitted at the fence; `Db::read` to reading on a caller's behalf.

use std::{collections::BTreeMap, sync::Arc};

use prost::Message;
use proto::{
    Actor, RequestId,
    common::v1::{Reason, RunStepRequest},
};

use super::{Claim, Claimed, Db, Lane, Reader, Scope, Tx, request};
use crate::{
    call::{Admission, Call},
    failure::Failure,
    gates::{self, Admitted},
};

#[derive(Clone, Copy)]
enum Lock {
    None,
    Shared,
    Exclusive,
}

impl Db {
    /// Begins the transaction of a mutation: the term's gates are read on the fence, the request id is claimed.
    ///
    /// # Errors
    /// A closed or settled window, an unknown term, a reused request id; or (handled by `answer`) a replay. Without a request
    /// id it is the commit that fails.
    pub async fn begin<M>(&self, call: &Call<M>, scope: Scope<'_>) -> Result<Tx, Failure>
    where
        M: Message + RequestId + Clone,
    {
        match Claim::of(&call.admission.actor, &call.admission.method.path, &call.message) {
            Ok(claim) => self.begin_claimed(&call.admission, scope, claim).await,
            // What else is wrong with the request is to be told with it; nothing of it is committed.
            Err(fault) => {
                let mut tx = self.open_tx(scope, call.at(), None, Lock::Shared).await?;
                tx.admitted = tx.admit(&call.admission).await?;
                tx.doomed = Some(fault);
                Ok(tx)
            }
        }
    }

    /// As `begin`, for a stream that carries its id and the digest of what follows.
    ///
    /// # Errors
    /// As `begin`.
    pub async fn begin_stream(
        &self,
        admission: &Admission,
        scope: Scope<'_>,
        request_id: &str,
        digest: &[u8],
    ) -> Result<Tx, Failure> {
        let path = &admission.method.path;
        let claim = Claim::new(&admission.actor, path, request_id.to_owned(), hex::encode(digest))?;
        self.begin_claimed(admission, scope, claim).await
    }

    async fn begin_claimed(&self, admission: &Admission, scope: Scope<'_>, claim: Claim) -> Result<Tx, Failure> {
        let mut tx = self.open_tx(scope, admission.at, Some(claim.clone()), Lock::Shared).await?;
        tx.admitted = match tx.admit(admission).await {
            Ok(admitted) => admitted,
            // The window may have closed between the first answer, which was lost, and this call.
            Err(refusal) => return Err(tx.answered(&claim).await?.map_or(refusal, Failure::replayed)),
        };
        match tx.claim(&claim).await? {
            Claimed::Fresh => Ok(tx),
            Claimed::Replay(reply) => Err(Failure::replayed(reply)),
            Claimed::Erased => Err(Failure::new(Reason::ReplyErased)),
            Claimed::Reused | Claimed::Twin(_) => Err(request::reused()),
        }
    }

    /// Begins a transaction for a batch of calls of one term, in its lane: admit and recall each by itself.
    ///
    /// # Errors
    /// An unknown term.
    pub async fn batch(&self, term: &str, lane: Lane) -> Result<Tx, Failure> {
        let (scope, at) = (Scope::Term(term), self.env().clock.now());
        let mut tx = Tx::open(self, scope, at, None, Some(lane)).await?;
        tx.gates = gates::load_on_fence(&mut tx, self, scope, false).await?;
        Ok(tx)
    }

    /// Begins a transaction of the service's own: a mirror's batch, a housekeeping act. No gate decides on it.
    ///
    /// `seed` makes the ids that it derives: the same seed, the same ids.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn begin_own(&self, at: i64, seed: &str) -> Result<Tx, Failure> {
        let mut tx = self.open_tx(Scope::AnyTerm, at, None, Lock::None).await?;
        tx.seed_ids(seed);
        Ok(tx)
    }

    /// Begins a step's transaction: idempotent by the request id, admitted at the step's due instant.
    pub(crate) async fn begin_step(&self, call: &Call<RunStepRequest>, due: i64) -> Result<Tx, Failure> {
        let mut body = call.message.clone();
        // A step that is resumed under a newer calendar is the same step.
        body.gate_version = 0;
        let claim = Claim::of(&call.admission.actor, &call.admission.method.path, &body)?;
        let mut tx = self.begin_claimed(&call.admission, Scope::Term(&call.message.term), claim).await?;
        tx.at = due;
        Ok(tx)
    }

    /// Begins a transaction that holds the fence of `term` alone: all that were admitted under it have ended.
    pub(crate) async fn begin_exclusive(&self, term: &str, at: i64) -> Result<Tx, Failure> {
        self.open_tx(Scope::Term(term), at, None, Lock::Exclusive).await
    }

    /// Opens reading on a caller's behalf: the term's gates decide, no lock is taken.
    ///
    /// # Errors
    /// A closed window, an unknown term.
    pub async fn read<M>(&self, call: &Call<M>, scope: Scope<'_>) -> Result<Reader, Failure> {
        let mut reader = self.reader_of(scope).await?;
        reader.admitted = reader.admit(&call.admission)?;
        reader.at = call.admission.at;
        Ok(reader)
    }

    /// Opens reading of the service's own: a housekeeping act. No gate decides on it.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn read_own(&self) -> Result<Reader, Failure> {
        self.reader_of(Scope::AnyTerm).await
    }

    /// Opens reading for a batch of calls of one term: admit and recall each by itself.
    ///
    /// # Errors
    /// An unknown term.
    pub async fn read_batch(&self, term: &str) -> Result<Reader, Failure> {
        self.reader_of(Scope::Term(term)).await
    }

    async fn reader_of(&self, scope: Scope<'_>) -> Result<Reader, Failure> {
        let mut reader = self.reader();
        reader.gates = gates::load_for_reading(&mut reader, self, scope).await?;
        let gates = reader.gates.clone();
        reader.positions = gates::mirror_positions(&mut reader, self, &gates).await?;
        reader.scoped = scope != Scope::AnyTerm;
        Ok(reader)
    }

    /// Reading for the service's own purposes.
    #[must_use]
    pub fn reader(&self) -> Reader {
        let actor = Actor { service: self.service().to_owned(), ..Actor::default() };
        let admitted = Admitted { actor: Arc::new(actor), windows: Vec::new() };
        Reader {
            db: self.clone(),
            admitted,
            gates: Vec::new(),
            scoped: false,
            at: self.env().clock.now(),
            positions: BTreeMap::new(),
        }
    }

    async fn open_tx(&self, scope: Scope<'_>, at: i64, claim: Option<Claim>, lock: Lock) -> Result<Tx, Failure> {
        let mut tx = Tx::open(self, scope, at, claim, None).await?;
        tx.gates = match lock {
            Lock::None => Vec::new(),
            Lock::Shared => gates::load_on_fence(&mut tx, self, scope, false).await?,
            Lock::Exclusive => gates::load_on_fence(&mut tx, self, scope, true).await?,
        };
        Ok(tx)
    }
}
