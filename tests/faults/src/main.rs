//! `faults`: every fault of the table, one after the other, on PostgreSQL; see docs/faults.md. Called by a service's name it is that
//! service.

use std::process::ExitCode;

use clap::Parser;
use faults::{
    case, edges,
    failover::{self, Blow},
    quorum,
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
    /// primary that dies, and comes back, and etcd that is lost; "fenced": a primary that falls silent and is ended before it wakes;
    /// "silent": one that wakes, which is played only so, since it does not end well each time (docs/faults.md).
    #[arg(long)]
    only: Option<String>,
    /// Times that the table is gone through.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
}

/// As `--only` calls it.
const FAILOVER: &str = "failover";
const FENCED: &str = "fenced";
const SILENT: &str = "silent";

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
            let only = arguments.only.as_deref();
            if only == Some(SILENT) {
                wrong += failovers(&arguments, &programs, Blow::FallsSilent).await?;
            }
            if arguments.wants(FENCED) {
                wrong += failovers(&arguments, &programs, Blow::IsFenced).await?;
            }
            if arguments.wants(FAILOVER) {
                wrong += failovers(&arguments, &programs, Blow::Dies).await?;
                wrong += without_etcd(&arguments, &programs).await?;
            }
            if ![Some(FAILOVER), Some(FENCED), Some(SILENT)].contains(&only) {
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
async fn failovers(arguments: &Arguments, programs: &Programs, blow: Blow) -> anyhow::Result<usize> {
    let mut wrong = 0;
    for round in 1..=arguments.rounds {
        let mut stage = failover::set(programs).await?;
        let mut played = failover::play(&mut stage, blow, u64::try_from(round)?).await?;
        played.faults.extend(failover::come_back(&mut stage, &played).await?);
        println!("failover, it {blow:?}, the first write after {:.1?}: {}", played.back, told(&played.faults));
        wrong += played.faults.len();
    }
    Ok(wrong)
}

/// How much was not as it should be.
#[allow(clippy::print_stdout, reason = "the command's own words")]
async fn without_etcd(arguments: &Arguments, programs: &Programs) -> anyhow::Result<usize> {
    let mut wrong = 0;
    for round in 1..=arguments.rounds {
        let mut stage = failover::set(programs).await?;
        let quorum = quorum::play(&mut stage, u64::try_from(round)?).await?;
        println!("etcd lost, the first write {:.1?} after its return: {}", quorum.back, told(&quorum.faults));
        wrong += quorum.faults.len();
    }
    Ok(wrong)
}

fn told(faults: &[String]) -> String {
    if faults.is_empty() { "as written".to_owned() } else { faults.join("\n  ") }
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
                println!("{} {}, {took:.1?}: {}", cost.target.name(), fault.word(), told(&faults));
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
