//! The peer on PostgreSQL: hand-written SQL under pgbench, with prepared statements, on the same server and settings.
//! A request writes the same facts as ours: the seat taken under its capacity, the selection, the change.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use anyhow::Context as _;
use cluster::Cluster;

use super::Aim;
use crate::{cpu, town::SPREAD as PROJECTS};

/// Clients that are tried.
pub const CLIENTS: [usize; 6] = [1, 8, 16, 32, 64, 96];
/// Threads of pgbench: the machine has two cores, and the server needs them too.
const THREADS: usize = 2;
/// Seconds of a run that only looks for the best setting.
const TRIAL_SECONDS: u64 = 2;
const DATABASE: &str = "peer";

/// A way to write a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Three statements in a transaction; the seat last, so that its lock is held the shortest.
    Three,
    /// One statement with common table expressions.
    One,
}

impl Style {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Three => "three statements",
            Self::One => "one statement",
        }
    }
}

/// A run of pgbench.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Requests a second.
    pub rate: f64,
    /// Mean milliseconds of a request.
    pub latency_ms: f64,
    /// CPU seconds of pgbench.
    pub cpu: f64,
}

/// The setting with which the peer is at its best.
#[derive(Debug, Clone, Copy)]
pub struct Best {
    /// Its clients.
    pub clients: usize,
    /// How it writes.
    pub style: Style,
}

/// The peer's tables, and pgbench.
#[derive(Debug)]
pub struct Pgbench {
    cluster: Arc<Cluster>,
    folder: PathBuf,
    /// Bytes of a change: as many as ours has.
    change_bytes: usize,
}

