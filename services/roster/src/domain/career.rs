//! A teacher's career (任职经历): where he was, is and will be, in which standing, and his leaves, as dated events made it.
//!
//! An event counts from its own day. If that has come, it takes effect when it is recorded, from its day on, also back. One
//! that moves school or standing on a day to come waits, and comes to pass on that day; a leave has days of its own and
//! waits for nothing but a return that makes it possible. Whatever waits is possible after all that comes before it: what would make it impossible is refused.

use jiff::{ToSpan as _, civil::Date};
use proto::roster::v1::{status_event::Kind, teacher::Status};

use super::{
    fault::{Defect, Fault},
    status::{Leave, next},
};

/// How far ahead, in days, an event may be recorded.
const AHEAD_DAYS: i32 = 366;

/// School and standing from a day on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    /// First day. None: since before anything is known.
    pub from_on: Option<Date>,
    /// "organizations/…"; of who has left, the last one.
    pub school: String,
    /// Active (in service), retired, departed or deceased; never on leave, which the leaves say.
    pub standing: Status,
}

/// What events move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Career {
    /// What has come to pass, in order of days; never none.
    pub stays: Vec<Stay>,
    /// All leaves, past and coming.
    pub leaves: Vec<Leave>,
    /// What waits for its day, in order of days.
    pub coming: Vec<Event>,
    /// First day of employment.
    pub employed_on: Option<Date>,
}

/// A dated event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// "teachers/…/statusEvents/…"
    pub name: String,
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

impl Career {
    /// The present school.
    #[must_use]
    pub fn school(&self) -> &str {
        self.stays.last().map_or("", |stay| &stay.school)
    }

    /// The present standing.
    #[must_use]
    pub fn standing(&self) -> Status {
        self.stays.last().map_or(Status::Unspecified, |stay| stay.standing)
    }

    /// The status on a day, past or to come.
    #[must_use]
    pub fn status_on(&self, day: Date) -> Status {
        let foreseen = self.foreseen();
        let standing = foreseen.stay_on(day).map_or(Status::Unspecified, |stay| stay.standing);
        if standing == Status::Active && foreseen.leaves.iter().any(|leave| leave.covers(day)) {
            Status::OnLeave
        } else {
            standing
        }
    }

    /// The career as it will be when all that waits has come to pass.
    #[must_use]
    pub fn foreseen(&self) -> Self {
        let settled = Self { coming: Vec::new(), ..self.clone() };
        // Each is possible: `record` and `withdraw` see to it.
        self.coming.iter().fold(settled, |career, event| career.after(event).unwrap_or(career))
    }

    fn stay_on(&self, day: Date) -> Option<&Stay> {
        let begun = |stay: &&Stay| stay.from_on.is_none_or(|first| first <= day);
        self.stays.iter().rev().find(begun).or_else(|| self.stays.first())
    }

