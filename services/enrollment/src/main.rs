//! The enrollment service: `serve`, `migrate`, `check-config`, `verify`.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::cli::<enrollment::Enrollment>()
}
