//! Every service is stopped and started again in every phase of a term that is being played, and cut off in the middle of what
//! people do: the term ends as if nothing had happened.

use std::collections::BTreeSet;

use proto::common::v1::{Reason, Window};
use serde_json::Value;
use shixun::{
    people::{County, TermFolder},
    progress::Progress,
    rehearse, up,
};
use system::{World, plan};
use tokio::sync::{Semaphore, mpsc};

use crate::term::{SEED, TEACHERS, difference, play, reported};

/// Plays the term; when the first wave in a phase comes, each service is restarted before it.
async fn play_with_restarts(engine: &str) -> anyhow::Result<Value> {
    let folder = TermFolder::sample()?;
    let county = County::generate(SEED, TEACHERS, &folder);
    let begin = proto::jiff_instant(rehearse::before_the_term(&folder)?).to_string();
    let mut world = World::start_for(engine, &begin, &county.password).await?;
    let progress = Progress::hidden();
    let calendar = up::setup::county(&world.system, &county, &folder, &progress).await?;
    let mut phases = BTreeSet::new();
    // The way there stays the same: a service comes back where it was.
    let reach = world.system.reach().clone();
    let report = rehearse::play_disturbed(&reach, &county, &folder, progress, async |at| {
        let before = phases.len();
        let has_opened = |window: &&Window| window.opens.as_ref().is_some_and(|opens| proto::instant(opens) <= at);
        phases.extend(calendar.windows.iter().filter(has_opened).map(|window| window.phase));
        if phases.len() > before {
            for service in up::SERVICES {
                world.system.restart(service).await?;
            }
        }
        Ok(())
    })
    .await?;
    assert_eq!(phases.len(), 12, "restarted in {phases:?}");
    let report = reported(report, engine)?;
    world.verify().await?;
    Ok(report)
}

/// Plays the term; in the first wave of each phase, while people act in it, each service is cut off, one after the other.
async fn play_with_cuts(engine: &str) -> anyhow::Result<Value> {
    let folder = TermFolder::sample()?;
    let county = County::generate(SEED, TEACHERS, &folder);
    let begin = proto::jiff_instant(rehearse::before_the_term(&folder)?).to_string();
    let mut world = World::start_for(engine, &begin, &county.password).await?;
    let progress = Progress::hidden();
    let calendar = up::setup::county(&world.system, &county, &folder, &progress).await?;
    world.system.keep_apart();
    for service in up::SERVICES {
        world.system.restart(service).await?;
    }
    let reach = world.system.reach().clone();
    let (cuts, mut to_cut) = mpsc::channel::<()>(1);
    let all_up = Semaphore::new(1);
    let mut phases = BTreeSet::new();
    let acting = async {
        let report = rehearse::play_disturbed(&reach, &county, &folder, progress, async |at| {
            let before = phases.len();
            let has_opened = |window: &&Window| window.opens.as_ref().is_some_and(|opens| proto::instant(opens) <= at);
            phases.extend(calendar.windows.iter().filter(has_opened).map(|window| window.phase));
            if phases.len() > before {
                // The phase before has had its cuts; these ones come while the wave is played.
                all_up.acquire().await?.forget();
                cuts.send(()).await?;
            }
            Ok(())
        })
        .await;
        drop(cuts);
        report
    };
    let cutting = async {
        let mut cut = 0_usize;
        while to_cut.recv().await.is_some() {
            for service in up::SERVICES {
                world.system.cut_off(service).await?;
                cut += 1;
            }
            all_up.add_permits(1);
        }
        anyhow::Ok(cut)
    };
    let (report, cut) = tokio::try_join!(acting, cutting)?;
    // Roster and declaration open together.
    assert_eq!((phases.len(), cut), (12, 11 * up::SERVICES.len()), "cut off in {phases:?}");
    let mut report = reported(report, engine)?;
    // A step that people's acts bring may find a service cut off, and is tried again: that is the one thing told differently.
    for step in plan::told("failed", &world.system.all_changes().await?)? {
        let is_away =
            ["did not answer", Reason::Unavailable.as_str_name()].iter().any(|told| step.error.contains(told));
        anyhow::ensure!(is_away, "{} failed by itself: {}", step.name, step.error);
    }
    if let Some(told) = report["changes"]["gateway"].as_object_mut() {
        told.remove("failed");
    }
    world.verify().await?;
    Ok(report)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_in_every_phase() -> anyhow::Result<()> {
    // Undisturbed the engines agree, as `term` shows: one of them is enough to compare with.
    let (quiet, sqlite, postgres, cut_sqlite, cut_postgres) = tokio::try_join!(
        play("sqlite", TEACHERS),
        play_with_restarts("sqlite"),
        play_with_restarts("postgres"),
        play_with_cuts("sqlite"),
        play_with_cuts("postgres"),
    )?;
    let disturbed = [
        ("restarted on sqlite", sqlite),
        ("restarted on postgres", postgres),
        ("cut off on sqlite", cut_sqlite),
        ("cut off on postgres", cut_postgres),
    ];
    for (how, report) in disturbed {
        assert_eq!(difference("report", &quiet, &report), None, "{how}");
    }
    Ok(())
}
