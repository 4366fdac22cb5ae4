//! A teacher's status and the dated events that move it (DESIGN §5: status events have a date and any window).
//!
//! What is stored is whether the teacher is in service, retired, departed or deceased, and his leaves; on leave is who
//! has a leave on that day. An event takes effect when it is recorded; its day is what records and rates count from.

use jiff::{ToSpan as _, civil::Date};
use proto::roster::v1::{status_event::Kind, teacher::Status};

use super::fault::{Defect, Fault};

/// How far ahead, in days, an event may be recorded.
const AHEAD_DAYS: i32 = 366;

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

    fn overlaps(&self, other: &Self) -> bool {
        !self.is_void()
            && self.last_on.is_none_or(|last| other.first_on <= last)
            && other.last_on.is_none_or(|last| self.first_on <= last)
    }

    /// This leave ended on the eve of a day.
    fn ended_before(self, day: Date) -> Self {
        if self.last_on.is_some_and(|last| last < day) { self } else { Self { last_on: day.yesterday().ok(), ..self } }
    }
}

/// What events move: whether in service, leaves, school.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Career {
    /// Active (in service), retired, departed or deceased; never on leave, which the leaves say.
    pub standing: Status,
    /// All leaves, past and coming.
    pub leaves: Vec<Leave>,
    /// "organizations/…"
    pub school: String,
    /// First day of employment.
    pub employed_on: Option<Date>,
}

impl Career {
    /// The status on a day.
    #[must_use]
    pub fn status_on(&self, day: Date) -> Status {
        match self.standing {
            Status::Active | Status::OnLeave if self.leaves.iter().any(|leave| leave.covers(day)) => Status::OnLeave,
            Status::OnLeave => Status::Active,
            other => other,
        }
    }
}

/// An event as entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happens.
    pub kind: Kind,
    /// Its day.
    pub effective_on: Date,
    /// Leave: its last day, where known.
    pub until: Option<Date>,
    /// Transfer: the new school.
    pub school: String,
}

/// Why an event is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Not possible from this status.
    State(Status),
    /// Faults of the event itself.
    Faults(Vec<Fault>),
}

/// The career after an event.
///
/// # Errors
/// Every fault of the event; else the status from which it is not possible.
pub fn apply(career: &Career, event: &Event, today: Date) -> Result<Career, Refusal> {
    let faults = faults(career, event, today);
    if !faults.is_empty() {
        return Err(Refusal::Faults(faults));
    }
    let status = career.status_on(event.effective_on);
    let Some(next) = next(status, event.kind) else { return Err(Refusal::State(status)) };
    let mut after = career.clone();
    match event.kind {
        Kind::Transfer => after.school.clone_from(&event.school),
        Kind::Leave => {
            // A void leave of the same first day gives way to the new one.
            after.leaves.retain(|leave| leave.first_on != event.effective_on);
            after.leaves.push(Leave { first_on: event.effective_on, last_on: event.until });
            after.leaves.sort_unstable();
        }
        Kind::Return | Kind::Retirement | Kind::Departure | Kind::Death => {
            for leave in &mut after.leaves {
                // A return ends the leave of that day and keeps later ones; who leaves the roster has none any more.
                if event.kind != Kind::Return || leave.covers(event.effective_on) {
                    *leave = leave.ended_before(event.effective_on);
                }
            }
        }
        Kind::Unspecified => {}
    }
    after.standing = if next == Status::OnLeave { Status::Active } else { next };
    Ok(after)
}

