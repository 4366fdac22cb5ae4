//! What a transaction notes of its writes: the changes that are appended to the feed with the commit.

use prost::{Message, Name};
use proto::{Actor, Held, common::v1::Change};

/// A change to be recorded.
#[derive(Debug, Clone)]
pub struct Record(pub(super) Change);

impl Record {
    /// `resource` after `verb`: ids and coded facts only.
    pub fn of<M: Message + Name>(resource: &str, verb: &str, after: &M) -> Self {
        let any = prost_types::Any { type_url: M::type_url(), value: after.encode_to_vec() };
        Self(Change { resource: resource.to_owned(), verb: verb.to_owned(), after: Some(any), ..Change::default() })
    }

    /// The coded reason.
    #[must_use]
    pub fn reason(mut self, reason: &str) -> Self {
        reason.clone_into(&mut self.0.reason);
        self
    }

    /// The term that the fact belongs to, where it is not the transaction's.
    #[must_use]
    pub fn term(mut self, term: &str) -> Self {
        term.clone_into(&mut self.0.term);
        self
    }

    /// The role and scope under which the act was allowed.
    #[must_use]
    pub fn by(mut self, actor: &Actor, held: Option<&Held>) -> Self {
        self.0.actor = Some(actor.acting_as(held));
        self
    }

    /// The instant of the act, where it is not the transaction's.
    #[must_use]
    pub fn at(mut self, at: i64) -> Self {
        self.0.at = Some(proto::timestamp(at));
        self
    }
}
