//! The books of some teachers, opened in a transaction: entries go in, and when the books are closed, ledger, standings,
//! positions and changes are written together.

use std::collections::BTreeMap;

use chassis::{
    Failure,
    db::{Queries, Record, Rows, Tx},
};
use proto::{Held, common::v1::Reason};

use crate::{
    domain::{
        entry::{Entry, Kind},
        standing::{Standing, standings},
        statement::position,
    },
    rules::Rules,
    store::{
        entries, standings as years,
        teachers::{self, Kept, Told},
    },
    wire,
};

/// One teacher's book.
#[derive(Debug, Clone)]
pub struct Book {
    /// The teacher.
    pub kept: Kept,
    /// The ledger, in the order of recording, with what was added here at its end.
    pub entries: Vec<Entry>,
    added: usize,
}

/// The books of some teachers, for this transaction alone.
#[derive(Debug)]
pub struct Books {
    books: BTreeMap<String, Book>,
}

/// Reads the books of `names` as they were known at `recorded_by`; who is unknown has none.
///
/// # Errors
/// Those of the database.
pub async fn read(db: &mut impl Queries, names: &Rows, recorded_by: i64) -> Result<BTreeMap<String, Book>, Failure> {
    let kept = teachers::load(db, names).await?;
    with_entries(db, kept, recorded_by).await
}

async fn with_entries(
    db: &mut impl Queries,
    kept: BTreeMap<String, Kept>,
    recorded_by: i64,
) -> Result<BTreeMap<String, Book>, Failure> {
    let names = Rows::texts(kept.keys());
    let book = |kept| Book { kept, entries: Vec::new(), added: 0 };
    let mut books: BTreeMap<_, _> = kept.into_iter().map(|(name, kept)| (name, book(kept))).collect();
    for entry in entries::of_teachers(db, &names, recorded_by).await? {
        if let Some(book) = books.get_mut(&entry.teacher) {
            book.entries.push(entry);
        }
    }
    Ok(books)
}

impl Books {
    /// Opens the books of `names`: locked before they are read, so that nothing is missing in them.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn open(tx: &mut Tx, names: impl IntoIterator<Item = &str>) -> Result<Self, Failure> {
        let names = Rows::texts(names);
        teachers::lock(tx, &names).await?;
        Ok(Self { books: read(tx, &names, i64::MAX).await? })
    }

    /// The books of teachers whom this transaction has locked, as they are now.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn of_locked(tx: &mut Tx, kept: BTreeMap<String, Kept>) -> Result<Self, Failure> {
        Ok(Self { books: with_entries(tx, kept, i64::MAX).await? })
    }

    /// A teacher's book.
    ///
    /// # Errors
    /// `NOT_FOUND` if the teacher is unknown.
    pub fn of(&self, teacher: &str) -> Result<&Book, Failure> {
        self.books.get(teacher).ok_or_else(|| Failure::not_found(teacher))
    }

    /// Enters into the book of the entry's teacher; a reversal marks what it undoes.
    ///
    /// # Errors
    /// `NOT_FOUND` if the teacher is unknown; `ALREADY_REVERSED`, if so.
    pub fn enter(&mut self, entry: Entry) -> Result<(), Failure> {
        let book = self.books.get_mut(&entry.teacher).ok_or_else(|| Failure::not_found(&entry.teacher))?;
        if entry.kind == Kind::Reversal {
            let undone = book.entries.iter_mut().find(|undone| undone.name == entry.reverses);
            let undone = undone.ok_or_else(|| Failure::not_found(&entry.reverses))?;
            if !undone.reversed_by.is_empty() {
                return Err(Failure::new(Reason::AlreadyReversed).with("resource", &undone.name));
            }
            undone.reversed_by.clone_from(&entry.name);
        }
        book.entries.push(entry);
        book.added += 1;
        Ok(())
    }

    /// Writes what was entered, draws up the years of all these teachers anew and tells the positions that changed.
    /// `held`: the role under which it was done.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn close(self, tx: &mut Tx, rules: &Rules, held: Option<&Held>) -> Result<(), Failure> {
        let Self { books } = self;
        self::add(tx, &books, held).await?;
        let drawn = draw_up(tx, &books, rules, held);
        years::replace(tx, &Rows::texts(books.keys()), &drawn.years).await?;
        teachers::note(tx, &drawn.told).await
    }

    /// As `close`, of teachers who are written down with it, as they are now.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn keep(self, tx: &mut Tx, rules: &Rules) -> Result<(), Failure> {
        let Self { books } = self;
        let drawn = draw_up(tx, &books, rules, None);
        teachers::put(tx, books.values().map(|book| &book.kept), &drawn.told).await?;
        years::replace(tx, &Rows::texts(books.keys()), &drawn.years).await
    }
}

/// What the rules make of some books.
struct Drawn<'a> {
    years: Vec<(&'a str, Standing)>,
    told: Told<'a>,
}

/// Draws up years and positions, and tells the positions that changed.
fn draw_up<'a>(tx: &mut Tx, books: &'a BTreeMap<String, Book>, rules: &Rules, held: Option<&Held>) -> Drawn<'a> {
    let today = rules.day(tx.at());
    let through = today.year().saturating_add(1);
    let mut years = Vec::new();
    let mut positions = BTreeMap::new();
    for (name, Book { kept, entries, .. }) in books {
        let drawn_up = standings(&kept.teacher, entries, through, &rules.policy);
        years.extend(drawn_up.into_iter().map(|standing| (name.as_str(), standing)));
        let position = position(&kept.teacher, entries, today, &rules.policy);
        positions.insert(name.as_str(), position);
        if kept.told != Some(position) {
            let after = wire::position(name, position);
            let record = Record::of(&format!("{name}/position"), "moved", &after).by(tx.actor(), held);
            tx.record(record);
        }
    }
    Drawn { years, told: Told { positions, through, basis: rules.policy.basis() } }
}

async fn add(tx: &mut Tx, books: &BTreeMap<String, Book>, held: Option<&Held>) -> Result<(), Failure> {
    let added: Vec<_> = books.values().flat_map(|book| book.entries.iter().rev().take(book.added).rev()).collect();
    let Some(first) = added.first() else { return Ok(()) };
    let taken = entries::add(tx, added.iter().copied()).await?;
    if usize::try_from(taken).ok() != Some(added.len()) {
        return Err(Failure::new(Reason::AlreadyExists).with("resource", first.once()));
    }
    for entry in added {
        let verb = if entry.kind == Kind::Reversal { "reversed" } else { "entered" };
        let record = Record::of(&entry.name, verb, &wire::told(entry)).by(tx.actor(), held).reason(&entry.reason);
        tx.record(record);
    }
    Ok(())
}
