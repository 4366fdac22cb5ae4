//! crash: the service, then the database, killed with -9 at random instants under load and started again, while the clients
//! go on with the same request ids. What was acknowledged is there, once.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use rand::{RngExt as _, SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha12Rng;
use tokio::sync::watch;

use crate::{
    bench::{Bench, say},
    database::Engine,
    drive::{self, Answer, Shot},
    program::Programs,
    table::{Goal, Outcome, Pair},
    town::{self, Layout, Lot, Town},
    verify,
    work::{self, Verdicts, Work},
    world::World,
};

/// Teachers of the county: a round is short, so that there can be many.
const TEACHERS: u32 = 120;
/// Rounds on one state of the databases, a project for each of their two volleys; then the kept state again.
const ROUNDS_A_STATE: usize = 40;
/// Live selections of a teacher in a round of the term: more than one for each volley.
const LIMIT: usize = 100;
/// Callers at once.
const CALLERS: usize = 32;
/// A blow falls up to this long after the answer that was drawn.
const JITTER_MICROS: u64 = 5_000;

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Service,
    Database,
}

/// As a case of the table: rounds asked for, and rounds that held.
///
/// # Errors
/// If something cannot be started, or the clients get no answers any more.
pub async fn run(bench: &Bench, engine: Engine) -> anyhow::Result<Outcome> {
    let (rounds, seed) = (bench.options.rounds, bench.options.seed);
    let crashes = crash(bench.programs(), engine, rounds, seed).await?;
    let held = rounds - crashes.broken;
    let killed = match engine {
        Engine::Postgres => "PostgreSQL",
        Engine::Sqlite => "all services, their databases with them,",
    };
    let places = TEACHERS * 5 / 6;
    Ok(Outcome {
        pairs: vec![Pair::of(rounds as f64, held as f64)],
        counted: format!("{} kept", crashes.kept),
        faults: crashes.faults,
        notes: vec![format!(
            "a round: {TEACHERS} teachers on a project with {places} places, enrollment killed; on another one, {killed} killed"
        )],
        ..Outcome::of("crash", engine, "rounds", Goal::AtLeast(1.0))
    })
}

/// What came of the rounds.
#[derive(Debug, Default)]
pub struct Crashes {
    /// Acknowledged selections that were found, over all rounds.
    pub kept: usize,
    /// Rounds after which something was wrong.
    pub broken: usize,
    /// What was wrong.
    pub faults: Vec<String>,
}

/// Plays `rounds` rounds; the instants are drawn from `seed`.
///
/// # Errors
/// If something cannot be started, or the clients get no answers any more.
pub async fn crash(programs: &Programs, engine: Engine, rounds: usize, seed: u64) -> anyhow::Result<Crashes> {
    let mut world = World::new(engine, programs)?;
    let lots = [(Lot::Short, 2 * ROUNDS_A_STATE.min(rounds))].into();
    let town =
        town::settle(&mut world, &Layout { teachers: TEACHERS, lots, max_per_round: Some(LIMIT), documents: None })
            .await?;
    // Making databases takes longer than a round: nothing is kept that will not be asked for.
    if rounds > ROUNDS_A_STATE {
        world.keep()?;
    }
    world.start().await?;
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let mut crashes = Crashes::default();
    // Of all rounds on this state.
    let mut acknowledged = Vec::new();
    for round in 0..rounds {
        let place = round % ROUNDS_A_STATE;
        if place == 0 && round > 0 {
            world.fresh().await?;
            acknowledged.clear();
        }
        let (names, mut faults) = play(&mut world, &town, place, &mut rng).await?;
        crashes.kept += names.len();
        acknowledged.extend(names);
        let found = verify::verify(&world, &acknowledged).await?;
        if found.selections != acknowledged.len() {
            faults.push(format!("{} selections, and {} acknowledged", found.selections, acknowledged.len()));
        }
        crashes.kept -= acknowledged.len() - found.kept;
        faults.extend(found.faults);
        let told = if faults.is_empty() { "all is well".to_owned() } else { faults.join("; ") };
        say(&format!("crash on {}, round {}: {} acknowledged, {told}", engine.name(), round + 1, acknowledged.len()));
        crashes.broken += usize::from(!faults.is_empty());
        crashes.faults.extend(faults.into_iter().map(|fault| format!("round {}: {fault}", round + 1)));
    }
    Ok(crashes)
}

/// A round: the names of the selections that were acknowledged, and what was wrong with the answers.
async fn play(
    world: &mut World,
    town: &Town,
    place: usize,
    rng: &mut ChaCha12Rng,
) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let (mut names, mut faults, mut volleys) = (Vec::new(), Vec::new(), Vec::new());
    for (blow, index) in [(Blow::Service, 2 * place), (Blow::Database, 2 * place + 1)] {
        let project = town.projects(Lot::Short).get(index).context("too few projects")?;
        let gateway = world.gateway()?;
        let shots = town.teachers.iter().map(|teacher| work::submission(town, gateway, teacher, project));
        let mut shots = shots.collect::<anyhow::Result<Vec<Shot>>>()?;
        shots.shuffle(rng);
        let shots = Arc::new(shots);
        let answers = strike(world, blow, &shots, rng).await?;
        let Verdicts { acknowledged, unmeant, .. } = Work::Short.judge(&answers);
        let places = town.places(Lot::Short).min(town.teachers.len());
        if acknowledged.len() != places {
            faults.push(format!("{blow:?}: {} were given one of {places} places", acknowledged.len()));
        }
        faults.extend(unmeant.iter().map(|(reason, count)| format!("{blow:?}: {count} × answered with {reason}")));
        names.extend(acknowledged);
        volleys.push((shots, answers));
    }
    world.until_ready().await?.catch_up().await?;
    // Whoever asks again under the same request id hears the same.
    for (shots, answers) in volleys {
        let again = drive::insist(world.gateway()?, shots, CALLERS, watch::Sender::new(0)).await?;
        let differing = answers.iter().zip(&again).filter(|(one, other)| work::verdict(one) != work::verdict(other));
        match differing.count() {
            0 => {}
            count => faults.push(format!("{count} × another answer to the same request")),
        }
    }
    Ok((names, faults))
}

/// Sends all shots, and in the midst of it kills. The answers, in the order of the shots.
async fn strike(
    world: &mut World,
    blow: Blow,
    shots: &Arc<Vec<Shot>>,
    rng: &mut ChaCha12Rng,
) -> anyhow::Result<Vec<Answer>> {
    let answered = watch::Sender::new(0);
    let mut count = answered.subscribe();
    let load = tokio::spawn(drive::insist(world.gateway()?, Arc::clone(shots), CALLERS, answered));
    let after = rng.random_range(0..shots.len());
    let jitter = Duration::from_micros(rng.random_range(0..JITTER_MICROS));
    // If there is nobody any more to count, the load says why.
    let _ = count.wait_for(|count| *count >= after).await;
    tokio::time::sleep(jitter).await;
    match blow {
        Blow::Service => world.crash("enrollment")?,
        Blow::Database => tokio::task::block_in_place(|| world.crash_databases())?,
    }
    load.await?
}
