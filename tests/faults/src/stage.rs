//! A small county on its first selection morning, in five processes, each on a database server of its own, with a door on every way.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::Context as _;
use load::{
    database::Engine,
    program::Programs,
    town::{self, Layout, Lot, Town},
    world::{Routes, World},
};
use proto::common::v1::Role;
use shixun::up::SERVICES;

use crate::{
    door::{Door, Passage},
    table::{Fault, Target},
};

/// Teachers of the county.
const TEACHERS: u32 = 120;
/// Projects that each of them may select: a pair of both for each submission.
const PROJECTS: usize = 16;
/// How late a message is to or from a service that is slowed, and a database.
const LATE: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(25)];

/// See the module.
#[derive(Debug)]
pub struct Stage {
    /// The processes.
    pub world: World,
    /// Who and what is there.
    pub town: Town,
    /// Pairs of teacher and project that were given out.
    given: usize,
    /// Projects with too few places that were given out.
    wanted: usize,
    between: BTreeMap<(&'static str, &'static str), Door>,
    before_databases: BTreeMap<&'static str, Door>,
    /// On the people's way to the gateway.
    entrance: Door,
}

impl Stage {
    /// Sets the county up, and starts it on its first selection morning.
    ///
    /// # Errors
    /// If something cannot be started, or the system refuses.
    pub async fn set(engine: Engine, programs: &Programs) -> anyhow::Result<Self> {
        let world = tokio::task::block_in_place(|| match engine {
            Engine::Sqlite => World::new(engine, programs),
            Engine::Postgres => World::apart(programs),
        })?;
        Self::of(world).await
    }

    /// The same in an empty world.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub async fn of(world: World) -> anyhow::Result<Self> {
        Self::with(world, [(Lot::Spread, PROJECTS)].into()).await
    }

    /// The same, with these projects.
    pub(crate) async fn with(mut world: World, lots: BTreeMap<Lot, usize>) -> anyhow::Result<Self> {
        let (mut between, mut before_databases, mut routes) = (BTreeMap::new(), BTreeMap::new(), Routes::default());
        for from in SERVICES {
            for to in SERVICES {
                let door = Door::before(world.address(to)?).await?;
                routes.peers.insert((from, to), door.address);
                between.insert((from, to), door);
            }
            if let Some(server) = tokio::task::block_in_place(|| world.databases().server(from))? {
                let door = Door::before(server).await?;
                routes.databases.insert(from, door.address);
                before_databases.insert(from, door);
            }
        }
        let entrance = Door::before(world.gateway()?).await?;
        world.lead(routes);
        let layout = Layout { teachers: TEACHERS, lots, max_per_round: Some(100), documents: None };
        let town = town::settle(&mut world, &layout).await?;
        world.start().await?.catch_up().await?;
        Ok(Self { world, town, given: 0, wanted: 0, between, before_databases, entrance })
    }

    /// Where the people find the gateway.
    #[must_use]
    pub const fn entrance(&self) -> SocketAddr {
        self.entrance.address
    }

    /// A teacher's number, and a project that he has not selected yet.
    ///
    /// # Errors
    /// If all have selected everything.
    pub fn pair(&mut self) -> anyhow::Result<(usize, String)> {
        let (teacher, project) = (self.given % self.town.teachers.len(), self.given / self.town.teachers.len());
        self.given += 1;
        let project = self.town.projects(Lot::Spread).get(project).context("everyone has selected everything")?;
        Ok((teacher, project.clone()))
    }

    /// So many projects that not everyone can get, and that nobody has wanted yet.
    ///
    /// # Errors
    /// If there are not so many left.
    pub(crate) fn wanted(&mut self, count: usize) -> anyhow::Result<Vec<String>> {
        let first = self.wanted;
        self.wanted += count;
        let next = self.town.projects(Lot::Short).get(first..self.wanted);
        Ok(next.context("everyone has wanted everything")?.to_vec())
    }

    /// Login and school of a school's administrator.
    ///
    /// # Errors
    /// If the county has none.
    pub fn administrator(&self) -> anyhow::Result<(&str, &str)> {
        let mut teachers = self.town.county.teachers.iter();
        let found = teachers.find(|person| person.roles.contains(&Role::SchoolAdmin));
        let person = found.context("a county without a school's administrator")?;
        Ok((&person.login, &person.teacher.school))
    }

    /// Strikes.
    ///
    /// # Errors
    /// If it cannot be done.
    pub fn strike(&mut self, target: Target, fault: Fault) -> anyhow::Result<()> {
        match (target, fault) {
            (Target::Service(service), Fault::Stopped) => self.world.kill(service),
            (Target::Service(service), Fault::Frozen) => self.world.freeze(service, true),
            (Target::Service(service), Fault::Slowed) => self.stand(service, Passage::Late(LATE[0])),
            (Target::Service(service), Fault::CutOff) => self.stand(service, Passage::Silent),
            (Target::Database(service), Fault::Stopped) => {
                self.before(service)?.set(Passage::Shut);
                tokio::task::block_in_place(|| self.cluster(service)?.crash())
            }
            (Target::Database(service), Fault::Frozen) => self.cluster(service)?.freeze(true),
            (Target::Database(service), Fault::Slowed) => {
                self.before(service)?.set(Passage::Late(LATE[1]));
                Ok(())
            }
            (Target::Database(service), Fault::CutOff) => {
                self.before(service)?.set(Passage::Silent);
                Ok(())
            }
        }
    }

    /// Ends the fault.
    ///
    /// # Errors
    /// If it cannot be done.
    pub fn heal(&mut self, target: Target, fault: Fault) -> anyhow::Result<()> {
        match (target, fault) {
            (Target::Service(service), Fault::Stopped) => self.world.launch(service),
            (Target::Service(service), Fault::Frozen) => self.world.freeze(service, false),
            (Target::Service(service), _) => self.stand(service, Passage::Open),
            (Target::Database(service), Fault::Frozen) => self.cluster(service)?.freeze(false),
            (Target::Database(service), _) => {
                self.before(service)?.set(Passage::Open);
                Ok(())
            }
        }
    }

    /// Leads who comes to a database from now on to another server.
    pub(crate) fn lead_to(&self, server: SocketAddr) {
        self.before_databases.values().for_each(|door| door.lead(server));
    }

    fn cluster(&self, service: &str) -> anyhow::Result<&cluster::Cluster> {
        Ok(self.world.databases().cluster(service).context("a service without a server of its own")?)
    }

    fn before(&self, service: &str) -> anyhow::Result<&Door> {
        self.before_databases.get(service).context("a database without a door")
    }

    /// How all doors on a service's ways stand; its database's is another part.
    fn stand(&self, service: &str, passage: Passage) -> anyhow::Result<()> {
        for ((from, to), door) in &self.between {
            if *from == service || *to == service {
                door.set(passage);
            }
        }
        if service == "gateway" {
            self.entrance.set(passage);
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What is frozen does not end.
        for service in SERVICES {
            if let Some(cluster) = self.world.databases().cluster(service) {
                let _ = cluster.freeze(false);
            }
        }
    }
}
