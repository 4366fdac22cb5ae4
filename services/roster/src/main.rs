//! The roster's binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::cli::<roster::Roster>()
}