    /// The career after an event, whatever waits left aside; else the status from which it is not possible.
    fn after(&self, event: &Event) -> Result<Self, Status> {
        let settled = Self { coming: Vec::new(), ..self.clone() };
        let status = settled.status_on(event.effective_on);
        let standing = next(status, event.kind).ok_or(status)?;
        let mut after = self.clone();
        match event.kind {
            Kind::Leave => {
                // A void leave of the same first day gives way to the new one.
                after.leaves.retain(|leave| leave.first_on != event.effective_on);
                let leave = Leave { first_on: event.effective_on, last_on: event.until };
                // One that is dated back ends when he left the roster.
                let begins_later = |stay: &&Stay| stay.from_on.is_some_and(|first| first > event.effective_on);
                let left = self.stays.iter().filter(begins_later).find(|stay| stay.standing != Status::Active);
                let left = left.and_then(|stay| stay.from_on);
                after.leaves.push(left.map_or(leave, |left| leave.ended_before(left)));
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
            Kind::Transfer | Kind::Unspecified => {}
        }
        if moves(event.kind, status) {
            let school = if event.kind == Kind::Transfer { &event.school } else { self.school() };
            if event.kind == Kind::Transfer && school == self.school() {
                return Err(status);
            }
            let standing = if standing == Status::OnLeave { Status::Active } else { standing };
            let stay = Stay { from_on: Some(event.effective_on), school: school.to_owned(), standing };
            after.stays.retain(|earlier| earlier.from_on != stay.from_on);
            after.stays.push(stay);
        }
        Ok(after)
    }

    /// Whether all that waits is possible, one after the other; else the first that is not, and the status that is against it.
    fn check(&self) -> Result<(), (&Event, Status)> {
        let mut career = Self { coming: Vec::new(), ..self.clone() };
        for event in &self.coming {
            career = career.after(event).map_err(|status| (event, status))?;
        }
        Ok(())
    }

    /// The next of what waits, if its day has come, and the career after it.
    ///
    /// # Errors
    /// The status from which it is not possible: never, as long as `record` and `withdraw` alone decide what waits.
    pub fn due(&self, today: Date) -> Result<Option<(Event, Self)>, Status> {
        let Some(event) = self.coming.first().filter(|event| event.effective_on <= today).cloned() else {
            return Ok(None);
        };
        let mut after = self.after(&event)?;
        after.coming.retain(|other| other.name != event.name);
        Ok(Some((event, after)))
    }
}

/// Whether an event moves school or standing; else it moves leaves only.
const fn moves(kind: Kind, status: Status) -> bool {
    match kind {
        Kind::Leave | Kind::Unspecified => false,
        Kind::Return => matches!(status, Status::Retired | Status::Departed | Status::Deceased),
        Kind::Transfer | Kind::Retirement | Kind::Departure | Kind::Death => true,
    }
}

/// The career after an event is recorded: in force, if its day has come, else among what waits. Death overtakes what waits.
///
/// # Errors
/// Every fault of the event; else the status from which it is not possible.
pub fn record(career: &Career, event: &Event, today: Date) -> Result<Career, Refusal> {
    let faults = faults(career, event, today);
    if !faults.is_empty() {
        return Err(Refusal::Faults(faults));
    }
    let status = career.status_on(event.effective_on);
    if next(status, event.kind).is_none() {
        return Err(Refusal::State(status));
    }
    let mut after = career.clone();
    if event.kind == Kind::Death {
        after.coming.clear();
    }
    // A leave waits for nothing but what decides on it before: a coming end of service, or the return after it.
    let decided_before = |other: &Event| other.kind != Kind::Transfer && other.effective_on <= event.effective_on;
    if (moves(event.kind, status) || career.coming.iter().any(decided_before)) && event.effective_on > today {
        let place = after.coming.partition_point(|other| other.effective_on <= event.effective_on);
        after.coming.insert(place, event.clone());
    } else {
        after = after.after(event).map_err(Refusal::State)?;
    }
    match after.check() {
        Ok(()) => Ok(after),
        Err((failing, status)) if failing.name == event.name => Err(Refusal::State(status)),
        Err(_) => Err(Refusal::Faults(vec![Fault::of("effective_on", Defect::Conflicts)])),
    }
}

/// The career without an event that waits; `None`: it does not wait.
///
/// # Errors
/// A fault, if another that waits would not be possible without it.
pub fn withdraw(career: &Career, name: &str) -> Result<Option<Career>, Vec<Fault>> {
    let mut after = career.clone();
    after.coming.retain(|event| event.name != name);
    if after.coming.len() == career.coming.len() {
        return Ok(None);
    }
    match after.check() {
        Ok(()) => Ok(Some(after)),
        Err(_) => Err(vec![Fault::of("name", Defect::Conflicts)]),
    }
}

fn faults(career: &Career, event: &Event, today: Date) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut add = |field: &str, defect| faults.push(Fault::of(field, defect));
    let day = event.effective_on;
    let status = career.status_on(day);
    let latest = if event.kind == Kind::Death { today } else { today.saturating_add(AHEAD_DAYS.days()) };
    if event.kind == Kind::Unspecified {
        add("kind", Defect::Required);
    }
    if day > latest {
        add("effective_on", Defect::TooLate);
    }
    // Nothing is put between moves that have come to pass: who was where between would have to be guessed.
    let last = career.stays.last().and_then(|stay| stay.from_on).filter(|_| moves(event.kind, status));
    if career.employed_on.is_some_and(|first| day < first) || last.is_some_and(|last| day < last) {
        add("effective_on", Defect::TooEarly);
    }
    match (event.kind, event.until) {
        (Kind::Leave, Some(until)) if until < day => add("until", Defect::TooEarly),
        (Kind::Leave, _) | (_, None) => {}
        (_, Some(_)) => add("until", Defect::Fixed),
    }
    let leave = Leave { first_on: day, last_on: event.until };
    // On leave already is a matter of the status, not of a later leave.
    if event.kind == Kind::Leave
        && status == Status::Active
        && career.leaves.iter().any(|earlier| earlier.overlaps(&leave))
    {
        add("until", Defect::Overlaps);
    }
    let foreseen = career.foreseen();
    let at = foreseen.stay_on(day).map_or("", |stay| &stay.school);
    match (event.kind, event.school.as_str()) {
        (Kind::Transfer, "") => add("school", Defect::Required),
        (Kind::Transfer, school) if school == at => add("school", Defect::Same),
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
    const KINDS: [Kind; 7] =
        [Kind::Unspecified, Kind::Transfer, Kind::Leave, Kind::Return, Kind::Retirement, Kind::Departure, Kind::Death];

    fn career() -> Career {
        Career {
            stays: vec![Stay { from_on: None, school: "organizations/a".into(), standing: Status::Active }],
            leaves: vec![],
            coming: vec![],
            employed_on: Some(date(2010, 9, 1)),
        }
    }

    fn event(kind: Kind, effective_on: Date, until: Option<Date>) -> Event {
        let school = if kind == Kind::Transfer { "organizations/b".into() } else { String::new() };
        Event { name: format!("{kind:?} {effective_on}"), kind, effective_on, until, school }
    }

    fn taken(career: &Career, kind: Kind, on: Date) -> Career {
        record(career, &event(kind, on, None), TODAY).unwrap()
    }

    #[test]
    fn a_leave_counts_on_its_days_and_a_return_ends_it() {
        let on_leave =
            record(&career(), &event(Kind::Leave, date(2019, 9, 1), Some(date(2019, 10, 31))), TODAY).unwrap();
        assert_eq!(on_leave.status_on(date(2019, 8, 31)), Status::Active);
        assert_eq!(on_leave.status_on(date(2019, 10, 31)), Status::OnLeave);
        assert_eq!(on_leave.status_on(date(2019, 11, 1)), Status::Active);
        let back = taken(&on_leave, Kind::Return, date(2019, 9, 20));
        assert_eq!(back.leaves, [Leave { first_on: date(2019, 9, 1), last_on: Some(date(2019, 9, 19)) }]);
        let never = taken(&on_leave, Kind::Return, date(2019, 9, 1));
        assert!(never.leaves.iter().all(Leave::is_void));
        let again = taken(&never, Kind::Leave, date(2019, 9, 1));
        assert_eq!(again.leaves, [Leave { first_on: date(2019, 9, 1), last_on: None }]);
    }

    #[test]
    fn faults_are_told_at_once() {
        let bad =
            Event { school: "organizations/b".into(), ..event(Kind::Death, date(2030, 1, 1), Some(date(2031, 1, 1))) };
        let Err(Refusal::Faults(faults)) = record(&career(), &bad, TODAY) else { panic!("taken") };
        assert_eq!(
            faults.iter().map(Fault::coded).collect::<Vec<_>>(),
            ["effective_on.too_late", "until.fixed", "school.fixed"]
        );
        let coming = taken(&career(), Kind::Leave, date(2019, 12, 1));
        let overlapping = record(&coming, &event(Kind::Leave, date(2019, 11, 1), Some(date(2019, 12, 1))), TODAY);
        assert_eq!(overlapping, Err(Refusal::Faults(vec![Fault::of("until", Defect::Overlaps)])));
    }

    #[test]
    fn what_is_dated_back_counts_from_its_day() {
        let moved = taken(&career(), Kind::Transfer, date(2019, 3, 1));
        assert_eq!((moved.school(), moved.stays.len()), ("organizations/b", 2));
        assert_eq!(moved.stays[1].from_on, Some(date(2019, 3, 1)));
        // Nothing is put before what has come to pass.
        let before = record(&moved, &event(Kind::Retirement, date(2019, 2, 1), None), TODAY);
        assert_eq!(before, Err(Refusal::Faults(vec![Fault::of("effective_on", Defect::TooEarly)])));
        let retired = taken(&moved, Kind::Retirement, date(2019, 3, 1));
        assert_eq!((retired.standing(), retired.stays.len()), (Status::Retired, 2), "the day's last word");
        assert_eq!(retired.status_on(date(2019, 2, 28)), Status::Active);
    }

    #[test]
    fn what_is_to_come_waits_for_its_day() {
        let (transfer, retirement) = (date(2019, 10, 1), date(2020, 6, 30));
        let coming = taken(&career(), Kind::Retirement, retirement);
        assert_eq!((coming.standing(), coming.status_on(TODAY)), (Status::Active, Status::Active));
        assert_eq!(coming.status_on(date(2020, 6, 29)), Status::Active);
        assert_eq!(coming.status_on(retirement), Status::Retired);
        // A transfer before it; the retirement will be from the new school.
        let both = taken(&coming, Kind::Transfer, transfer);
        let (school, foreseen) = (both.school().to_owned(), both.foreseen());
        assert_eq!((school.as_str(), foreseen.school()), ("organizations/a", "organizations/b"));
        assert_eq!(both.due(date(2019, 9, 30)), Ok(None));
        let (first, after) = both.due(date(2020, 7, 1)).unwrap().unwrap();
        assert_eq!((first.kind, after.school(), after.standing()), (Kind::Transfer, "organizations/b", Status::Active));
        let (second, after) = after.due(date(2020, 7, 1)).unwrap().unwrap();
        assert_eq!((second.kind, after.standing(), after.coming.len()), (Kind::Retirement, Status::Retired, 0));
        assert_eq!(after.stays, foreseen.stays);
        // After the day there is nothing to be done but a return.
        let late = record(&both, &event(Kind::Leave, date(2020, 7, 10), None), TODAY);
        assert_eq!(late, Err(Refusal::State(Status::Retired)));
    }

    #[test]
    fn what_waits_stays_possible() {
        let conflicts = |field: &str| vec![Fault::of(field, Defect::Conflicts)];
        let coming = taken(&career(), Kind::Retirement, date(2020, 6, 30));
        let sooner = record(&coming, &event(Kind::Departure, date(2019, 12, 1), None), TODAY);
        assert_eq!(sooner, Err(Refusal::Faults(conflicts("effective_on"))));
        let now = record(&coming, &event(Kind::Departure, TODAY, None), TODAY);
        assert_eq!(now, Err(Refusal::Faults(conflicts("effective_on"))));
        let back = taken(&coming, Kind::Return, date(2020, 9, 1));
        assert_eq!(withdraw(&back, &back.coming[0].name), Err(conflicts("name")));
        let without = withdraw(&back, &back.coming[1].name).unwrap().unwrap();
        assert_eq!(without, coming);
        assert_eq!(withdraw(&without, &without.coming[0].name), Ok(Some(career())));
        assert_eq!(withdraw(&career(), "none"), Ok(None));
        let dead = taken(&back, Kind::Death, TODAY);
        assert_eq!((dead.standing(), dead.coming.len()), (Status::Deceased, 0));
    }

    #[test]
    fn a_transfer_keeps_the_leave_that_lasts() {
        let on_leave =
            record(&career(), &event(Kind::Leave, date(2019, 9, 1), Some(date(2019, 12, 31))), TODAY).unwrap();
        let moved = taken(&on_leave, Kind::Transfer, date(2019, 10, 1));
        assert_eq!(moved.status_on(date(2019, 10, 1)), Status::OnLeave);
        let (_, after) = moved.due(date(2019, 10, 1)).unwrap().unwrap();
        assert_eq!((after.school(), &after.leaves), ("organizations/b", &on_leave.leaves));
        // Who retires while it lasts ends it on that day, not before.
        let retiring = taken(&on_leave, Kind::Retirement, date(2019, 11, 1));
        assert_eq!(retiring.leaves, on_leave.leaves);
        let (_, after) = retiring.due(date(2019, 11, 1)).unwrap().unwrap();
        assert_eq!(after.leaves[0].last_on, Some(date(2019, 10, 31)));
    }

    #[test]
    fn a_leave_may_follow_a_return_that_is_to_come() {
        let (back, away) = (date(2019, 10, 1), date(2019, 11, 1));
        let returning = taken(&taken(&career(), Kind::Retirement, TODAY), Kind::Return, back);
        let resting = taken(&returning, Kind::Leave, away);
        assert_eq!((resting.status_on(back), resting.status_on(away)), (Status::Active, Status::OnLeave));
        assert_eq!(withdraw(&resting, &returning.coming[0].name), Err(vec![Fault::of("name", Defect::Conflicts)]));
        let (_, after) = resting.due(away).unwrap().unwrap();
        let (_, after) = after.due(away).unwrap().unwrap();
        assert_eq!((after.standing(), after.status_on(away), after.coming.len()), (Status::Active, Status::OnLeave, 0));
    }

    #[test]
    fn a_leave_that_is_dated_back_ends_when_he_left() {
        let retired = taken(&career(), Kind::Retirement, date(2019, 6, 1));
        let rested = taken(&retired, Kind::Leave, date(2019, 3, 1));
        assert_eq!(rested.leaves, [Leave { first_on: date(2019, 3, 1), last_on: Some(date(2019, 5, 31)) }]);
        assert_eq!(rested.status_on(date(2019, 6, 1)), Status::Retired);
    }

    proptest! {
        // Over random histories of days that pass: a taken event leads to `next` of its day's status, leaves never overlap, who
        // has left the roster has no leave after that day, and what waits comes to pass as it was foreseen.
        #[test]
        fn histories_keep_their_invariants(
            steps in prop::collection::vec((0_usize..7, -100_i64..200, prop::option::of(0_i64..90), 0_i64..60), 1..12),
        ) {
            let mut career = career();
            let mut today = date(2019, 1, 1);
            for (number, (kind, ahead, length, passing)) in steps.into_iter().enumerate() {
                let day = today.checked_add(jiff::Span::new().days(ahead)).unwrap();
                let kind = KINDS[kind];
                let until = (kind == Kind::Leave).then_some(length).flatten().map(|n| day.checked_add(jiff::Span::new().days(n)).unwrap());
                let mut event = Event { name: number.to_string(), ..event(kind, day, until) };
                if kind == Kind::Transfer && career.school() == "organizations/b" { event.school = "organizations/a".into(); }
                let before = career.status_on(day);
                match record(&career, &event, today) {
                    Err(Refusal::State(status)) => {
                        prop_assert_eq!(status, before);
                        prop_assert_eq!(next(before, kind), None);
                    }
                    Err(Refusal::Faults(faults)) => prop_assert!(!faults.is_empty()),
                    Ok(after) => {
                        prop_assert_eq!(Some(after.status_on(day)), next(before, kind));
                        if day > today {
                            prop_assert_eq!(&after.stays, &career.stays, "nothing moves before its day");
                        }
                        career = after;
                    }
                }
                let foreseen = career.foreseen();
                for (i, leave) in foreseen.leaves.iter().enumerate() {
                    prop_assert!(foreseen.leaves[i + 1..].iter().all(|other| other.is_void() || !leave.overlaps(other)));
                }
                prop_assert!(foreseen.stays.windows(2).all(|pair| pair[0].from_on < pair[1].from_on));
                prop_assert!(foreseen.stays.iter().all(|stay| stay.standing != Status::OnLeave));
                if let Some(stay) = foreseen.stays.last().filter(|stay| stay.standing != Status::Active) {
                    let left = stay.from_on.unwrap();
                    prop_assert!(foreseen.leaves.iter().all(|leave| !leave.covers(left)));
                }
                today = today.checked_add(jiff::Span::new().days(passing)).unwrap();
                while let Some((_, after)) = career.due(today).unwrap() {
                    career = after;
                }
                prop_assert_eq!(career.foreseen().stays, foreseen.stays);
                prop_assert!(career.coming.iter().all(|event| event.effective_on > today));
            }
        }
    }
}
