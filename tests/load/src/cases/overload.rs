//! overload: ten times the callers that saturate the system, who ask again at once whatever they are answered. Who finds the queue
//! full is told so and when to come back; memory and latency are afterwards what they were.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use proto::{common::v1::Reason, enrollment::v1::SubmitSelectionRequest};
use tonic_types::StatusExt as _;

use super::rush;
use crate::{
    bench::{Bench, say},
    cpu,
    database::Engine,
    drive::{Answer, Client, Kinds, Shot, Volley},
    opening,
    table::{Goal, Latency, Outcome, Pair},
    town::{Lot, Teacher, Town},
    verify,
    work::{self, SUBMIT, Work},
    world::World,
};

const TIMES: usize = 10;
/// One teacher of so many is left for the probes: a caller alone, before and after.
const ONE_OF: usize = 4;
/// Probes before.
const BEFORE: usize = 1_000;
/// How long is probed afterwards.
const AFTER: Duration = Duration::from_secs(3);
/// Probes of so long together tell whether the latency is again what it was.
const WINDOW: Duration = Duration::from_millis(100);
/// When memory is looked at again.
const REST: Duration = Duration::from_secs(5);
/// Seconds within which the latency is to recover.
const RECOVERED: f64 = 1.0;
/// What memory may be to what it was.
const MEMORY: f64 = 1.1;
/// The number of the second flood's first submission: beyond all of the first one's.
const AGAIN: usize = 1 << 40;
/// Whose memory counts: those who have queues.
const WATCHED: [&str; 2] = ["gateway", "enrollment"];

/// Before, during and after.
///
/// # Errors
/// If something cannot be started, or fails other than in what is measured.
pub async fn run(bench: &mut Bench) -> anyhow::Result<Vec<Outcome>> {
    let engine = Engine::Postgres;
    let (callers, saturating, tried) = rush::callers(bench, engine, Work::Hot).await?;
    let (seconds, connections) = (bench.options.seconds, bench.options.connections);
    let mut memory = Outcome::of("overload-memory", engine, "MB", Goal::AtMost(MEMORY));
    let mut recovery = Outcome::of("overload-recovery", engine, "s", Goal::AtMost(1.0));
    for n in 1..=bench.options.runs {
        let (client, town, world) = opening::ready(bench, engine).await?;
        let (few, crowd) = town.teachers.split_at(town.teachers.len() / ONE_OF);
        let mut probes = probes(town, world, few)?;
        let later = probes.split_off(BEFORE.min(probes.len()));
        // What a busy service needs, it has from here on.
        let first = Work::Hot.volleys(town, world.gateway()?)?.swap_remove(0);
        let mut answers = client.closed(&first, callers, Duration::MAX).await?;
        let quiet = client.closed(&Arc::new(probes), 1, Duration::MAX).await?;
        let usual = Latency::from(&quiet.latency).p99;
        answers.join(quiet)?;
        tokio::time::sleep(REST).await;
        let before = resident(world)?;

        let crowd = Crowd { town: town.clone(), teachers: crowd.to_vec(), gateway: world.gateway()? };
        let crowd = Arc::new(crowd);
        let many = Client::connect(world.gateway()?, connections * TIMES).await?;
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let within = Duration::from_secs(seconds);
        let began = Instant::now();
        let mut kinds = flood(&many, &crowd, 0, &acknowledged, callers * TIMES, within).await?;
        let flooded = began.elapsed().as_secs_f64();
        drop(many);
        let ended = Instant::now();
        let (probed, recovered) = probe(&client, later, ended, usual).await?;
        answers.join(probed)?;
        tokio::time::sleep(REST).await;
        let after = resident(world)?;
        // What another one adds is what would add up.
        let many = Client::connect(world.gateway()?, connections * TIMES).await?;
        let again = flood(&many, &crowd, AGAIN, &acknowledged, callers * TIMES, within).await?;
        drop(many);
        tokio::time::sleep(REST).await;
        let twice = resident(world)?;

        let count: u64 = kinds.values().map(|kind| kind.len()).sum();
        let told = kinds.iter().map(|(kind, latency)| {
            let Latency { p50, p99, .. } = Latency::from(latency);
            format!("{} {kind} (p50 {p50:.0?}, p99 {p99:.0?})", latency.len())
        });
        let told = told.collect::<Vec<_>>().join(", ");
        let note = format!(
            "run {n}: {:.0} answers a second for {flooded:.0} s: {told}; afterwards p99 as before ({usual:.1?}) after \
             {recovered:.2} s",
            count as f64 / flooded
        );
        say(&note);
        memory.notes.push(note);
        for (kind, latency) in again {
            match kinds.get_mut(&kind) {
                Some(first) => first.add(latency)?,
                None => drop(kinds.insert(kind, latency)),
            }
        }
        for kind in kinds.keys().filter(|kind| !MEANT.contains(&kind.as_str())) {
            recovery.faults.push(format!("run {n}: answered with {kind}"));
        }
        if !kinds.contains_key(SHED) {
            recovery.faults.push(format!("run {n}: nobody was told to come back later"));
        }
        let verdicts = Work::Hot.judge(answers.answers.iter().map(|(_, answer)| answer));
        let mut names = std::mem::take(&mut *acknowledged.lock().unwrap_or_else(PoisonError::into_inner));
        names.extend(verdicts.acknowledged.clone());
        let mut found = verify::verify(world, &names).await?;
        verdicts.tell(&mut found);
        memory.faults.extend(found.faults);
        memory.counted = format!("{} kept", found.kept);
        let sum = |sizes: &BTreeMap<&str, f64>| sizes.values().sum::<f64>();
        memory.pairs.push(Pair::of(sum(&before), sum(&after)));
        memory.notes.push(format!(
            "run {n}: before {before:.0?} MB, after {after:.0?} MB, after the same again {twice:.0?} MB"
        ));
        recovery.pairs.push(Pair::of(RECOVERED, recovered));
    }
    memory.notes.insert(
        0,
        format!(
            "peer: gateway and enrollment together, resident after {saturating:.0}/s from {callers} callers (tried {tried}); \
             ours: the same {REST:?} after {seconds} s of {TIMES} times as many on {TIMES} times as many connections"
        ),
    );
    recovery.notes.push(format!(
        "peer: the bound; ours: until {WINDOW:?} of one caller's submissions had a median within the p99 from before"
    ));
    Ok(vec![memory, recovery])
}

