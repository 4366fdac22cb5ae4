//! The desk: selections, projects and seat books of one transaction, and what was done with them. The store lays the rows
//! on it under their locks, the rules act here, and the store writes down what was done.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use proto::common::v1::Reason;

use super::{Event, Ground, Projects, Selection, Selections, State, Teacher, project::Class, seats::Book, state::next};

/// Why something is done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Why<'a> {
    /// Coded; goes into the change.
    pub reason: &'a str,
    /// What the person who decided wrote; stays out of the change.
    pub text: &'a str,
    /// To confirm: the class; empty for the one with most free places.
    pub class: &'a str,
    /// To bring back: a seat is held.
    pub hold: bool,
}

impl<'a> Why<'a> {
    /// For a coded reason.
    #[must_use]
    pub const fn coded(reason: &'a str) -> Self {
        Self { reason, text: "", class: "", hold: false }
    }
}

/// Something done: a change to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// As in the change.
    pub verb: &'static str,
    /// What happened; `None` for a submission or an act that leaves the state.
    pub event: Option<Event>,
    /// The selection after it.
    pub after: Selection,
}

/// The desk of one transaction.
#[derive(Debug, Clone)]
pub struct Desk {
    /// Every selection of the term of the teachers at the desk.
    pub selections: Selections,
    /// Their projects.
    pub projects: Projects,
    /// The books of the projects whose places may move.
    pub books: BTreeMap<String, Book>,
    /// The teachers at the desk, as they are now; none where nobody gets a place or comes back.
    pub teachers: BTreeMap<String, Teacher>,
    /// The term's, in which leaves have their days.
    pub zone: TimeZone,
    /// Classes in which nobody gets a place any more, and why.
    pub shut: BTreeMap<String, Reason>,
    /// Policy under which is decided; goes into every selection that is touched.
    pub policy_version: i64,
    acts: Vec<Act>,
}

impl Default for Desk {
    fn default() -> Self {
        Self::new(Vec::new(), Projects::new(), BTreeMap::new(), 0)
    }
}

impl Desk {
    /// A desk on which nothing was done yet.
    #[must_use]
    pub fn new(
        selections: Vec<Selection>,
        projects: Projects,
        books: BTreeMap<String, Book>,
        policy_version: i64,
    ) -> Self {
        Self {
            selections: selections.into_iter().collect(),
            projects,
            books,
            teachers: BTreeMap::new(),
            zone: TimeZone::UTC,
            shut: BTreeMap::new(),
            policy_version,
            acts: Vec::new(),
        }
    }

    /// With the teachers at it.
    #[must_use]
    pub fn with_teachers(self, teachers: BTreeMap<String, Teacher>, zone: TimeZone) -> Self {
        Self { teachers, zone, ..self }
    }

    /// What was done, in order.
    #[must_use]
    pub fn acts(&self) -> &[Act] {
        &self.acts
    }

    /// The selections that were touched, as they are now, by name.
    pub fn touched(&self) -> impl Iterator<Item = &Selection> {
        let names: std::collections::BTreeSet<&str> = self.acts.iter().map(|act| act.after.name.as_str()).collect();
        names.into_iter().filter_map(|name| self.selections.get(name))
    }

