//! The peer on SQLite: one commit a request through one connection, with prepared statements, WAL and `synchronous=FULL`.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use super::Aim;
use crate::{town::SPREAD as PROJECTS, zipf::Zipf};

const TERM: &str = "terms/2019-autumn";
/// How often the clock is looked at.
const LOOK: i64 = 16;

/// The peer's file.
#[derive(Debug)]
pub struct Embedded {
    path: PathBuf,
    change: Vec<u8>,
}

impl Embedded {
    /// In a file of this folder.
    #[must_use]
    pub fn new(folder: &Path, change_bytes: usize) -> Self {
        Self { path: folder.join("peer.db"), change: vec![0xa5; change_bytes] }
    }

    /// Requests a second, one after the other for so long, on empty tables.
    ///
    /// # Errors
    /// Those of the database, or if it does not hold what was written.
    pub fn run(&self, aim: Aim, seconds: u64) -> anyhow::Result<f64> {
        let mut connection = self.open()?;
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let zipf = Zipf::new(PROJECTS);
        let within = Duration::from_secs(seconds);
        let began = Instant::now();
        let mut done = 0_i64;
        while done % LOOK != 0 || began.elapsed() < within {
            let project = if aim == Aim::One { 0 } else { zipf.draw(rng.random()) };
            self.request(&mut connection, aim, done, project)?;
            done += 1;
        }
        let elapsed = began.elapsed();
        let sql = "SELECT (SELECT COUNT(*) FROM selection), (SELECT COUNT(*) FROM change)";
        let counts: (i64, i64) = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        anyhow::ensure!(counts == (done, done), "the peer's file holds {counts:?} instead of {done}");
        Ok(done as f64 / elapsed.as_secs_f64())
    }

    fn open(&self) -> anyhow::Result<Connection> {
        for end in ["", "-wal", "-shm"] {
            let mut name = self.path.clone().into_os_string();
            name.push(end);
            if Path::new(&name).exists() {
                std::fs::remove_file(&name)?;
            }
        }
        // One thread alone uses it.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags).context("opening the peer's file")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "cache_size", -16_000)?;
        connection.execute_batch(SCHEMA)?;
        for n in 0..PROJECTS {
            let name = format!("{TERM}/projects/{n}");
            connection.execute("INSERT INTO project VALUES (?1, 1000000000, 0)", params![name])?;
        }
        Ok(connection)
    }

    fn request(&self, connection: &mut Connection, aim: Aim, n: i64, project: usize) -> anyhow::Result<()> {
        let name = format!("{TERM}/selections/{:019}", n + 1_000_000_000_000_000_000);
        let teacher = format!("teachers/{n:019}");
        let account = format!("accounts/{n:019}");
        let project = format!("{TERM}/projects/{project}");
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let held = if aim == Aim::Uncapped {
            "none"
        } else {
            let take = "UPDATE project SET taken = taken + 1 WHERE name = ?1 AND taken < capacity";
            anyhow::ensure!(tx.prepare_cached(take)?.execute(params![project])? == 1, "no place left");
            "held"
        };
        tx.prepare_cached(
            "INSERT INTO selection VALUES (?1, ?2, ?3, ?4, '', 1, 1, 'submitted', ?5, 'organizations/school-0001',
                1566781200000000, ?6, '', '', 1, 0, 0, 1, 1, 1, -1, -1, 100, '')",
        )?
        .execute(params![name, TERM, teacher, project, held, account])?;
        tx.prepare_cached("INSERT INTO change (resource, body) VALUES (?1, ?2)")?
            .execute(params![name, self.change])?;
        Ok(tx.commit()?)
    }
}

/// The keys that a good hand-written version would have.
const SCHEMA: &str = "
    CREATE TABLE project (
        name TEXT NOT NULL PRIMARY KEY,
        capacity INTEGER NOT NULL,
        taken INTEGER NOT NULL,
        CHECK (taken BETWEEN 0 AND capacity)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE selection (
        name TEXT NOT NULL PRIMARY KEY,
        term TEXT NOT NULL,
        teacher TEXT NOT NULL,
        project TEXT NOT NULL,
        class TEXT NOT NULL,
        round INTEGER NOT NULL,
        preference INTEGER NOT NULL,
        state TEXT NOT NULL,
        seat TEXT NOT NULL CHECK (seat IN ('none', 'held', 'granted')),
        school TEXT NOT NULL,
        submitted_at INTEGER NOT NULL,
        submitted_by TEXT NOT NULL,
        reason TEXT NOT NULL,
        reason_text TEXT NOT NULL,
        matched INTEGER NOT NULL,
        approved INTEGER NOT NULL,
        waiting_position INTEGER NOT NULL,
        roster_position INTEGER NOT NULL,
        policy_version INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        sessions_attended INTEGER NOT NULL,
        passed INTEGER NOT NULL,
        coefficient_percent INTEGER NOT NULL,
        entry TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX selection_live ON selection (teacher, project)
        WHERE state IN ('submitted', 'school_approved', 'waitlisted', 'confirmed', 'attended');
    CREATE TABLE change (position INTEGER PRIMARY KEY, resource TEXT NOT NULL, body BLOB NOT NULL) STRICT;";
