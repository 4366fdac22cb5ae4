//! The reference: lists, and the rules said in the shortest way. Not a line of it is shared with the services.

mod ledger;
mod people;
mod selections;

use std::collections::BTreeSet;

use proto::common::v1::Reason;

pub use ledger::{Ledger, Line};
pub use people::{Event, Person};
pub use selections::{By, Model, Offer, Open, Row, lives};

/// Why not: every reason at once; nothing: it goes.
pub type Against = BTreeSet<Reason>;

fn one(reason: Reason) -> Against {
    Against::from([reason])
}
