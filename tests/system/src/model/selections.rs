//! Seats and selections, from submission to the place, and who may select.

use std::collections::BTreeSet;

use jiff::civil::Date;
use proto::{common::v1::Reason, enrollment::v1::selection::State};

use super::{Against, Event, Person, one};

/// A project as far as seats go.
#[derive(Debug, Clone)]
pub struct Offer {
    /// "terms/…/projects/…"
    pub name: String,
    /// The one day on which its class meets.
    pub day: Date,
    /// Places of its one class.
    pub places: i32,
    /// It is intensive: one a round.
    pub intensive: bool,
    /// By round, from 1: a seat is held at submission.
    pub first_come: [bool; 2],
}

/// A selection.
#[derive(Debug, Clone)]
pub struct Row {
    /// "terms/…/selections/…"
    pub name: String,
    /// Who.
    pub teacher: usize,
    /// What.
    pub project: usize,
    /// When.
    pub round: i32,
    /// Where it stands.
    pub state: State,
    /// Index of the school that reviews it.
    pub school: usize,
    /// When it was submitted.
    pub at: i64,
    approved: bool,
    held: bool,
    place: u32,
}

/// What is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// Selection and school review of a round.
    Selecting(i32),
    /// Provider confirmation of a round.
    Confirming(i32),
}

/// Who does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The teacher himself.
    Teacher,
    /// Somebody of a school, by its index.
    School(usize),
    /// The bureau.
    Bureau,
}

/// Seats and selections.
#[derive(Debug, Default)]
pub struct Model {
    /// The projects.
    pub offers: Vec<Offer>,
    /// The teachers.
    pub people: Vec<Person>,
    /// All selections, in the order of submission.
    pub rows: Vec<Row>,
    /// Today.
    pub today: Date,
    /// Whom the bureau lets into round 2.
    overridden: BTreeSet<usize>,
    /// Days of leave by teacher, as they were when each round opened: all else is equal, so who has had fewest, and then who
    /// submitted first, needs it most.
    need: [Vec<i64>; 2],
    settled: BTreeSet<i32>,
    places: u32,
}

/// On its way.
#[must_use]
pub fn lives(state: State) -> bool {
    matches!(state, State::Submitted | State::SchoolApproved | State::Confirmed | State::Waitlisted)
}

impl Model {
    /// Held and granted places of a project.
    #[must_use]
    pub fn taken(&self, project: usize) -> (i32, i32) {
        let count = |test: &dyn Fn(&Row) -> bool| {
            self.rows.iter().filter(|row| row.project == project && test(row)).fold(0, |count, _| count + 1)
        };
        // Who has trained keeps the place.
        let placed = [State::Confirmed, State::Passed, State::Failed, State::Credited];
        (count(&|row| row.held), count(&|row| placed.contains(&row.state)))
    }

    fn free(&self, project: usize) -> i32 {
        let (held, granted) = self.taken(project);
        self.offers[project].places - held - granted
    }

    fn first_come(&self, row: usize) -> bool {
        let row = &self.rows[row];
        self.offers[row.project].first_come[usize::from(row.round == 2)]
    }

    /// What is against a submission.
    #[must_use]
    pub fn against(&self, teacher: usize, project: usize, open: Open) -> Against {
        let Open::Selecting(round) = open else { return one(Reason::WindowClosed) };
        let own = || self.rows.iter().filter(move |row| row.teacher == teacher);
        let live = || own().filter(|row| lives(row.state));
        let of_round = || live().filter(move |row| row.round == round);
        let intensive = |project: usize| self.offers[project].intensive;
        let first = || own().filter(|row| row.round == 1 && row.state != State::Withdrawn);
        let mut against = Against::new();
        let mut unless = |fine: bool, reason: Reason| {
            if !fine {
                against.insert(reason);
            }
        };
        let person = &self.people[teacher];
        unless(person.gone.is_none() && !person.is_away(self.today), Reason::TeacherNotActive);
        let day = self.offers[project].day;
        unless(person.gone.is_some() || !person.is_gone(day), Reason::LeavesBefore);
        unless(person.is_gone(day) || !person.is_away(day), Reason::OnLeave);
        if round == 2 && !self.overridden.contains(&teacher) {
            let rejected = first().any(|row| row.state == State::SchoolRejected);
            unless(first().next().is_some(), Reason::Round2NotSelected);
            unless(!rejected || first().any(|row| row.approved), Reason::Round2Rejected);
        }
        unless(!live().any(|row| row.project == project), Reason::AlreadySelected);
        unless(of_round().count() < 3, Reason::SelectionLimit);
        unless(!intensive(project) || !of_round().any(|row| intensive(row.project)), Reason::IntensiveLimit);
        let held = self.offers[project].first_come[usize::from(round == 2)];
        unless(!held || self.free(project) > 0, Reason::Full);
        against
    }

