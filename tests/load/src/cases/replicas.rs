//! replicas: two and three processes of enrollment on one PostgreSQL, beside one. Everyone fights for places that five of six get:
//! overselling would show.

use std::time::Duration;

use super::rush;
use crate::{
    bench::{Bench, say},
    database::Engine,
    drive,
    opening::{self, Run},
    table::{Goal, Latency, Outcome, Pair},
    work::Work,
};

const WORK: Work = Work::Short;

/// One and several in turn.
///
/// # Errors
/// If something cannot be started, or fails other than in what is measured.
pub async fn run(bench: &mut Bench) -> anyhow::Result<Vec<Outcome>> {
    let (callers, _, tried) = rush::callers(bench, Engine::Postgres, WORK).await?;
    let mut outcomes = Vec::new();
    for processes in [2, 3] {
        let mut outcome = Outcome::of(format!("replicas-{processes}"), Engine::Postgres, "1/s", Goal::AtLeast(1.0));
        let mut latency = drive::histogram()?;
        let mut kept = 0;
        for n in 1..=bench.options.runs {
            let alone = of(bench, 1, callers).await?;
            let shared = of(bench, processes, callers).await?;
            let (one, several) = (alone.volley.rate(), shared.volley.rate());
            say(&format!("replicas run {n}: one {one:.0}/s, {processes} {several:.0}/s"));
            latency.add(&shared.volley.latency)?;
            kept += shared.found.kept;
            outcome.faults.extend(alone.found.faults.into_iter().chain(shared.found.faults));
            outcome.pairs.push(Pair { peer: one, ours: several, cpu: shared.cpu, peer_cpu: alone.cpu });
        }
        outcome.latency = Some(Latency::from(&latency));
        outcome.counted = format!("{kept} kept, none oversold");
        outcome.notes = vec![
            format!("peer: one process of enrollment; ours: {processes}, the gateway's calls balanced over them"),
            format!("{callers} callers; tried {tried}"),
        ];
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

async fn of(bench: &mut Bench, processes: usize, callers: usize) -> anyhow::Result<Run> {
    let within = Duration::from_secs(bench.options.seconds);
    bench.world(Engine::Postgres).await?.0.share_enrollment(processes)?;
    let run = opening::run(bench, Engine::Postgres, WORK, callers, within).await;
    bench.world(Engine::Postgres).await?.0.share_enrollment(1)?;
    run
}
