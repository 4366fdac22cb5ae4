//! What the feeds of all services come to, counted change by change: a province has too many to keep.

use std::{
    collections::{BTreeMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher as _},
};

use prost::{Message as _, Name as _};
use proto::{
    common::v1::Change,
    credit::v1::{Entry, entry},
};

use super::report::{Counts, EntryLine, add};

/// The changes and the ledger's entries that were told.
#[derive(Debug, Default)]
pub struct Feeds {
    /// Changes by service and verb, each resource once an instant: how often what is derived is drawn up anew at one instant
    /// is a matter of batches, not of the term.
    pub changes: BTreeMap<String, Counts>,
    /// Entries of the ledger by kind, each once, since entries are never altered.
    pub credit: BTreeMap<String, EntryLine>,
    /// Marks of what was counted. Of thirty million, two are alike once in forty thousand plays.
    seen: HashSet<u64>,
}

impl Feeds {
    /// Counts a change.
    pub fn count(&mut self, service: &str, change: &Change) {
        let at = change.at.as_ref().map(proto::instant);
        if self.is_new((service, &change.resource, &change.verb, at)) {
            add(self.changes.entry(service.to_owned()).or_default(), &change.verb, 1);
        }
        let after = change.after.as_ref().filter(|after| after.type_url.ends_with(&Entry::full_name()));
        let entry = after.and_then(|after| Entry::decode(after.value.as_slice()).ok());
        if let Some(entry) = entry.filter(|entry| self.is_new(&entry.name)) {
            let kind = entry::Kind::try_from(entry.kind).unwrap_or_default();
            let line = self.credit.entry(kind.as_str_name().trim_start_matches("KIND_").to_lowercase()).or_default();
            let awarded = entry.awarded.map_or(0, |credit| credit.hundredths);
            line.entries = line.entries.saturating_add(1);
            line.awarded_hundredths = line.awarded_hundredths.saturating_add(awarded);
        }
    }

    fn is_new(&mut self, what: impl Hash) -> bool {
        // Without a key of the process's own: the same play has the same marks.
        let mut mark = DefaultHasher::new();
        what.hash(&mut mark);
        self.seen.insert(mark.finish())
    }
}

#[cfg(test)]
mod tests {
    use proto::common::v1::Credit;

    use super::*;

    #[test]
    fn a_change_counts_once_an_instant_and_an_entry_once() {
        let entry = Entry {
            name: "entries/1".to_owned(),
            kind: entry::Kind::Project.into(),
            awarded: Some(Credit { hundredths: 1500 }),
            ..Entry::default()
        };
        let told = |at: i64| Change {
            resource: entry.name.clone(),
            verb: "recorded".to_owned(),
            at: Some(proto::timestamp(at)),
            after: prost_types::Any::from_msg(&entry).ok(),
            ..Change::default()
        };
        let mut feeds = Feeds::default();
        for change in [told(1), told(1), told(2)] {
            feeds.count("credit", &change);
        }
        assert_eq!(feeds.changes["credit"], Counts::from([("recorded".to_owned(), 2)]));
        assert_eq!(feeds.credit["project"], EntryLine { entries: 1, awarded_hundredths: 1500 });
    }
}