    /// A submission that went.
    pub fn submit(&mut self, name: String, at: i64, teacher: usize, project: usize, round: i32) {
        let (state, school) = (State::Submitted, self.people[teacher].school);
        self.rows.push(Row {
            name,
            teacher,
            project,
            round,
            state,
            school,
            at,
            approved: false,
            held: false,
            place: 0,
        });
        let row = self.rows.len() - 1;
        self.rows[row].held = self.first_come(row);
    }

    /// A round opens: what ranks its selections is fixed.
    pub fn open_round(&mut self, round: i32) {
        self.need[usize::from(round == 2)] = self.people.iter().map(Person::days_away).collect();
    }

    /// The bureau lets somebody into round 2.
    pub fn let_in(&mut self, teacher: usize) {
        self.overridden.insert(teacher);
    }

    /// It is over, or waits: what it had is free again.
    fn free_up(&mut self, row: usize, state: State) {
        self.rows[row].state = state;
        self.rows[row].held = false;
        self.rows[row].place = 0;
    }

    /// The same, and what is free goes to those who wait.
    fn end(&mut self, row: usize, state: State) {
        self.free_up(row, state);
        self.promote(self.rows[row].project);
    }

    fn confirm(&mut self, row: usize) {
        let (teacher, round) = (self.rows[row].teacher, self.rows[row].round);
        self.rows[row].state = State::Confirmed;
        self.rows[row].held = false;
        self.rows[row].place = 0;
        // A seat in a later round ends the waiting.
        for other in &mut self.rows {
            if other.teacher == teacher && other.round < round && other.state == State::Waitlisted {
                other.state = State::Expired;
                other.place = 0;
            }
        }
    }

    fn promote(&mut self, project: usize) {
        while self.free(project) > 0 {
            let waits = |row: &&usize| self.rows[**row].state == State::Waitlisted && self.rows[**row].place > 0;
            let of_project: Vec<usize> =
                (0..self.rows.len()).filter(|row| self.rows[*row].project == project).collect();
            let next =
                of_project.iter().filter(waits).min_by_key(|row| (self.rows[**row].round, self.rows[**row].place));
            let Some(row) = next.copied() else { return };
            self.confirm(row);
        }
    }

    /// Taken back: by the teacher while his round is open, by his school after it too, by the bureau at any time.
    pub fn withdraw(&mut self, row: usize, by: By, open: Open) -> Against {
        match by {
            By::Teacher if open != Open::Selecting(self.rows[row].round) => return one(Reason::WindowClosed),
            By::School(school) if school != self.rows[row].school => return one(Reason::OutOfScope),
            _ => {}
        }
        if !lives(self.rows[row].state) {
            return one(Reason::StateConflict);
        }
        self.end(row, State::Withdrawn);
        Against::new()
    }

    /// What is against reviewing a selection at all.
    fn against_review(&self, row: usize, school: usize, open: Open) -> Option<Reason> {
        match open {
            Open::Confirming(_) => Some(Reason::WindowClosed),
            Open::Selecting(_) if school != self.rows[row].school => Some(Reason::OutOfScope),
            Open::Selecting(round) => (round != self.rows[row].round).then_some(Reason::WindowClosed),
        }
    }

    /// A school's review.
    pub fn review(&mut self, row: usize, school: usize, approved: bool, open: Open) -> Against {
        if let Some(reason) = self.against_review(row, school, open) {
            return one(reason);
        }
        if self.rows[row].state != State::Submitted {
            return one(Reason::StateConflict);
        }
        if approved {
            self.rows[row].state = State::SchoolApproved;
            self.rows[row].approved = true;
        } else {
            self.end(row, State::SchoolRejected);
        }
        Against::new()
    }

    /// Brought back to life: a seat is kept for it, if it needs one now.
    fn revive(&mut self, row: usize, from: &[State], to: State, hold: bool, over: Option<Reason>) -> Against {
        let Row { teacher, project, state, held, .. } = self.rows[row].clone();
        let again = |other: &Row| other.teacher == teacher && other.project == project && lives(other.state);
        if (0..self.rows.len()).any(|other| other != row && again(&self.rows[other])) {
            return one(Reason::AlreadySelected);
        }
        if !from.contains(&state) {
            return one(Reason::StateConflict);
        }
        if let Some(over) = over {
            return one(over);
        }
        let person = &self.people[teacher];
        if person.gone.is_some() {
            return one(Reason::TeacherNotActive);
        }
        if person.is_gone(self.offers[project].day) {
            return one(Reason::LeavesBefore);
        }
        if person.is_away(self.offers[project].day) {
            return one(Reason::OnLeave);
        }
        if hold && !held && self.free(project) < 1 {
            return one(Reason::Full);
        }
        self.rows[row].held = held || hold;
        self.rows[row].state = to;
        self.rows[row].approved = to == State::SchoolApproved;
        if to == State::Submitted {
            self.rows[row].school = self.people[teacher].school;
        }
        Against::new()
    }