    /// The selection of this name.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub fn selection(&self, name: &str) -> Result<&Selection, Ground> {
        self.selections.get(name).ok_or_else(|| Ground::new(Reason::NotFound).with("resource", name))
    }

    /// The teacher's selections of the term.
    pub fn of_teacher<'a>(&'a self, teacher: &'a str) -> impl Iterator<Item = &'a Selection> {
        self.selections.of_teacher(teacher)
    }

    /// Adds a new selection; with `hold` a seat is held for it.
    ///
    /// # Errors
    /// `FULL`.
    pub fn submit(&mut self, mut selection: Selection, hold: bool) -> Result<(), Ground> {
        if hold {
            self.book(&selection.project)?.hold(&mut selection)?;
        }
        selection.policy_version = self.policy_version;
        self.done("submitted", None, selection);
        Ok(())
    }

    /// Carries an event out, with what it means for the seats.
    ///
    /// # Errors
    /// `STATE_CONFLICT`, `FULL`, or overlapping sessions; then nothing is changed.
    pub fn apply(&mut self, name: &str, event: Event, why: &Why<'_>) -> Result<(), Ground> {
        let mut selection = self.selection(name)?.clone();
        let Some(after) = next(selection.state, event) else {
            return Err(Ground::state(name, selection.state.word(), event.word()));
        };
        match event {
            Event::Confirm => {
                let class = self.class_for(&selection, why.class)?;
                self.book(&selection.project)?.grant(&mut selection, &class)?;
                selection.waiting_position = 0;
            }
            Event::Reject
            | Event::Decline
            | Event::Waitlist
            | Event::Withdraw
            | Event::Expire
            | Event::Substitute
            | Event::Cancel => {
                if selection.seat != super::seats::Seat::None {
                    self.book(&selection.project)?.release(&mut selection);
                    selection.class.clear();
                }
                selection.waiting_position = 0;
            }
            Event::Reopen | Event::CorrectToSubmitted | Event::CorrectToApproved if why.hold => {
                self.book(&selection.project)?.hold(&mut selection)?;
            }
            _ => {}
        }
        match event {
            Event::Approve | Event::CorrectToApproved => selection.approved = true,
            Event::Reject | Event::Reopen | Event::CorrectToSubmitted => selection.approved = false,
            _ => {}
        }
        if let (State::Submitted, Some(teacher)) = (after, self.teachers.get(&selection.teacher)) {
            // What comes back waits for the school where its teacher is now.
            selection.school.clone_from(&teacher.school);
        }
        selection.state = after;
        why.reason.clone_into(&mut selection.reason);
        why.text.clone_into(&mut selection.reason_text);
        self.rewrite(event.verb(), Some(event), selection);
        if event == Event::Confirm {
            self.end_waiting(name);
        }
        Ok(())
    }

    /// Writes a selection anew without an event of the state machine (a transfer, a preference, a result).
    pub fn rewrite(&mut self, verb: &'static str, event: Option<Event>, mut selection: Selection) {
        selection.policy_version = self.policy_version.max(selection.policy_version);
        selection.revision = selection.revision.saturating_add(1);
        self.done(verb, event, selection);
    }

    /// Gives free places of `project` to its waiting list: the earlier round's first, each in its settled order. Who cannot
    /// come because of another class or a leave stays on it.
    pub fn promote(&mut self, project: &str) {
        let mut waiting: Vec<_> = self
            .selections
            .values()
            .filter(|selection| selection.project == project && is_waiting(selection))
            .map(|selection| (selection.round, selection.waiting_position, selection.name.clone()))
            .collect();
        waiting.sort();
        for (_, _, name) in waiting {
            if self.books.get(project).is_none_or(|book| book.free() < 1) {
                return;
            }
            // Refused means that the sessions overlap with those of another place, or a leave: the next one's turn.
            let _ = self.apply(&name, Event::Confirm, &Why::coded("waiting_list"));
        }
    }

    /// A seat in a later round ends the waiting of the earlier ones.
    fn end_waiting(&mut self, confirmed: &str) {
        let Some(Selection { teacher, round, .. }) = self.selections.get(confirmed) else { return };
        let earlier: Vec<_> = self
            .of_teacher(teacher)
            .filter(|other| other.state == State::Waitlisted && other.round < *round)
            .map(|other| other.name.clone())
            .collect();
        for name in earlier {
            // Waiting can always expire.
            let _ = self.apply(&name, Event::Expire, &Why::coded("seat_in_later_round"));
        }
    }

    /// The class to place a selection in: the named one, else the one with most free places that leaves the teacher's other
    /// places and his leaves alone.
    fn class_for(&self, selection: &Selection, named: &str) -> Result<String, Ground> {
        let full = || Ground::full(&selection.project);
        let (Some(project), Some(book)) = (self.projects.get(&selection.project), self.books.get(&selection.project))
        else {
            return Err(full());
        };
        let others: Vec<(&str, &Class)> = self
            .of_teacher(&selection.teacher)
            .filter(|other| other.name != selection.name && other.state.is_live() && !other.class.is_empty())
            .filter_map(|other| {
                let class = self.projects.get(&other.project)?.classes.get(&other.class)?;
                Some((other.project.as_str(), class))
            })
            .collect();
        let teacher = self.teachers.get(&selection.teacher);
        let against = |class: &str| {
            if let Some(reason) = self.shut.get(class) {
                return Some(Ground::new(*reason).with("class", class));
            }
            let class = project.classes.get(class)?;
            let other = others.iter().find(|(_, other)| class.overlaps(other));
            let overlap = other.map(|(other, _)| Ground::new(Reason::SessionsOverlap).with("other", other));
            let away = || teacher.is_some_and(|teacher| class.any_day(&self.zone, |day| teacher.on_leave(day)));
            overlap.or_else(|| away().then(|| Ground::new(Reason::OnLeave)))
        };
        let refused = |class: &str| against(class).unwrap_or_else(full);
        if !named.is_empty() {
            if !project.active().any(|class| class.name == named) {
                return Err(Ground::new(Reason::NotFound).with("resource", named));
            }
            return against(named).map_or_else(|| Ok(named.to_owned()), Err);
        }
        match book.roomiest(|class| against(class).is_none()) {
            Some(class) => Ok(class),
            None => Err(book.roomiest(|_| true).map_or_else(full, |class| refused(&class))),
        }
    }

    fn book(&mut self, project: &str) -> Result<&mut Book, Ground> {
        self.books.get_mut(project).ok_or_else(|| Ground::new(Reason::ProjectNotOpen).with("project", project))
    }

    fn done(&mut self, verb: &'static str, event: Option<Event>, selection: Selection) {
        self.acts.push(Act { verb, event, after: selection.clone() });
        self.selections.insert(selection);
    }
}

