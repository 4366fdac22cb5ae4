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
mod tests;
