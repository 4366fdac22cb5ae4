//! A teacher's status, which event leads from which to which, and leaves (DESIGN §5: status events have a date and any
//! window; what they make of a career day by day is `career`).
//!
//! What is stored is whether the teacher is in service, retired, departed or deceased, and his leaves; on leave is who
//! has a leave on that day.

use jiff::civil::Date;
use proto::roster::v1::{status_event::Kind, teacher::Status};

/// The status after an event; none where the event is not possible. Total over every pair.
#[must_use]
pub const fn next(status: Status, kind: Kind) -> Option<Status> {
    match (status, kind) {
        (Status::Active, Kind::Transfer) | (Status::OnLeave, Kind::Return) => Some(Status::Active),
        (Status::Active, Kind::Leave) | (Status::OnLeave, Kind::Transfer) => Some(Status::OnLeave),
        (Status::Active | Status::OnLeave, Kind::Retirement) => Some(Status::Retired),
        (Status::Active | Status::OnLeave, Kind::Departure) => Some(Status::Departed),
        (Status::Active | Status::OnLeave | Status::Retired | Status::Departed, Kind::Death) => Some(Status::Deceased),
        // Re-employed, come back, or recorded by mistake: `needs_bureau`.
        (Status::Retired | Status::Departed | Status::Deceased, Kind::Return) => Some(Status::Active),
        (Status::Unspecified, _) | (_, Kind::Unspecified) => None,
        (Status::Active, Kind::Return) | (Status::OnLeave, Kind::Leave) => None,
        (Status::Retired | Status::Departed, Kind::Transfer | Kind::Leave | Kind::Retirement | Kind::Departure) => None,
        (Status::Deceased, Kind::Transfer | Kind::Leave | Kind::Retirement | Kind::Departure | Kind::Death) => None,
    }
}

/// Whether only a bureau may record the event: who had left the roster comes back.
#[must_use]
pub const fn needs_bureau(status: Status, kind: Kind) -> bool {
    matches!((status, kind), (Status::Retired | Status::Departed | Status::Deceased, Kind::Return))
}

/// An approved leave; both days inclusive. An open leave has no last day; one that ends before it begins is void.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leave {
    /// First day.
    pub first_on: Date,
    /// Last day.
    pub last_on: Option<Date>,
}

impl Leave {
    /// Whether the teacher is on this leave on a day.
    #[must_use]
    pub fn covers(&self, day: Date) -> bool {
        self.first_on <= day && self.last_on.is_none_or(|last| day <= last)
    }

    /// Whether it has a day at all.
    #[must_use]
    pub fn is_void(&self) -> bool {
        self.last_on.is_some_and(|last| last < self.first_on)
    }

    /// Whether they share a day.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        !self.is_void()
            && self.last_on.is_none_or(|last| other.first_on <= last)
            && other.last_on.is_none_or(|last| self.first_on <= last)
    }

    /// This leave ended on the eve of a day.
    pub(super) fn ended_before(self, day: Date) -> Self {
        if self.last_on.is_some_and(|last| last < day) { self } else { Self { last_on: day.yesterday().ok(), ..self } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUSES: [Status; 6] =
        [Status::Unspecified, Status::Active, Status::OnLeave, Status::Retired, Status::Departed, Status::Deceased];
    const KINDS: [Kind; 7] =
        [Kind::Unspecified, Kind::Transfer, Kind::Leave, Kind::Return, Kind::Retirement, Kind::Departure, Kind::Death];

    #[test]
    fn every_pair_of_status_and_event() {
        let table: Vec<String> = STATUSES
            .iter()
            .flat_map(|status| {
                KINDS.iter().filter_map(move |kind| {
                    next(*status, *kind).map(|after| format!("{status:?} -{kind:?}-> {after:?}"))
                })
            })
            .collect();
        assert_eq!(
            table,
            [
                "Active -Transfer-> Active",
                "Active -Leave-> OnLeave",
                "Active -Retirement-> Retired",
                "Active -Departure-> Departed",
                "Active -Death-> Deceased",
                "OnLeave -Transfer-> OnLeave",
                "OnLeave -Return-> Active",
                "OnLeave -Retirement-> Retired",
                "OnLeave -Departure-> Departed",
                "OnLeave -Death-> Deceased",
                "Retired -Return-> Active",
                "Retired -Death-> Deceased",
                "Departed -Return-> Active",
                "Departed -Death-> Deceased",
                "Deceased -Return-> Active",
            ]
        );
    }
}
