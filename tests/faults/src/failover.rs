//! The machine of the primary dies in the rush, or falls silent. PostgreSQL is three nodes under Patroni, as an operator runs it where
//! no Kubernetes does; before it stands a door that leads to whichever node Patroni calls the primary, as a load balancer is, or the
//! `-rw` Service of an operator's cluster. (A URL with several hosts would do without, but `sqlx` knows one.) Only new connections are led
//! elsewhere: what becomes of the old ones is the services' own affair.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use cluster::{Part, Patroni};
use load::{
    database::Databases,
    drive::{self, Answer, Shot},
    program::Programs,
    town::Lot,
    verify::{self, Found},
    work::{self, Verdicts, Work},
    world::World,
};
use rand::{RngExt as _, SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha12Rng;
use tokio::{sync::watch, time::Instant};

use crate::{
    case::{AGAIN, errand, goes_on},
    people::{Errand, PATIENCE, People, away},
    stage::Stage,
    table::FAILOVER,
};

/// Projects with places for all, of which each attempt takes some.
const PROJECTS: usize = 4;
/// Projects with places for five of six that everyone wants in a rush.
const WANTED: usize = 5;
/// Rushes that may be played on one stage.
const RUSHES: usize = 3;
/// Callers at once.
pub(crate) const CALLERS: usize = 32;
/// How tables begin that a primary is asked to make which is none any more.
const SPLIT: &str = "split_brain_";
/// How often the door asks Patroni who the primary is.
const ASKS: Duration = Duration::from_millis(500);
/// For how long at most the first write after the blow is tried: it must come within [`FAILOVER`], and this tells how late it was.
const LATEST: Duration = Duration::from_secs(60);

/// What becomes of the primary's node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// Patroni and PostgreSQL are killed with -9.
    Dies,
    /// They stand still (SIGSTOP), and wake when another one is the primary.
    FallsSilent,
    /// They stand still, and never wake: when another one is the primary they are ended (kill -9), as by a watchdog or whoever switches
    /// the machine off.
    IsFenced,
}

/// What came of it.
#[derive(Debug)]
pub struct Failover {
    /// From the blow to the first write that was acknowledged after it.
    pub back: Duration,
    /// Names of the acknowledged selections.
    pub acknowledged: Vec<String>,
    /// What was not as it should be.
    pub faults: Vec<String>,
    /// What was struck, and how.
    struck: usize,
    blow: Blow,
}

/// Sets the county up under Patroni.
///
/// # Errors
/// If something cannot be started.
pub async fn set(programs: &Programs) -> anyhow::Result<Stage> {
    let world = tokio::task::block_in_place(|| {
        let world = World::replicated(programs)?;
        // Setting up waits for no disk; what is played does.
        commits(&world, "ALTER SYSTEM SET synchronous_commit = off", "off")?;
        anyhow::Ok(world)
    })?;
    let stage = Stage::with(world, [(Lot::Spread, PROJECTS), (Lot::Short, RUSHES * WANTED)].into()).await?;
    // Sessions that there are follow at their next statement.
    tokio::task::block_in_place(|| commits(&stage.world, "ALTER SYSTEM RESET synchronous_commit", "on"))?;
    Ok(stage)
}

/// Changes what the primary does at a commit.
fn commits(world: &World, alter: &str, wanted: &str) -> anyhow::Result<()> {
    let Databases::Replicated(patroni) = world.databases() else { anyhow::bail!("no Patroni") };
    patroni.sql_in("postgres", alter)?;
    patroni.sql_in("postgres", "SELECT pg_reload_conf()")?;
    let began = Instant::now();
    while patroni.sql_in("postgres", "SHOW synchronous_commit")? != wanted {
        anyhow::ensure!(began.elapsed() < LATEST, "commits do not become {wanted}");
    }
    Ok(())
}