const ACCEPTED: &str = "accepted";
const SHED: &str = "turned away";
/// What may be answered: the rest is a fault. Who has selected what he may is refused by the rules.
const MEANT: [&str; 5] = [ACCEPTED, SHED, "REASON_NOT_ELIGIBLE", "REASON_ALREADY_SELECTED", "REASON_SELECTION_LIMIT"];

/// The crowd's submissions from the `first` on; the names of those that were accepted are added to `acknowledged`.
async fn flood(
    many: &Client,
    crowd: &Arc<Crowd>,
    first: usize,
    acknowledged: &Arc<Mutex<Vec<String>>>,
    callers: usize,
    within: Duration,
) -> anyhow::Result<Kinds> {
    let (crowd, names) = (Arc::clone(crowd), Arc::clone(acknowledged));
    let kind = move |_: usize, answer: &Answer| match work::verdict(answer) {
        Ok(name) => {
            names.lock().unwrap_or_else(PoisonError::into_inner).push(name);
            ACCEPTED.to_owned()
        }
        Err(reason) if reason == Reason::Overloaded.as_str_name() => shed(answer).to_owned(),
        Err(reason) => reason,
    };
    many.flood(move |n| crowd.shot(first + n), kind, callers, within).await
}

fn shed(answer: &Answer) -> &'static str {
    let told = answer.decode::<()>().is_err_and(|status| status.get_details_retry_info().is_some());
    if told { SHED } else { "turned away without being told when to come back" }
}

/// Everyone of whom the flood is made.
struct Crowd {
    town: Town,
    teachers: Vec<Teacher>,
    gateway: std::net::SocketAddr,
}

impl Crowd {
    /// The n-th submission: everyone's to the second hot project, then to the third, then again and again under new request
    /// ids, which are judged and refused.
    fn shot(&self, n: usize) -> anyhow::Result<Shot> {
        let (turn, place) = (n / self.teachers.len(), n % self.teachers.len());
        let projects = self.town.projects(Lot::Hot);
        let (Some(teacher), Some(project)) =
            (self.teachers.get(place), projects.get((turn + 1).min(projects.len() - 1)))
        else {
            anyhow::bail!("nobody is there")
        };
        let message = SubmitSelectionRequest {
            parent: self.town.term.clone(),
            project: project.clone(),
            teacher: String::new(),
            request_id: format!("flood-{n}"),
        };
        Shot::new(self.gateway, SUBMIT, &teacher.token, &message)
    }
}

fn probes(town: &Town, world: &World, teachers: &[Teacher]) -> anyhow::Result<Vec<Shot>> {
    let gateway = world.gateway()?;
    let projects = town.projects(Lot::Spread).iter().take(2);
    let pairs = projects.flat_map(|project| teachers.iter().map(move |teacher| (teacher, project)));
    pairs.map(|(teacher, project)| work::submission(town, gateway, teacher, project)).collect()
}

/// One caller's submissions from the end of the flood on, and the seconds until they were as usual again.
async fn probe(client: &Client, shots: Vec<Shot>, ended: Instant, usual: Duration) -> anyhow::Result<(Volley, f64)> {
    let mut all: Option<Volley> = None;
    let mut recovered = 0.0;
    let mut shots = shots.into_iter();
    while ended.elapsed() < AFTER {
        let few: Vec<Shot> = shots.by_ref().take(20).collect();
        if few.is_empty() {
            break;
        }
        let volley = client.closed(&Arc::new(few), 1, WINDOW).await?;
        if Latency::from(&volley.latency).p50 > usual {
            recovered = ended.elapsed().as_secs_f64();
        }
        match &mut all {
            None => all = Some(volley),
            Some(all) => all.join(volley)?,
        }
    }
    anyhow::Context::context(all, "nothing was probed").map(|all| (all, recovered))
}

/// Resident megabytes of those who have queues.
fn resident(world: &World) -> anyhow::Result<BTreeMap<&'static str, f64>> {
    let watched = world.processes().filter(|(name, _)| WATCHED.contains(name));
    watched.map(|(name, process)| Ok((name, cpu::memory(process)? as f64 / 1e6))).collect()
}
