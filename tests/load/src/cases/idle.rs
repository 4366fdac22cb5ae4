//! idle: memory and start of each service, with the county in its database.

use std::time::Duration;

use crate::{
    bench::{Bench, say},
    cpu,
    database::Engine,
    table::{Goal, Outcome, Pair},
};

/// Megabytes that an idle service may have.
const MEMORY: f64 = 40.0;
/// Seconds after which it must be ready.
const START: f64 = 1.0;

/// The bound and ours, run by run: memory, and start.
///
/// # Errors
/// If a service does not start.
pub async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<Vec<Outcome>> {
    let (mut memory, mut start, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for n in 1..=bench.options.runs {
        let (world, _) = bench.world(engine).await?;
        let ready = world.fresh_timed().await?;
        world.reach()?.catch_up().await?;
        let mut megabytes = Vec::new();
        for (service, process) in world.processes() {
            megabytes.push((service, cpu::memory(process)? as f64 / 1e6));
        }
        let each = ready.iter().map(|(service, ready)| format!("{service} {} ms", ready.as_millis()));
        let sizes = megabytes.iter().map(|(service, megabytes)| format!("{service} {megabytes:.1} MB"));
        let note =
            format!("run {n}: {}; {}", each.collect::<Vec<_>>().join(", "), sizes.collect::<Vec<_>>().join(", "));
        say(&note);
        notes.push(note);
        let slowest = ready.values().max().copied().unwrap_or(Duration::ZERO).as_secs_f64();
        let largest = megabytes.iter().map(|(_, megabytes)| *megabytes).fold(0.0, f64::max);
        memory.push(Pair::of(MEMORY, largest));
        start.push(Pair::of(START, slowest));
    }
    let largest = "peer: the bound; ours: the largest service, resident once its mirrors have caught up".to_owned();
    let slowest = "peer: the bound; ours: the slowest service, from its start to SERVING".to_owned();
    notes.insert(0, slowest);
    let outcome = |what: &str, unit, pairs, notes| {
        let empty = Outcome::of(format!("idle-{what}"), engine, unit, Goal::AtMost(1.0));
        Outcome { pairs, notes, ..empty }
    };
    Ok(vec![outcome("memory", "MB", memory, vec![largest]), outcome("start", "s", start, notes)])
}
