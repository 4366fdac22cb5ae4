//! A rolling upgrade under load, over mutual TLS: migrations first, then every service's replicas one after the other, all services at once.

use std::{collections::BTreeMap, net::SocketAddr, path::Path};

use anyhow::Context as _;
use futures::future::try_join_all;
use load::{
    database::Engine,
    program::{Installed, Programs},
    town::{self, Layout, Lot},
    verify,
    world::World,
};
use shixun::up::SERVICES;

use crate::{
    crowd::{Crowd, Tally},
    entrance::Entrance,
    fleet::{self, Fleet, Replica},
    mesh::Mesh,
    names::Names,
    release, schema,
};

/// Teachers of the county.
const TEACHERS: u32 = 120;
/// Projects, with places for five of six of them.
const PROJECTS: usize = 24;
/// Replicas of each service.
const REPLICAS: usize = 2;
/// Calls that are answered between two steps.
const BETWEEN: usize = 100;

/// In a line of a log that may tell why somebody was refused.
const TELLING: [&str; 6] = ["WARN", "ERROR", "FATAL", "still waiting", "duration:", "checkpoint complete"];

/// What came of an upgrade.
#[derive(Debug)]
pub struct Outcome {
    /// What people met.
    pub tally: Tally,
    /// Everything that is wrong, people's refusals included; empty if all is well.
    pub faults: Vec<String>,
}

/// Upgrades from `previous` to `next`: programs that are the service by whose name they are called.
///
/// # Errors
/// If something cannot be started or does not end well.
pub async fn play(previous: &Programs, next: &Programs) -> anyhow::Result<Outcome> {
    // Set up by the previous release, on its schema.
    let mut world = World::new(Engine::Postgres, previous)?;
    // By its documents, too: it would refuse a key of the policy that it does not know.
    let documents = Some(release::documents()?);
    let lots = [(Lot::Short, PROJECTS)].into();
    let layout = Layout { teachers: TEACHERS, lots, max_per_round: Some(100), documents };
    let town = town::settle(&mut world, &layout).await?;
    let (names, mesh) = (Names::in_folder(world.folder())?, Mesh::in_folder(world.folder())?);
    let installed = |programs: &Programs, folder: &str| {
        anyhow::Ok(programs.install(&world.folder().join(folder))?.through(names.shown_to()))
    };
    let (old, new) = (installed(previous, "previous")?, installed(next, "next-release")?);
    let entrance = Entrance::open().await?;
    let gateway = mesh.gateway(entrance.address)?;
    let fleet = Fleet::of(&world, mesh)?;
    let mut stage = Stage { fleet, names, entrance, running: BTreeMap::new(), gone: Vec::new() };
    for _ in 0..REPLICAS {
        stage.start(&old).await?;
    }
    let crowd = Crowd::begin(town, gateway);
    crowd.answers(BETWEEN).await;

    // Expand: the new release's own migrations, and what one after it may bring.
    for service in SERVICES {
        new.run(service, "migrate", &world.config(service))?;
    }
    let added = schema::expand(&world).await?;
    anyhow::ensure!(added > SERVICES.len(), "nothing was added to the schema");
    crowd.answers(BETWEEN).await;
    // A node goes: old replicas are started again on the newer schema.
    stage.replace(&old).await?;
    crowd.answers(BETWEEN).await;
    for _ in 0..REPLICAS {
        stage.replace(&new).await?;
        // Old and new side by side, and, after the last one, the new alone.
        crowd.answers(BETWEEN).await;
    }
    let tally = crowd.end().await?;
    stage.stop().await?;

    let mut faults = verify::verify(&world, &tally.acknowledged).await?.faults;
    for service in SERVICES {
        new.run(service, "verify", &world.config(service))?;
    }
    if !tally.failed.is_empty() {
        faults.extend(tally.failed.iter().cloned());
        faults.extend(warnings(&world)?);
    }
    Ok(Outcome { tally, faults })
}

/// What services warned of, and what their database says of waits and slow statements.
fn warnings(world: &World) -> anyhow::Result<Vec<String>> {
    let mut logs = std::fs::read_dir(world.folder().join("log"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let server = world.databases().cluster("enrollment").context("no server")?;
    logs.push(server.home().join("log"));
    let mut found = Vec::new();
    for path in logs {
        let name = path.file_name().unwrap_or_default().display().to_string();
        let text = std::fs::read_to_string(&path)?;
        let told = text.lines().filter(|line| TELLING.iter().any(|word| line.contains(word)));
        found.extend(told.map(|line| format!("{name}: {line}")));
    }
    Ok(found)
}

struct Stage {
    fleet: Fleet,
    names: Names,
    entrance: Entrance,
    /// Of each service, the oldest first.
    running: BTreeMap<&'static str, Vec<Replica>>,
    /// Of those that were stopped: the names still have them, as a cache would.
    gone: Vec<SocketAddr>,
}

impl Stage {
    /// Starts one more replica of each service and waits until all are ready.
    async fn start(&mut self, programs: &Installed) -> anyhow::Result<()> {
        let starting = SERVICES.map(|service| self.fleet.start(programs, service));
        let mut starting = starting.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        try_join_all(starting.iter_mut().map(|replica| fleet::admit(replica, &self.names))).await?;
        for replica in starting {
            self.running.entry(replica.service).or_default().push(replica);
        }
        self.lead().await;
        Ok(())
    }

    /// Starts one more replica of each service, then ends the oldest one.
    async fn replace(&mut self, programs: &Installed) -> anyhow::Result<()> {
        self.start(programs).await?;
        // Those of the step before have been forgotten by now.
        let forgotten: Vec<_> = self.gone.drain(..).map(|address| address.ip()).collect();
        self.names.forget(&forgotten)?;
        let oldest = self.running.values_mut().map(|replicas| replicas.remove(0)).collect::<Vec<_>>();
        self.lead().await;
        self.gone = oldest.iter().map(|replica| replica.address).collect();
        try_join_all(oldest.into_iter().map(Replica::stop)).await?;
        Ok(())
    }

    /// Leads people to the gateways that run.
    async fn lead(&self) {
        let gateways = self.running.get("gateway").into_iter().flatten();
        self.entrance.lead_to(gateways.map(|replica| replica.address).collect()).await;
    }

    async fn stop(self) -> anyhow::Result<()> {
        try_join_all(self.running.into_values().flatten().map(Replica::stop)).await.map(drop)
    }
}

/// The programs of the previous release: the `shixun` of its build where `PREVIOUS_RELEASE` says so, else this build's.
///
/// # Errors
/// If it is not there.
pub fn previous(own: &Path) -> anyhow::Result<Programs> {
    named("PREVIOUS_RELEASE", own)
}

/// The programs that take their place: those of `NEXT_RELEASE`, which is older where rolling back is played, else this build's.
///
/// # Errors
/// If it is not there.
pub fn next(own: &Path) -> anyhow::Result<Programs> {
    named("NEXT_RELEASE", own)
}

fn named(variable: &'static str, own: &Path) -> anyhow::Result<Programs> {
    let named = std::env::var_os(variable);
    Programs::of(named.as_deref().map_or(own, Path::new)).context(variable)
}
