//! Credit: where teachers stand, and which results have become credit.

use std::collections::{BTreeMap, BTreeSet};

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
        self.apply_all(tx, std::slice::from_ref(change)).await
    }

    async fn apply_all(&self, tx: &mut Tx, changes: &[Change]) -> Result<(), Failure> {
        let mut positions = BTreeMap::new();
        for change in changes {
            if let Some(position) = decode::<CreditPosition>(change)? {
                positions.insert(position.teacher.clone(), position);
            } else if let Some(entry) = decode::<Entry>(change)? {
                if let Some(at) = &change.at {
                    tx.set_at(proto::instant(at));
                }
                take(tx, &entry).await?;
            }
        }
        credit::put(tx, positions.values()).await
    }
}

/// What an entry of the ledger means for the selection it comes from.
async fn take(tx: &mut Tx, entry: &Entry) -> Result<(), Failure> {
    let (found, from, event, kept) = match entry.kind() {
        Kind::Project if entry.reversed_by.is_empty() => {
            (selections::find(tx, &entry.source).await?, State::Passed, Event::Credit, entry.name.as_str())
        }
        Kind::Reversal => (selections::of_entry(tx, &entry.reverses).await?, State::Credited, Event::ReverseCredit, ""),
        _ => return Ok(()),
    };
    match found {
        Some(selection) => follow(tx, &selection, from, event, kept).await,
        None => Ok(()),
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