/// Strikes the primary's node in the midst of a rush, at an instant that is drawn from `seed`.
///
/// # Errors
/// If what has nothing to do with it fails.
pub async fn play(stage: &mut Stage, blow: Blow, seed: u64) -> anyhow::Result<Failover> {
    let patroni = patroni(stage)?;
    let people = People::of(stage)?;
    until_all_there(&patroni).await?;
    // Of what was played before.
    let former = read(stage, &[]).await?.selections;
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let shots = Arc::new(rush(stage, &mut rng)?);
    let owed = errand(stage)?;
    let mut faults = Vec::new();

    let answered = watch::Sender::new(0);
    let mut count = answered.subscribe();
    let load = tokio::spawn(drive::insist(stage.entrance(), Arc::clone(&shots), CALLERS, answered));
    let after = rng.random_range(shots.len() / 4..shots.len() / 2);
    // If there is nobody any more to count, the load says why.
    let _ = count.wait_for(|count| *count >= after).await;
    let began = Instant::now();
    let (struck, heir) = tokio::task::block_in_place(|| strike(&patroni, blow))?;
    let before = *count.borrow();
    if before >= shots.len() {
        faults.push("the rush was over before the blow".to_owned());
    }
    let (first, back) = tokio::select! {
        done = first_write(&people, &owed, began, &mut faults) => done?,
        never = follow(&patroni, stage) => return never,
    };
    if back > FAILOVER {
        faults.push(format!("the first write after {back:?}"));
    }
    let mut acknowledged = vec![first];
    let answers = load.await??;
    acknowledged.extend(given(stage, &answers, &mut faults));
    let found = read(stage, &acknowledged).await?;
    // All have their answers: what is there and was not acknowledged is nobody's.
    if found.selections != former + acknowledged.len() {
        let now = found.selections;
        faults.push(format!("{now} selections, {former} of them before, and {} acknowledged", acknowledged.len()));
    }
    faults.extend(found.faults);
    faults.extend(same_again(stage, &shots, &answers).await?);
    goes_on(stage, &people, &mut acknowledged, Instant::now()).await?;
    stage.world.until_ready().await.context("a service that ended by itself")?;

    if tokio::task::block_in_place(|| patroni.find(Part::Primary)) != Some(heir) {
        faults.push("another one than the synchronous standby is the primary".to_owned());
    }
    Ok(Failover { back, acknowledged, faults, struck, blow })
}

/// The node comes back, as a standby: what it had alone is gone, and nothing of what was acknowledged. What was otherwise.
///
/// # Errors
/// If it does not come back.
pub async fn come_back(stage: &mut Stage, failover: &Failover) -> anyhow::Result<Vec<String>> {
    let patroni = patroni(stage)?;
    let mut faults = tokio::task::block_in_place(|| match failover.blow {
        Blow::Dies => patroni.revive(failover.struck).map(|()| Vec::new()),
        Blow::FallsSilent => wake(&patroni, failover.struck),
        Blow::IsFenced => {
            patroni.kill(failover.struck)?;
            patroni.revive(failover.struck).map(|()| Vec::new())
        }
    })?;
    let mut acknowledged = failover.acknowledged.clone();
    goes_on(stage, &People::of(stage)?, &mut acknowledged, Instant::now()).await?;
    faults.extend(read(stage, &acknowledged).await?.faults);
    Ok(faults)
}

/// Has a former primary go on that does not know yet that it is none any more, with somebody at its door who writes: before it goes
/// on, and until it is a standby. What it acknowledged, or kept.
fn wake(patroni: &Patroni, node: usize) -> anyhow::Result<Vec<String>> {
    let is_standby = AtomicBool::new(false);
    let tried = std::thread::scope(|scope| {
        let writes = scope.spawn(|| {
            let mut acknowledged = Vec::new();
            let mut tried = 0;
            while !is_standby.load(Ordering::Acquire) {
                tried += 1;
                let write = format!("CREATE TABLE {SPLIT}{tried} ()");
                acknowledged.extend(patroni.sql_on(node, "postgres", &write).ok());
            }
            (tried, acknowledged.len())
        });
        let thawed = patroni.thaw(node);
        is_standby.store(true, Ordering::Release);
        let tried = writes.join().map_err(|_| anyhow::anyhow!("the writer panicked"));
        thawed.and(tried)
    });
    let (tried, acknowledged) = tried?;
    let mut faults = Vec::new();
    if tried == 0 || acknowledged > 0 {
        faults.push(format!("the former primary acknowledged {acknowledged} of {tried} writes"));
    }
    let kept = format!("SELECT count(*) FROM pg_tables WHERE tablename LIKE '{SPLIT}%'");
    for (who, kept) in
        [("primary", patroni.sql_in("postgres", &kept)?), ("former one", patroni.sql_on(node, "postgres", &kept)?)]
    {
        if kept != "0" {
            faults.push(format!("the {who} has {kept} writes of a primary that was none"));
        }
    }
    Ok(faults)
}

/// The nodes of a stage.
///
/// # Errors
/// If it has none.
pub fn patroni(stage: &Stage) -> anyhow::Result<Arc<Patroni>> {
    let Databases::Replicated(patroni) = stage.world.databases() else { anyhow::bail!("nothing to fail over to") };
    Ok(Arc::clone(patroni))
}

