//! Handing out all that is held of a person: who may have it, and page by page, section by section.

use proto::{
    Actor,
    common::v1::{Change, ExportPermit, Reason, Role},
};

use crate::{
    Page,
    changes::decode,
    db::{Queries, Row, Tx, args},
    failure::Failure,
};

/// A permit to read a person's data for him, with why it was given (known to the roster alone).
#[derive(Debug, Clone, PartialEq)]
pub struct Permit {
    /// What every service knows of it.
    pub permit: ExportPermit,
    /// Why, in the officer's words.
    pub reason: String,
    /// Microseconds since the epoch.
    pub opened_at: i64,
}

/// Keeps a permit.
///
/// # Errors
/// Those of the database.
pub async fn keep(tx: &mut Tx, Permit { permit, reason, opened_at }: &Permit) -> Result<(), Failure> {
    let expires_at = permit.expires_at.as_ref().map(proto::instant).unwrap_or_default();
    tx.execute(
        "INSERT INTO export_permit (name, teacher, account, officer, reason, opened_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        args![&permit.name, &permit.teacher, &permit.account, &permit.officer, reason, *opened_at, expires_at],
    )
    .await?;
    Ok(())
}

/// Takes a change of the roster, if it is a permit.
///
/// # Errors
/// Those of the database.
pub async fn mirror(tx: &mut Tx, change: &Change) -> Result<bool, Failure> {
    let Some(permit) = decode::<ExportPermit>(change)? else { return Ok(false) };
    let opened_at = change.at.as_ref().map(proto::instant).unwrap_or_default();
    keep(tx, &Permit { permit, reason: String::new(), opened_at }).await?;
    Ok(true)
}

/// The permits that were given for a person ("teachers/…" or "accounts/…"), by name from after `after`.
///
/// # Errors
/// Those of the database.
pub async fn permits(db: &mut impl Queries, person: &str, after: &str, limit: usize) -> Result<Vec<Permit>, Failure> {
    let sql = "SELECT * FROM export_permit WHERE (teacher = $1 OR account = $1) AND name > $2 ORDER BY name LIMIT $3";
    let read = |row: &Row| {
        Ok(Permit {
            permit: ExportPermit {
                name: row.get("name")?,
                teacher: row.get("teacher")?,
                account: row.get("account")?,
                officer: row.get("officer")?,
                expires_at: Some(proto::timestamp(row.get("expires_at")?)),
            },
            reason: row.get("reason")?,
            opened_at: row.get("opened_at")?,
        })
    };
    db.all(sql, args![person, after, limit]).await?.iter().map(read).collect()
}

/// Whether `actor` may have all that is held of the person with this name ("teachers/…" or "accounts/…"): he is it, or he has
/// opened an export of it.
///
/// # Errors
/// `EXPORT_NOT_OPENED` to an officer, `OUT_OF_SCOPE` to anybody else.
pub async fn admit(db: &mut impl Queries, actor: &Actor, person: &str, at: i64) -> Result<(), Failure> {
    if !person.is_empty() && (actor.teacher == person || actor.account == person) {
        return Ok(());
    }
    if !actor.is(Role::BureauOfficer) {
        return Err(Failure::out_of_scope(person));
    }
    let permitted = db
        .one(
            "SELECT name FROM export_permit
             WHERE officer = $1 AND (teacher = $2 OR (account = $2 AND account <> '')) AND expires_at > $3 LIMIT 1",
            args![&actor.account, person, at],
        )
        .await?;
    match permitted {
        Some(_) => Ok(()),
        None => Err(Failure::new(Reason::ExportNotOpened).with("resource", person)),
    }
}

/// Most records of a page: the longest, a notice's text, have some 16 kB, and a message has 4 MiB at most.
const MOST: usize = 200;

/// Rows of a section after a key, one more than there is room for if there are as many.
pub type Found<R> = Vec<(String, R)>;

