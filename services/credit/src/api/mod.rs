//! One file per gRPC service.

mod closing;
pub(crate) mod compliance;
pub(crate) mod ledger;
mod opening;
mod person;
mod recognition;
mod scope;
mod steps;

use chassis::{Failure, Faults, db::Db};
use jiff::civil::Date;

pub use steps::CreditSteps;

/// What all of credit's gRPC services stand on.
#[derive(Debug, Clone)]
pub struct Api {
    /// The ledger's database.
    pub db: Db,
}

/// A day of a request; noted as a fault if it is none of the calendar.
fn day(faults: &mut Faults, field: &str, date: Option<proto::google::r#type::Date>) -> Option<Date> {
    let date = date?;
    let day = Date::try_from(date).ok();
    if day.is_none() {
        faults.add(field, "不是日历上的一天", "is no day of the calendar");
    }
    day
}

/// A calendar year of a request.
fn year(year: i32) -> Result<i16, Failure> {
    let known = i16::try_from(year).ok().filter(|year| (1900..=9998).contains(year));
    let mut faults = Faults::new();
    if known.is_none() {
        faults.add("year", "应为公历年份，例如 2019", "must be a calendar year, e.g. 2019");
    }
    faults.check()?;
    known.ok_or_else(|| Failure::internal("a year that is no year"))
}
