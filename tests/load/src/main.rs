//! `load CASE`: see docs/performance.md.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use load::{
    bench::{Bench, Options},
    cases::Case,
    page, table,
};

/// Where the outcomes of all cases go.
const PAGE: &str = "docs/performance.md";

#[derive(Debug, Parser)]
#[command(name = "load", version, about = "The benchmarks of Shixun, each beside what a user would pick instead")]
struct Arguments {
    /// What to measure.
    #[arg(value_enum)]
    case: Case,
    /// Also write the outcomes here, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write the outcomes into the table of this page as well; `all` writes docs/performance.md.
    #[arg(long)]
    page: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
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
            let mut bench = Bench::new(arguments.options, &std::env::current_exe()?)?;
            let outcomes = arguments.case.run(&mut bench).await?;
            println!("{}", table::table(&outcomes));
            for outcome in &outcomes {
                println!("{} on {}", outcome.case, outcome.engine);
                println!("{}", table::details(outcome));
            }
            if let Some(path) = &arguments.json {
                table::write_json(path, &outcomes)?;
            }
            let page = arguments.page.or_else(|| (arguments.case == Case::All).then(|| PathBuf::from(PAGE)));
            if let Some(path) = page {
                page::write(&path, &outcomes, &Case::names())?;
            }
            anyhow::ensure!(outcomes.iter().all(table::Outcome::is_correct), "what was measured is not correct");
            anyhow::Ok(())
        })
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}
