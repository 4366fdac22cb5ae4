//! rush-hot, rush-spread, rush-uncapped, refuse, sqlite: everyone submits at once, through the gateway, and is answered after
//! the commit; beside hand-written SQL.

use std::time::Duration;

use anyhow::Context as _;

use crate::{
    bare::Bare,
    bench::{Bench, say},
    cpu,
    database::{Databases, Engine},
    drive::{self, Client},
    opening::{self, Run},
    peer::{Best, Embedded, Pgbench},
    table::{Goal, Latency, Outcome, Pair},
    town::EACH,
    work::Work,
};

/// Callers that are tried.
const CALLERS: [usize; 4] = [64, 128, 256, 512];
/// How long a run is that only looks for the best number.
const TRIAL: Duration = Duration::from_secs(3);
/// What ours should be to one commit a request on SQLite.
const EMBEDDED: Goal = Goal::AtLeast(5.0);

/// The peer, set to its best.
enum Peer {
    Pgbench { pgbench: Pgbench, best: Best, server: u32 },
    Embedded(Embedded),
}

impl Peer {
    /// A run of it: requests a second, and CPU seconds by process.
    fn run(&self, work: Work, seconds: u64) -> anyhow::Result<(f64, cpu::Seconds)> {
        match self {
            Self::Pgbench { pgbench, best, server } => {
                let mut meter = cpu::Meter::default();
                meter.add("postgres", *server);
                let before = meter.read()?;
                let run = pgbench.run(work.aim(), *best, seconds)?;
                let mut spent = cpu::between(&before, &meter.read()?);
                spent.insert("pgbench".to_owned(), run.cpu);
                Ok((run.rate, spent))
            }
            Self::Embedded(embedded) => {
                let meter = cpu::Meter::new();
                let before = meter.read()?;
                let rate = tokio::task::block_in_place(|| embedded.run(work.aim(), seconds))?;
                Ok((rate, cpu::between(&before, &meter.read()?)))
            }
        }
    }
}

/// Looks for the peer's best. Returns it with notes of what was tried.
async fn peer(bench: &mut Bench, engine: Engine, work: Work) -> anyhow::Result<(Peer, Vec<String>)> {
    let folder = bench.programs().scratch()?;
    let (world, _) = bench.world(engine).await?;
    let bytes = opening::change_bytes(world).await?;
    let Databases::Postgres(cluster) = world.databases() else {
        let note = format!(
            "peer: SQLite by hand, WAL, synchronous=FULL, one commit a request; a change of {bytes} bytes, as ours"
        );
        return Ok((Peer::Embedded(Embedded::new(&folder, bytes)), vec![note]));
    };
    say("looking for the peer's best");
    let pgbench = Pgbench::new(cluster.clone(), &folder, bytes)?;
    let (best, tried) = pgbench.best(work.aim())?;
    let tried = tried.iter().map(|(rate, best)| format!("{} × {}: {rate:.0}/s", best.clients, best.style.name()));
    let notes = vec![
        format!("peer: pgbench, {} clients, {}; a change of {bytes} bytes, as ours", best.clients, best.style.name()),
        format!("peer tried: {}", tried.collect::<Vec<_>>().join(", ")),
    ];
    let server = cluster.process()?;
    Ok((Peer::Pgbench { pgbench, best, server }, notes))
}

/// The number of callers with which ours is at its best, and what was tried.
///
/// # Errors
/// As a run.
pub async fn callers(bench: &mut Bench, engine: Engine, work: Work) -> anyhow::Result<(usize, f64, String)> {
    let numbers = bench.options.callers.map_or_else(|| CALLERS.to_vec(), |callers| vec![callers]);
    let mut tried = Vec::new();
    for callers in numbers {
        let Run { volley, .. } = opening::run(bench, engine, work, callers, TRIAL).await?;
        tried.push((volley.rate(), callers));
    }
    let told: Vec<_> = tried.iter().map(|(rate, callers)| format!("{callers}: {rate:.0}/s")).collect();
    tried.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let (rate, best) = *tried.first().context("nothing was tried")?;
    Ok((best, rate, told.join(", ")))
}

/// Peer and ours in turn.
///
/// # Errors
/// If something cannot be started, or fails other than in what is measured.
pub async fn run(bench: &mut Bench, engine: Engine, work: Work) -> anyhow::Result<Outcome> {
    let (callers, _, tried) = callers(bench, engine, work).await?;
    let (peer, mut notes) = peer(bench, engine, work).await?;
    let seconds = bench.options.seconds;
    let mut pairs = Vec::new();
    let mut latency = drive::histogram()?;
    let (mut kept, mut answered, mut faults) = (0, 0, Vec::new());
    for n in 1..=bench.options.runs {
        let (peer, peer_cpu) = peer.run(work, seconds)?;
        let Run { volley, cpu, found, disk } =
            opening::run(bench, engine, work, callers, Duration::from_secs(seconds)).await?;
        say(&format!("{} run {n}: peer {peer:.0}/s, ours {:.0}/s", work.name(), volley.rate()));
        if let Some(disk) = disk.filter(|_| found.kept > 0) {
            let each = |sum: f64| sum / found.kept as f64;
            notes.push(format!(
                "run {n}: a selection has {:.0} bytes in enrollment's database and {:.0} in the log; {:.0} go into one commit",
                each(disk.bytes),
                each(disk.log),
                found.kept as f64 / disk.commits
            ));
        }
        latency.add(&volley.latency)?;
        kept += found.kept;
        answered += volley.answers.len();
        faults.extend(found.faults);
        let connections = bench.options.connections;
        let (world, town) = bench.world(engine).await?;
        let client = Client::connect(world.gateway()?, connections).await?;
        let bare = Bare::call(&client, town, world, callers).await?;
        notes.push(format!("run {n}: {}, {:.1} times the peer", bare.told(), bare.rate / peer));
        pairs.push(Pair { peer, ours: volley.rate(), cpu, peer_cpu });
    }
    let (_, town) = bench.world(engine).await?;
    let teachers = town.teachers.len();
    let before = if bench.options.cold { "nobody has called" } else { "everyone has asked for his eligibility" };
    notes.push(format!("ours: {callers} callers on {} connections; tried {tried}", bench.options.connections));
    notes.push(format!("{teachers} teachers, {EACH} submissions each; {before} before"));
    let counted = if work == Work::Full { format!("{answered} refused") } else { format!("{kept} of {answered} kept") };
    Ok(Outcome {
        case: work.name().to_owned(),
        engine: engine.name(),
        unit: "1/s",
        pairs,
        latency: Some(Latency::from(&latency)),
        goal: if engine == Engine::Sqlite { EMBEDDED } else { work.goal() },
        counted,
        faults,
        notes,
    })
}
