//! One file per gRPC service: decode, ask the domain, store, reply.

mod advice;
mod bar;
mod confirmation;
mod inbox;
mod meters;
mod notice;
mod person;
pub(crate) mod refusal;
mod review;
pub(crate) mod scope;
pub(crate) mod seat_board;
mod seats;
mod selection;
mod steps;
mod training;

use chassis::db::Db;

pub use meters::seats as observe_seats;
pub use seat_board::{SeatBoard, SeatsConfig};
pub use steps::EnrollmentSteps;

use crate::intake::Intake;

/// What handlers work with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Api {
    db: Db,
    intake: Intake,
    board: SeatBoard,
}

impl Api {
    /// Handlers on a database, its intake, and the board of its seats.
    #[must_use]
    pub const fn new(db: Db, intake: Intake, board: SeatBoard) -> Self {
        Self { db, intake, board }
    }
}

/// A project's name out of a class's; the whole text if it is none.
fn project_of(class: &str) -> &str {
    class.split_once("/classes/").map_or(class, |(project, _)| project)
}

/// The term's name out of a resource's.
fn term_of(name: &str) -> &str {
    chassis::db::Scope::of_name(name).term()
}