/// The selections that were given in a rush: one for each place, and to nobody else anything but that it is full.
pub(crate) fn given(stage: &Stage, answers: &[Answer], faults: &mut Vec<String>) -> Vec<String> {
    let Verdicts { acknowledged, unmeant, .. } = Work::Short.judge(answers);
    let places = WANTED * stage.town.places(Lot::Short).min(stage.town.teachers.len());
    if acknowledged.len() != places {
        faults.push(format!("{} were given one of {places} places", acknowledged.len()));
    }
    faults.extend(unmeant.iter().map(|(reason, count)| format!("{count} × answered with {reason}")));
    acknowledged
}

/// Everyone wants everything of what nobody has wanted yet, in a drawn order.
pub(crate) fn rush(stage: &mut Stage, rng: &mut ChaCha12Rng) -> anyhow::Result<Vec<Shot>> {
    let projects = stage.wanted(WANTED)?;
    let (town, gateway) = (&stage.town, stage.entrance());
    let pairs = projects.iter().flat_map(|project| town.teachers.iter().map(move |one| (one, project)));
    let shots = pairs.map(|(teacher, project)| work::submission(town, gateway, teacher, project));
    let mut shots = shots.collect::<anyhow::Result<Vec<Shot>>>()?;
    shots.shuffle(rng);
    Ok(shots)
}

/// Waits until each node is what it is to be.
async fn until_all_there(patroni: &Arc<Patroni>) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let asked = Arc::clone(patroni);
        let parts = [Part::Primary, Part::Synchronous, Part::Asynchronous];
        let all = move || parts.into_iter().all(|part| asked.find(part).is_some());
        if tokio::task::spawn_blocking(all).await? {
            return Ok(());
        }
        anyhow::ensure!(began.elapsed() < LATEST, "a node is missing");
        tokio::time::sleep(AGAIN).await;
    }
}

/// Strikes the primary's node; its number, and that of the synchronous standby.
fn strike(patroni: &Patroni, blow: Blow) -> anyhow::Result<(usize, usize)> {
    let struck = patroni.find(Part::Primary).context("no primary")?;
    let heir = patroni.find(Part::Synchronous).context("no synchronous standby")?;
    match blow {
        Blow::Dies => patroni.kill(struck)?,
        Blow::FallsSilent | Blow::IsFenced => patroni.freeze(struck)?,
    }
    Ok((struck, heir))
}

/// Leads to whoever is the primary, for ever.
pub(crate) async fn follow<T>(patroni: &Arc<Patroni>, stage: &Stage) -> anyhow::Result<T> {
    loop {
        let asked = Arc::clone(patroni);
        if let Some(primary) = tokio::task::spawn_blocking(move || asked.primary()).await? {
            stage.lead_to(primary);
        }
        tokio::time::sleep(ASKS).await;
    }
}

/// Submits until it goes well: the selection's name, and how long after the blow. Whoever is refused meanwhile is told that the
/// database is away, and to come again.
pub(crate) async fn first_write(
    people: &People,
    owed: &Errand,
    began: Instant,
    faults: &mut Vec<String>,
) -> anyhow::Result<(String, Duration)> {
    let mut refused = 0;
    loop {
        match people.submit(owed, PATIENCE).await {
            Ok(name) => {
                if refused == 0 {
                    faults.push("nothing was refused".to_owned());
                }
                return Ok((name, began.elapsed()));
            }
            Err(refusal) => {
                refused += 1;
                faults.extend(away(&refusal, "database").map(|what| format!("after {:.1?}: {what}", began.elapsed())));
                anyhow::ensure!(began.elapsed() < LATEST, "not back within {LATEST:?}: {}", refusal.message());
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Whoever asks again under the same request id hears the same; what differs.
async fn same_again(stage: &Stage, shots: &Arc<Vec<Shot>>, answers: &[Answer]) -> anyhow::Result<Option<String>> {
    let again = drive::insist(stage.entrance(), Arc::clone(shots), CALLERS, watch::Sender::new(0)).await?;
    let differing =
        answers.iter().zip(&again).filter(|(one, other)| work::verdict(one) != work::verdict(other)).count();
    Ok((differing > 0).then(|| format!("{differing} × another answer to the same request")))
}

/// The independent reader, on the present primary.
pub(crate) async fn read(stage: &Stage, acknowledged: &[String]) -> anyhow::Result<Found> {
    stage.world.reach()?.catch_up().await.context("catching up")?;
    verify::verify(&stage.world, acknowledged).await
}
