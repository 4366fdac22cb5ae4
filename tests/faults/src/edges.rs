//! The calendar's edges while the sequencer is down: windows open and close on time, by each service's own clock and database.

use anyhow::Context as _;
use chassis::peer::within;
use proto::common::v1::{AdvanceRequest, Phase, Reason, clock_service_client::ClockServiceClient};
use tokio::time::Instant;
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::{
    case::{AGAIN, errand},
    people::{PATIENCE, People},
    stage::Stage,
    table::{Fault, RECOVERED, Target},
};

/// The sequencer writes every step into its database: without it, it takes none.
const SEQUENCER: Target = Target::Database("gateway");

/// Plays the edges of the first round; what did not happen on time. The clocks stand afterwards, at the round's close.
///
/// # Errors
/// If what has nothing to do with it fails.
pub async fn play(stage: &mut Stage) -> anyhow::Result<Vec<String>> {
    let people = People::of(stage)?;
    let windows = people.windows(&stage.town.officer.token).await?;
    let find = |phase: Phase| windows.iter().find(|window| window.phase() == phase && window.round == 1);
    let review_opens = find(Phase::SchoolReview).and_then(|window| window.opens).context("no review")?;
    let selection_closes = find(Phase::Selection).and_then(|window| window.closes).context("no selection")?;
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
        let reason = met.as_ref().err().map(|refusal| {
            let info = refusal.get_details_error_info().map(|info| info.reason);
            info.unwrap_or_else(|| format!("{:?} {}", refusal.code(), refusal.message()))
        });
        if reason.as_deref() != expected.map(|reason| reason.as_str_name()) {
            faults.push(format!("{what}: {reason:?}, and not {expected:?}"));
        }
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

    // What was due meanwhile is done now.
    let began = Instant::now();
    let reach = stage.world.reach()?;
    while reach.advance(selection_closes, false).await.is_err() {
        anyhow::ensure!(began.elapsed() < RECOVERED, "the gateway's clock cannot be set");
    }
    loop {
        let undone = people.undone(&stage.town.officer.token, selection_closes).await?;
        let terms = reach.status("enrollment").await?.terms;
        let settled = terms.iter().any(|term| term.settled_windows.iter().any(|window| window == "selection-1"));
        if undone.is_empty() && settled {
            break;
        }
        if began.elapsed() > RECOVERED {
            faults.push(format!("not done within {RECOVERED:?}: {undone:?}, settled: {settled}"));
            break;
        }
        tokio::time::sleep(AGAIN).await;
    }
    reach.catch_up().await?;
    Ok(faults)
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
