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
        let mut entries = Vec::new();
        for change in changes {
            if let Some(position) = decode::<CreditPosition>(change)? {
                positions.insert(position.teacher.clone(), position);
            } else if let Some(entry) = decode::<Entry>(change)? {
                entries.push((change, entry));
            } else if let Some(report) = decode::<Compliance>(change)? {
                if let Some(at) = &change.at {
                    tx.set_at(proto::instant(at));
                }
                tell_short(tx, &change.term, &report).await?;
            }
        }
        for run in entries.chunk_by(are_one) {
            if let Some(at) = run.first().and_then(|(change, _)| change.at.as_ref()) {
                tx.set_at(proto::instant(at));
            }
            take(tx, run).await?;
        }
        credit::put(tx, positions.values()).await?;
        entries.retain(|(change, entry)| told::may_tell(change, entry));
        tell(tx, entries).await
    }
}

/// Whether entries are taken together: those of one instant, but no reversal, which is found by an entry that may be among them.
fn are_one((change, entry): &(&Change, Entry), (next, other): &(&Change, Entry)) -> bool {
    let reversal = |entry: &Entry| entry.kind() == Kind::Reversal;
    change.at == next.at && !reversal(entry) && !reversal(other)
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

/// What entries of the ledger, or a reversal alone, mean for the selections that they come from.
async fn take(tx: &mut Tx, entries: &[(&Change, Entry)]) -> Result<(), Failure> {
    if let [(_, entry)] = entries
        && entry.kind() == Kind::Reversal
    {
        let found = selections::of_entry(tx, &entry.reverses).await?;
        let found: Vec<_> = found.into_iter().map(|selection| (selection, "")).collect();
        return follow(tx, &found, State::Credited, Event::ReverseCredit).await;
    }
    let entries = entries.iter().map(|(_, entry)| entry);
    let credit = entries.filter(|entry| entry.kind() == Kind::Project && entry.reversed_by.is_empty());
    let by_selection: BTreeMap<&str, &str> = credit.map(|entry| (entry.source.as_str(), entry.name.as_str())).collect();
    if by_selection.is_empty() {
        return Ok(());
    }
    let names = by_selection.keys().map(|name| (*name).to_owned()).collect();
    let found = selections::named(tx, &names).await?.into_iter();
    let found =
        found.filter_map(|selection| by_selection.get(selection.name.as_str()).map(|entry| (selection, *entry)));
    follow(tx, &found.collect::<Vec<_>>(), State::Passed, Event::Credit).await
}

/// Brings selections in `from`, by name, each with what it is to be known by in the ledger, where the ledger has them; for one in another
/// state the ledger is ahead of, or behind, a correction.
async fn follow(tx: &mut Tx, found: &[(Selection, &str)], from: State, event: Event) -> Result<(), Failure> {
    let term = |selection: &Selection| Scope::of_name(&selection.name).term().to_owned();
    for of_term in found.chunk_by(|(one, _), (next, _)| term(one) == term(next)) {
        let term = of_term.first().map(|(selection, _)| term(selection)).unwrap_or_default();
        let teachers = of_term.iter().map(|(selection, _)| selection.teacher.clone()).collect();
        let mut desk = store::load(tx, &term, &teachers, &BTreeSet::new(), 0).await?;
        for (Selection { name, .. }, entry) in of_term {
            if let Some(selection) = desk.selections.get_mut(name).filter(|selection| selection.state == from) {
                (*entry).clone_into(&mut selection.entry);
                desk.apply(name, event, &Why::coded("ledger"))?;
            }
        }
        store::finish(tx, &term, &mut desk, None).await?;
    }
    Ok(())
}
