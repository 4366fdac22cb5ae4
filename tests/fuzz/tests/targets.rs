//! Each target on its corpus, and on mutations of it; `PROPTEST_CASES=1000000 cargo nextest run --workspace -E 'package(fuzz)'`
//! goes on for longer. What fails is made smaller, and kept.

use std::{cell::Cell, fs, path::Path};

use anyhow::Context as _;
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};

/// Mutations of a target, if `PROPTEST_CASES` says nothing else.
const CASES: u32 = 20_000;

/// One thing done to a text.
#[derive(Debug, Clone)]
enum Edit {
    /// Bytes are put in.
    Insert { at: u16, bytes: Vec<u8> },
    /// Bytes are taken out.
    Remove { at: u16, length: u8 },
    /// Bytes are written over.
    Overwrite { at: u16, bytes: Vec<u8> },
    /// A part is said twice.
    Repeat { at: u16, length: u8 },
    /// Part of another text of the corpus is put in.
    Splice { at: u16, other: u8, from: u16, length: u8 },
}

fn apply(corpus: &[Vec<u8>], which: u8, edits: &[Edit]) -> Vec<u8> {
    let of = |index: u8| corpus.get(usize::from(index) % corpus.len().max(1)).cloned().unwrap_or_default();
    let mut text = of(which);
    for edit in edits {
        let place = |at: u16, text: &[u8]| usize::from(at) % text.len().saturating_add(1);
        let part = |text: &[u8], at: usize, length: u8| -> Vec<u8> {
            text.iter().skip(at).take(usize::from(length)).copied().collect()
        };
        match edit {
            Edit::Insert { at, bytes } => {
                let at = place(*at, &text);
                text.splice(at..at, bytes.iter().copied());
            }
            Edit::Remove { at, length } => {
                let at = place(*at, &text);
                let end = at.saturating_add(usize::from(*length)).min(text.len());
                text.drain(at..end);
            }
            Edit::Overwrite { at, bytes } => {
                let at = place(*at, &text);
                text.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
            }
            Edit::Repeat { at, length } => {
                let at = place(*at, &text);
                let again = part(&text, at, *length);
                text.splice(at..at, again);
            }
            Edit::Splice { at, other, from, length } => {
                let other = of(*other);
                let put = part(&other, place(*from, &other), *length);
                let at = place(*at, &text);
                text.splice(at..at, put);
            }
        }
    }
    text
}

/// The files of a folder, in the order of their names.
fn files(folder: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    paths.sort();
    paths.into_iter().map(|path| Ok(fs::read(path)?)).collect()
}

fn fuzz(folders: &[&str], target: fn(&[u8])) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut corpus = Vec::new();
    for folder in folders {
        corpus.extend(files(&root.join(folder))?);
    }
    anyhow::ensure!(!corpus.is_empty(), "no corpus in {folders:?}");
    for text in &corpus {
        target(text);
    }
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let mut runner = TestRunner::new(Config { cases, ..Config::default() });
    let mutations = (any::<u8>(), vec(edit(), 0..6));
    let run = Cell::new(0_u32);
    let outcome = runner.run(&mutations, |(which, edits)| {
        target(&apply(&corpus, which, &edits));
        run.set(run.get().saturating_add(1));
        Ok(())
    });
    outcome.map_err(|failure| anyhow::anyhow!("{failure}"))?;
    anyhow::ensure!(run.get() >= cases, "only {} of {cases} mutations were tried", run.get());
    Ok(())
}

fn edit() -> impl Strategy<Value = Edit> {
    let bytes = || vec(any::<u8>(), 0..12);
    prop_oneof![
        (any::<u16>(), bytes()).prop_map(|(at, bytes)| Edit::Insert { at, bytes }),
        (any::<u16>(), any::<u8>()).prop_map(|(at, length)| Edit::Remove { at, length }),
        (any::<u16>(), bytes()).prop_map(|(at, bytes)| Edit::Overwrite { at, bytes }),
        (any::<u16>(), any::<u8>()).prop_map(|(at, length)| Edit::Repeat { at, length }),
        (any::<u16>(), any::<u8>(), any::<u16>(), any::<u8>()).prop_map(|(at, other, from, length)| Edit::Splice {
            at,
            other,
            from,
            length
        }),
    ]
}

#[test]
fn calendar() -> anyhow::Result<()> {
    fuzz(&["corpus/calendar", "../../deploy/local/terms/2019-autumn"], fuzz::calendar)
}

#[test]
fn policy() -> anyhow::Result<()> {
    fuzz(&["corpus/policy", "../../deploy/local/terms/2019-autumn"], fuzz::policy)
}

#[test]
fn roster() -> anyhow::Result<()> {
    fuzz(&["corpus/roster"], fuzz::roster)
}

#[test]
fn query() -> anyhow::Result<()> {
    fuzz(&["corpus/query"], fuzz::query)
}

#[test]
fn page_token() -> anyhow::Result<()> {
    fuzz(&["corpus/page_token"], fuzz::page_token)
}

#[test]
fn message() -> anyhow::Result<()> {
    fuzz(&["corpus/message"], fuzz::message)
}

#[test]
fn token() -> anyhow::Result<()> {
    fuzz(&["corpus/page_token", "corpus/query"], fuzz::token)
}
