//! The cases.

mod cold;
mod compliance;
mod crash;
mod idle;
mod import;
mod latency;
mod menu;
mod overload;
mod rehearse;
mod replicas;
mod rush;
mod watch_seats;

pub use crash::crash;

use clap::ValueEnum;

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
    /// A project nobody fights over, quiet and in the midst of rush-hot.
    Cold,
    /// Two and three enrollment processes on one PostgreSQL.
    Replicas,
    /// Ten times the saturating load.
    Overload,
    /// rush-hot with 5,000 listeners to the free places.
    WatchSeats,
    /// Filtered and full-text browsing of 30,000 projects.
    Menu,
    /// How a region of 600,000 teachers stands, and one school.
    Compliance,
    /// A roster of 600,000 teachers.
    Import,
    /// A whole term.
    Rehearse,
    /// Memory and start of each service.
    Idle,
    /// The service, then the database, killed at random instants under load.
    Crash,
    /// Every case.
    All,
}

/// All of them, in the table's order.
const EVERY: [Case; 16] = [
    Case::RushHot,
    Case::RushSpread,
    Case::RushUncapped,
    Case::Refuse,
    Case::Sqlite,
    Case::Latency,
    Case::Cold,
    Case::Replicas,
    Case::Overload,
    Case::WatchSeats,
    Case::Menu,
    Case::Compliance,
    Case::Import,
    Case::Rehearse,
    Case::Idle,
    Case::Crash,
];

impl Case {
    /// Itself, or every case.
    #[must_use]
    pub fn each(self) -> Vec<Self> {
        if self == Self::All { EVERY.to_vec() } else { vec![self] }
    }

    /// Their names, in the table's order.
    #[must_use]
    pub fn names() -> Vec<String> {
        EVERY.iter().filter_map(ValueEnum::to_possible_value).map(|name| name.get_name().to_owned()).collect()
    }

    /// Measures it.
    ///
    /// # Errors
    /// If something cannot be started, or fails other than in what is measured.
    pub async fn run(self, bench: &mut Bench) -> anyhow::Result<Vec<Outcome>> {
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
            Self::Cold => outcomes.push(cold::run(bench).await?),
            Self::Replicas => outcomes.extend(replicas::run(bench).await?),
            Self::Overload => outcomes.extend(overload::run(bench).await?),
            Self::WatchSeats => outcomes.push(watch_seats::run(bench).await?),
            Self::Menu => outcomes.extend(menu::run(bench).await?),
            Self::Compliance => outcomes.extend(compliance::run(bench).await?),
            Self::Import => outcomes.push(import::run(bench).await?),
            Self::Rehearse => outcomes.push(rehearse::run(bench).await?),
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
