//! A term of three rounds in a zone with daylight saving.

use std::{collections::BTreeSet, fmt::Write as _};

use proto::common::v1::Phase;
use system::{World, office::Office};

use crate::edges::{Span, span, walk};

const ZONE: &str = "America/New_York";

/// Autumn in New York: the clocks go back in the night before 2 a.m. of 2019-11-03, inside the second round.
fn new_york() -> anyhow::Result<Vec<Span>> {
    [
        span("roster-update", Phase::RosterUpdate, 0, "2019-10-01-04:00", "2019-11-09-05:00"),
        span("declaration", Phase::Declaration, 0, "2019-10-01-04:00", "2019-10-06-04:00"),
        span("project-review", Phase::ProjectReview, 0, "2019-10-06-04:00", "2019-10-11-04:00"),
        span("publication", Phase::Publication, 0, "2019-10-11-04:00", "2019-10-12-04:00"),
        span("browsing", Phase::Browsing, 0, "2019-10-12-04:00", "2019-10-21-04:00"),
        span("selection-1", Phase::Selection, 1, "2019-10-21-04:00", "2019-10-26-04:00"),
        span("school-review-1", Phase::SchoolReview, 1, "2019-10-22-04:00", "2019-10-28-04:00"),
        span("confirmation-1", Phase::ProviderConfirmation, 1, "2019-10-28-04:00", "2019-10-30-04:00"),
        span("selection-2", Phase::Selection, 2, "2019-10-30-04:00", "2019-11-03-04:00"),
        // Closes after the change: three days of 73 hours.
        span("school-review-2", Phase::SchoolReview, 2, "2019-11-01-04:00", "2019-11-04-05:00"),
        span("confirmation-2", Phase::ProviderConfirmation, 2, "2019-11-04-05:00", "2019-11-05-05:00"),
        span("selection-3", Phase::Selection, 3, "2019-11-05-05:00", "2019-11-07-05:00"),
        span("school-review-3", Phase::SchoolReview, 3, "2019-11-05-05:00", "2019-11-08-05:00"),
        span("confirmation-3", Phase::ProviderConfirmation, 3, "2019-11-08-05:00", "2019-11-10-05:00"),
        span("training", Phase::Training, 0, "2019-11-10-05:00", "2019-12-01-05:00"),
        span("results", Phase::Results, 0, "2019-12-01-05:00", "2019-12-06-05:00"),
    ]
    .into_iter()
    .collect()
}

/// The document that has these windows: days only, the zone says the rest.
fn document(spans: &[Span]) -> anyhow::Result<String> {
    let zone = jiff::tz::TimeZone::get(ZONE)?;
    let mut text = format!("zone = \"{ZONE}\"\n");
    for span in spans {
        let day = |at: i64| proto::jiff_instant(at).to_zoned_datetime(zone.clone()).date();
        let phase = span.phase.as_str_name().trim_start_matches("PHASE_");
        let (id, first, last) = (span.id, day(span.opens), day(span.closes).yesterday()?);
        write!(text, "\n[[window]]\nid = \"{id}\"\nphase = \"{phase}\"\nfirst_day = {first}\nlast_day = {last}\n")?;
        if span.round > 0 {
            writeln!(text, "round = {}", span.round)?;
        }
        writeln!(text, "owners = [\"BUREAU_OFFICER\"]")?;
    }
    Ok(text)
}

async fn three_rounds(engine: &str) -> anyhow::Result<()> {
    let spans = new_york()?;
    let folder = shixun::people::TermFolder::sample()?;
    let world = World::start(engine, "2019-09-30T00:00:00Z").await?;
    let mut office = Office::open(&world, "three-rounds", ZONE).await?;
    office.put(&document(&spans)?, &folder.policy).await?;
    walk(&world, &mut office, &spans, &[], &folder.policy).await?;

    let end = spans.iter().map(|span| span.closes).max().unwrap_or_default();
    let steps = office.steps_done(end).await?;
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for step in &steps {
        let (_, name) = step.name.rsplit_once('/').unwrap_or_default();
        assert!(names.insert(name), "{name} twice");
        // Each at the edge it belongs to; reminders are days before, at midnight too.
        let due = step.due.as_ref().map(proto::instant).unwrap_or_default();
        if let Some(span) = spans.iter().find(|span| name.starts_with(&format!("{}-opens-", span.id))) {
            assert_eq!(due, span.opens, "{name}");
        }
        if let Some(span) = spans.iter().find(|span| name.starts_with(&format!("{}-closes-settle-", span.id))) {
            assert_eq!(due, span.closes, "{name}");
        }
    }
    for round in 1..=3 {
        for step in [
            format!("selection-{round}-opens-fix-credit-positions"),
            format!("selection-{round}-closes-fix-non-selectors"),
            format!("school-review-{round}-opens-list-unreviewable-schools"),
            format!("school-review-{round}-closes-expire-unreviewed"),
            format!("confirmation-{round}-closes-settle-confirmation"),
        ] {
            assert!(names.contains(step.as_str()), "{step} is missing");
        }
    }
    // Notices and waiting lists wait for the last round.
    let ended: Vec<_> = names.iter().filter(|name| name.ends_with("-freeze-waiting")).collect();
    assert_eq!(ended, [&"confirmation-3-closes-freeze-waiting"]);
    world.system.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn three_rounds_over_the_change_of_the_clocks() -> anyhow::Result<()> {
    tokio::try_join!(three_rounds("sqlite"), three_rounds("postgres"))?;
    Ok(())
}
