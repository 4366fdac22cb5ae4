//! cold: submissions to projects that nobody fights over, while nothing else happens and in the midst of rush-hot.

use std::{sync::Arc, time::Duration};

use super::rush;
use crate::{
    bare::Beside,
    bench::{Bench, say},
    database::Engine,
    drive::{self, Client, Shot},
    opening,
    table::{Goal, Latency, Outcome, Pair},
    town::{Lot, Teacher, Town},
    work::{self, Work},
    world::World,
};

/// One teacher of so many wants a quiet project.
const ONE_OF: usize = 6;
/// Their submissions a second, an open loop.
const RATE: f64 = 200.0;
/// What warms up, uncounted: the first batch opens its connection, and PostgreSQL plans each statement.
const WARM: Duration = Duration::from_millis(500);
/// The part of the rush's expected time in which they come.
const PART: f64 = 0.8;

/// Quiet and hot in turn.
///
/// # Errors
/// If something cannot be started, or fails other than in what is measured.
pub async fn run(bench: &mut Bench) -> anyhow::Result<Outcome> {
    let (callers, saturating, tried) = rush::callers(bench, Engine::Postgres, Work::Hot).await?;
    let mut outcome = Outcome::of("cold", Engine::Postgres, "ms", Goal::AtMost(3.0));
    let mut kept = 0;
    let mut last = None;
    let mut came = 0;
    for n in 1..=bench.options.runs {
        let mut p99 = [0.0; 2];
        for (hot, p99) in [false, true].into_iter().zip(&mut p99) {
            let (client, town, world) = opening::ready(bench, Engine::Postgres).await?;
            let (cold, crowd) = town.teachers.split_at(town.teachers.len() / ONE_OF);
            let mut quiet = quiet(town, world, cold)?;
            let rest = quiet.split_off((RATE * WARM.as_secs_f64()) as usize);
            let crowd = hot.then(|| rush_hot(town, world, crowd)).transpose()?;
            let expected = town.teachers.len() as f64 * 2.5 / saturating * PART;
            let within = Duration::from_secs_f64(expected.min(rest.len() as f64 / RATE)).saturating_sub(WARM);
            world.databases().checkpoint()?;
            let gateway = world.gateway()?;
            let rush = async {
                let Some(crowd) = crowd else { return anyhow::Ok(None) };
                Ok(Some(client.closed(&crowd, callers, (within + WARM).mul_f64(2.0)).await?))
            };
            // People apart from the crowd: its answers are not read before theirs.
            let calm = drive::apart(move || async move {
                let own = Client::connect(gateway, 1).await?;
                let first = own.open(&Arc::new(quiet), RATE, WARM * 2, n as u64).await?;
                Ok((first, own.open(&Arc::new(rest), RATE, within, n as u64).await?))
            });
            let beside = Beside::of(town, world, within + WARM)?;
            let floor = drive::apart(move || beside.call());
            let (volleys, rushed, floor) = tokio::join!(calm, rush, floor);
            let ((mut all, measured), rushed) = (volleys?, rushed?);
            let latency = Latency::from(&measured.latency);
            *p99 = latency.p99.as_secs_f64() * 1e3;
            outcome.notes.push(format!("run {n}, {}: {}", if hot { "rush" } else { "quiet" }, floor?));
            came = measured.answers.len();
            all.join(measured)?;
            if let Some(rushed) = rushed {
                if rushed.elapsed < within + WARM {
                    outcome.notes.push(format!("run {n}: the rush was over before the quiet submissions were"));
                }
                all.join(rushed)?;
                last = Some(latency);
            }
            let found = opening::check(world, Work::Spread, &all).await?;
            kept += found.kept;
            outcome.faults.extend(found.faults);
        }
        let [quiet, hot] = p99;
        say(&format!("cold run {n}: p99 quiet {quiet:.2} ms, in the rush {hot:.2} ms"));
        outcome.pairs.push(Pair::of(quiet, hot));
    }
    outcome.latency = last;
    outcome.counted = format!("{kept} kept");
    outcome.notes.push(format!(
        "p99 of {came} submissions to unpopular projects, {RATE}/s in an open loop; peer: nothing else happens; ours: rush-hot \
         goes on with {callers} callers, who saturate it (tried {tried})"
    ));
    Ok(outcome)
}

/// A submission of each to one of the least popular projects, and then to others.
fn quiet(town: &Town, world: &World, teachers: &[Teacher]) -> anyhow::Result<Vec<Shot>> {
    let projects = town.projects(Lot::Spread);
    let tail = projects.get(projects.len() / 2..).unwrap_or_default();
    let mut shots = Vec::new();
    for place in 0..2 {
        for (teacher, project) in teachers.iter().zip(tail.iter().cycle().skip(place)) {
            shots.push(work::submission(town, world.gateway()?, teacher, project)?);
        }
    }
    Ok(shots)
}

/// Everyone else's three submissions to the hot projects.
fn rush_hot(town: &Town, world: &World, teachers: &[Teacher]) -> anyhow::Result<Arc<Vec<Shot>>> {
    let mut shots = Vec::new();
    for project in town.projects(Lot::Hot) {
        for teacher in teachers {
            shots.push(work::submission(town, world.gateway()?, teacher, project)?);
        }
    }
    Ok(Arc::new(shots))
}
