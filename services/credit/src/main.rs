//! The credit service.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::cli::<credit::Credit>()
}
