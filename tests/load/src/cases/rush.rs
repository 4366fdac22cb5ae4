//! rush-hot, rush-spread, rush-uncapped: everyone submits at once, through the gateway, and is answered after the commit.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use proto::enrollment::v1::{CheckEligibilityRequest, SubmitSelectionRequest, SubmitSelectionResponse};
use rand::{RngExt as _, SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha12Rng;
use tonic_types::StatusExt as _;

use crate::{
    bench::{Bench, say},
    cpu,
    database::Engine,
    drive::{Client, Shot, Volley},
    peer::{Aim, Best, Peer},
    table::{Goal, Latency, Outcome, Pair},
    town::Town,
    verify::{self, Reader},
    world::World,
};

/// Callers that are tried.
const CALLERS: [usize; 4] = [64, 128, 256, 512];
/// How long a run is that only looks for the best number.
const TRIAL: Duration = Duration::from_secs(3);
/// Selections of a teacher in a round: the sample's policy.
const EACH: usize = 3;
/// `SubmitSelection`
const SUBMIT: &str = "shixun.enrollment.v1.SelectionService/SubmitSelection";
/// `CheckEligibility`
const CHECK: &str = "shixun.enrollment.v1.SelectionService/CheckEligibility";
/// Exponent of the popularity of projects.
const EXPONENT: f64 = 1.1;
/// Longer than any volley that is not cut off.
const TO_THE_END: Duration = Duration::from_secs(600);

/// What everyone selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rush {
    /// One project after the other, everyone each of them.
    Hot,
    /// Three of 500, the popular ones more often; a seat is held.
    Spread,
    /// The same in a round without upper limit.
    Uncapped,
}

impl Rush {
    const fn name(self) -> &'static str {
        match self {
            Self::Hot => "rush-hot",
            Self::Spread => "rush-spread",
            Self::Uncapped => "rush-uncapped",
        }
    }

    const fn aim(self) -> Aim {
        match self {
            Self::Hot => Aim::One,
            Self::Spread => Aim::Spread,
            Self::Uncapped => Aim::Uncapped,
        }
    }

    const fn goal(self) -> Goal {
        match self {
            Self::Hot => Goal::AtLeast(10.0),
            Self::Spread | Self::Uncapped => Goal::AtLeast(1.5),
        }
    }

    /// The projects of each teacher in the order of their submission.
    fn wishes(self, town: &Town, rng: &mut ChaCha12Rng) -> Vec<[usize; EACH]> {
        let of_one = |_: &crate::town::Teacher| match self {
            Self::Hot => [0, 1, 2],
            Self::Spread | Self::Uncapped => zipf(rng, town.spread.len()),
        };
        town.teachers.iter().map(of_one).collect()
    }

    fn projects(self, town: &Town) -> &[String] {
        match self {
            Self::Hot => &town.hot,
            Self::Spread => &town.spread,
            Self::Uncapped => &town.uncapped,
        }
    }
}

/// Different projects, the k-th of `count` with a weight of 1 / k^1.1.
fn zipf(rng: &mut ChaCha12Rng, count: usize) -> [usize; EACH] {
    let weight = |k: usize| (k as f64 + 1.0).powf(-EXPONENT);
    let total: f64 = (0..count).map(weight).sum();
    let mut chosen = [usize::MAX; EACH];
    for place in 0..EACH {
        loop {
            let mut drawn = rng.random_range(0.0..total);
            let project = (0..count).find(|k| {
                drawn -= weight(*k);
                drawn < 0.0
            });
            let project = project.unwrap_or(count - 1);
            if !chosen.contains(&project) {
                chosen[place] = project;
                break;
            }
        }
    }
    chosen
}

/// The volleys of a run, one after the other: everyone's first project, then everyone's second.
pub fn volleys(rush: Rush, town: &Town, gateway: SocketAddr, seed: u64) -> anyhow::Result<Vec<Arc<Vec<Shot>>>> {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let wishes = rush.wishes(town, &mut rng);
    let projects = rush.projects(town);
    (0..EACH)
        .map(|place| {
            let mut shots = Vec::with_capacity(town.teachers.len());
            for (teacher, wishes) in town.teachers.iter().zip(&wishes) {
                let message = SubmitSelectionRequest {
                    parent: town.term.clone(),
                    project: projects.get(wishes[place]).context("too few projects")?.clone(),
                    teacher: String::new(),
                    request_id: format!("{}-{place}-{}", rush.name(), teacher.name),
                };
                shots.push(Shot::new(gateway, SUBMIT, &teacher.token, &message)?);
            }
            shots.shuffle(&mut rng);
            Ok(Arc::new(shots))
        })
        .collect()
}

/// Everyone asks whether he may select: tokens are then known, and what is read often has been read.
pub async fn before_the_window(client: &Client, town: &Town, gateway: SocketAddr) -> anyhow::Result<()> {
    let project = town.hot.first().context("no project")?;
    let mut shots = Vec::with_capacity(town.teachers.len());
    for teacher in &town.teachers {
        let message = CheckEligibilityRequest { project: project.clone(), teacher: String::new() };
        shots.push(Shot::new(gateway, CHECK, &teacher.token, &message)?);
    }
    let volley = client.closed(&Arc::new(shots), 64, TO_THE_END).await?;
    for (_, answer) in &volley.answers {
        answer.decode::<proto::enrollment::v1::CheckEligibilityResponse>()?;
    }
    Ok(())
}

