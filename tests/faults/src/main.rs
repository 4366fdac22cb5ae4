//! `faults`: every fault of the table, one after the other, on PostgreSQL; see docs/faults.md. Called by a service's name it is that
//! service.

use std::process::ExitCode;

use clap::Parser;
use faults::{
    case, edges, failover,
    stage::Stage,
    table::{COSTS, Fault},
};
use load::{database::Engine, program::Programs};

#[derive(Debug, Parser)]
#[command(
    name = "faults",
    version,
    about = "Each service and each database stopped, frozen, slowed and cut off in turn"
)]
struct Arguments {
    /// Only what is struck so named, e.g. "roster" or "roster's database"; "edges": the calendar's without the sequencer; "failover": a
    /// primary that dies, and comes back.
    #[arg(long)]
    only: Option<String>,
    /// Times that the table is gone through.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
}

/// As `--only` calls it.
const FAILOVER: &str = "failover";

impl Arguments {
    fn wants(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == name)
    }
}

#[allow(clippy::print_stderr, reason = "the command's own words")]
fn main() -> ExitCode {
    if let Some(code) = load::program::called_as_service() {
        return code;
    }
    chassis::install_crypto();
    let arguments = Arguments::parse();
    let run = || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let programs = Programs::of(&std::env::current_exe()?)?;
            let mut wrong = 0;
            if arguments.wants(FAILOVER) {
                wrong += failovers(&arguments, &programs).await?;
            }
            if arguments.only.as_deref() != Some(FAILOVER) {
                wrong += table(&arguments, &programs).await?;
            }
            anyhow::ensure!(wrong == 0, "{wrong} × another thing than what is written");
            anyhow::Ok(())
        })
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("faults: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// How much was not as it should be.
#[allow(clippy::print_stdout, reason = "the command's own words")]
async fn failovers(arguments: &Arguments, programs: &Programs) -> anyhow::Result<usize> {
    let mut wrong = 0;
    for round in 1..=arguments.rounds {
        let mut stage = failover::set(programs).await?;
        let mut played = failover::play(&mut stage, u64::try_from(round)?).await?;
        played.faults.extend(failover::come_back(&mut stage, &played).await?);
        let told = if played.faults.is_empty() { "as written".to_owned() } else { played.faults.join("\n  ") };
        println!("failover, the first write after {:.1?}: {told}", played.back);
        wrong += played.faults.len();
    }
    Ok(wrong)
}

/// How much was not as it is written.
#[allow(clippy::print_stdout, reason = "the command's own words")]
async fn table(arguments: &Arguments, programs: &Programs) -> anyhow::Result<usize> {
    let mut stage = Stage::set(Engine::Postgres, programs).await?;
    let mut wrong = 0;
    for _ in 0..arguments.rounds {
        for cost in COSTS.iter().filter(|cost| arguments.wants(&cost.target.name())) {
            for fault in Fault::ALL {
                let began = tokio::time::Instant::now();
                let faults = case::play(&mut stage, cost, fault).await?;
                let took = began.elapsed();
                let told = if faults.is_empty() { "as written".to_owned() } else { faults.join("\n  ") };
                println!("{} {}, {took:.1?}: {told}", cost.target.name(), fault.word());
                wrong += faults.len();
            }
        }
    }
    if arguments.wants("edges") {
        let faults = edges::play(&mut stage).await?;
        println!("edges without the sequencer: {faults:?}");
        wrong += faults.len();
    }
    Ok(wrong)
}
