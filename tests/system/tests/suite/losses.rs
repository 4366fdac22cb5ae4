//! The sequencer in a whole term of the real services: each call of each step fails once before it arrives and once after it
//! was carried out, and everything that a service did for a step is asked for once more. The term ends as if nothing had
//! happened.

use std::collections::{BTreeMap, BTreeSet};

use gateway::sequencer::{Planned, Task};
use proto::{
    common::v1::{Action, Change},
    gateway::v1::Calendar,
};
use serde_json::Value;
use shixun::{
    people::{County, TermFolder},
    progress::Progress,
    rehearse, up,
};
use system::{
    World,
    losses::{How, Losses},
    plan,
};

use crate::term::{SEED, difference, play, reported};

/// No more than it takes for every step to have something to do.
const TEACHERS: u32 = 60;

/// Plays the term while the sequencer's calls are lost.
async fn play_with_losses(engine: &str) -> anyhow::Result<Value> {
    let folder = TermFolder::sample()?;
    let county = County::generate(SEED, TEACHERS, &folder);
    let begin = proto::jiff_instant(rehearse::before_the_term(&folder)?).to_string();
    let mut world = World::start_for(engine, &begin, &county.password).await?;
    let losses = Losses::between(&mut world, &folder.name()).await?;
    let mut repeated = 0;
    let playing = async {
        let calendar = up::setup::county(&world.system, &county, &folder, &Progress::hidden()).await?;
        let before = async |_| {
            repeated += losses.repeat(&world).await?;
            Ok(())
        };
        let report =
            rehearse::play_disturbed(world.system.reach(), &county, &folder, Progress::hidden(), before).await?;
        repeated += losses.repeat(&world).await?;
        anyhow::Ok((calendar, report))
    };
    let (calendar, report) = tokio::select! {
        played = playing => played?,
        broken = losses.retry() => return Err(broken.err().unwrap_or_else(|| anyhow::anyhow!("nobody tries again"))),
    };
    let changes = world.system.all_changes().await?;
    check(&calendar, &changes, &losses, repeated)?;
    let mut report = reported(report, engine)?;
    // That steps failed is the one thing that may be told differently.
    let told = report["changes"]["gateway"].as_object_mut();
    let told = told.ok_or_else(|| anyhow::anyhow!("the gateway changed nothing"))?;
    for verb in ["failed", "retried"] {
        anyhow::ensure!(told.remove(verb).is_some(), "no step {verb}");
    }
    world.verify().await?;
    Ok(report)
}

/// Each planned step met both losses at each of its calls, and was done.
fn check(calendar: &Calendar, changes: &[(String, Change)], losses: &Losses, repeated: usize) -> anyhow::Result<()> {
    let met = losses.met(&plan::told("failed", changes)?)?;
    let continued = plan::told("continued", changes)?;
    let planned = plan::planned(calendar, changes)?;
    let once: BTreeMap<String, usize> = planned.iter().map(|step| (step.name.clone(), 1)).collect();
    assert_eq!(plan::done(changes)?, once);

    let (mut actions, mut calls, mut most) = (BTreeSet::new(), 0, 0);
    for step in &planned {
        let methods: &[&str] = match &step.task {
            Task::PutGates { .. } => &["PutGates"],
            Task::Settle { .. } => &["SettleWindow"],
            Task::Run { action, .. } => {
                actions.insert(action.as_str());
                &["RunStep"]
            }
            Task::Barrier { .. } => &["GetStatus", "WaitMirror"],
            // It only waits for other steps.
            Task::Recognized => &[],
        };
        let pages = continued.iter().filter(|page| page.name == step.name).fold(1, |pages, _| pages + 1);
        most = most.max(pages);
        let kinds = methods.iter().flat_map(|method| (0..pages).map(|page| ((*method).to_owned(), page)));
        let expected: BTreeSet<_> =
            kinds.flat_map(|kind| [How::OnTheWay, How::OnTheWayBack].map(|how| (kind.clone(), how))).collect();
        assert_eq!(met.get(&step.name).cloned().unwrap_or_default(), expected, "{}", step.title);
        calls += expected.len() / 2;
    }
    let all = (1..200).filter_map(|number| Action::try_from(number).ok());
    assert_eq!(actions, all.map(|action| action.as_str_name()).collect());
    assert!(most > 1, "no step had a second page");
    assert!(planned.iter().any(|step| step.name.contains("/results-")), "no results became credit");
    // All but the barriers' calls, which only read.
    let writing = |step: &&Planned| !matches!(step.task, Task::Barrier { .. } | Task::Recognized);
    assert_eq!(repeated, planned.iter().filter(writing).count() + continued.len(), "of {calls} calls");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_every_step_lost_both_ways() -> anyhow::Result<()> {
    // Undisturbed the engines agree, as `term` shows: one of them is enough to compare with.
    let (quiet, sqlite, postgres) =
        tokio::try_join!(play("sqlite", TEACHERS), play_with_losses("sqlite"), play_with_losses("postgres"))?;
    assert_eq!(difference("report", &quiet, &sqlite), None);
    assert_eq!(difference("report", &quiet, &postgres), None);
    Ok(())
}
