//! A data folder: what was made in it, and whether it was finished. Who comes again finds what is there and goes on with
//! it, or is told what stands in the way.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::people::{County, Documents, TermFolder};
use crate::rehearse::Journal;
use crate::up::SERVICES;

/// What the county in the folder was drawn from.
const COUNTY: &str = "county.toml";
/// Is there once all is as it should be.
const READY: &str = "ready";
/// What was answered so far.
const JOURNAL: &str = "play.journal";
/// The report of a rehearsal that has ended.
const REPORT: &str = "report.json";

/// Teachers of a county for which nobody said how many.
const TEACHERS: u32 = 12_000;
/// Its seed.
const SEED: u64 = 1;

/// What a folder is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// A system that stays up.
    Up,
    /// A rehearsal.
    Rehearse,
}

/// What a folder holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holding {
    /// What it was made for.
    pub purpose: Purpose,
    /// Id of the term: "2019-autumn".
    pub term: String,
    /// Digest of the term's documents, in hex; empty while what was made of others is removed.
    pub documents: String,
    /// Teachers of the county.
    pub teachers: u32,
    /// The county's seed.
    pub seed: u64,
    /// Up to when the term is played; by default up to the first selection morning, or to its end.
    pub until: Option<Timestamp>,
    /// What the names of its databases on a PostgreSQL server begin with, if they are not files of the folder.
    pub databases: Option<String>,
    /// The term's documents, for who comes again without them.
    pub kept: Option<Documents>,
}

impl Holding {
    /// The term that is here, whatever became of the documents that were named.
    ///
    /// # Errors
    /// Faults of the documents, by rules that are newer than they.
    pub fn term(&self, named: TermFolder) -> anyhow::Result<TermFolder> {
        match &self.kept {
            Some(kept) if *kept != named.documents => TermFolder::of(&self.term, kept.clone()),
            _ => Ok(named),
        }
    }
}

/// What somebody wants of a folder; what he does not say is as it is there.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// What for.
    pub purpose: Purpose,
    /// Which term.
    pub term: &'a TermFolder,
    /// How many teachers.
    pub teachers: Option<u32>,
    /// Of which county.
    pub seed: Option<u64>,
    /// Up to when.
    pub until: Option<Timestamp>,
    /// On PostgreSQL: what to name the databases after. Otherwise they are files.
    pub databases: Option<&'a str>,
}

impl Wish<'_> {
    /// What would be made of it.
    ///
    /// # Errors
    /// If no county is so small.
    pub fn holding(&self) -> anyhow::Result<Holding> {
        let teachers = self.teachers.unwrap_or(TEACHERS);
        let least = County::least(self.term);
        ensure!(
            teachers >= least,
            "--teachers {teachers}：本学期的区县至少有 {least} 名教师，请用 --teachers {least} 或更多\n\
             --teachers {teachers}: a county of this term has {least} teachers at least: use --teachers {least} or more"
        );
        Ok(Holding {
            purpose: self.purpose,
            term: self.term.id.clone(),
            documents: self.term.documents.digest(),
            teachers,
            seed: self.seed.unwrap_or(SEED),
            until: self.until,
            databases: self.databases.map(str::to_owned),
            kept: Some(self.term.documents.clone()),
        })
    }

    /// Whether what is there is what is wanted.
    fn fits(&self, path: &Path, there: &Holding) -> anyhow::Result<()> {
        let Holding { term, teachers, seed, .. } = there;
        let other = *term != self.term.id
            || self.teachers.is_some_and(|wanted| wanted != *teachers)
            || self.seed.is_some_and(|wanted| wanted != *seed);
        let path = path.display();
        ensure!(
            !other,
            "{path} 中是学期 {term}、{teachers} 名教师、种子 {seed} 的数据：请去掉或改正 --term、--teachers、--seed，或用 --data 指定其他文件夹\n\
             {path} holds term {term} with {teachers} teachers of seed {seed}: leave --term, --teachers and --seed out, put them \
             right, or name another folder with --data"
        );
        ensure!(
            self.until.is_none() || self.until == there.until,
            "{path} 中的学期{zh}：时钟只能随演练前进，请去掉 --at，或用 --data 指定其他文件夹，从头演练至另一时刻\n\
             the term in {path} is played {en}, and nobody would play what lies between: leave --at out, or name another folder \
             with --data to have the term played up to another instant",
            zh = there.until.map_or_else(|| "已按默认时刻演练".to_owned(), |at| format!("演练至 {at}")),
            en = there.until.map_or_else(|| "up to where it is by default".to_owned(), |at| format!("up to {at}")),
        );
        Ok(())
    }
}

