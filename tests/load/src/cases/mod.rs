//! The cases.

mod rush;

use crate::{bench::Bench, table::Outcome};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Case {
    /// All submissions on one FIRST_COME project.
    RushHot,
    /// Zipf 1.1 over 500 FIRST_COME projects.
    RushSpread,
    /// The same in a round without upper limit.
    RushUncapped,
    /// Every case.
    All,
}

impl Case {
    /// Measures it.
    ///
    /// # Errors
    /// If something cannot be started, or fails other than in what is measured.
    pub async fn run(self, bench: &mut Bench) -> anyhow::Result<Vec<Outcome>> {
        Ok(match self {
            Self::RushHot => vec![rush::run(bench, rush::Rush::Hot).await?],
            Self::RushSpread => vec![rush::run(bench, rush::Rush::Spread).await?],
            Self::RushUncapped => vec![rush::run(bench, rush::Rush::Uncapped).await?],
            Self::All => {
                let mut outcomes = Vec::new();
                for rush in [rush::Rush::Hot, rush::Rush::Spread, rush::Rush::Uncapped] {
                    outcomes.push(rush::run(bench, rush).await?);
                }
                outcomes
            }
        })
    }
}