/// A run of ours: the system as it was set up, then everyone at once.
async fn ours(
    bench: &mut Bench,
    engine: Engine,
    rush: Rush,
    callers: usize,
    within: Duration,
) -> anyhow::Result<(Volley, cpu::Seconds, verify::Found)> {
    let options = bench.options.clone();
    let (world, town) = bench.world(engine).await?;
    world.fresh().await?;
    let gateway = world.gateway()?;
    let client = Client::connect(gateway, options.connections).await?;
    if !options.cold {
        before_the_window(&client, town, gateway).await?;
    }
    let volleys = volleys(rush, town, gateway, 1)?;
    world.databases().checkpoint()?;
    let meter = world.meter()?;
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
    let spent = cpu::between(&before, &meter.read()?);
    let all = all.context("nothing was sent")?;
    let found = check(world, &all).await?;
    Ok((all, spent, found))
}

/// Every answer is a selection, and it is there.
async fn check(world: &World, volley: &Volley) -> anyhow::Result<verify::Found> {
    let mut acknowledged = Vec::with_capacity(volley.answers.len());
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    for (_, answer) in &volley.answers {
        match answer.decode::<SubmitSelectionResponse>() {
            Ok(reply) => acknowledged.push(reply.selection.unwrap_or_default().name),
            Err(status) => {
                let reason = status.get_details_error_info().map(|info| info.reason);
                *refused.entry(reason.unwrap_or_else(|| status.to_string())).or_default() += 1;
            }
        }
    }
    let mut found = verify::verify(world, &acknowledged).await?;
    let unmeant = refused.into_iter().map(|(reason, count)| format!("{count} × refused: {reason}"));
    found.faults.extend(unmeant);
    Ok(found)
}

/// Bytes of the change that a submission writes, on average.
async fn change_bytes(world: &World) -> anyhow::Result<usize> {
    let enrollment = Reader::open(&world.databases().url("enrollment")).await?;
    let sizes: Vec<(i64,)> = enrollment
        .all("SELECT CAST(SUM(LENGTH(body)) / COUNT(*) AS BIGINT) FROM change WHERE resource LIKE '%/selections/%'")
        .await?;
    let (size,) = *sizes.first().context("no selection has a change")?;
    Ok(usize::try_from(size)?)
}

/// The number of callers with which ours is at its best.
async fn callers(bench: &mut Bench, engine: Engine, rush: Rush) -> anyhow::Result<(usize, Vec<String>)> {
    if let Some(callers) = bench.options.callers {
        return Ok((callers, Vec::new()));
    }
    let mut tried = Vec::new();
    for callers in CALLERS {
        let (volley, ..) = ours(bench, engine, rush, callers, TRIAL).await?;
        tried.push((volley.rate(), callers));
    }
    let told = tried.iter().map(|(rate, callers)| format!("{callers}: {rate:.0}/s")).collect();
    tried.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let (_, best) = *tried.first().context("nothing was tried")?;
    Ok((best, told))
}

fn peer_run(bench: &Bench, peer: &Peer, aim: Aim, best: Best, server: u32) -> anyhow::Result<(f64, cpu::Seconds)> {
    let mut meter = cpu::Meter::default();
    meter.add("postgres", server);
    let before = meter.read()?;
    let run = peer.run(aim, best, bench.options.seconds)?;
    let mut spent = cpu::between(&before, &meter.read()?);
    spent.insert("pgbench".to_owned(), run.cpu);
    Ok((run.rate, spent))
}

/// Peer and ours in turn, on PostgreSQL.
pub async fn run(bench: &mut Bench, rush: Rush) -> anyhow::Result<Outcome> {
    let engine = Engine::Postgres;
    let (best_callers, tried) = callers(bench, engine, rush).await?;
    let (world, town) = bench.world(engine).await?;
    let bytes = change_bytes(world).await?;
    let server = world.server()?;
    let teachers = town.teachers.len();
    let peer = bench.peer(bytes).await?;
    say("looking for the peer's best");
    let (best, settings) = peer.best(rush.aim())?;
    let within = Duration::from_secs(bench.options.seconds);
    let mut pairs = Vec::new();
    let mut latency = crate::drive::histogram()?;
    let (mut kept, mut faults) = (0, Vec::new());
    for n in 1..=bench.options.runs {
        let (peer_rate, peer_cpu) = peer_run(bench, &peer, rush.aim(), best, server)?;
        let (volley, cpu, found) = ours(bench, engine, rush, best_callers, within).await?;
        say(&format!("{} run {n}: peer {peer_rate:.0}/s, ours {:.0}/s", rush.name(), volley.rate()));
        latency.add(&volley.latency)?;
        kept += found.kept;
        faults.extend(found.faults);
        pairs.push(Pair { peer: peer_rate, ours: volley.rate(), cpu, peer_cpu });
    }
    let settings = settings.iter().map(|(rate, best)| format!("{} × {}: {rate:.0}/s", best.clients, best.style.name()));
    let warm =
        if bench.options.cold { "nobody has called before" } else { "everyone has asked for his eligibility before" };
    let notes = vec![
        format!("peer: pgbench, {} clients, {}; a change of {bytes} bytes, as ours", best.clients, best.style.name()),
        format!("peer tried: {}", settings.collect::<Vec<_>>().join(", ")),
        format!(
            "ours: {best_callers} callers on {} connections; tried {}",
            bench.options.connections,
            tried.join(", ")
        ),
        format!("{teachers} teachers, {EACH} selections each; {warm}"),
    ];
    Ok(Outcome {
        case: rush.name().to_owned(),
        engine: engine.name(),
        unit: "1/s",
        pairs,
        latency: Some(Latency::from(&latency)),
        goal: rush.goal(),
        counted: format!("{kept} kept"),
        faults,
        notes,
    })
}
