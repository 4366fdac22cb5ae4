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
    /// What to measure, one after the other.
    #[arg(value_enum, required = true)]
    cases: Vec<Case>,
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
            let page = arguments.page.or_else(|| arguments.cases.contains(&Case::All).then(|| PathBuf::from(PAGE)));
            let mut outcomes = Vec::new();
            for case in arguments.cases.iter().flat_map(|case| case.each()) {
                let found = case.run(&mut bench).await?;
                for outcome in &found {
                    println!("{} on {}\n{}", outcome.case, outcome.engine, table::details(outcome));
                }
                outcomes.extend(found);
                // After each: an hour's measuring is not lost with its last case.
                if let Some(path) = &arguments.json {
                    table::write_json(path, &outcomes)?;
                }
                if let Some(path) = &page {
                    page::write(path, &outcomes, &Case::names())?;
                }
            }
            println!("{}", table::table(&outcomes));
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
