//! A run of ours: the system as it was set up, everyone at once, and the independent reader after it.

use std::time::Duration;

use anyhow::Context as _;

use crate::{
    bench::Bench,
    cpu,
    database::{Databases, Engine},
    drive::{Client, Volley},
    town::Town,
    verify::{self, Found, Reader},
    work::{self, Work},
    world::World,
};

/// What came of a run.
#[derive(Debug)]
pub struct Run {
    /// The answers.
    pub volley: Volley,
    /// CPU seconds of each process.
    pub cpu: cpu::Seconds,
    /// What the independent reader found.
    pub found: Found,
    /// What the answers cost on the disk, if that is a server's.
    pub disk: Option<Disk>,
}

/// Enrollment's database, and what its server has written.
#[derive(Debug, Clone, Copy)]
pub struct Disk {
    /// Bytes of the database.
    pub bytes: f64,
    /// Bytes of the write-ahead log.
    pub log: f64,
    /// Transactions that wrote changes.
    pub commits: f64,
}

impl Disk {
    fn of(databases: &Databases) -> anyhow::Result<Option<Self>> {
        let Databases::Postgres(cluster) = databases else { return Ok(None) };
        let row = cluster.sql_in(
            "live_enrollment",
            "SELECT pg_database_size(current_database()), pg_current_wal_lsn() - '0/0', (SELECT position FROM feed)",
        )?;
        let numbers = row.split('|').map(str::parse).collect::<Result<Vec<f64>, _>>()?;
        let [bytes, log, commits] = *numbers.as_slice() else { anyhow::bail!("not three numbers: {row}") };
        Ok(Some(Self { bytes, log, commits }))
    }

    fn since(self, before: Self) -> Self {
        Self { bytes: self.bytes - before.bytes, log: self.log - before.log, commits: self.commits - before.commits }
    }
}

/// Everyone submits in a closed loop of `callers`, for at most `within`.
///
/// # Errors
/// If something cannot be started or read.
pub async fn run(
    bench: &mut Bench,
    engine: Engine,
    work: Work,
    callers: usize,
    within: Duration,
) -> anyhow::Result<Run> {
    let (client, town, world) = ready(bench, engine).await?;
    rush(&client, town, world, work, callers, within).await
}

/// The same of those who are at the door already.
///
/// # Errors
/// As [`run`].
pub async fn rush(
    client: &Client,
    town: &Town,
    world: &World,
    work: Work,
    callers: usize,
    within: Duration,
) -> anyhow::Result<Run> {
    let volleys = work.volleys(town, world.gateway()?)?;
    world.databases().checkpoint()?;
    let meter = world.meter()?;
    let disk = Disk::of(world.databases())?;
    let before = meter.read()?;
    let mut all: Option<Volley> = None;
    for shots in &volleys {
        let spent = all.as_ref().map_or(Duration::ZERO, |volley| volley.elapsed);
        let volley = client.closed(shots, callers, within.saturating_sub(spent)).await?;
        match &mut all {
            None => all = Some(volley),
            Some(all) => all.join(volley)?,
        }
    }
    let cpu = cpu::between(&before, &meter.read()?);
    let disk = disk.zip(Disk::of(world.databases())?).map(|(before, after)| after.since(before));
    let volley = all.context("nothing was sent")?;
    let found = check(world, work, &volley).await?;
    Ok(Run { volley, cpu, found, disk })
}

/// The system as it was set up, everyone at the door.
///
/// # Errors
/// If it does not start.
pub async fn ready(bench: &mut Bench, engine: Engine) -> anyhow::Result<(Client, &Town, &mut World)> {
    let (connections, cold) = (bench.options.connections, bench.options.cold);
    let (world, town) = bench.world(engine).await?;
    world.fresh().await?;
    let client = Client::connect(world.gateway()?, connections).await?;
    if !cold {
        work::before_the_window(&client, town, world.gateway()?).await?;
    }
    Ok((client, town, world))
}

/// Every answer is as it was meant, and what was acknowledged is there.
///
/// # Errors
/// If a database cannot be read.
pub async fn check(world: &World, work: Work, volley: &Volley) -> anyhow::Result<Found> {
    let verdicts = work.judge(volley.answers.iter().map(|(_, answer)| answer));
    let mut found = verify::verify(world, &verdicts.acknowledged).await?;
    verdicts.tell(&mut found);
    Ok(found)
}

/// Bytes of the change that a submission writes, on average.
///
/// # Errors
/// If there is none.
pub async fn change_bytes(world: &World) -> anyhow::Result<usize> {
    let enrollment = Reader::open(&world.databases().url("enrollment")).await?;
    let sizes: Vec<(Option<i64>,)> = enrollment
        .all("SELECT CAST(AVG(LENGTH(body)) AS BIGINT) FROM change WHERE resource LIKE '%/selections/%'")
        .await?;
    let size = sizes.first().and_then(|(size,)| *size).context("no selection has a change")?;
    Ok(usize::try_from(size)?)
}
