//! Back to a point in time (docs/runbooks/restore.md): a county under load, a backup, more writes, everything removed; then the
//! services stand at the point again, together, and what was written before it is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use chassis::{
    Env,
    changes::{Witness, verify, witnessed},
    config::DatabaseConfig,
    db::{Db, Queries as _, args},
};
use cluster::{Cluster, Durability};
use shixun::{
    people::{County, TermFolder},
    progress::Progress,
    rehearse,
    up::{self, Engine, Launch, System},
};

const TEACHERS: u32 = 100;
/// Batches of selections before the backup is begun, and after it: round 1 is under way.
const BATCHES: i64 = 8;
const POLL: Duration = Duration::from_millis(20);
const POLLS: u32 = 6_000;

/// A system on a folder of the test's own, and the server of its databases if they are no files.
struct Stage {
    folder: tempfile::TempDir,
    engine: Engine,
    cluster: Option<Arc<Cluster>>,
    county: County,
    term: TermFolder,
}

impl Stage {
    async fn set(engine: &str) -> anyhow::Result<Self> {
        chassis::install_crypto();
        let (engine, cluster) = if engine == "sqlite" {
            (Engine::Sqlite, None)
        } else {
            let started = tokio::task::spawn_blocking(|| {
                let cluster = Cluster::start_with(Durability::Durable)?;
                let archive = cluster.folder("archive")?;
                cluster.sql("ALTER SYSTEM SET archive_mode = on")?;
                let keep = format!("test ! -f {0}/%f && cp %p {0}/%f", archive.display());
                cluster.sql(&format!("ALTER SYSTEM SET archive_command = '{keep}'"))?;
                // The mode takes a new start.
                cluster.crash()?;
                let url = cluster.fresh_url("restore")?;
                anyhow::Ok((cluster, url))
            });
            let (cluster, url) = started.await??;
            (Engine::Postgres { url }, Some(Arc::new(cluster)))
        };
        let term = TermFolder::sample()?;
        let county = County::generate(11, TEACHERS, &term);
        Ok(Self { folder: tempfile::TempDir::new()?, engine, cluster, county, term })
    }

    async fn start(&self) -> anyhow::Result<System> {
        System::start(Launch {
            data: self.folder.path().to_owned(),
            listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
            engine: self.engine.clone(),
            begin: proto::jiff_instant(rehearse::before_the_term(&self.term)?).as_microsecond(),
            durable: false,
            operator: (up::setup::OPERATOR.to_owned(), self.county.password.clone()),
        })
        .await
    }

    async fn urls(&self) -> anyhow::Result<BTreeMap<&'static str, String>> {
        let mut urls = BTreeMap::new();
        for service in up::SERVICES {
            urls.insert(service, self.engine.database(service, self.folder.path()).await?);
        }
        Ok(urls)
    }

    /// On PostgreSQL the base backup, from which the log leads on.
    async fn base(&self) -> anyhow::Result<()> {
        let Some(cluster) = self.cluster.clone() else { return Ok(()) };
        tokio::task::spawn_blocking(move || cluster.base_backup("base")).await??;
        Ok(())
    }

    /// Takes the point to which the databases are brought back.
    async fn mark(&self) -> anyhow::Result<String> {
        match &self.cluster {
            None => {
                shixun::backup::copy(self.folder.path(), &self.folder.path().join("backup")).await?;
                Ok(String::new())
            }
            Some(cluster) => Ok(cluster.sql("SELECT clock_timestamp()")?.trim().to_owned()),
        }
    }

    /// Everything is removed, and brought back to the point; with the system stopped.
    async fn restore(&self, point: &str) -> anyhow::Result<()> {
        let Some(cluster) = self.cluster.clone() else {
            for service in up::SERVICES {
                self.replace_file(service, &self.folder.path().join("backup"))?;
            }
            return Ok(());
        };
        let point = point.to_owned();
        tokio::task::spawn_blocking(move || {
            // What was written last is in the log's open segment: closed, it is archived.
            let segment = cluster.sql("SELECT pg_walfile_name(pg_switch_wal())")?.trim().to_owned();
            let archived = cluster.home().join("archive").join(&segment);
            let mut polls = 0;
            while !archived.exists() {
                anyhow::ensure!(polls < POLLS, "{segment} is not archived");
                polls += 1;
                pause();
            }
            let base = cluster.home().join("base");
            let archive = cluster.home().join("archive");
            let mut settings = std::fs::read_to_string(base.join("postgresql.auto.conf"))?;
            settings += &format!("restore_command = 'cp {}/%f %p'\n", archive.display());
            settings += &format!("recovery_target_time = '{point}'\nrecovery_target_action = 'promote'\n");
            settings += "archive_mode = off\n";
            std::fs::write(base.join("postgresql.auto.conf"), settings)?;
            std::fs::write(base.join("recovery.signal"), "")?;
            cluster.restore(&base)
        })
        .await?
    }

    /// A service's file is the one of `from`, and nothing is beside it.
    fn replace_file(&self, service: &str, from: &Path) -> anyhow::Result<()> {
        for end in ["", "-wal", "-shm"] {
            let path = self.folder.path().join(format!("{service}.db{end}"));
            if path.exists() {
                std::fs::remove_file(path)?;
            }
        }
        let name = format!("{service}.db");
        std::fs::copy(from.join(&name), self.folder.path().join(&name))?;
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "polls a server in another process, which can wake nobody here")]
fn pause() {
    std::thread::sleep(POLL);
}

async fn head(system: &System, service: &str) -> anyhow::Result<i64> {
    Ok(system.status(service).await?.position)
}

