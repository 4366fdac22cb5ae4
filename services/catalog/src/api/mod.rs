//! The catalog's gRPC services and steps.

mod act;
mod expansion;
mod person;
mod project;
mod review;
mod steps;
mod wire;

use chassis::db::Db;

pub use steps::CatalogSteps;

/// What every handler works on.
#[derive(Debug, Clone)]
pub struct Service {
    /// The catalog's database.
    pub db: Db,
}
