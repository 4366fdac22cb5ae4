//! Credit: where teachers stand, which results have become credit, and which schools fall short when compliance is taken.

use std::collections::{BTreeMap, BTreeSet};

use chassis::{
    Failure,
    changes::decode,
    db::{Scope, Tx},
};
use proto::{
    common::v1::{Change, Reason},
    credit::v1::{Compliance, CreditPosition, Entry, compliance, entry::Kind},
};

use super::told::{self, Told};
use crate::{
    domain::{Event, Selection, State, desk::Why, notification, review::SCHOOL_REVIEWERS},
    store::{credit, desk as store, notifications, notifications::Message, people, roster, selections},
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
        let mut by_hand = Vec::new();
        for change in changes {
            if let Some(position) = decode::<CreditPosition>(change)? {
                positions.insert(position.teacher.clone(), position);
            } else if let Some(entry) = decode::<Entry>(change)? {
                if let Some(at) = &change.at {
                    tx.set_at(proto::instant(at));
                }
                take(tx, &entry).await?;
                if told::may_tell(change, &entry) {
                    by_hand.push((change, entry));
                }
            } else if let Some(report) = decode::<Compliance>(change)? {
                if let Some(at) = &change.at {
                    tx.set_at(proto::instant(at));
                }
                tell_short(tx, &change.term, &report).await?;
            }
        }
        credit::put(tx, positions.values()).await?;
        tell(tx, by_hand).await
    }
}

/// Compliance was taken: who falls short of what warns is told, provisionally and finally: a school's administrator and
/// principal; of a school without them, and of a district or bureau, its officers.
async fn tell_short(tx: &mut Tx, term: &str, report: &Compliance) -> Result<(), Failure> {
    let short = report.requirements.iter().filter(|requirement| requirement.applicable && !requirement.met);
    let short: Vec<_> = short.filter_map(|one| Some((notification::Kind::of_shortfall(&one.key)?, one))).collect();
    if short.is_empty() {
        return Ok(());
    }
    let (zh, en) = match report.state() {
        compliance::State::Final => ("终报", "final"),
        _ => ("初报", "provisional"),
    };
    let gates = match tx.gates_of(term).await {
        // A term from before this database has nobody to tell here.
        Err(failure) if failure.reason() == Some(Reason::TermUnknown) => return Ok(()),
        gates => gates?,
    };
    let today = gates.day(tx.at()).to_string();
    let decimal = |hundredths: i64| format!("{}.{:02}", hundredths / 100, hundredths % 100);
    let mut messages = Vec::new();
    for account in recipients(tx, &report.organization, &today).await? {
        for (kind, requirement) in &short {
            let metadata = [
                ("organization", report.organization.clone()),
                ("year", report.year.to_string()),
                ("value", decimal(requirement.value_hundredths)),
                ("required", decimal(requirement.required_hundredths)),
                ("state_zh", zh.to_owned()),
                ("state_en", en.to_owned()),
            ];
            messages.push(Message {
                account: account.clone(),
                kind: *kind,
                resource: format!("{}/compliance/{}", report.organization, report.year),
                metadata: metadata.map(|(key, value)| (key.to_owned(), value)).into(),
            });
        }
    }
    notifications::write(tx, term, messages).await
}

/// The accounts that are told of an organisation's compliance.
async fn recipients(tx: &mut Tx, organization: &str, today: &str) -> Result<Vec<String>, Failure> {
    let one = [organization.to_owned()];
    let reviewers = people::holders(tx, SCHOOL_REVIEWERS, &BTreeSet::from(one.clone()), today).await?;
    if reviewers.is_empty() {
        return Ok(people::stand_ins(tx, &one, today).await?.remove(organization).unwrap_or_default());
    }
    let accounts: BTreeSet<String> = reviewers.into_iter().map(|holder| holder.account).collect();
    Ok(accounts.into_iter().collect())
}

/// Tells teachers what others entered or reversed by hand.
async fn tell(tx: &mut Tx, by_hand: Vec<(&Change, Entry)>) -> Result<(), Failure> {
    if by_hand.is_empty() {
        return Ok(());
    }
    let teachers = by_hand.iter().map(|(_, entry)| entry.teacher.clone()).collect();
    let accounts = roster::accounts(tx, &teachers).await?;
    let mut told = Told::default();
    for (change, entry) in &by_hand {
        let account = accounts.get(&entry.teacher).map_or("", String::as_str);
        told.credit(change, entry, account);
    }
    told.write(tx).await
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
