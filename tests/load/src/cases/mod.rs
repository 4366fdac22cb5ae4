//! The cases.

mod crash;
mod idle;
mod latency;
mod rush;

pub use crash::crash;

use crate::{bench::Bench, database::Engine, table::Outcome, work::Work};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Case {
    /// All submissions on one FIRST_COME project.
    RushHot,
    /// Zipf 1.1 over 500 FIRST_COME projects.
    RushSpread,
    /// The same in a round without upper limit.
    RushUncapped,
    /// Submissions to full projects.
    Refuse,
    /// rush-hot and rush-spread on the embedded default.
    Sqlite,
    /// Half of the saturating rate, open loop.
    Latency,
    /// Memory and start of each service.
    Idle,
    /// The service, then the database, killed at random instants under load.
    Crash,
    /// Every case.
    All,
}

/// All of them, in the table's order.
const EVERY: [Case; 8] = [
    Case::RushHot,
    Case::RushSpread,
    Case::RushUncapped,
    Case::Refuse,
    Case::Sqlite,
    Case::Latency,
    Case::Idle,
    Case::Crash,
];

impl Case {
    /// Measures it.
    ///
    /// # Errors
    /// If something cannot be started, or fails other than in what is measured.
    pub async fn run(self, bench: &mut Bench) -> anyhow::Result<Vec<Outcome>> {
        if self == Self::All {
            let mut outcomes = Vec::new();
            for case in EVERY {
                outcomes.extend(Box::pin(case.one(bench)).await?);
            }
            return Ok(outcomes);
        }
        self.one(bench).await
    }

    async fn one(self, bench: &mut Bench) -> anyhow::Result<Vec<Outcome>> {
        let engine = bench.options.engine.unwrap_or(Engine::Postgres);
        let both = bench.options.engine.map_or_else(|| vec![Engine::Postgres, Engine::Sqlite], |one| vec![one]);
        let mut outcomes = Vec::new();
        match self {
            Self::RushHot => outcomes.push(rush::run(bench, engine, Work::Hot).await?),
            Self::RushSpread => outcomes.push(rush::run(bench, engine, Work::Spread).await?),
            Self::RushUncapped => outcomes.push(rush::run(bench, engine, Work::Uncapped).await?),
            Self::Refuse => outcomes.push(rush::run(bench, Engine::Postgres, Work::Full).await?),
            Self::Sqlite => {
                for work in [Work::Hot, Work::Spread] {
                    outcomes.push(rush::run(bench, Engine::Sqlite, work).await?);
                }
            }
            Self::Latency => outcomes.push(latency::run(bench).await?),
            Self::Idle => {
                for engine in both {
                    outcomes.extend(idle::run(bench, engine).await?);
                }
            }
            Self::Crash => {
                for engine in both {
                    outcomes.push(crash::run(bench, engine).await?);
                }
            }
            Self::All => {}
        }
        Ok(outcomes)
    }
}
