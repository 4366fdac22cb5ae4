//! latency: half of the saturating rate in an open loop, beside one client's commit.

use std::{sync::Arc, time::Duration};

use super::rush;
use crate::{
    bench::{Bench, say},
    cpu,
    database::{Databases, Engine},
    drive::{self, Shot},
    opening,
    peer::{Aim, Best, Pgbench, Style},
    table::{Goal, Latency, Outcome, Pair},
    work::Work,
};

/// Part of the saturating rate.
const PART: f64 = 0.5;
const WORK: Work = Work::Hot;
/// What warms up: the first batches open their connection, and PostgreSQL plans each statement.
const WARM: Duration = Duration::from_secs(1);

/// Peer and ours in turn.
///
/// # Errors
/// If something cannot be started, or fails other than in what is measured.
pub async fn run(bench: &mut Bench) -> anyhow::Result<Outcome> {
    let engine = Engine::Postgres;
    let (callers, saturating, _) = rush::callers(bench, engine, WORK).await?;
    let rate = saturating * PART;
    let folder = bench.programs().scratch()?;
    let seconds = bench.options.seconds;
    let (world, _) = bench.world(engine).await?;
    let bytes = opening::change_bytes(world).await?;
    let Databases::Postgres(cluster) = world.databases() else { anyhow::bail!("not on PostgreSQL") };
    let server = cluster.process()?;
    let pgbench = Pgbench::new(cluster.clone(), &folder, bytes)?;
    let (mut pairs, mut notes) = (Vec::new(), Vec::new());
    let mut latency = drive::histogram()?;
    let (mut kept, mut answered, mut faults) = (0, 0, Vec::new());
    for n in 1..=bench.options.runs {
        let mut meter = cpu::Meter::default();
        meter.add("postgres", server);
        let before = meter.read()?;
        // The better of the two is the commit.
        let mut commit = f64::INFINITY;
        let mut pgbench_cpu = 0.0;
        for style in [Style::Three, Style::One] {
            let run = pgbench.run(Aim::One, Best { clients: 1, style }, seconds.div_ceil(2))?;
            commit = commit.min(run.latency_ms);
            pgbench_cpu += run.cpu;
        }
        let mut peer_cpu = cpu::between(&before, &meter.read()?);
        peer_cpu.insert("pgbench".to_owned(), pgbench_cpu);

        let (client, town, world) = opening::ready(bench, engine).await?;
        let mut shots: Vec<Shot> =
            WORK.volleys(town, world.gateway()?)?.iter().flat_map(|volley| volley.iter().cloned()).collect();
        let rest = shots.split_off(((rate * WARM.as_secs_f64()) as usize).min(shots.len()));
        world.databases().checkpoint()?;
        let mut volley = client.open(&Arc::new(shots), rate, WARM * 2, bench_seed(n)).await?;
        let first = Latency::from(&volley.latency);
        let meter = world.meter()?;
        let before = meter.read()?;
        let measured = client.open(&Arc::new(rest), rate, Duration::from_secs(seconds), bench_seed(n)).await?;
        let cpu = cpu::between(&before, &meter.read()?);
        let p99 = Latency::from(&measured.latency).p99.as_secs_f64() * 1e3;
        latency.add(&measured.latency)?;
        volley.join(measured)?;
        let found = opening::check(world, WORK, &volley).await?;
        say(&format!("latency run {n}: one client's commit {commit:.2} ms, ours p99 {p99:.2} ms at {rate:.0}/s"));
        notes.push(format!("run {n}: p99 of the first second, which is not counted, {:.1?}", first.p99));
        kept += found.kept;
        answered += volley.answers.len();
        faults.extend(found.faults);
        pairs.push(Pair { peer: commit, ours: p99, cpu, peer_cpu });
    }
    notes.push(format!(
        "peer: mean latency of one pgbench client, the better of its two styles; ours: p99 at {rate:.0}/s"
    ));
    notes.push(format!(
        "half of {saturating:.0}/s, with which {callers} callers saturate it; arrivals by chance (Poisson)"
    ));
    Ok(Outcome {
        case: "latency".to_owned(),
        engine: engine.name(),
        unit: "ms",
        pairs,
        latency: Some(Latency::from(&latency)),
        goal: Goal::AtMost(5.0),
        counted: format!("{kept} of {answered} kept"),
        faults,
        notes,
    })
}

const fn bench_seed(run: usize) -> u64 {
    run as u64
}
