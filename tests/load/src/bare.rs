//! What a call costs that does nothing: the gateway's own health, asked for as everyone submits. No submission, which has a second
//! hop and something to do, can be answered faster on this machine.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;

use crate::{
    cpu,
    drive::{Answer, Client, Shot},
    town::Town,
    world::World,
};

const CHECK: &str = "grpc.health.v1.Health/Check";
/// Calls at most.
const CALLS: usize = 200_000;
const WITHIN: Duration = Duration::from_secs(2);

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
