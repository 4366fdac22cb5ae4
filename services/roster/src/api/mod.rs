//! The roster's gRPC services: decode, ask the domain, store, reply.

mod accounts;
mod appointments;
mod coming;
mod erasure;
pub(crate) mod facts;
mod import;
mod named;
mod organizations;
mod person;
mod prepared;
mod roster_file;
mod sessions;
mod status_events;
mod steps;
mod teachers;
mod wire;

use std::sync::Arc;

use chassis::{Failure, Faults, db::Db, gates::TermGates};
use jiff::{civil::Date, tz::TimeZone};

pub use coming::Coming;
pub use named::NamedInCalendar;
pub use steps::RosterSteps;

use crate::{
    Passwords, Vault,
    domain::{codes::Codes, fault::Fault},
    policy::Policy,
};

/// What all handlers stand on.
#[derive(Debug, Clone)]
pub struct Service {
    /// The roster's database.
    pub db: Db,
    /// Identity numbers.
    pub vault: Arc<Vault>,
    /// Passwords.
    pub passwords: Passwords,
    /// Where a day counts while there is no term.
    pub zone: TimeZone,
}

/// What a term says: the codes, and which day it is.
#[derive(PartialEq)]
struct Term {
    codes: Codes,
    today: Date,
}

impl Service {
    /// The codes and the day of the newest term; the defaults while there is none.
    fn term(&self, gates: Option<&TermGates>, at: i64) -> Result<Term, Failure> {
        let Some(gates) = gates else {
            return Ok(Term {
                codes: Codes::default(),
                today: proto::jiff_instant(at).to_zoned_datetime(self.zone.clone()).date(),
            });
        };
        Ok(Term { codes: gates.policy::<Policy>()?.codes.clone(), today: gates.day(at) })
    }
}

/// Faults as the wire tells them, each field under `prefix`.
fn told(prefix: &str, faults: impl IntoIterator<Item = Fault>) -> Faults {
    let mut told = Faults::new();
    for fault in faults {
        told.add(format!("{prefix}{}", fault.field), fault.defect.zh(), fault.defect.en());
    }
    told
}
