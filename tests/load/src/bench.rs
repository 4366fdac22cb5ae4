//! What the cases of one run share: the options, the world of each engine, the peer.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context as _;

use crate::{
    database::{Databases, Engine},
    peer::Pgbench,
    program::Programs,
    town::{self, Layout, Town},
    world::World,
};

/// How to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The engine, of cases that run on either.
    #[arg(long, value_enum)]
    pub engine: Option<Engine>,
    /// Pairs of runs, the peer's and ours in turn.
    #[arg(long, default_value_t = 5)]
    pub runs: usize,
    /// Teachers of the county; each case has its own default.
    #[arg(long)]
    pub teachers: Option<u32>,
    /// Seconds of a run of the peer; ours ends with its work, or when this is over.
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// Rounds of `crash`.
    #[arg(long, default_value_t = 10)]
    pub rounds: usize,
    /// What chance is drawn from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Callers at once; without it a few numbers are tried and the best is taken.
    #[arg(long)]
    pub callers: Option<usize>,
    /// HTTP/2 connections of the callers.
    #[arg(long, default_value_t = 4)]
    pub connections: usize,
    /// Leave out that every teacher asks for his eligibility before the window opens: each token is then seen for the first
    /// time in the rush.
    #[arg(long)]
    pub cold: bool,
}

/// Teachers of the county that most cases share.
const TEACHERS: u32 = 12_000;

/// Teachers of a town whose databases a case fills itself.
const SMALL: u32 = 240;

/// What is running.
#[derive(Debug)]
pub struct Bench {
    /// How to measure.
    pub options: Options,
    programs: Programs,
    worlds: BTreeMap<Engine, (World, Town)>,
}

impl Bench {
    /// With the services of this binary `load`; nothing runs yet.
    ///
    /// # Errors
    /// If it is not there.
    pub fn new(options: Options, binary: &Path) -> anyhow::Result<Self> {
        anyhow::ensure!(options.runs > 0, "--runs: at least 1");
        Ok(Self { options, programs: Programs::of(binary)?, worlds: BTreeMap::new() })
    }

    /// The services' programs.
    #[must_use]
    pub const fn programs(&self) -> &Programs {
        &self.programs
    }

    /// The world of an engine; set up by whoever needs it first.
    ///
    /// # Errors
    /// If it cannot be set up.
    pub async fn world(&mut self, engine: Engine) -> anyhow::Result<(&mut World, &Town)> {
        if !self.worlds.contains_key(&engine) {
            let teachers = self.options.teachers.unwrap_or(TEACHERS);
            say(&format!("setting up a county of {teachers} teachers on {}", engine.name()));
            let mut world = World::new(engine, &self.programs)?;
            let town = town::settle(&mut world, &Layout::opening(teachers)).await?;
            world.keep()?;
            self.worlds.insert(engine, (world, town));
        }
        let (world, town) = self.worlds.get_mut(&engine).context("the world was just made")?;
        Ok((world, town))
    }

    /// A small town in a world of its own on PostgreSQL, for cases that fill databases themselves; the other worlds stand
    /// still meanwhile. It does not run yet.
    ///
    /// # Errors
    /// If it cannot be set up.
    pub async fn small_town(&mut self) -> anyhow::Result<(World, Town)> {
        self.quiet()?;
        say(&format!("setting up a town of {SMALL} teachers"));
        let mut world = World::new(Engine::Postgres, &self.programs)?;
        let layout = Layout { teachers: SMALL, lots: BTreeMap::new(), max_per_round: None, documents: None };
        let town = town::settle(&mut world, &layout).await?;
        Ok((world, town))
    }

    /// Ends the services of all worlds: whoever needs one begins afresh.
    ///
    /// # Errors
    /// If one had failed.
    pub fn quiet(&mut self) -> anyhow::Result<()> {
        self.worlds.values_mut().try_for_each(|(world, _)| world.end())
    }

    /// pgbench on the same server.
    ///
    /// # Errors
    /// If the world is not on PostgreSQL.
    pub async fn peer(&mut self, change_bytes: usize) -> anyhow::Result<Pgbench> {
        let folder = self.programs.scratch()?;
        let (world, _) = self.world(Engine::Postgres).await?;
        let Databases::Postgres(cluster) = world.databases() else { anyhow::bail!("not on PostgreSQL") };
        Pgbench::new(cluster.clone(), &folder, change_bytes)
    }
}

/// Tells what goes on, beside the output.
#[allow(clippy::print_stderr, reason = "the command's own words")]
pub fn say(text: &str) {
    eprintln!("load: {text}");
}
