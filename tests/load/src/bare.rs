//! What a call costs that does nothing: the gateway's own health, asked for as everyone submits; and a submission without a request
//! id, which enrollment refuses before it looks anything up. No submission, which has both hops and something to do, can be answered
//! faster on this machine.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use proto::enrollment::v1::SubmitSelectionRequest;

use crate::{
    cpu,
    drive::{Answer, Client, Shot},
    table::Latency,
    town::Town,
    work::SUBMIT,
    world::World,
};

const CHECK: &str = "grpc.health.v1.Health/Check";
/// Calls at most.
const CALLS: usize = 200_000;
const WITHIN: Duration = Duration::from_secs(2);

/// Calls a second beside a rush, of each kind.
const BESIDE: f64 = 50.0;

/// The same few calls a second while something else goes on.
#[derive(Debug)]
pub struct Beside {
    gateway: SocketAddr,
    within: Duration,
    near: Arc<Vec<Shot>>,
    far: Arc<Vec<Shot>>,
}

impl Beside {
    /// For so long.
    ///
    /// # Errors
    /// If the town is empty.
    pub fn of(town: &Town, world: &World, within: Duration) -> anyhow::Result<Self> {
        let teacher = town.teachers.first().context("nobody is there")?;
        let count = (BESIDE * within.as_secs_f64() * 2.0) as usize;
        let without_id = SubmitSelectionRequest { parent: town.term.clone(), ..SubmitSelectionRequest::default() };
        let gateway = world.gateway()?;
        let near = Arc::new(vec![Shot::new(gateway, CHECK, &teacher.token, &())?; count]);
        let far = Arc::new(vec![Shot::new(gateway, SUBMIT, &teacher.token, &without_id)?; count]);
        Ok(Self { gateway, within, near, far })
    }

    /// Asks for the gateway's health, and sends submissions that nothing is looked up for. For people.
    ///
    /// # Errors
    /// If the gateway is not there, or a caller's task fails.
    pub async fn call(self) -> anyhow::Result<String> {
        let client = Client::connect(self.gateway, 1).await?;
        let (near, far) = tokio::try_join!(
            client.open(&self.near, BESIDE, self.within, 1),
            client.open(&self.far, BESIDE, self.within, 2)
        )?;
        let told = [("through the gateway", near), ("through enrollment", far)].map(|(way, volley)| {
            let Latency { p50, p99, .. } = Latency::from(&volley.latency);
            format!("{way} {p50:.1?} (p99 {p99:.1?})")
        });
        Ok(format!("meanwhile a call that does nothing took {}", told.join(", ")))
    }
}

/// Such calls by as many callers on the same connections.
#[derive(Debug)]
pub struct Bare {
    /// Calls a second.
    pub rate: f64,
    /// CPU seconds of each process, for a call.
    pub cpu: cpu::Seconds,
}

impl Bare {
    /// Asks for a while.
    ///
    /// # Errors
    /// If a call is refused.
    pub async fn call(client: &Client, town: &Town, world: &World, callers: usize) -> anyhow::Result<Self> {
        let teacher = town.teachers.first().context("nobody is there")?;
        let shots = Arc::new(vec![Shot::new(world.gateway()?, CHECK, &teacher.token, &())?; CALLS]);
        let meter = world.meter()?;
        let before = meter.read()?;
        let volley = client.closed(&shots, callers, WITHIN).await?;
        let mut cpu = cpu::between(&before, &meter.read()?);
        let refused = volley.answers.iter().find(|(_, answer)| !matches!(answer, Answer::Reply(_)));
        anyhow::ensure!(refused.is_none(), "a health check was answered with {refused:?}");
        cpu.values_mut().for_each(|seconds| *seconds /= volley.answers.len() as f64);
        Ok(Self { rate: volley.rate(), cpu })
    }

    /// For people; CPU of those who had a part in it.
    #[must_use]
    pub fn told(&self) -> String {
        let micros = self.cpu.iter().map(|(name, seconds)| (name, seconds * 1e6)).filter(|(_, micros)| *micros >= 1.0);
        let micros: Vec<_> = micros.map(|(name, micros)| format!("{name} {micros:.0} µs")).collect();
        format!("{:.0}/s of a call that does nothing, CPU of one: {}", self.rate, micros.join(", "))
    }
}
