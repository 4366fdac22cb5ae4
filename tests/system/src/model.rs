//! The reference: lists, and the rules said in the shortest way. Not a line of it is shared with the services.

use std::collections::BTreeSet;

use proto::{common::v1::Reason, enrollment::v1::selection::State};

/// A project as far as seats go.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
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
    /// The order in which it was submitted; all else is equal, so it is the order of need.
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

/// Why not: every reason at once; nothing: it goes.
pub type Against = BTreeSet<Reason>;

/// Seats and selections.
#[derive(Debug, Default)]
pub struct Model {
    /// The projects.
    pub offers: Vec<Offer>,
    /// All selections, in the order of submission.
    pub rows: Vec<Row>,
    /// Who has left.
    pub gone: BTreeSet<usize>,
    settled: BTreeSet<i32>,
    places: u32,
}

/// On its way.
#[must_use]
pub fn lives(state: State) -> bool {
    matches!(state, State::Submitted | State::SchoolApproved | State::Confirmed | State::Waitlisted)
}

fn one(reason: Reason) -> Against {
    Against::from([reason])
}

impl Model {
    /// Held and granted places of a project.
    #[must_use]
    pub fn taken(&self, project: usize) -> (i32, i32) {
        let count = |test: &dyn Fn(&Row) -> bool| {
            self.rows.iter().filter(|row| row.project == project && test(row)).fold(0, |count, _| count + 1)
        };
        (count(&|row| row.held), count(&|row| row.state == State::Confirmed))
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
        unless(!self.gone.contains(&teacher), Reason::TeacherNotActive);
        if round == 2 {
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
        let state = State::Submitted;
        self.rows.push(Row { name, teacher, project, round, state, at, approved: false, held: false, place: 0 });
        let row = self.rows.len() - 1;
        self.rows[row].held = self.first_come(row);
    }

    /// It is over, or waits: what it had is free again, and goes to those who wait.
    fn end(&mut self, row: usize, state: State) {
        self.rows[row].state = state;
        self.rows[row].held = false;
        self.rows[row].place = 0;
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

    /// Taken back: by the teacher while his round is open, by the bureau at any time.
    pub fn withdraw(&mut self, row: usize, bureau: bool, open: Open) -> Against {
        if !bureau && open != Open::Selecting(self.rows[row].round) {
            return one(Reason::WindowClosed);
        }
        if !lives(self.rows[row].state) {
            return one(Reason::StateConflict);
        }
        self.end(row, State::Withdrawn);
        Against::new()
    }

    /// The school's review.
    pub fn review(&mut self, row: usize, approved: bool, open: Open) -> Against {
        if open != Open::Selecting(self.rows[row].round) {
            return one(Reason::WindowClosed);
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
        if hold && !held && self.free(project) < 1 {
            return one(Reason::Full);
        }
        self.rows[row].held = held || hold;
        self.rows[row].state = to;
        self.rows[row].approved = to == State::SchoolApproved;
        Against::new()
    }

    /// The school takes its review back.
    pub fn reopen(&mut self, row: usize, open: Open) -> Against {
        if open != Open::Selecting(self.rows[row].round) {
            return one(Reason::WindowClosed);
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

    /// A teacher leaves: his live selections fall.
    pub fn leave(&mut self, teacher: usize) {
        self.gone.insert(teacher);
        for row in 0..self.rows.len() {
            if self.rows[row].teacher == teacher && lives(self.rows[row].state) {
                self.end(row, State::Cancelled);
            }
        }
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
        order.sort_by_key(|row| (self.rows[*row].at, self.rows[*row].name.clone()));
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
