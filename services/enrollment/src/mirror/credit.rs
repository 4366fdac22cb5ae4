//! Credit: where teachers stand, and which results have become credit.

use std::collections::BTreeSet;

use chassis::{
    Failure,
    changes::decode,
    db::{Scope, Tx},
};
use proto::{
    common::v1::Change,
    credit::v1::{CreditPosition, Entry, entry::Kind},
};

use crate::{
    domain::{Event, Selection, State, desk::Why},
    store::{credit, desk as store, selections},
};

/// Mirrors credit.
#[derive(Debug, Clone, Copy)]
pub struct CreditMirror;

#[tonic::async_trait]
impl chassis::Mirror for CreditMirror {
    fn source(&self) -> &'static str {
        "credit"
    }

    async fn apply(&self, tx: &mut Tx, change: &Change) -> Result<(), Failure> {
        if let Some(position) = decode::<CreditPosition>(change)? {
            return credit::put(tx, &position).await;
        }
        let Some(entry) = decode::<Entry>(change)? else { return Ok(()) };
        match entry.kind() {
            Kind::Project if entry.reversed_by.is_empty() => match selections::find(tx, &entry.source).await? {
                Some(selection) => follow(tx, &selection, State::Passed, Event::Credit, &entry.name).await,
                None => Ok(()),
            },
            Kind::Reversal => match selections::of_entry(tx, &entry.reverses).await? {
                Some(selection) => follow(tx, &selection, State::Credited, Event::ReverseCredit, "").await,
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

/// Brings a selection in `from` where the ledger has it; in another state the ledger is ahead of, or behind, a correction.
async fn follow(tx: &mut Tx, found: &Selection, from: State, event: Event, entry: &str) -> Result<(), Failure> {
    let term = Scope::of_name(&found.name).term().to_owned();
    let teachers = BTreeSet::from([found.teacher.clone()]);
    let mut desk = store::load(tx, &term, &teachers, &BTreeSet::new(), 0).await?;
    let Some(selection) = desk.selections.get_mut(&found.name).filter(|selection| selection.state == from) else {
        return Ok(());
    };
    entry.clone_into(&mut selection.entry);
    desk.apply(&found.name, event, &Why::coded("ledger"))?;
    store::finish(tx, &term, &mut desk, None).await
}
