//! One file per service whose facts this one keeps, and what follows for selections when they change.

mod catalog;
mod credit;
mod roster;
mod told;

use std::collections::BTreeSet;

use chassis::{Failure, db::Tx};

pub use catalog::CatalogMirror;
pub use credit::CreditMirror;
pub use roster::RosterMirror;

use crate::{
    domain::{Desk, Selection},
    store::desk as store,
};

/// The desk for consequences of a neighbour's change on these selections of one term; decided under no policy of ours.
async fn desk(tx: &mut Tx, term: &str, selections: &[&Selection]) -> Result<Desk, Failure> {
    let teachers = selections.iter().map(|selection| selection.teacher.clone()).collect();
    let projects: BTreeSet<String> = selections.iter().map(|selection| selection.project.clone()).collect();
    store::load(tx, term, &teachers, &projects, 0).await
}
