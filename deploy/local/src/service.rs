//! Each service's own command line, in one binary: it is the service by whose name it is called. An image needs one file.

use std::{path::PathBuf, process::ExitCode};

/// The name by which this program was called.
#[must_use]
pub fn called_by() -> Option<String> {
    let called = PathBuf::from(std::env::args_os().next()?);
    Some(called.file_name()?.to_str()?.to_owned())
}

/// Runs the command line of the service of that name; `None` if there is none.
#[must_use]
pub fn run(name: &str) -> Option<ExitCode> {
    Some(match name {
        "roster" => chassis::cli::<roster::Roster>(),
        "catalog" => chassis::cli::<catalog::Catalog>(),
        "enrollment" => chassis::cli::<enrollment::Enrollment>(),
        "credit" => chassis::cli::<credit::Credit>(),
        "gateway" => chassis::cli::<gateway::Gateway>(),
        _ => return None,
    })
}
