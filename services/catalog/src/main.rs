//! The catalog's binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::cli::<catalog::Catalog>()
}
