//! Playing: a system without anything in it gets its county and its term, then wave after wave.

use std::time::Instant;

use anyhow::Context as _;
use jiff::{Timestamp, ToSpan as _};
use proto::common::v1::Phase;

use super::journal::Journal;
use super::report::{Report, draw_up};
use super::script::{Wave, waves};
use super::stage::Stage;
use super::world::World;
use crate::people::{County, TermFolder};
use crate::progress::Progress;
use crate::up::{Reach, setup};

/// Where the clocks of an empty system stand: the morning before the term's first day, in microseconds since the epoch.
///
/// # Errors
/// A first day that the zone does not have.
pub fn before_the_term(folder: &TermFolder) -> anyhow::Result<i64> {
    let eve = folder.first_day.checked_sub(1.day())?.at(9, 0, 0, 0);
    Ok(folder.zone.to_timestamp(eve)?.as_microsecond())
}

/// Sets an empty system up and plays the term up to an instant: every wave before it. Returns the instant, at which the
/// clocks then stand. Default: 09:00 on the first day of the first selection window. What was interrupted goes on, if it
/// is given the same journal.
///
/// # Errors
/// What the system refused while it was set up, or a system that has gone; and what surprised the rehearsal.
pub async fn play_until(
    system: &Reach,
    county: &County,
    folder: &TermFolder,
    at: Option<Timestamp>,
    progress: Progress,
    journal: Journal,
) -> anyhow::Result<i64> {
    if journal.is_new() {
        setup::county(system, county, folder, &progress).await?;
    }
    let stage = Stage::set(system, folder, county, journal).await?;
    let at = match at {
        Some(at) => at.as_microsecond(),
        None => first_morning(&stage)?,
    };
    let waves: Vec<Wave> = waves(&stage.calendar).into_iter().filter(|wave| wave.at < at).collect();
    perform(&stage, &waves, progress, async |_| Ok(())).await?;
    stage.move_to(at).await?;
    let surprises = stage.books.closed().surprises;
    anyhow::ensure!(surprises.is_empty(), "the term did not go as it should: {}", surprises.join("; "));
    Ok(at)
}

fn first_morning(stage: &Stage<'_>) -> anyhow::Result<i64> {
    let rounds = stage.calendar.rounds();
    let first = rounds.first().and_then(|round| stage.calendar.opens(Phase::Selection, *round));
    let opens = first.context("the calendar has no SELECTION window")?;
    let day = proto::jiff_instant(opens).to_zoned_datetime(stage.folder.zone.clone()).date();
    Ok(stage.folder.zone.to_timestamp(day.at(9, 0, 0, 0))?.as_microsecond())
}

/// Plays the whole term in a system that has the county and the term, and draws up the report.
///
/// # Errors
/// A system that has gone, or a step of the sequencer that fails for good. What the system refused or allowed otherwise
/// than meant stands in the report.
pub async fn play(
    world: &dyn World,
    county: &County,
    folder: &TermFolder,
    progress: Progress,
) -> anyhow::Result<Report> {
    play_on(world, county, folder, progress, Journal::default()).await
}

/// The same with a journal: a play that was interrupted goes on, and ends with the same report.
///
/// # Errors
/// As [`play`], and those of the journal.
pub async fn play_on(
    world: &dyn World,
    county: &County,
    folder: &TermFolder,
    progress: Progress,
    journal: Journal,
) -> anyhow::Result<Report> {
    perform_all(world, county, folder, progress, journal, async |_| Ok(())).await
}

/// The same, with something that happens before each wave: `before` is told the wave's instant.
///
/// # Errors
/// As [`play`], and those of `before`.
pub async fn play_disturbed(
    world: &dyn World,
    county: &County,
    folder: &TermFolder,
    progress: Progress,
    before: impl AsyncFnMut(i64) -> anyhow::Result<()>,
) -> anyhow::Result<Report> {
    perform_all(world, county, folder, progress, Journal::default(), before).await
}

async fn perform_all(
    world: &dyn World,
    county: &County,
    folder: &TermFolder,
    progress: Progress,
    journal: Journal,
    before: impl AsyncFnMut(i64) -> anyhow::Result<()>,
) -> anyhow::Result<Report> {
    let began = Instant::now();
    let stage = Stage::set(world, folder, county, journal).await?;
    let waves = waves(&stage.calendar);
    perform(&stage, &waves, progress, before).await?;
    draw_up(&stage, began.elapsed().as_secs_f64()).await
}

async fn perform(
    stage: &Stage<'_>,
    waves: &[Wave],
    progress: Progress,
    mut before: impl AsyncFnMut(i64) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let bar = progress.bar("the term", waves.len());
    for wave in waves {
        bar.set_message(wave.name.clone());
        let began = Instant::now();
        stage.move_to(wave.at).await.with_context(|| format!("before the wave {:?}", wave.name))?;
        let steps_seconds = began.elapsed().as_secs_f64();
        before(wave.at).await?;
        let began = Instant::now();
        wave.play(stage).await;
        tracing::info!(wave = wave.name, steps_seconds, acts_seconds = began.elapsed().as_secs_f64(), "a wave is over");
        bar.inc(1);
    }
    stage.quiet().await?;
    bar.finish_and_clear();
    Ok(())
}