fn faults(career: &Career, event: &Event, today: Date) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut add = |field: &str, defect| faults.push(Fault::of(field, defect));
    let latest = if event.kind == Kind::Death { today } else { today.saturating_add(AHEAD_DAYS.days()) };
    if event.kind == Kind::Unspecified {
        add("kind", Defect::Required);
    }
    if event.effective_on > latest {
        add("effective_on", Defect::TooLate);
    }
    if career.employed_on.is_some_and(|first| event.effective_on < first) {
        add("effective_on", Defect::TooEarly);
    }
    match (event.kind, event.until) {
        (Kind::Leave, Some(until)) if until < event.effective_on => add("until", Defect::TooEarly),
        (Kind::Leave, _) | (_, None) => {}
        (_, Some(_)) => add("until", Defect::Fixed),
    }
    let leave = Leave { first_on: event.effective_on, last_on: event.until };
    // On leave already is a matter of the status, not of a later leave.
    if event.kind == Kind::Leave
        && career.status_on(event.effective_on) == Status::Active
        && career.leaves.iter().any(|earlier| earlier.overlaps(&leave))
    {
        add("until", Defect::Overlaps);
    }
    match (event.kind, event.school.as_str()) {
        (Kind::Transfer, "") => add("school", Defect::Required),
        (Kind::Transfer, school) if school == career.school => add("school", Defect::Taken),
        (Kind::Transfer, _) | (_, "") => {}
        _ => add("school", Defect::Fixed),
    }
    faults
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    const TODAY: Date = date(2019, 9, 3);
    const STATUSES: [Status; 6] =
        [Status::Unspecified, Status::Active, Status::OnLeave, Status::Retired, Status::Departed, Status::Deceased];
    const KINDS: [Kind; 7] =
        [Kind::Unspecified, Kind::Transfer, Kind::Leave, Kind::Return, Kind::Retirement, Kind::Departure, Kind::Death];

    fn career() -> Career {
        Career {
            standing: Status::Active,
            leaves: vec![],
            school: "organizations/a".into(),
            employed_on: Some(date(2010, 9, 1)),
        }
    }

    fn event(kind: Kind, effective_on: Date, until: Option<Date>) -> Event {
        let school = if kind == Kind::Transfer { "organizations/b".into() } else { String::new() };
        Event { kind, effective_on, until, school }
    }

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

    #[test]
    fn a_leave_counts_on_its_days_and_a_return_ends_it() {
        let on_leave =
            apply(&career(), &event(Kind::Leave, date(2019, 9, 1), Some(date(2019, 10, 31))), TODAY).unwrap();
        assert_eq!(on_leave.status_on(date(2019, 8, 31)), Status::Active);
        assert_eq!(on_leave.status_on(date(2019, 10, 31)), Status::OnLeave);
        assert_eq!(on_leave.status_on(date(2019, 11, 1)), Status::Active);
        let back = apply(&on_leave, &event(Kind::Return, date(2019, 9, 20), None), TODAY).unwrap();
        assert_eq!(back.leaves, [Leave { first_on: date(2019, 9, 1), last_on: Some(date(2019, 9, 19)) }]);
        let never = apply(&on_leave, &event(Kind::Return, date(2019, 9, 1), None), TODAY).unwrap();
        assert!(never.leaves.iter().all(Leave::is_void));
        let again = apply(&never, &event(Kind::Leave, date(2019, 9, 1), None), TODAY).unwrap();
        assert_eq!(again.leaves, [Leave { first_on: date(2019, 9, 1), last_on: None }]);
    }

    #[test]
    fn faults_are_told_at_once() {
        let bad =
            Event { school: "organizations/b".into(), ..event(Kind::Death, date(2030, 1, 1), Some(date(2031, 1, 1))) };
        let Err(Refusal::Faults(faults)) = apply(&career(), &bad, TODAY) else { panic!("taken") };
        assert_eq!(
            faults.iter().map(Fault::coded).collect::<Vec<_>>(),
            ["effective_on.too_late", "until.fixed", "school.fixed"]
        );
        let coming = apply(&career(), &event(Kind::Leave, date(2019, 12, 1), None), TODAY).unwrap();
        let overlapping = apply(&coming, &event(Kind::Leave, date(2019, 11, 1), Some(date(2019, 12, 1))), TODAY);
        assert_eq!(overlapping, Err(Refusal::Faults(vec![Fault::of("until", Defect::Overlaps)])));
    }

    proptest! {
        // Over random histories: a taken event leads to `next` of the day's status, leaves never overlap, and who has
        // left the roster has no leave after that day.
        #[test]
        fn histories_keep_their_invariants(
            steps in prop::collection::vec((0_usize..7, 0_i64..400, prop::option::of(0_i64..90)), 1..12),
        ) {
            let mut career = career();
            for (kind, day, length) in steps {
                let day = date(2019, 1, 1).checked_add(jiff::Span::new().days(day)).unwrap();
                let kind = KINDS[kind];
                let until = (kind == Kind::Leave).then_some(length).flatten().map(|n| day.checked_add(jiff::Span::new().days(n)).unwrap());
                let mut event = event(kind, day, until);
                if kind == Kind::Transfer && career.school == "organizations/b" { event.school = "organizations/a".into(); }
                let before = career.status_on(day);
                match apply(&career, &event, TODAY) {
                    Err(Refusal::State(status)) => {
                        prop_assert_eq!(status, before);
                        prop_assert_eq!(next(before, kind), None);
                    }
                    Err(Refusal::Faults(faults)) => prop_assert!(!faults.is_empty()),
                    Ok(after) => {
                        prop_assert_eq!(Some(after.status_on(day)), next(before, kind));
                        prop_assert_ne!(after.standing, Status::OnLeave);
                        for (i, leave) in after.leaves.iter().enumerate() {
                            prop_assert!(after.leaves[i + 1..].iter().all(|other| other.is_void() || !leave.overlaps(other)));
                        }
                        if after.standing != Status::Active {
                            prop_assert!(after.leaves.iter().all(|leave| !leave.covers(day)));
                        }
                        career = after;
                    }
                }
            }
        }
    }
}
