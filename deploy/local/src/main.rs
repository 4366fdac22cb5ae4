//! `shixun`: the whole system on one machine; called by a service's name, that service alone.

use std::process::ExitCode;

use chassis::config::TelemetryConfig;
use clap::{Parser, Subcommand};
use shixun::{
    backup::BackupOptions,
    export::ExportOptions,
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
    /// Where traces and metrics go: OTLP over gRPC, e.g. http://collector:4317. Without it nothing is exported.
    #[arg(long, global = true, env = "SHIXUN_TELEMETRY__OTLP_ENDPOINT")]
    otlp_endpoint: Option<String>,
    /// Where the metrics are shown to Prometheus (`GET /metrics`), e.g. 127.0.0.1:9464. Without it nowhere.
    #[arg(long, global = true, env = "SHIXUN_TELEMETRY__PROMETHEUS")]
    prometheus: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the whole system with the sample county (the default).
    Up(UpOptions),
    /// Start the five services without a county.
    System(BareOptions),
    /// Copy the five embedded databases of a data folder as they stand at one instant, also while they are in use.
    Backup(BackupOptions),
    /// Write all that is held of a person into one file, for himself or on his behalf.
    Export(ExportOptions),
    /// Play the whole term on the virtual clock, and report.
    Rehearse(RehearseOptions),
}

#[allow(clippy::print_stderr, reason = "the command's own words")]
fn main() -> ExitCode {
    if let Some(code) = shixun::service::called_by().and_then(|name| shixun::service::run(&name)) {
        return code;
    }
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
        let exported = TelemetryConfig { otlp_endpoint: arguments.otlp_endpoint, prometheus: arguments.prometheus };
        let _telemetry = chassis::telemetry::start("local", &exported)?;
        match arguments.command.unwrap_or(Command::Up(arguments.up)) {
            Command::Up(options) => shixun::up::run(options).await,
            Command::System(options) => shixun::up::bare::run(options).await,
            Command::Backup(options) => shixun::backup::run(&options).await,
            Command::Export(options) => shixun::export::run(options).await,
            Command::Rehearse(options) => shixun::rehearse::run(options).await,
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shixun: {}", shixun::told::told(&error));
            ExitCode::FAILURE
        }
    }
}
