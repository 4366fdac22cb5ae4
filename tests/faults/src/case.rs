//! One fault: got ready for, struck, met by everyone twice, ended, recovered from.

use std::time::Duration;

use anyhow::Context as _;
use futures::future::join_all;
use load::verify;
use tokio::time::Instant;

use crate::{
    people::{Errand, Met, NO_HOPE, PATIENCE, People, Ready, look},
    probes,
    stage::Stage,
    table::{AT_ONCE, Act, Cost, Fault, GOES_ON, Meets, NOTICED, RECOVERED, Target},
};

/// Between two attempts at what must come back.
pub(crate) const AGAIN: Duration = Duration::from_millis(100);

/// What is lost when nothing is struck.
const NOTHING: Cost = Cost { target: Target::Service(""), lost: &[], note: "" };

/// Plays a fault of the table; what was not as it is written.
///
/// # Errors
/// If what has nothing to do with the fault fails.
pub async fn play(stage: &mut Stage, cost: &Cost, fault: Fault) -> anyhow::Result<Vec<String>> {
    let people = People::of(stage)?;
    let mut acknowledged = Vec::new();
    let mut first = ready(stage, &people, &mut acknowledged, true).await?;
    let mut second = ready(stage, &people, &mut acknowledged, false).await?;
    let silent = matches!(fault, Fault::Frozen | Fault::CutOff);
    let (soon, later) = (if silent { NOTICED } else { AT_ONCE }, AT_ONCE);

    stage.strike(cost.target, fault)?;
    let struck = Instant::now();
    let mut faults = Vec::new();
    let mut watching = first.watching.take().context("nobody watches")?;
    let hopeless = cost.of(fault, Act::Menu) == Meets::Nobody;
    let watcher = look(&mut watching, if hopeless { NO_HOPE } else { soon });
    let (met, watched) = tokio::join!(wave(&people, cost, fault, &first, soon), watcher);
    let expected = cost.of(fault, Act::Watching);
    // A watcher whose connection is silent cannot know.
    if !(hopeless && silent) {
        faults.extend(watched.differs(expected, soon).map(|what| format!("{:?}: {what}", Act::Watching)));
    }
    for (wrong, names) in [met, wave(&people, cost, fault, &second, later).await] {
        faults.extend(wrong);
        acknowledged.extend(names);
    }
    faults.extend(probes::during(stage, cost, fault, struck).await?);

    stage.heal(cost.target, fault)?;
    let began = Instant::now();
    if let (Target::Service(_), Fault::Stopped) = (cost.target, fault) {
        stage.world.until_ready().await?;
    }
    for owed in [&mut first, &mut second] {
        acknowledged.push(insist(|| people.submit(&owed.submit, PATIENCE), began).await.context("selecting at last")?);
        insist(|| people.withdraw(&owed.withdraw, PATIENCE), began).await.context("withdrawing at last")?;
    }
    goes_on(stage, &people, &mut acknowledged, began).await?;
    probes::after(stage, began).await?;
    stage.world.reach()?.catch_up().await.context("catching up")?;
    acknowledged.sort();
    acknowledged.dedup();
    let found = verify::verify(&stage.world, &acknowledged).await?;
    faults.extend(found.faults);
    Ok(faults)
}

/// Waits until everyone can do everything again. Adds what was selected meanwhile.
pub(crate) async fn goes_on(
    stage: &mut Stage,
    people: &People,
    acknowledged: &mut Vec<String>,
    began: Instant,
) -> anyhow::Result<()> {
    loop {
        let again = ready_again(stage, people, acknowledged, began).await?;
        let (wrong, names) = wave(people, &NOTHING, Fault::Stopped, &again, GOES_ON).await;
        acknowledged.extend(names);
        if wrong.is_empty() {
            return Ok(());
        }
        anyhow::ensure!(began.elapsed() < RECOVERED, "after the fault: {}", wrong.join("; "));
        tokio::time::sleep(AGAIN).await;
    }
}

/// Everyone does everything at once while nothing is lost; what was not so. Adds what was selected.
pub(crate) async fn all_acts(
    stage: &mut Stage,
    people: &People,
    acknowledged: &mut Vec<String>,
) -> anyhow::Result<Vec<String>> {
    let ready = ready(stage, people, acknowledged, false).await?;
    let (wrong, names) = wave(people, &NOTHING, Fault::Stopped, &ready, GOES_ON).await;
    acknowledged.extend(names);
    Ok(wrong)
}

/// Everyone does everything at once; what was not as it is written, and the names of what was selected.
async fn wave(
    people: &People,
    cost: &Cost,
    fault: Fault,
    ready: &Ready,
    within: Duration,
) -> (Vec<String>, Vec<String>) {
    let acts = Act::ALL.into_iter().filter(|act| *act != Act::Watching).map(|act| async move {
        let expected = cost.of(fault, act);
        let patience = if expected == Meets::Nobody { NO_HOPE } else { PATIENCE };
        let (met, name): (Met, _) = people.act(act, ready, patience).await;
        let bound = match expected {
            Meets::GoesOn => GOES_ON,
            Meets::Away(_) => within,
            Meets::Nobody => NO_HOPE * 2,
        };
        (met.differs(expected, bound).map(|what| format!("{act:?}: {what}")), name)
    });
    let (wrong, names): (Vec<_>, Vec<_>) = join_all(acts).await.into_iter().unzip();
    (wrong.into_iter().flatten().collect(), names.into_iter().flatten().collect())
}

/// A selection to be submitted, and one to be withdrawn, which is submitted first.
pub(crate) async fn ready(
    stage: &mut Stage,
    people: &People,
    acknowledged: &mut Vec<String>,
    watch: bool,
) -> anyhow::Result<Ready> {
    let (submit, mut withdraw) = (errand(stage)?, errand(stage)?);
    withdraw.name = people.submit(&withdraw, PATIENCE).await.context("selecting before the fault")?;
    acknowledged.push(withdraw.name.clone());
    people.ready(submit, withdraw, watch).await
}

async fn ready_again(
    stage: &mut Stage,
    people: &People,
    acknowledged: &mut Vec<String>,
    began: Instant,
) -> anyhow::Result<Ready> {
    let (submit, mut withdraw) = (errand(stage)?, errand(stage)?);
    withdraw.name = insist(|| people.submit(&withdraw, PATIENCE), began).await.context("selecting after the fault")?;
    acknowledged.push(withdraw.name.clone());
    loop {
        match people.ready(submit.clone(), withdraw.clone(), false).await {
            Ok(ready) => return Ok(ready),
            Err(error) => anyhow::ensure!(began.elapsed() < RECOVERED, "{error:#}"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

pub(crate) fn errand(stage: &mut Stage) -> anyhow::Result<Errand> {
    let (teacher, name) = stage.pair()?;
    let request_id = format!("{teacher}-{}", name.rsplit('/').next().unwrap_or_default());
    Ok(Errand { teacher, name, request_id })
}

/// Again and again until it goes well.
pub(crate) async fn insist<T, F>(mut attempt: impl FnMut() -> F, began: Instant) -> anyhow::Result<T>
where
    F: Future<Output = Result<T, tonic::Status>>,
{
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(refusal) => {
                let left = began.elapsed() < RECOVERED;
                anyhow::ensure!(left, "not within {RECOVERED:?}: {:?} {}", refusal.code(), refusal.message());
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}