/// One page through several sections, each ordered by a key of its own:
///
/// ```text
/// let mut records = Sections::of(page, 2);
/// while let Some((section, after, limit)) = records.next() {
///     let found = match section { 0 => …, _ => … };
///     records.take(found);
/// }
/// ```
#[derive(Debug)]
pub struct Sections<R> {
    page: Page,
    limit: usize,
    section: usize,
    sections: usize,
    after: String,
    records: Vec<R>,
    /// Where the next page begins.
    next: Option<(usize, String)>,
}

impl<R> Sections<R> {
    /// From where the page begins.
    #[must_use]
    pub fn of(page: Page, sections: usize) -> Self {
        let (section, after) = page.after().split_once(' ').unwrap_or(("0", ""));
        let (section, after) = (section.parse().unwrap_or(sections), after.to_owned());
        let limit = page.limit().min(MOST);
        Self { page, limit, section, sections, after, records: Vec::new(), next: None }
    }

    /// The section to read now, the key after which, and how many rows to ask for; `None` once the page is full.
    pub fn next(&self) -> Option<(usize, String, usize)> {
        let room = self.limit.saturating_sub(self.records.len());
        let open = self.next.is_none() && self.section < self.sections;
        open.then(|| (self.section, self.after.clone(), room.saturating_add(1)))
    }

    /// Takes what was found of the section.
    pub fn take(&mut self, mut found: Found<R>) {
        let room = self.limit.saturating_sub(self.records.len());
        if found.len() > room {
            found.truncate(room);
            let last = found.last().map_or_else(|| self.after.clone(), |(key, _)| key.clone());
            self.next = Some((self.section, last));
        } else {
            self.section += 1;
            self.after.clear();
        }
        self.records.extend(found.into_iter().map(|(_, record)| record));
    }

    /// Takes what was found on a part of the way through a section that is read in parts: `resume` is the key from which the
    /// next page goes on, `None` at the section's end.
    pub fn take_part(&mut self, found: Vec<R>, resume: Option<String>) {
        self.records.extend(found);
        match resume {
            Some(key) => self.next = Some((self.section, key)),
            None => {
                self.section += 1;
                self.after.clear();
            }
        }
    }

    /// The records, and the token of the next page.
    #[must_use]
    pub fn end(self) -> (Vec<R>, String) {
        let token = self
            .next
            .map_or_else(String::new, |(section, after)| self.page.next(usize::MAX, || format!("{section} {after}")));
        (self.records, token)
    }
}

#[cfg(test)]
mod tests {
    use proto::common::v1::WatchRequest;

    use super::*;

    fn rows(prefix: char, count: usize, after: &str, limit: usize) -> Found<String> {
        let keys = (0..count).map(|n| format!("{prefix}{n}")).filter(|key| key.as_str() > after);
        keys.take(limit).map(|key| (key.clone(), key)).collect()
    }

    #[test]
    fn every_page_size_gives_every_record_once_and_in_order() {
        let all: Vec<String> = [('a', 3), ('b', 0), ('c', 4)]
            .into_iter()
            .flat_map(|(prefix, count)| (0..count).map(move |n| format!("{prefix}{n}")))
            .collect();
        for size in 1..=8 {
            let (mut got, mut token, mut pages) = (Vec::new(), String::new(), 0);
            loop {
                let page = Page::read(size, &token, &WatchRequest::default()).unwrap();
                let mut sections = Sections::of(page, 3);
                while let Some((section, after, limit)) = sections.next() {
                    sections.take(match section {
                        0 => rows('a', 3, &after, limit),
                        1 => rows('b', 0, &after, limit),
                        _ => rows('c', 4, &after, limit),
                    });
                }
                let (records, next) = sections.end();
                assert!(records.len() <= usize::try_from(size).unwrap());
                got.extend(records);
                pages += 1;
                assert!(pages < 20, "it does not end");
                token = next;
                if token.is_empty() {
                    break;
                }
            }
            assert_eq!(got, all, "with pages of {size}");
        }
    }
}
