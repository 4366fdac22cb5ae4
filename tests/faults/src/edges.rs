//! The calendar's edges while the sequencer is down: windows open and close on time, by each service's own clock and database.

use anyhow::Context as _;
use chassis::peer::within;
use load::town::Lot;
use proto::common::v1::{AdvanceRequest, Phase, Reason, Window, clock_service_client::ClockServiceClient};
use tokio::time::Instant;
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::{
    case::{AGAIN, errand},
    people::{Errand, PATIENCE, People},
    stage::Stage,
    table::{Fault, RECOVERED, Target},
};

/// The sequencer writes every step into its database: without it, it takes none.
const SEQUENCER: Target = Target::Database("gateway");

/// Plays the edges of the first round, and the opening of the second; what did not happen on time. The clocks stand afterwards, at that
/// opening.
///
/// # Errors
/// If what has nothing to do with it fails.
pub async fn play(stage: &mut Stage) -> anyhow::Result<Vec<String>> {
    let people = People::of(stage)?;
    let windows = people.windows(&stage.town.officer.token).await?;
    let find = |phase: Phase, round: i32| {
        windows.iter().find(|window: &&Window| window.phase() == phase && window.round == round)
    };
    let review_opens = find(Phase::SchoolReview, 1).and_then(|window| window.opens).context("no review")?;
    let selection_closes = find(Phase::Selection, 1).and_then(|window| window.closes).context("no selection")?;
    let second_opens = find(Phase::Selection, 2).and_then(|window| window.opens).context("no second round")?;
    let (review_opens, selection_closes) = (proto::instant(&review_opens), proto::instant(&selection_closes));
    // Somebody else than the administrator selects at the administrator's school.
    let mut errand_there = errand(stage)?;
    while !people.is_at_the_school(&errand_there) {
        errand_there = errand(stage)?;
    }
    let selection = people.submit(&errand_there, PATIENCE).await.context("selecting")?;
    let administrator = people.administrator_token().await?;

    stage.strike(SEQUENCER, Fault::CutOff)?;
    let mut faults = Vec::new();
    let mut expect = |what: &str, met: Result<(), Status>, expected: Option<Reason>| {
        faults.extend(differs(what, met.as_ref().err(), expected));
    };
    let review = || people.review(&administrator, &selection);
    advance(stage, review_opens - 1).await?;
    expect("a microsecond before the review opens", review().await, Some(Reason::WindowClosed));
    advance(stage, review_opens).await?;
    expect("as the review opens", review().await, None);
    for (what, at, expected) in [
        ("a second before the selection closes", selection_closes - 1_000_000, None),
        ("a microsecond before it closes", selection_closes - 1, None),
        ("as it closes", selection_closes, Some(Reason::WindowClosed)),
    ] {
        advance(stage, at).await?;
        let errand = errand(stage)?;
        expect(what, people.submit(&errand, PATIENCE).await.map(drop), expected);
    }
    stage.heal(SEQUENCER, Fault::CutOff)?;

    faults.extend(done(stage, &people, selection_closes, "selection-1").await?);
    // Who has a place may select again, another project.
    let project = stage.town.projects(Lot::Spread).last().context("no project")?.clone();
    let again = Errand { name: project, request_id: "again".to_owned(), ..errand_there };
    faults.extend(late(stage, &people, &again, proto::instant(&second_opens)).await?);
    stage.world.reach()?.catch_up().await?;
    Ok(faults)
}

/// The second round opens as the first one's confirmation closes, which is to be settled first: without the sequencer it is told that
/// it is not ready, and it opens once the sequencer is back. What was otherwise.
async fn late(stage: &mut Stage, people: &People, errand: &Errand, opens: i64) -> anyhow::Result<Vec<String>> {
    let mut faults: Vec<_> = done(stage, people, opens - 1, "school-review-1").await?.into_iter().collect();
    stage.strike(SEQUENCER, Fault::CutOff)?;
    for (what, at, expected) in [
        ("a microsecond before the second round opens", opens - 1, Reason::WindowClosed),
        ("as it opens, without what it waits for", opens, Reason::WindowNotReady),
    ] {
        advance(stage, at).await?;
        let met = people.submit(errand, PATIENCE).await;
        faults.extend(differs(what, met.as_ref().err(), Some(expected)));
        let again = met.err().and_then(|refusal| refusal.get_details_retry_info()?.retry_delay);
        if expected == Reason::WindowNotReady && again.is_none() {
            faults.push(format!("{what}: it does not say when to try again"));
        }
    }
    stage.heal(SEQUENCER, Fault::CutOff)?;
    faults.extend(done(stage, people, opens, "provider-confirmation-1").await?);
    let met = people.submit(errand, PATIENCE).await;
    faults.extend(differs("once the sequencer has done what was due", met.as_ref().err(), None));
    Ok(faults)
}

/// With the sequencer: sets all clocks, and waits until what is due by then is done, and `window` settled. What is not.
async fn done(stage: &Stage, people: &People, at: i64, window: &str) -> anyhow::Result<Option<String>> {
    let began = Instant::now();
    let reach = stage.world.reach()?;
    while reach.advance(at, false).await.is_err() {
        anyhow::ensure!(began.elapsed() < RECOVERED, "the gateway's clock cannot be set");
    }
    loop {
        let undone = people.undone(&stage.town.officer.token, at).await?;
        let terms = reach.status("enrollment").await?.terms;
        let settled = terms.iter().any(|term| term.settled_windows.iter().any(|settled| settled == window));
        if undone.is_empty() && settled {
            return Ok(None);
        }
        if began.elapsed() > RECOVERED {
            return Ok(Some(format!("not done within {RECOVERED:?}: {undone:?}, {window} settled: {settled}")));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// What is wrong with what somebody met, by its reason.
fn differs(what: &str, refusal: Option<&Status>, expected: Option<Reason>) -> Option<String> {
    let reason = refusal.map(|refusal| {
        let info = refusal.get_details_error_info().map(|info| info.reason);
        info.unwrap_or_else(|| format!("{:?} {}", refusal.code(), refusal.message()))
    });
    let differs = reason.as_deref() != expected.map(|reason| reason.as_str_name());
    differs.then(|| format!("{what}: {reason:?}, and not {expected:?}"))
}

/// Sets the clocks of those that open and close windows; the gateway cannot keep its own.
async fn advance(stage: &Stage, to: i64) -> anyhow::Result<()> {
    let reach = stage.world.reach()?;
    for service in ["roster", "catalog", "enrollment", "credit"] {
        let request = AdvanceRequest { to: Some(proto::timestamp(to)), running: false };
        ClockServiceClient::new(reach.peer(service)?).advance(within(PATIENCE, request)).await?;
    }
    Ok(())
}
