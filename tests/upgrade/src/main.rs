//! `upgrade`: a rolling upgrade under load, from the release that `PREVIOUS_RELEASE` names to that of `NEXT_RELEASE`, each this build's own
//! if it is not named.

use std::process::ExitCode;

use upgrade::roll;

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "the command's own words")]
fn main() -> ExitCode {
    if let Some(code) = load::program::called_as_service() {
        return code;
    }
    chassis::install_crypto();
    let run = || {
        let own = std::env::current_exe()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let outcome = roll::play(&roll::previous(&own)?, &roll::next(&own)?).await?;
            println!("{:?}, {} full", outcome.tally.done, outcome.tally.full);
            anyhow::ensure!(outcome.faults.is_empty(), "{}", outcome.faults.join("\n"));
            anyhow::Ok(())
        })
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("upgrade: {error:#}");
            ExitCode::FAILURE
        }
    }
}