/// The heads of all feeds, by service: read one after the other, so each is at or before what follows.
async fn heads(urls: &BTreeMap<&'static str, String>) -> anyhow::Result<BTreeMap<&'static str, Witness>> {
    let mut heads = BTreeMap::new();
    for (service, url) in urls {
        let tables = system::tables::read_one(url, "feed").await?;
        let row = tables.rows.first().context("no head")?;
        let value = |column: &str| {
            let place = tables.columns.iter().position(|known| known == column).context("a column")?;
            row.get(place).cloned().flatten().context("a value")
        };
        let position = String::from_utf8(value("position")?)?.parse()?;
        heads.insert(*service, Witness { position, chain: value("chain")? });
    }
    Ok(heads)
}

/// With the system stopped: every feed is whole, by what its neighbours saw of it and by what was there before the point; seats are
/// what their ledger says, and nobody's credit is reversed twice or more than it was.
async fn in_order(
    urls: &BTreeMap<&'static str, String>,
    before: &BTreeMap<&'static str, Witness>,
) -> anyhow::Result<BTreeSet<String>> {
    let (mut open, mut witnesses) = (Vec::new(), BTreeMap::<String, Vec<Witness>>::new());
    for (service, url) in urls {
        let db = Db::open(service, &DatabaseConfig::at(url.clone()), Env::system()).await?;
        for (source, witness) in witnessed(&db).await? {
            witnesses.entry(source).or_default().push(witness);
        }
        open.push((*service, db));
    }
    let mut faults = BTreeSet::new();
    for (service, db) in open {
        let mut seen = witnesses.remove(service).unwrap_or_default();
        seen.extend(before.get(service).cloned());
        let found = verify(&db, &seen).await?;
        if let Some(fault) = found.fault {
            faults.insert(format!("{service}: {fault}"));
        }
        let mut db_reader = db.reader();
        let mut count = async |sql: &'static str| -> anyhow::Result<i64> {
            Ok(db_reader.one(sql, args![]).await?.context("a count")?.get("n")?)
        };
        if service == "enrollment" {
            let differing = count(
                "SELECT COUNT(*) AS n FROM seat_count c
                 WHERE c.held <> COALESCE((SELECT CAST(SUM(l.held) AS BIGINT) FROM seat_ledger l WHERE l.project = c.project), 0)
                    OR c.granted <> COALESCE((SELECT CAST(SUM(l.granted) AS BIGINT) FROM seat_ledger l
                                              WHERE l.project = c.project), 0)",
            );
            anyhow::ensure!(differing.await? == 0, "seats are not what their ledger says");
            anyhow::ensure!(count("SELECT COUNT(*) AS n FROM selection").await? > 0, "nobody had selected");
        }
        if service == "credit" {
            let differing = count(
                "SELECT COUNT(*) AS n FROM entry r JOIN entry e ON e.name = r.reverses
                 WHERE r.reverses <> '' AND (r.awarded + e.awarded <> 0 OR r.base + e.base <> 0)",
            );
            anyhow::ensure!(differing.await? == 0, "a reversal is not of what it reverses");
            anyhow::ensure!(count("SELECT COUNT(*) AS n FROM entry").await? > 0, "the ledger is empty");
        }
        db.close().await;
    }
    Ok(faults)
}

async fn back_to_a_point(engine: &str) -> anyhow::Result<()> {
    let stage = Stage::set(engine).await?;
    let system = stage.start().await?;
    up::setup::county(&system, &stage.county, &stage.term, &Progress::hidden()).await?;
    let (set_up, urls) = (head(&system, "enrollment").await?, stage.urls().await?);
    stage.base().await?;

    // The county plays on while the backup is taken, and after it.
    let (reach, hidden) = (system.reach(), Progress::hidden());
    let play = rehearse::play(reach, &stage.county, &stage.term, hidden);
    let until = async |position: i64| {
        let mut polls = 0;
        loop {
            let head = head(&system, "enrollment").await?;
            if head >= position {
                return anyhow::Ok(head);
            }
            anyhow::ensure!(polls < POLLS, "nobody selects");
            polls += 1;
            tokio::time::sleep(POLL).await;
        }
    };
    let look_on = async {
        until(set_up + BATCHES).await?;
        let before = heads(&urls).await?;
        let point = stage.mark().await?;
        let after = heads(&urls).await?;
        let written = until(after["enrollment"].position + BATCHES).await?;
        anyhow::Ok((before, point, after, written))
    };
    let (before, point, after, written) = tokio::select! {
        seen = look_on => seen?,
        played = play => anyhow::bail!("the play was over first: {:?}", played.map(|report| report.surprises)),
    };
    system.stop().await?;
    assert!(written > after["enrollment"].position, "nothing was written after the point: this proves nothing");

    stage.restore(&point).await?;
    assert_eq!(in_order(&urls, &before).await?, BTreeSet::new(), "as restored");
    let restored = heads(&urls).await?;
    for (service, witness) in &restored {
        let (low, high) = (before[service].position, after[service].position);
        assert!((low..=high).contains(&witness.position), "{service} is at {}, not in {low}..{high}", witness.position);
    }
    assert!(restored["enrollment"].position < written, "what came after the point is still there");

    // They find together again, and go on.
    let system = stage.start().await?;
    system.catch_up().await?;
    for service in up::SERVICES {
        assert_eq!(system.status(service).await?.halted_mirrors, [""; 0], "{service}");
    }
    system.stop().await?;
    assert_eq!(in_order(&urls, &before).await?, BTreeSet::new(), "after going on");

    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn back_to_a_point_on_sqlite() -> anyhow::Result<()> {
    back_to_a_point("sqlite").await
}

#[tokio::test(flavor = "multi_thread")]
async fn back_to_a_point_on_postgres() -> anyhow::Result<()> {
    back_to_a_point("postgres").await
}
