//! `shixun`: the whole system on one machine.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use shixun::{
    rehearse::RehearseOptions,
    up::{UpOptions, bare::BareOptions},
};

#[derive(Debug, Parser)]
#[command(name = "shixun", version, about = "Shixun 师训: a region's teacher training, term by term")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    up: UpOptions,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the whole system with the sample county (the default).
    Up(UpOptions),
    /// Start the five services without a county.
    System(BareOptions),
    /// Play the whole term on the virtual clock, and report.
    Rehearse(RehearseOptions),
}

#[allow(clippy::print_stderr, reason = "the command's own words")]
fn main() -> ExitCode {
    chassis::install_crypto();
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("shixun: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        let _telemetry = chassis::telemetry::start("local", &chassis::config::TelemetryConfig::default())?;
        match arguments.command.unwrap_or(Command::Up(arguments.up)) {
            Command::Up(options) => shixun::up::run(options).await,
            Command::System(options) => shixun::up::bare::run(options).await,
            Command::Rehearse(options) => shixun::rehearse::run(options).await,
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shixun: {error:#}");
            ExitCode::FAILURE
        }
    }
}
