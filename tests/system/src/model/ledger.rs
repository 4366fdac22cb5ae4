//! The credit ledger: entries that are added and undone, never altered; and what results make of it.

use std::collections::BTreeMap;

use proto::{common::v1::Reason, credit::v1::entry::Kind, enrollment::v1::selection::State};

use super::{Against, one};

/// Hundredths of school-based credit that count in a cycle.
const SCHOOL_BASED: i64 = 12_000;

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// "teachers/…/entries/…"; empty until it is known.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// A document, a plan, a selection; of a reversal, what it undoes.
    pub source: String,
    /// In hundredths.
    pub awarded: i64,
    /// It was undone.
    pub reversed: bool,
}

/// The lines of all teachers, and what each result earns.
#[derive(Debug, Default)]
pub struct Ledger {
    lines: BTreeMap<usize, Vec<Line>>,
    /// By selection: what the result that was told last earns.
    earned: BTreeMap<String, Option<i64>>,
}

impl Ledger {
    /// A teacher's lines, in the order in which they were entered.
    #[must_use]
    pub fn of(&self, teacher: usize) -> &[Line] {
        self.lines.get(&teacher).map_or(&[], Vec::as_slice)
    }

    /// The lines of a teacher whose names are not known yet.
    pub fn unnamed(&mut self, teacher: usize) -> impl Iterator<Item = &mut Line> {
        self.lines.entry(teacher).or_default().iter_mut().filter(|line| line.name.is_empty())
    }

    /// What is against an entry by hand: each source counts once.
    #[must_use]
    pub fn against(&self, teacher: usize, kind: Kind, source: &str) -> Against {
        let same = |line: &Line| line.kind == kind && line.source == source && !line.reversed;
        if self.of(teacher).iter().any(same) { one(Reason::AlreadyExists) } else { Against::new() }
    }

    /// An entry.
    pub fn enter(&mut self, teacher: usize, name: String, kind: Kind, source: &str, awarded: i64) {
        let line = Line { name, kind, source: source.to_owned(), awarded, reversed: false };
        self.lines.entry(teacher).or_default().push(line);
    }

    /// What is against undoing a line: it is a reversal, or undone already.
    #[must_use]
    pub fn against_reversal(&self, teacher: usize, line: usize) -> Against {
        match &self.of(teacher)[line] {
            Line { kind: Kind::Reversal, .. } => one(Reason::StateConflict),
            Line { reversed: true, .. } => one(Reason::AlreadyReversed),
            _ => Against::new(),
        }
    }

    /// Undone. Returns the selection from which its credit came, if it came from one: that is only passed again.
    pub fn reverse(&mut self, teacher: usize, line: usize, name: String) -> Option<String> {
        let undone = &mut self.lines.entry(teacher).or_default()[line];
        undone.reversed = true;
        let Line { name: of, kind, source, awarded, .. } = undone.clone();
        self.enter(teacher, name, Kind::Reversal, &of, -awarded);
        (kind == Kind::Project).then_some(source)
    }

    /// A confirmed or corrected result: it becomes credit once; again only if it earns something else than before.
    pub fn recognize(&mut self, teacher: usize, selection: &str, earns: Option<i64>) -> State {
        let before = self.earned.insert(selection.to_owned(), earns);
        match earns {
            None => State::Failed,
            Some(_) if before == Some(earns) => State::Passed,
            Some(awarded) => {
                self.enter(teacher, String::new(), Kind::Project, selection, awarded);
                State::Credited
            }
        }
    }

    /// What counts in the cycle, and the school-based credit that does not.
    #[must_use]
    pub fn counted(&self, teacher: usize) -> (i64, i64) {
        let sum = |kinds: &[Kind]| -> i64 {
            let counts = |line: &&Line| kinds.contains(&line.kind) && !line.reversed;
            self.of(teacher).iter().filter(counts).map(|line| line.awarded).sum()
        };
        let school = sum(&[Kind::SchoolBased]);
        let total = sum(&[Kind::OpeningBalance, Kind::Project]) + school.min(SCHOOL_BASED);
        (total, (school - SCHOOL_BASED).max(0))
    }
}
