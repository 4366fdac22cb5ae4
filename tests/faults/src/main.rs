//! `faults`: every fault of the table, one after the other, on PostgreSQL; see docs/faults.md. Called by a service's name it is that
//! service.

use std::process::ExitCode;

use clap::Parser;
use faults::{
    case, edges,
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
    /// Only what is struck so named, e.g. "roster" or "roster's database"; "edges": the calendar's without the sequencer.
    #[arg(long)]
    only: Option<String>,
    /// Times that the table is gone through.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
}

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "the command's own words")]
fn main() -> ExitCode {
    if let Some(code) = load::program::called_as_service() {
        return code;
    }
    chassis::install_crypto();
    let arguments = Arguments::parse();
    let run = || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut stage = Stage::set(Engine::Postgres, &Programs::of(&std::env::current_exe()?)?).await?;
            let wanted = |name: &str| arguments.only.as_deref().is_none_or(|only| only == name);
            let mut wrong = 0;
            for _ in 0..arguments.rounds {
                for cost in COSTS.iter().filter(|cost| wanted(&cost.target.name())) {
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
            if wanted("edges") {
                let faults = edges::play(&mut stage).await?;
                println!("edges without the sequencer: {faults:?}");
                wrong += faults.len();
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
