//! A clock that goes wrong: every service that has to do with it tells so, and stops telling when it is right again.

use std::time::Duration;

use chassis::peer::within;
use proto::common::v1::{AdvanceRequest, clock_service_client::ClockServiceClient};
use shixun::up::{Reach, SERVICES};
use tokio::time::Instant;

use crate::{case::AGAIN, people::PATIENCE, stage::Stage};

/// By how much the clock is wrong.
const WRONG: i64 = 300_000_000;
/// Told within so long: services compare every ten seconds, and look twice.
const TOLD: Duration = Duration::from_secs(20);
/// Who asks the roster, and so knows its clock.
const NEIGHBOURS: [&str; 4] = ["catalog", "enrollment", "credit", "gateway"];

/// Sets the roster's clock ahead, and then the others' too; what was not told.
///
/// # Errors
/// If a clock cannot be set.
pub async fn play(stage: &Stage) -> anyhow::Result<Vec<String>> {
    let reach = stage.world.reach()?;
    ahead(&reach, "roster").await?;
    let mut faults = Vec::new();
    for service in NEIGHBOURS {
        // By a second less: the other clocks went on meanwhile.
        let told = until(&reach, service, |skew| skew.is_some_and(|ahead| ahead > WRONG / 1000 - 1000)).await?;
        faults.extend((!told).then(|| format!("{service} does not tell that the roster's clock is wrong")));
    }
    for service in SERVICES.into_iter().filter(|service| *service != "roster") {
        ahead(&reach, service).await?;
    }
    for service in NEIGHBOURS {
        let told = until(&reach, service, |skew| skew.is_none()).await?;
        faults.extend((!told).then(|| format!("{service} goes on telling that the roster's clock is wrong")));
    }
    Ok(faults)
}

async fn ahead(reach: &Reach, service: &str) -> anyhow::Result<()> {
    let now = reach.status(service).await?.now.as_ref().map(proto::instant).unwrap_or_default();
    let request = AdvanceRequest { to: Some(proto::timestamp(now + WRONG)), running: true };
    ClockServiceClient::new(reach.peer(service)?).advance(within(PATIENCE, request)).await?;
    Ok(())
}

/// Whether what a service says of the roster's clock comes to be as wanted.
async fn until(reach: &Reach, service: &str, wanted: impl Fn(Option<i64>) -> bool) -> anyhow::Result<bool> {
    let began = Instant::now();
    while began.elapsed() < TOLD {
        let skews = reach.status(service).await?.clock_skews;
        if wanted(skews.iter().find(|skew| skew.service == "roster").map(|skew| skew.ahead_ms)) {
            return Ok(true);
        }
        tokio::time::sleep(AGAIN).await;
    }
    Ok(false)
}