/// Holds a folder against other processes, for as long as it is there; the kernel lets go of it with the process.
#[derive(Debug)]
pub struct Held(#[allow(dead_code, reason = "held, not read")] File);

/// A data folder.
#[derive(Debug, Clone)]
pub struct DataFolder(PathBuf);

impl DataFolder {
    /// That of a path; need not be there yet.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Whether all is as it should be.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.join(READY).exists()
    }

    /// Takes the folder for this process, making it if it is not there. It is the folder itself that is locked: nothing is
    /// written in it.
    ///
    /// # Errors
    /// If another process has it.
    pub fn hold(&self) -> anyhow::Result<Held> {
        let path = self.0.display();
        fs::create_dir_all(&self.0).with_context(|| format!("creating {path}"))?;
        let folder = File::open(&self.0).with_context(|| format!("opening {path}"))?;
        match folder.try_lock() {
            Ok(()) => Ok(Held(folder)),
            Err(TryLockError::WouldBlock) => bail!(
                "{path} 正由另一个进程使用：请先停止该进程，或用 --data 指定其他文件夹\n\
                 {path} is in use by another process: stop that one, or name another folder with --data"
            ),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("locking {path}")),
        }
    }

    /// The term of whoever comes: the one that he names; else the one whose documents are kept here, else the sample.
    ///
    /// # Errors
    /// The faults of the documents.
    pub fn term(&self, named: Option<&Path>) -> anyhow::Result<TermFolder> {
        if let Some(folder) = named {
            return TermFolder::read(folder).with_context(|| format!("{}", folder.display()));
        }
        match self.holding()? {
            Some(Holding { term, kept: Some(kept), .. }) => TermFolder::of(&term, kept),
            _ => TermFolder::sample(),
        }
    }

    /// What the folder holds from now on: what it held before, or what is wished.
    ///
    /// # Errors
    /// What stands in the way, and what to do.
    pub fn open(&self, wish: &Wish<'_>) -> anyhow::Result<Holding> {
        let path = self.0.display();
        let Some(there) = self.holding()? else {
            self.is_free(wish.purpose)?;
            let holding = wish.holding()?;
            fs::create_dir_all(&self.0).with_context(|| format!("creating {path}"))?;
            self.mark(&holding)?;
            return Ok(holding);
        };
        match (wish.purpose, there.purpose, self.is_ready()) {
            (Purpose::Rehearse, Purpose::Rehearse, true) => bail!(
                "{path} 中的演练已经结束，报告见 {REPORT}：再次演练请用 --data 指定其他文件夹，或删除该文件夹\n\
                 {path} holds a rehearsal that has ended; its report is {REPORT} there: name another folder with --data, or \
                 remove this one, to rehearse again"
            ),
            (Purpose::Rehearse, Purpose::Up, _) => bail!(
                "{path} 是 `shixun up` 的文件夹：演练请用 --data 指定其他文件夹\n\
                 {path} belongs to `shixun up`: name another folder with --data to rehearse"
            ),
            (Purpose::Up, Purpose::Rehearse, false) => bail!(
                "{path} 中有一次中断的演练：请用 `shixun rehearse --data {path}` 继续，或用 --data 指定其他文件夹\n\
                 {path} holds a rehearsal that was interrupted: go on with `shixun rehearse --data {path}`, or name another \
                 folder with --data"
            ),
            (Purpose::Up, Purpose::Up | Purpose::Rehearse, _) | (Purpose::Rehearse, Purpose::Rehearse, false) => {}
        }
        match (&there.databases, wish.databases) {
            (Some(databases), None) if wish.purpose == Purpose::Up => bail!(
                "{path} 的数据在 PostgreSQL 的数据库 {databases}_* 中，`shixun up` 只用文件：请用 --data 指定其他文件夹\n\
                 the data of {path} are in the databases {databases}_* of a PostgreSQL server, and `shixun up` uses files: \
                 name another folder with --data"
            ),
            (Some(databases), None) => bail!(
                "{path} 中的演练使用 PostgreSQL 的数据库 {databases}_*：请加上 --engine postgres --database-url URL\n\
                 the rehearsal in {path} uses the databases {databases}_* of a PostgreSQL server: add --engine postgres \
                 --database-url URL"
            ),
            (None, Some(_)) => bail!(
                "{path} 中的演练使用 SQLite：请去掉 --engine postgres\n\
                 the rehearsal in {path} uses SQLite: leave --engine postgres out"
            ),
            (Some(_), Some(_)) | (None, None) => {}
        }
        wish.fits(&self.0, &there)?;
        if self.is_ready() || there.documents == wish.term.documents.digest() {
            return Ok(there);
        }
        // Until the term is played nothing is there but what the documents say.
        ensure!(
            there.databases.is_none() && self.journal()?.is_new(),
            "{path} 中的学期文件在中断后被修改：请恢复原文件后继续，或删除该文件夹重新开始\n\
             the documents of the term in {path} were changed after it was interrupted: put them back to go on, or remove the \
             folder to begin anew"
        );
        self.begin_anew(Holding {
            documents: wish.term.documents.digest(),
            kept: Some(wish.term.documents.clone()),
            ..there
        })
    }

    /// Has the folder hold something else than what was being set up. Interrupted, it is done again.
    fn begin_anew(&self, holding: Holding) -> anyhow::Result<Holding> {
        self.mark(&Holding { documents: String::new(), ..holding.clone() })?;
        for service in SERVICES {
            for ending in ["", "-wal", "-shm"] {
                let path = self.0.join(format!("{service}.db{ending}"));
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        return Err(error).with_context(|| format!("removing {}", path.display()));
                    }
                    _ => {}
                }
            }
        }
        self.mark(&holding)?;
        Ok(holding)
    }

    fn mark(&self, holding: &Holding) -> anyhow::Result<()> {
        write_aside(&self.0.join(COUNTY), &toml::to_string(holding)?)
    }

    fn holding(&self) -> anyhow::Result<Option<Holding>> {
        let path = self.0.join(COUNTY);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let holding = toml::from_str(&text);
                holding.map(Some).with_context(|| format!("{} is not what was written there", path.display()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    /// Whether something new may be made here. A rehearsal takes an empty folder only: it is to be removed afterwards.
    fn is_free(&self, purpose: Purpose) -> anyhow::Result<()> {
        let path = self.0.display();
        ensure!(
            !self.0.join("gateway.db").exists(),
            "{path} 中有来历不明的数据：请用 --data 指定其他文件夹\n\
             {path} holds data of which nothing says what they are: name another folder with --data"
        );
        let foreign = |file: &fs::DirEntry| file.path() != aside(&self.0.join(COUNTY));
        let used = fs::read_dir(&self.0).is_ok_and(|files| files.flatten().any(|file| foreign(&file)));
        ensure!(
            purpose == Purpose::Up || !used,
            "{path} 不是空文件夹：请用 --data 指定空的或不存在的文件夹\n\
             {path} is not empty: name a folder with --data that is empty or not there"
        );
        Ok(())
    }

    /// What was answered here before.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn journal(&self) -> anyhow::Result<Journal> {
        Journal::open(&self.0.join(JOURNAL))
    }

    /// Keeps the report of a rehearsal.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep_report(&self, json: &str) -> anyhow::Result<()> {
        write_aside(&self.0.join(REPORT), json)
    }

    /// Marks that all is as it should be; the journal is needed no more.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn mark_ready(&self) -> anyhow::Result<()> {
        fs::write(self.0.join(READY), "").context("marking the data folder as ready")?;
        match fs::remove_file(self.0.join(JOURNAL)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("removing the journal of the play"),
            _ => Ok(()),
        }
    }
}

