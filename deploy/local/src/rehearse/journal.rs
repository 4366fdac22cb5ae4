//! The journal of a play: what each call was answered. A play that was interrupted goes on by being played again: what was
//! answered before is read here instead of being asked again, so that everyone remembers and decides the same, and the
//! first call without an answer is where it goes on. A mutation whose answer was lost with the process is answered by the
//! system, under its request id.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use prost::{Message, Name};
use sha2::{Digest as _, Sha256};
use tonic::Code;

use super::books::Refusal;

/// A question: who asks what. The same one asked again has its answers in order.
type Key = Vec<u8>;

/// The journal; without a file it knows and keeps nothing.
#[derive(Debug, Default)]
pub struct Journal(Option<Book>);

#[derive(Debug)]
struct Book {
    pages: Mutex<Pages>,
    settled: tokio::sync::Mutex<Settled>,
}

/// What is on the disk, whatever becomes of the machine.
#[derive(Debug)]
struct Settled {
    file: Arc<File>,
    lines: u64,
}

#[derive(Debug)]
struct Pages {
    file: File,
    answers: BTreeMap<Key, VecDeque<Line>>,
    /// Lines written by this process.
    lines: u64,
    /// Why it could not be written, if it could not: the play ends with it.
    fault: Option<std::io::Error>,
}

/// A line of the file.
#[derive(Clone, PartialEq, prost::Message)]
struct Line {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    reply: Vec<u8>,
    #[prost(message, optional, tag = "3")]
    refusal: Option<Refused>,
}

/// A refusal as a line has it.
#[derive(Clone, PartialEq, prost::Message)]
struct Refused {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    reason: String,
    #[prost(string, repeated, tag = "3")]
    preconditions: Vec<String>,
    #[prost(string, tag = "4")]
    message: String,
}

impl Journal {
    /// Opens the journal of a file, with what it has from before; a last line that was cut off is taken away.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let opened = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path);
        let mut file = opened.with_context(|| format!("opening {}", path.display()))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut rest = bytes.as_slice();
        let mut answers: BTreeMap<Key, VecDeque<Line>> = BTreeMap::new();
        let mut whole = rest.len();
        while let Ok(line) = Line::decode_length_delimited(&mut rest) {
            whole = rest.len();
            answers.entry(line.key.clone()).or_default().push_back(line);
        }
        let end = bytes.len().saturating_sub(whole) as u64;
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        // What was read counts as an answer, so it has to stay; and the file's own name, too.
        file.sync_all()?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        let settled = Settled { file: Arc::new(file.try_clone()?), lines: 0 };
        let pages = Pages { file, answers, lines: 0, fault: None };
        Ok(Self(Some(Book { pages: Mutex::new(pages), settled: tokio::sync::Mutex::new(settled) })))
    }

    /// Whether nothing was answered yet: the play has not begun.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.pages().is_none_or(|pages| pages.answers.is_empty())
    }

    fn pages(&self) -> Option<MutexGuard<'_, Pages>> {
        self.0.as_ref().map(Book::pages)
    }

    /// Brings every answer kept so far to the disk: nobody acts on what a power cut would take away. Those who wait for one
    /// another's writing share it.
    pub(super) async fn settle(&self) {
        let Some(book) = &self.0 else { return };
        let wanted = book.pages().lines;
        let mut settled = book.settled.lock().await;
        if settled.lines >= wanted {
            return;
        }
        let lines = book.pages().lines;
        let file = Arc::clone(&settled.file);
        match tokio::task::spawn_blocking(move || file.sync_data()).await.map_err(std::io::Error::other).flatten() {
            Ok(()) => settled.lines = lines,
            Err(error) => {
                book.pages().fault.get_or_insert(error);
            }
        }
    }

    /// Whether every answer kept so far is on the disk.
    #[cfg(test)]
    pub(super) fn is_settled(&self) -> bool {
        let Some(book) = &self.0 else { return true };
        let lines = book.pages().lines;
        book.settled.try_lock().is_ok_and(|settled| settled.lines >= lines)
    }

    /// The answer that `who` had to `question`, if there is one that was not given out yet.
    pub(super) fn answer<M: Name, R: Message + Default>(&self, who: &str, question: &M) -> Option<Result<R, Refusal>> {
        let line = self.pages()?.answers.get_mut(&key(who, question))?.pop_front()?;
        match line.refusal {
            Some(refused) => Some(Err(refused.into())),
            // What cannot be read is asked again.
            None => R::decode(line.reply.as_slice()).ok().map(Ok),
        }
    }

    /// Keeps an answer, before anybody acts on it.
    pub(super) fn keep<M: Name, R: Message>(&self, who: &str, question: &M, answer: &Result<R, Refusal>) {
        let Some(mut pages) = self.pages() else { return };
        let (reply, refusal) = match answer {
            Ok(reply) => (reply.encode_to_vec(), None),
            Err(refusal) => (Vec::new(), Some(Refused::from(refusal))),
        };
        let line = Line { key: key(who, question), reply, refusal }.encode_length_delimited_to_vec();
        // In one piece and at once: a process that is killed leaves whole lines.
        match pages.file.write_all(&line) {
            Ok(()) => pages.lines = pages.lines.saturating_add(1),
            Err(error) => {
                pages.fault.get_or_insert(error);
            }
        }
    }

    /// An error if an answer could not be kept.
    ///
    /// # Errors
    /// That of the file.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        match self.pages().and_then(|mut pages| pages.fault.take()) {
            Some(error) => Err(error).context("writing the journal of the play"),
            None => Ok(()),
        }
    }
}

