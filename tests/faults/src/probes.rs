//! What an orchestrator's probes are told: nobody is to be started again, and a service is passed over only while its own database
//! does not answer it.

use anyhow::Context as _;
use chassis::{
    peer::within,
    server::health::{LIVENESS, READINESS},
};
use shixun::up::SERVICES;
use tokio::time::Instant;
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{
    case::AGAIN,
    people::NO_HOPE,
    stage::Stage,
    table::{Cost, Fault, NOTICED, RECOVERED, Target},
};

/// What is not as it is written while the fault lasts; it struck at `began`.
pub(crate) async fn during(stage: &Stage, cost: &Cost, fault: Fault, began: Instant) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    let dropped = cost.dropped().filter(|_| fault != Fault::Slowed);
    if let Some(service) = dropped {
        while told(stage, service, READINESS).await? != ServingStatus::NotServing {
            if began.elapsed() > NOTICED {
                faults.push(format!("{service} is ready without its database after {NOTICED:?}"));
                break;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
    for service in SERVICES {
        // A process that was struck is asked nothing.
        if cost.target == Target::Service(service) && matches!(fault, Fault::Stopped | Fault::Frozen) {
            continue;
        }
        for asked in [LIVENESS, READINESS] {
            let status = told(stage, service, asked).await?;
            if status != ServingStatus::Serving && !(asked == READINESS && dropped == Some(service)) {
                faults.push(format!("{asked} of {service}: {status:?}"));
            }
        }
    }
    Ok(faults)
}

/// Waits until every service is ready again, after a fault that ended at `began`.
pub(crate) async fn after(stage: &Stage, began: Instant) -> anyhow::Result<()> {
    for service in SERVICES {
        while told(stage, service, READINESS).await? != ServingStatus::Serving {
            anyhow::ensure!(began.elapsed() < RECOVERED, "{service} is not ready after {RECOVERED:?}");
            tokio::time::sleep(AGAIN).await;
        }
    }
    Ok(())
}

/// By the way that a probe takes: past all doors.
async fn told(stage: &Stage, service: &'static str, asked: &str) -> anyhow::Result<ServingStatus> {
    let channel = Endpoint::from_shared(format!("http://{}", stage.world.address(service)?))?.connect_lazy();
    let request = within(NO_HOPE, HealthCheckRequest { service: asked.to_owned() });
    let told = HealthClient::new(channel).check(request).await;
    Ok(told.with_context(|| format!("{asked} of {service}"))?.into_inner().status())
}
