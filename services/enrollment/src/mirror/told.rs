//! Acts done for a teacher at a neighbour's are told to the teacher: what a person other than himself did by hand. What sets up
//! a roster or a ledger (a teacher's creation, his account, an opening balance) is no such act, nor is what a service does by
//! itself, whose cause was told.

use std::collections::BTreeMap;

use chassis::{Failure, db::Tx};
use proto::{
    common::v1::Change,
    credit::v1::{Entry, entry},
    roster::v1::{Stay, TeacherFacts, teacher::Status},
};

use crate::{
    domain::notification::Kind,
    store::notifications::{self, Message},
};

/// Messages of a run of changes, each with the instant of its change.
#[derive(Debug, Default)]
pub struct Told(BTreeMap<i64, Vec<Message>>);

impl Told {
    /// Notes what a change of the roster tells a teacher. `before`: what was held of him, where it is an import that renews him.
    pub fn roster(&mut self, change: &Change, facts: &TeacherFacts, before: Option<&TeacherFacts>) {
        let kind = match change.verb.as_str() {
            "updated" if change.reason == IMPORT => {
                // A file repeats what it leaves as it was.
                before.filter(|before| entered(before) != entered(facts)).map(|_| Kind::RosterUpdated)
            }
            // Else it has a reason of its own: he was given an account.
            "updated" if !change.reason.is_empty() => None,
            verb => Kind::of_roster(verb),
        };
        let Some(kind) = kind.filter(|_| is_anothers(change, &facts.account)) else { return };
        let day = if kind == Kind::EventComing { coming_day(&change.verb, facts) } else { String::new() };
        let metadata = [("school", facts.school.as_str()), ("reason", &change.reason), ("effective_on", &day)];
        self.note(change, kind, &facts.account, &facts.name, &metadata);
    }

    /// Notes what an entry of the ledger tells the teacher with this account.
    pub fn credit(&mut self, change: &Change, entry: &Entry, account: &str) {
        let Some(kind) = of_entry(entry).filter(|_| is_anothers(change, account)) else { return };
        let awarded = entry.awarded.as_ref().map_or(0, |credit| credit.hundredths.unsigned_abs());
        let awarded = format!("{}.{:02}", awarded / 100, awarded % 100);
        let day = proto::date_text(entry.effective_on.as_ref());
        let metadata = [("awarded", awarded.as_str()), ("effective_on", &day), ("reason", &entry.reason)];
        self.note(change, kind, account, &entry.name, &metadata);
    }

    fn note(&mut self, change: &Change, kind: Kind, account: &str, resource: &str, metadata: &[(&str, &str)]) {
        let at = change.at.as_ref().map(proto::instant).unwrap_or_default();
        let metadata = metadata.iter().filter(|(_, value)| !value.is_empty());
        self.0.entry(at).or_default().push(Message {
            account: account.to_owned(),
            kind,
            resource: resource.to_owned(),
            metadata: metadata.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        });
    }

    /// Writes them, in the transaction that takes the changes: a change that is taken again has told nothing before.
    pub async fn write(self, tx: &mut Tx) -> Result<(), Failure> {
        for (at, messages) in self.0 {
            tx.set_at(at);
            notifications::write(tx, "", messages).await?;
        }
        Ok(())
    }
}

/// The reason of what a roster file brings.
const IMPORT: &str = "import";

/// Whether a change is a renewal by a file, of which only the difference is told.
pub fn is_renewal(change: &Change) -> bool {
    change.verb == "updated" && change.reason == IMPORT
}

/// Whether an entry may be told: only then its teacher's account is asked for.
pub fn may_tell(change: &Change, entry: &Entry) -> bool {
    of_entry(entry).is_some() && change.actor.as_ref().is_some_and(|actor| !actor.account.is_empty())
}

/// Whether a person did it, and another one than he who is told.
fn is_anothers(change: &Change, account: &str) -> bool {
    let by_another = |by: &str| !by.is_empty() && by != account;
    !account.is_empty() && change.actor.as_ref().is_some_and(|actor| by_another(&actor.account))
}

fn of_entry(told: &Entry) -> Option<Kind> {
    match told.kind() {
        entry::Kind::SchoolBased => Some(Kind::CreditEntered),
        entry::Kind::Reversal => Some(Kind::CreditReversed),
        // The result from which it comes was told.
        entry::Kind::Project | entry::Kind::OpeningBalance | entry::Kind::Unspecified => None,
    }
}

/// The day of what waits; of several of a kind, the last.
fn coming_day(verb: &str, facts: &TeacherFacts) -> String {
    let is_it = |earlier: &Stay, later: &Stay| match verb {
        "transfer_coming" => later.school != earlier.school,
        "retirement_coming" => later.status() == Status::Retired,
        "departure_coming" => later.status() == Status::Departed,
        _ => later.status() == Status::Active && earlier.status() != Status::Active,
    };
    let mut stays = facts.stays.iter().zip(facts.stays.iter().skip(1));
    let coming = stays.rfind(|(earlier, later)| is_it(earlier, later));
    coming.map(|(_, later)| proto::date_text(later.from_on.as_ref())).unwrap_or_default()
}

/// What a person entered of a teacher, without what follows from the day, the school's place or his account.
fn entered(facts: &TeacherFacts) -> TeacherFacts {
    TeacherFacts { status: 0, path: Vec::new(), account: String::new(), ..facts.clone() }
}