impl Book {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key<M: Name>(who: &str, question: &M) -> Key {
    let mut hash = Sha256::new();
    for part in [who.as_bytes(), M::full_name().as_bytes(), &question.encode_to_vec()] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().to_vec()
}

impl From<&Refusal> for Refused {
    fn from(refusal: &Refusal) -> Self {
        let Refusal { code, reason, preconditions, message } = refusal.clone();
        Self { code: code.into(), reason, preconditions, message }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let Refused { code, reason, preconditions, message } = refused;
        Self { code: Code::from(code), reason, preconditions, message }
    }
}

#[cfg(test)]
mod tests {
    use proto::gateway::v1::{GetTodayRequest, OpenWindow};

    use super::*;

    fn question(term: &str) -> GetTodayRequest {
        GetTodayRequest { term: term.to_owned() }
    }

    fn reply(term: &str) -> Result<OpenWindow, Refusal> {
        Ok(OpenWindow { term: term.to_owned(), ..OpenWindow::default() })
    }

    fn answer(journal: &Journal, who: &str, term: &str) -> Option<Result<OpenWindow, Refusal>> {
        journal.answer(who, &question(term))
    }

    #[test]
    fn answers_come_back_in_order_to_who_asked_and_refusals_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let refusal = Refusal {
            code: Code::FailedPrecondition,
            reason: "NOT_ELIGIBLE".to_owned(),
            preconditions: vec!["FULL".to_owned()],
            message: "why".to_owned(),
        };
        let journal = Journal::open(&path).unwrap();
        assert!(journal.is_new());
        journal.keep("one", &question("a"), &reply("first"));
        journal.keep("one", &question("a"), &reply("second"));
        journal.keep("two", &question("a"), &Err::<OpenWindow, _>(refusal));
        journal.check().unwrap();
        // What was kept in this life is not asked for in it.
        assert!(answer(&journal, "one", "a").is_none());
        drop(journal);

        let journal = Journal::open(&path).unwrap();
        assert!(!journal.is_new());
        assert_eq!(answer(&journal, "one", "a").unwrap().unwrap().term, "first");
        assert_eq!(answer(&journal, "one", "a").unwrap().unwrap().term, "second");
        assert!(answer(&journal, "one", "a").is_none());
        assert!(answer(&journal, "one", "b").is_none());
        let refused = answer(&journal, "two", "a").unwrap().unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "NOT_ELIGIBLE"));
        assert_eq!((refused.preconditions, refused.message.as_str()), (vec!["FULL".to_owned()], "why"));
    }

    #[test]
    fn a_line_that_was_cut_off_anywhere_is_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let journal = Journal::open(&path).unwrap();
        journal.keep("one", &question("a"), &reply("first"));
        let first = std::fs::metadata(&path).unwrap().len();
        journal.keep("one", &question("a"), &reply("second"));
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for cut in usize::try_from(first).unwrap()..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let journal = Journal::open(&path).unwrap();
            journal.keep("one", &question("a"), &reply("anew"));
            drop(journal);
            let journal = Journal::open(&path).unwrap();
            assert_eq!(answer(&journal, "one", "a").unwrap().unwrap().term, "first");
            assert_eq!(answer(&journal, "one", "a").unwrap().unwrap().term, "anew");
            assert!(answer(&journal, "one", "a").is_none());
        }
    }

    #[tokio::test]
    async fn what_is_kept_is_on_the_disk_once_it_is_settled() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("journal")).unwrap();
        for term in ["a", "b"] {
            assert!(journal.is_settled());
            journal.keep("one", &question(term), &reply("first"));
            assert!(!journal.is_settled());
            journal.settle().await;
        }
        assert!(journal.is_settled());
        journal.check().unwrap();
    }

    #[test]
    fn without_a_file_nothing_is_known() {
        let journal = Journal::default();
        journal.keep("one", &question("a"), &reply("first"));
        assert!(answer(&journal, "one", "a").is_none());
        journal.check().unwrap();
    }
}
