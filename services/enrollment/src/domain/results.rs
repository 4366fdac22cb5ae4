//! Attendance and results: who can pass, and what confirming a class's results makes of each participant.

use proto::common::v1::Reason;

use super::{Event, Ground, Selection, State, policy::Attendance};

/// Whether so much attendance allows a pass: policy `attendance.min_percent`.
#[must_use]
pub fn enough(attended: i32, sessions: i32, policy: &Attendance) -> bool {
    i64::from(attended).saturating_mul(100) >= i64::from(sessions).saturating_mul(policy.min_percent)
}

/// Whether a participant may be given this verdict.
///
/// # Errors
/// `ATTENDANCE_TOO_LOW`.
pub fn may_pass(attended: i32, sessions: i32, policy: &Attendance) -> Result<(), Ground> {
    if attended > 0 && enough(attended, sessions, policy) {
        return Ok(());
    }
    let ground = Ground::new(Reason::AttendanceTooLow).with("attended", attended.max(0));
    Err(ground.with("sessions", sessions).with("percent", policy.min_percent))
}

/// What confirming the results makes of a participant; `None` if his result, or any word of his attendance, is missing. Recorded
/// without any session: a no-show. Attended too little: failed, whatever was recorded.
#[must_use]
pub fn verdict(selection: &Selection, sessions: i32, policy: &Attendance) -> Option<Event> {
    if selection.state == State::Confirmed {
        return (selection.sessions_attended == 0).then_some(Event::MissAll);
    }
    if may_pass(selection.sessions_attended, sessions, policy).is_err() {
        return Some(Event::Fail);
    }
    selection.passed.map(|passed| if passed { Event::Pass } else { Event::Fail })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ninety_percent_is_enough_and_less_is_not() {
        let policy = Attendance::default();
        assert!(enough(9, 10, &policy));
        assert!(!enough(8, 9, &policy));
        assert!(may_pass(0, 0, &policy).is_err(), "nobody passes without coming");
        assert!(may_pass(-1, 10, &policy).is_err());
    }

    #[test]
    fn every_participant_has_a_verdict_or_lacks_a_result() {
        let policy = Attendance::default();
        let mut selection = Selection::submitted("s", "t", "p", 1, 0);
        selection.state = State::Confirmed;
        assert_eq!(verdict(&selection, 10, &policy), None, "nothing was recorded");
        selection.sessions_attended = 0;
        assert_eq!(verdict(&selection, 10, &policy), Some(Event::MissAll));
        selection.state = State::Attended;
        selection.sessions_attended = 10;
        assert_eq!(verdict(&selection, 10, &policy), None);
        selection.passed = Some(true);
        assert_eq!(verdict(&selection, 10, &policy), Some(Event::Pass));
        selection.passed = Some(false);
        assert_eq!(verdict(&selection, 10, &policy), Some(Event::Fail));
        selection.sessions_attended = 8;
        selection.passed = Some(true);
        assert_eq!(verdict(&selection, 10, &policy), Some(Event::Fail));
    }
}