impl Pgbench {
    /// Makes its database; scripts go to `folder`.
    ///
    /// # Errors
    /// If the server refuses.
    pub fn new(cluster: Arc<Cluster>, folder: &Path, change_bytes: usize) -> anyhow::Result<Self> {
        cluster.sql(&format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"))?;
        cluster.sql(&format!("CREATE DATABASE {DATABASE} TEMPLATE template0"))?;
        cluster.sql_in(DATABASE, SCHEMA)?;
        Ok(Self { cluster, folder: folder.to_owned(), change_bytes })
    }

    /// Tries every number of clients and both styles, and takes the best; with all that was tried, best first.
    ///
    /// # Errors
    /// If pgbench fails.
    pub fn best(&self, aim: Aim) -> anyhow::Result<(Best, Vec<(f64, Best)>)> {
        let mut tried = Vec::new();
        for style in [Style::Three, Style::One] {
            for clients in CLIENTS {
                let setting = Best { clients, style };
                tried.push((self.run(aim, setting, TRIAL_SECONDS)?.rate, setting));
            }
        }
        tried.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        let (_, best) = *tried.first().context("nothing was tried")?;
        Ok((best, tried))
    }

    /// Runs it on empty tables.
    ///
    /// # Errors
    /// If pgbench fails, or what it says was done does not stand in the tables.
    pub fn run(&self, aim: Aim, setting: Best, seconds: u64) -> anyhow::Result<Run> {
        let capacity: i64 = if aim == Aim::Full { 0 } else { 1_000_000_000 };
        self.cluster.sql_in(
            DATABASE,
            &format!(
                "TRUNCATE selection, change, project;
                 INSERT INTO project (name, capacity, taken)
                 SELECT 'terms/2019-autumn/projects/' || n, {capacity}, 0 FROM generate_series(1, {PROJECTS}) AS n;
                 ANALYZE project"
            ),
        )?;
        self.cluster.sql("CHECKPOINT")?;
        let script = text(aim, setting.style, self.change_bytes);
        let (run, done) = bare(&self.cluster, &self.folder, DATABASE, &[script], setting.clients, seconds)?;
        if done > 0.0 {
            // Whole numbers up to 2^53 are exact.
            self.check(aim, done as i64)?;
        }
        Ok(run)
    }

    /// The peer did what it says, too.
    fn check(&self, aim: Aim, done: i64) -> anyhow::Result<()> {
        let counts = self.cluster.sql_in(
            DATABASE,
            "SELECT (SELECT COUNT(*) FROM selection), (SELECT COUNT(*) FROM change), (SELECT SUM(taken) FROM project)",
        )?;
        let written = if aim == Aim::Full { 0 } else { done };
        let taken = if aim == Aim::Uncapped { 0 } else { written };
        let expected = format!("{written}|{written}|{taken}");
        anyhow::ensure!(counts == expected, "the peer's tables hold {counts} instead of {expected}");
        Ok(())
    }
}

/// Runs scripts, one drawn by chance each time, with prepared statements, on a database as it is. With how many were done.
///
/// # Errors
/// If pgbench fails, or one of its requests.
pub fn bare(
    cluster: &Cluster,
    folder: &Path,
    database: &str,
    scripts: &[String],
    clients: usize,
    seconds: u64,
) -> anyhow::Result<(Run, f64)> {
    let cpu_before = cpu::of_ended_children()?;
    let mut command = Command::new(cluster.program("pgbench"));
    command.args(["--no-vacuum", "--protocol=prepared", "--define=i=0"]);
    for (n, text) in scripts.iter().enumerate() {
        let script = folder.join(format!("peer-{n}.sql"));
        std::fs::write(&script, text)?;
        command.arg("--file").arg(&script);
    }
    command.arg(format!("--client={clients}")).arg(format!("--jobs={}", clients.min(THREADS)));
    command.arg(format!("--time={seconds}")).arg(cluster.url(database));
    let output = command.stdin(Stdio::null()).output().context("running pgbench")?;
    let said = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(output.status.success(), "pgbench: {}", String::from_utf8_lossy(&output.stderr));
    let number = |before: &str| -> anyhow::Result<f64> {
        let line = said.lines().find_map(|line| line.strip_prefix(before));
        let line = line.with_context(|| format!("pgbench said no {before:?}: {said}"))?;
        Ok(line.split_whitespace().next().context("no number")?.parse()?)
    };
    let spent = || anyhow::Ok(cpu::of_ended_children()? - cpu_before);
    let done = number("number of transactions actually processed: ")?;
    if done == 0.0 {
        // More clients than could connect in the time.
        return Ok((Run { rate: 0.0, latency_ms: f64::INFINITY, cpu: spent()? }, done));
    }
    anyhow::ensure!(number("number of failed transactions: ")? == 0.0, "requests of pgbench failed: {said}");
    let run = Run { rate: number("tps = ")?, latency_ms: number("latency average = ")?, cpu: spent()? };
    Ok((run, done))
}

/// The keys that a good hand-written version would have.
const SCHEMA: &str = "
    CREATE TABLE project (
        name TEXT COLLATE \"C\" NOT NULL PRIMARY KEY,
        capacity BIGINT NOT NULL,
        taken BIGINT NOT NULL,
        CHECK (taken BETWEEN 0 AND capacity)
    );
    CREATE TABLE selection (
        name TEXT COLLATE \"C\" NOT NULL PRIMARY KEY,
        term TEXT COLLATE \"C\" NOT NULL,
        teacher TEXT COLLATE \"C\" NOT NULL,
        project TEXT COLLATE \"C\" NOT NULL,
        class TEXT COLLATE \"C\" NOT NULL,
        round BIGINT NOT NULL,
        preference BIGINT NOT NULL,
        state TEXT COLLATE \"C\" NOT NULL,
        seat TEXT COLLATE \"C\" NOT NULL CHECK (seat IN ('none', 'held', 'granted')),
        school TEXT COLLATE \"C\" NOT NULL,
        submitted_at BIGINT NOT NULL,
        submitted_by TEXT COLLATE \"C\" NOT NULL,
        reason TEXT COLLATE \"C\" NOT NULL,
        reason_text TEXT COLLATE \"C\" NOT NULL,
        matched BOOLEAN NOT NULL,
        approved BOOLEAN NOT NULL,
        waiting_position BIGINT NOT NULL,
        roster_position BIGINT NOT NULL,
        policy_version BIGINT NOT NULL,
        revision BIGINT NOT NULL,
        sessions_attended BIGINT NOT NULL,
        passed BIGINT NOT NULL,
        coefficient_percent BIGINT NOT NULL,
        entry TEXT COLLATE \"C\" NOT NULL
    );
    CREATE UNIQUE INDEX selection_live ON selection (teacher, project)
        WHERE state IN ('submitted', 'school_approved', 'waitlisted', 'confirmed', 'attended');
    CREATE TABLE change (
        position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        resource TEXT COLLATE \"C\" NOT NULL,
        body BYTEA NOT NULL
    );";

/// The script of a request. Teachers and ids are counted by pgbench itself, which costs the server nothing.
fn text(aim: Aim, style: Style, change_bytes: usize) -> String {
    let project = match aim {
        Aim::One | Aim::Full => "\\set p 1".to_owned(),
        Aim::Spread | Aim::Uncapped => format!("\\set p random_zipfian(1, {PROJECTS}, 1.1)"),
    };
    let count = "\\set i :i + 1\n\\set t 1000000000000000000 + :client_id * 1000000000000 + :i";
    let named = "'terms/2019-autumn/projects/' || :p";
    let held = if aim == Aim::Uncapped { "none" } else { "held" };
    let selection = format!(
        "'terms/2019-autumn/selections/' || :t, 'terms/2019-autumn', 'teachers/' || :t, {named}, '', 1, 1, 'submitted',
         '{held}', 'organizations/school-0001', 1566781200000000, 'accounts/' || :t, '', '', TRUE, FALSE, 0, 1, 1, 1, -1,
         -1, 100, ''"
    );
    let change = format!("'terms/2019-autumn/selections/' || :t, '\\x{}'::bytea", "a5".repeat(change_bytes));
    let take = format!("UPDATE project SET taken = taken + 1 WHERE name = {named} AND taken < capacity");
    let head = format!("{count}\n{project}\n");
    match (aim, style) {
        (Aim::Uncapped, Style::Three) => format!(
            "{head}BEGIN;\nINSERT INTO selection VALUES ({selection});\n\
             INSERT INTO change (resource, body) VALUES ({change});\nCOMMIT;\n"
        ),
        (Aim::Uncapped, Style::One) => format!(
            "{head}WITH chosen AS (INSERT INTO selection VALUES ({selection}))\n\
             INSERT INTO change (resource, body) VALUES ({change});\n"
        ),
        // Who finds no place writes nothing: no transaction around it.
        (Aim::Full, Style::Three) => format!("{head}{take};\n"),
        (Aim::One | Aim::Spread, Style::Three) => format!(
            "{head}BEGIN;\nINSERT INTO selection VALUES ({selection});\n\
             INSERT INTO change (resource, body) VALUES ({change});\n{take} RETURNING taken \\gset\nCOMMIT;\n"
        ),
        (Aim::One | Aim::Spread | Aim::Full, Style::One) => format!(
            "{head}WITH place AS ({take} RETURNING name),\n\
             chosen AS (INSERT INTO selection SELECT {selection} FROM place)\n\
             INSERT INTO change (resource, body) SELECT {change} FROM place;\n"
        ),
    }
}
