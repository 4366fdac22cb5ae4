//! etcd is lost under load, through which Patroni's nodes agree on who the primary is. As long as all of them hear each other, the
//! primary stays it (`failsafe_mode`), and nobody notices. When one of them is away as well, nobody can know whether it is not the
//! primary of somebody else: the primary steps down, what is there is read, and writing waits for etcd.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use cluster::{Part, Patroni, TTL};
use load::drive;
use rand::SeedableRng as _;
use rand_chacha::ChaCha12Rng;
use tokio::{sync::watch, time::Instant};

use crate::{
    case::{AGAIN, all_acts, errand, goes_on, ready},
    failover::{CALLERS, first_write, follow, given, patroni, read, rush},
    people::{PATIENCE, People, away},
    stage::Stage,
    table::{Act, FAILOVER, GOES_ON, Meets, STEPS_DOWN},
};

/// Between two rounds in which everyone does everything.
const ROUND: Duration = Duration::from_secs(1);
/// For so long etcd is lost while all nodes are there: past the time after which a primary that nobody hears of is none.
const LOST: Duration = Duration::from_secs(TTL as u64 + 5);

/// What came of it.
#[derive(Debug)]
pub struct Quorum {
    /// From etcd's return to the first write that was acknowledged.
    pub back: Duration,
    /// How many times everyone did everything while etcd was lost and all nodes were there.
    pub rounds: usize,
    /// What was not as it should be.
    pub faults: Vec<String>,
}

/// Takes etcd away, then a standby, then gives both back.
///
/// # Errors
/// If what has nothing to do with it fails.
pub async fn play(stage: &mut Stage, seed: u64) -> anyhow::Result<Quorum> {
    let patroni = patroni(stage)?;
    let people = People::of(stage)?;
    let mut quorum = Quorum { back: Duration::ZERO, rounds: 0, faults: Vec::new() };
    let mut acknowledged = Vec::new();
    let shots = Arc::new(rush(stage, &mut ChaCha12Rng::seed_from_u64(seed))?);
    let reads = ready(stage, &people, &mut acknowledged, false).await?;
    let find = |part| patroni.find(part).with_context(|| format!("no node is {part:?}"));
    // Without etcd no standby knows what it is.
    let (former, other) =
        tokio::task::block_in_place(|| anyhow::Ok((find(Part::Primary)?, find(Part::Asynchronous)?)))?;

    tokio::task::block_in_place(|| patroni.lose_etcd())?;
    let lost = Instant::now();
    let load = tokio::spawn(drive::insist(stage.entrance(), shots, CALLERS, watch::Sender::new(0)));
    while lost.elapsed() < LOST {
        let next = Instant::now() + ROUND;
        let wrong = all_acts(stage, &people, &mut acknowledged).await?;
        quorum.faults.extend(wrong.into_iter().map(|what| format!("etcd lost for {:.0?}: {what}", lost.elapsed())));
        quorum.rounds += 1;
        tokio::time::sleep_until(next).await;
    }

    acknowledged.extend(given(stage, &load.await??, &mut quorum.faults));

    tokio::task::block_in_place(|| patroni.kill(other))?;
    let refused = Instant::now();
    let owed = loop {
        let errand = errand(stage)?;
        match people.submit(&errand, PATIENCE).await {
            Ok(name) => acknowledged.push(name),
            Err(refusal) => {
                quorum.faults.extend(away(&refusal, "database"));
                break errand;
            }
        }
        anyhow::ensure!(refused.elapsed() < STEPS_DOWN, "still the primary, without etcd and a node");
        tokio::time::sleep(AGAIN).await;
    };
    // Once it has: what is there is read.
    read_only(&patroni, former, refused).await?;
    for act in [Act::Menu, Act::Statement, Act::Today] {
        while let Some(what) = people.act(act, &reads, PATIENCE).await.0.differs(Meets::GoesOn, GOES_ON) {
            anyhow::ensure!(refused.elapsed() < STEPS_DOWN, "{act:?}, read only: {what}");
            tokio::time::sleep(AGAIN).await;
        }
    }
    let met = people.submit(&owed, PATIENCE).await;
    quorum.faults.extend(match met.err() {
        None => Some("something was written without a primary".to_owned()),
        Some(refusal) => away(&refusal, "database"),
    });

    tokio::task::block_in_place(|| patroni.regain_etcd())?;
    let (first, back) = tokio::select! {
        done = first_write(&people, &owed, Instant::now(), &mut quorum.faults) => done?,
        never = follow(&patroni, stage) => return never,
    };
    acknowledged.push(first);
    quorum.back = back;
    if back > FAILOVER {
        quorum.faults.push(format!("the first write {back:?} after etcd's return"));
    }
    tokio::task::block_in_place(|| patroni.revive(other))?;
    goes_on(stage, &people, &mut acknowledged, Instant::now()).await?;
    stage.world.until_ready().await.context("a service that ended by itself")?;
    quorum.faults.extend(read(stage, &acknowledged).await?.faults);
    Ok(quorum)
}

/// Waits until nobody is the primary, and the node that was answers whoever reads.
async fn read_only(patroni: &Arc<Patroni>, former: usize, began: Instant) -> anyhow::Result<()> {
    loop {
        let asked = Arc::clone(patroni);
        let reads =
            move || asked.sql_on(former, "postgres", "SELECT pg_is_in_recovery()").is_ok_and(|told| told == "t");
        if tokio::task::spawn_blocking(reads).await? {
            return Ok(());
        }
        anyhow::ensure!(began.elapsed() < STEPS_DOWN, "the primary does not step down");
        tokio::time::sleep(AGAIN).await;
    }
}