fn aside(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Written aside and renamed: whoever comes finds it whole or not at all.
pub(crate) fn write_aside(path: &Path, text: &str) -> anyhow::Result<()> {
    let written = fs::write(aside(path), text).and_then(|()| fs::rename(aside(path), path));
    written.with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(purpose: Purpose, term: &TermFolder) -> Wish<'_> {
        Wish { purpose, term, teachers: None, seed: None, until: None, databases: None }
    }

    #[test]
    fn who_comes_again_finds_what_is_there() {
        let term = TermFolder::sample().unwrap();
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::of(&parent.path().join("new"));
        let made = folder.open(&Wish { teachers: Some(60), seed: Some(3), ..wish(Purpose::Up, &term) }).unwrap();
        assert_eq!((made.teachers, made.seed, made.term.as_str()), (60, 3, "2019-autumn"));
        for ready in [false, true] {
            assert_eq!(folder.is_ready(), ready);
            assert_eq!(folder.open(&wish(Purpose::Up, &term)).unwrap(), made);
            assert_eq!(folder.open(&Wish { seed: Some(3), ..wish(Purpose::Up, &term) }).unwrap(), made);
            assert!(folder.open(&Wish { seed: Some(4), ..wish(Purpose::Up, &term) }).is_err());
            assert!(folder.open(&Wish { teachers: Some(61), ..wish(Purpose::Up, &term) }).is_err());
            assert!(folder.open(&wish(Purpose::Rehearse, &term)).is_err());
            folder.journal().unwrap();
            folder.mark_ready().unwrap();
        }
    }

    #[test]
    fn documents_that_were_changed_are_noticed_until_all_is_ready() {
        let term = TermFolder::sample().unwrap();
        let changed = other(&term);
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::of(parent.path());
        folder.open(&wish(Purpose::Rehearse, &term)).unwrap();
        // As it is once the play has begun.
        fs::write(parent.path().join(JOURNAL), journal_of_one()).unwrap();
        assert!(folder.open(&wish(Purpose::Rehearse, &changed)).is_err());
        assert!(folder.open(&wish(Purpose::Up, &term)).is_err());
        folder.mark_ready().unwrap();
        assert!(folder.open(&wish(Purpose::Rehearse, &term)).unwrap_err().to_string().contains("has ended"));
        // To look at it.
        folder.open(&wish(Purpose::Up, &changed)).unwrap();
    }

    /// The same term with other words in its policy.
    fn other(term: &TermFolder) -> TermFolder {
        let mut documents = term.documents.clone();
        documents.policy.push_str("\r\n# \"\"\" ''' another\r\n");
        TermFolder::of(&term.id, documents).unwrap()
    }

    /// A journal with one answer in it.
    fn journal_of_one() -> Vec<u8> {
        // Field 1, a key of one byte.
        vec![3, 0x0a, 1, b'k']
    }

    #[test]
    fn documents_that_were_mended_before_the_play_begin_anew() {
        let term = TermFolder::sample().unwrap();
        let changed = other(&term);
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::of(parent.path());
        let small = Wish { teachers: Some(60), ..wish(Purpose::Up, &term) };
        folder.open(&small).unwrap();
        let made = parent.path().join("gateway.db");
        fs::write(&made, "").unwrap();
        let anew = folder.open(&Wish { term: &changed, ..small }).unwrap();
        assert!(!made.exists(), "what was made of the old documents is still there");
        assert_eq!((anew.documents, anew.teachers), (changed.documents.digest(), 60));
        // Interrupted while it was removed: whoever comes, with whatever documents, has it removed.
        folder.mark(&Holding { documents: String::new(), ..folder.holding().unwrap().unwrap() }).unwrap();
        fs::write(&made, "").unwrap();
        folder.open(&small).unwrap();
        assert!(!made.exists());
    }

    #[test]
    fn the_documents_are_kept_for_who_comes_without_them() {
        let sample = TermFolder::sample().unwrap();
        let own = TermFolder { id: "own-term".to_owned(), ..other(&sample) };
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::of(parent.path());
        assert_eq!(folder.term(None).unwrap().id, "2019-autumn");
        folder.open(&wish(Purpose::Rehearse, &own)).unwrap();
        folder.mark_ready().unwrap();
        let kept = folder.term(None).unwrap();
        assert_eq!((kept.id.as_str(), &kept.documents), ("own-term", &own.documents));
        folder.open(&wish(Purpose::Up, &kept)).unwrap();
        assert!(folder.open(&wish(Purpose::Up, &sample)).is_err());
    }

    #[test]
    fn the_instant_stays() {
        let term = TermFolder::sample().unwrap();
        let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        let until = at("2019-08-26T01:00:00Z");
        for (made, again) in [(until, until), (until, None), (None, None)] {
            let parent = tempfile::tempdir().unwrap();
            let folder = DataFolder::of(parent.path());
            folder.open(&Wish { until: made, ..wish(Purpose::Up, &term) }).unwrap();
            for ready in [false, true] {
                assert_eq!(folder.is_ready(), ready);
                folder.open(&Wish { until: again, ..wish(Purpose::Up, &term) }).unwrap();
                for other in ["2019-09-12T00:00:00Z", "2019-07-01T00:00:00Z"] {
                    let other = Wish { until: at(other), ..wish(Purpose::Up, &term) };
                    assert!(folder.open(&other).unwrap_err().to_string().contains("leave --at out"));
                }
                folder.mark_ready().unwrap();
            }
        }
    }

    #[test]
    fn a_folder_is_one_process_s() {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::of(&parent.path().join("new"));
        let held = folder.hold().unwrap();
        assert!(folder.hold().unwrap_err().to_string().contains("is in use by another process"));
        drop(held);
        folder.hold().unwrap();
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0, "something was written");
    }

    #[test]
    fn no_county_is_smaller_than_its_least() {
        let term = TermFolder::sample().unwrap();
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::of(&parent.path().join("new"));
        let least = County::least(&term);
        for few in [0, 1, least - 1] {
            let refused = folder.open(&Wish { teachers: Some(few), ..wish(Purpose::Rehearse, &term) }).unwrap_err();
            assert!(refused.to_string().contains(&format!("use --teachers {least} or more")), "{refused}");
        }
        assert_eq!(
            folder.open(&Wish { teachers: Some(least), ..wish(Purpose::Rehearse, &term) }).unwrap().teachers,
            least
        );
    }

    #[test]
    fn the_engine_stays() {
        let term = TermFolder::sample().unwrap();
        let parent = tempfile::tempdir().unwrap();
        let (files, server) =
            (DataFolder::of(&parent.path().join("files")), DataFolder::of(&parent.path().join("server")));
        let on_server = Wish { databases: Some("rehearsal_1"), ..wish(Purpose::Rehearse, &term) };
        files.open(&wish(Purpose::Rehearse, &term)).unwrap();
        assert!(files.open(&on_server).is_err());
        server.open(&on_server).unwrap();
        assert!(server.open(&wish(Purpose::Rehearse, &term)).unwrap_err().to_string().contains("rehearsal_1"));
        let again = server.open(&Wish { databases: Some("rehearsal_2"), ..on_server }).unwrap();
        assert_eq!(again.databases.as_deref(), Some("rehearsal_1"));
        server.mark_ready().unwrap();
        assert!(server.open(&wish(Purpose::Up, &term)).is_err());
    }

    #[test]
    fn what_others_have_there_is_left_alone() {
        let term = TermFolder::sample().unwrap();
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::of(parent.path());
        // Left by a process that was killed.
        fs::write(parent.path().join("county.new"), "purp").unwrap();
        folder.is_free(Purpose::Rehearse).unwrap();
        fs::write(parent.path().join("holiday.jpg"), "").unwrap();
        assert!(folder.open(&wish(Purpose::Rehearse, &term)).is_err());
        fs::write(parent.path().join("gateway.db"), "").unwrap();
        assert!(folder.open(&wish(Purpose::Up, &term)).is_err());
        assert!(!parent.path().join(COUNTY).exists());
    }
}