    /// A school takes its review back.
    pub fn reopen(&mut self, row: usize, school: usize, open: Open) -> Against {
        if let Some(reason) = self.against_review(row, school, open) {
            return one(reason);
        }
        let hold = self.first_come(row);
        self.revive(row, &[State::SchoolApproved, State::SchoolRejected], State::Submitted, hold, None)
    }

    /// The bureau puts it right: to be reviewed again only while there is a review to come. Once its confirmation is settled,
    /// only a seat that is kept can become a place.
    pub fn correct(&mut self, row: usize, to: State, open: Open) -> Against {
        let round = self.rows[row].round;
        let hold = self.first_come(row) || self.settled.contains(&round);
        let over = to == State::Submitted && !matches!(open, Open::Selecting(open) if open <= round);
        let over = over.then_some(Reason::ReviewOver);
        self.revive(row, &[State::Expired, State::SchoolRejected, State::Declined], to, hold, over)
    }

    /// The provider's decision, with a reason.
    pub fn decide(&mut self, row: usize, to: State, open: Open) -> Against {
        let Row { project, round, state, held, .. } = self.rows[row].clone();
        if !matches!(open, Open::Confirming(open) if open >= round) {
            return one(Reason::WindowClosed);
        }
        let undecided = state == State::SchoolApproved || (state == State::Waitlisted && to != State::Waitlisted);
        if !undecided {
            return one(Reason::StateConflict);
        }
        if to != State::Confirmed {
            self.end(row, to);
        } else if held || self.free(project) > 0 {
            self.confirm(row);
            self.promote(project);
        } else {
            return one(Reason::Full);
        }
        Against::new()
    }

    /// Something happens to a teacher: if he is gone, or away, when a class meets, his selection of it falls; what waits for
    /// review goes with him.
    pub fn happens(&mut self, teacher: usize, event: Event) -> Against {
        if !self.people[teacher].take(event, self.today) {
            return one(Reason::StateConflict);
        }
        let person = self.people[teacher].clone();
        let mut freed = BTreeSet::new();
        for row in 0..self.rows.len() {
            let Row { teacher: of, project, state, .. } = self.rows[row];
            if of != teacher || !lives(state) {
                continue;
            }
            if person.is_gone(self.offers[project].day) || person.is_away(self.offers[project].day) {
                self.free_up(row, State::Cancelled);
                freed.insert((self.offers[project].name.clone(), project));
            } else if state == State::Submitted {
                self.rows[row].school = person.school;
            }
        }
        for (_, project) in freed {
            self.promote(project);
        }
        Against::new()
    }

    /// School review closes: what was not reviewed expires.
    pub fn expire(&mut self, round: i32) {
        for row in 0..self.rows.len() {
            if self.rows[row].round == round && self.rows[row].state == State::Submitted {
                self.end(row, State::Expired);
            }
        }
    }

    /// Confirmation closes: those who wait, who hold a seat, the others in order; the rest wait.
    pub fn settle(&mut self, round: i32) {
        self.settled.insert(round);
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by_key(|row| {
            let Row { teacher, round, at, name, .. } = self.rows[*row].clone();
            (self.need[usize::from(round == 2)][teacher], at, name)
        });
        for project in 0..self.offers.len() {
            self.promote(project);
            let open = |row: &Row| {
                let undecided =
                    row.state == State::SchoolApproved || (row.state == State::Waitlisted && row.place == 0);
                row.project == project && row.round <= round && undecided
            };
            for held in [true, false] {
                for row in &order {
                    if open(&self.rows[*row]) && self.rows[*row].held == held && (held || self.free(project) > 0) {
                        self.confirm(*row);
                    }
                }
            }
            for row in &order {
                if open(&self.rows[*row]) {
                    self.places += 1;
                    self.rows[*row].state = State::Waitlisted;
                    self.rows[*row].place = self.places;
                }
            }
        }
    }

    /// The waiting lists close.
    pub fn freeze(&mut self) {
        for row in self.rows.iter_mut().filter(|row| row.state == State::Waitlisted) {
            row.state = State::Expired;
        }
    }
}