/// On the waiting list with a settled place.
fn is_waiting(selection: &Selection) -> bool {
    selection.state == State::Waitlisted && selection.waiting_position > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{project::Project, seats::Seat};

    fn class(name: &str, places: i32, session: (i64, i64)) -> (String, Class) {
        let class = Class { name: name.to_owned(), places, sessions: vec![session], active: true, ends_on: None };
        (name.to_owned(), class)
    }

    type Offer<'a> = (&'a str, &'a [(&'a str, i32, (i64, i64))]);

    fn desk(projects: &[Offer<'_>]) -> Desk {
        let mut desk = Desk { policy_version: 7, ..Desk::default() };
        for (name, classes) in projects {
            let classes = classes.iter().map(|(name, places, session)| class(name, *places, *session)).collect();
            let project = Project { name: (*name).to_owned(), open: true, classes, ..Project::default() };
            desk.books.insert((*name).to_owned(), Book::open(&project, 0, &BTreeMap::new()));
            desk.projects.insert((*name).to_owned(), project);
        }
        desk
    }

    fn selection(name: &str, teacher: &str, project: &str, round: i32, state: State) -> Selection {
        Selection { state, ..Selection::submitted(name, teacher, project, round, 0) }
    }

    #[test]
    fn a_rejection_frees_the_held_seat_for_the_waiting() {
        let mut desk = desk(&[("p", &[("c", 1, (0, 1))])]);
        desk.submit(selection("held", "t1", "p", 2, State::Submitted), true).expect("a free place");
        let mut waiting = selection("waiting", "t2", "p", 1, State::Waitlisted);
        waiting.waiting_position = 1;
        desk.selections.insert(waiting);
        desk.promote("p");
        assert_eq!(desk.selections["waiting"].state, State::Waitlisted, "full");
        desk.apply("held", Event::Reject, &Why::coded("school")).expect("possible");
        desk.promote("p");
        assert_eq!(desk.selections["waiting"].state, State::Confirmed);
        assert_eq!(desk.selections["waiting"].class, "c");
        assert_eq!(desk.selections["held"].seat, Seat::None);
        assert_eq!(desk.books["p"].granted(), 1);
        assert_eq!(desk.acts().len(), 3);
    }

    #[test]
    fn placement_leaves_other_places_of_the_teacher_alone() {
        let mut desk = desk(&[("p", &[("p1", 9, (0, 10)), ("p2", 1, (20, 30))]), ("q", &[("q1", 5, (5, 15))])]);
        for (name, project) in [("a", "p"), ("b", "q")] {
            desk.selections.insert(selection(name, "t", project, 1, State::SchoolApproved));
        }
        desk.apply("b", Event::Confirm, &Why::default()).expect("free");
        let named = desk.apply("a", Event::Confirm, &Why { class: "p1", ..Why::default() });
        assert_eq!(named.map_err(|ground| ground.reason), Err(Reason::SessionsOverlap));
        desk.apply("a", Event::Confirm, &Why::default()).expect("the other class");
        assert_eq!(desk.selections["a"].class, "p2");
    }

    #[test]
    fn nobody_is_placed_in_a_class_that_is_over() {
        let mut desk = desk(&[("p", &[("p1", 9, (0, 10)), ("p2", 1, (20, 30))])]);
        desk.selections.insert(selection("a", "t", "p", 1, State::SchoolApproved));
        desk.selections.insert(selection("b", "u", "p", 1, State::SchoolApproved));
        desk.shut = [("p1".to_owned(), Reason::ClassOver)].into();
        let named = desk.apply("a", Event::Confirm, &Why { class: "p1", ..Why::default() });
        assert_eq!(named.map_err(|ground| ground.reason), Err(Reason::ClassOver));
        desk.apply("a", Event::Confirm, &Why::default()).expect("the class to come");
        assert_eq!(desk.selections["a"].class, "p2");
        desk.shut.insert("p2".to_owned(), Reason::ResultsConfirmed);
        let none = desk.apply("b", Event::Confirm, &Why::default());
        assert!(matches!(none.map_err(|ground| ground.reason), Err(Reason::ClassOver | Reason::ResultsConfirmed)));
    }

    #[test]
    fn placement_leaves_leaves_alone_and_what_comes_back_goes_to_the_present_school() {
        let day = 86_400_000_000;
        let mut desk = desk(&[("p", &[("p1", 9, (0, 1)), ("p2", 1, (5 * day, 5 * day + 1))])]);
        let leaves = vec![(jiff::civil::date(1970, 1, 1), Some(jiff::civil::date(1970, 1, 2)))];
        let teacher = Teacher { name: "t".to_owned(), school: "new".to_owned(), leaves, ..Teacher::default() };
        desk = desk.with_teachers([("t".to_owned(), teacher)].into(), TimeZone::UTC);
        desk.selections.insert(selection("a", "t", "p", 1, State::SchoolApproved));
        let named = desk.apply("a", Event::Confirm, &Why { class: "p1", ..Why::default() });
        assert_eq!(named.map_err(|ground| ground.reason), Err(Reason::OnLeave));
        desk.apply("a", Event::Confirm, &Why::default()).expect("the other class");
        assert_eq!(desk.selections["a"].class, "p2");
        desk.selections.insert(Selection { school: "old".to_owned(), ..selection("b", "t", "p", 1, State::Expired) });
        desk.apply("b", Event::CorrectToSubmitted, &Why::coded("correction")).expect("possible");
        assert_eq!(desk.selections["b"].school, "new");
    }

    #[test]
    fn a_seat_in_a_later_round_ends_the_waiting() {
        let mut desk = desk(&[("p", &[("p1", 0, (0, 1))]), ("q", &[("q1", 1, (5, 6))])]);
        desk.selections.insert(selection("w", "t", "p", 1, State::Waitlisted));
        desk.selections.insert(selection("s", "t", "q", 2, State::SchoolApproved));
        desk.apply("s", Event::Confirm, &Why::default()).expect("free");
        assert_eq!(desk.selections["w"].state, State::Expired);
        assert_eq!(desk.selections["w"].reason, "seat_in_later_round");
    }

    #[test]
    fn a_correction_checks_the_seat() {
        let mut desk = desk(&[("p", &[("p1", 1, (0, 1))])]);
        for name in ["a", "b"] {
            desk.selections.insert(selection(name, name, "p", 1, State::Expired));
        }
        let why = Why { hold: true, ..Why::coded("correction") };
        desk.apply("a", Event::CorrectToApproved, &why).expect("free");
        assert!(desk.selections["a"].approved);
        let before = desk.selections["b"].clone();
        assert_eq!(desk.apply("b", Event::CorrectToSubmitted, &why).map_err(|ground| ground.reason), Err(Reason::Full));
        assert_eq!(desk.selections["b"], before);
    }
}
