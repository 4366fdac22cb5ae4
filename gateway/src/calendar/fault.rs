//! A fault of a calendar or policy document, with its remedy.

use chassis::{Failure, Faults};
use proto::{common::v1::Reason, gateway::v1::CalendarFault};

/// A fault, where it is, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// e.g. "window[7].last_day"
    pub field: String,
    /// The remedy in Chinese.
    pub zh: String,
    /// The remedy in English.
    pub en: String,
}

impl Fault {
    /// A fault at `field`.
    pub fn new(field: impl Into<String>, zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { field: field.into(), zh: zh.into(), en: en.into() }
    }
}

impl From<Fault> for CalendarFault {
    fn from(fault: Fault) -> Self {
        Self { field: fault.field, zh: fault.zh, en: fault.en }
    }
}

/// # Errors
/// `CALENDAR_INVALID` with every fault, if there is any.
pub fn check(faults: Vec<Fault>) -> Result<(), Failure> {
    let mut all = Faults::new();
    for fault in faults {
        all.add(fault.field, fault.zh, fault.en);
    }
    all.check_as(Reason::CalendarInvalid)
}
