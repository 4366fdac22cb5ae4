//! Random histories against a reference model: whatever people do in whatever order, on both engines, seats and selections are
//! as a small and obvious model says: never oversold, never twice, nobody past the bar of round 2.

#![allow(clippy::expect_used, clippy::panic, reason = "tests say what they expect by failing")]

mod support;

use std::collections::BTreeMap;

use chassis::db::{Db, Queries as _, args};
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use proto::{common::v1::Action, enrollment::v1::provider_decision::Verdict};
use support::{DAY, Menu, OPENS, World, admin, as_teacher, bureau, databases};

const TEACHERS: [&str; 12] = ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9", "ta", "tb"];
const PROJECTS: [(&str, i32, i64); 5] = [("p0", 1, 30), ("p1", 2, 30), ("p2", 3, 90), ("p3", 6, 120), ("p4", 9, 10)];
const HISTORIES: u32 = 8;
const ACTS: usize = 110;

/// What somebody tries: a teacher with a project, or somebody with one of the selections that live, counted from the first.
#[derive(Debug, Clone, Copy)]
enum Act {
    Submit(usize, usize),
    Withdraw(usize),
    Release(usize),
    Review(usize, bool),
    Decide(usize, Choice),
}

#[derive(Debug, Clone, Copy)]
enum Choice {
    Confirm,
    Decline,
    Waitlist,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Submitted,
    Approved,
    Rejected,
    Confirmed,
    Declined,
    Waiting,
    Withdrawn,
    Expired,
}

impl At {
    fn word(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Approved => "school_approved",
            Self::Rejected => "school_rejected",
            Self::Confirmed => "confirmed",
            Self::Declined => "declined",
            Self::Waiting => "waitlisted",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }

    fn lives(self) -> bool {
        matches!(self, Self::Submitted | Self::Approved | Self::Confirmed | Self::Waiting)
    }
}

/// A selection of the model. Its place in the list is the order of submission, which is the order of need here: all else is
/// equal.
#[derive(Debug, Clone)]
struct Row {
    name: String,
    teacher: usize,
    project: usize,
    round: i32,
    at: At,
    approved: bool,
    held: bool,
    place: u32,
}

/// The reference: a list, and the rules said in the shortest way.
#[derive(Debug, Default)]
struct Model {
    rows: Vec<Row>,
    places: u32,
}

impl Model {
    fn free(&self, project: usize) -> i32 {
        let taken = self.rows.iter().filter(|row| row.project == project && (row.held || row.at == At::Confirmed));
        PROJECTS[project].1 - i32::try_from(taken.count()).expect("few")
    }

    fn live(&self, teacher: usize, project: usize) -> Option<usize> {
        self.rows.iter().position(|row| row.teacher == teacher && row.project == project && row.at.lives())
    }

    /// The `pick`-th of the selections that live, round and round.
    fn pick(&self, pick: usize) -> Option<usize> {
        let live: Vec<usize> = (0..self.rows.len()).filter(|row| self.rows[*row].at.lives()).collect();
        live.get(pick.checked_rem(live.len())?).copied()
    }

    fn barred(&self, teacher: usize) -> bool {
        let first =
            || self.rows.iter().filter(move |row| row.teacher == teacher && row.round == 1 && row.at != At::Withdrawn);
        first().next().is_none() || (!first().any(|row| row.approved) && first().any(|row| row.at == At::Rejected))
    }

    fn may_submit(&self, teacher: usize, project: usize, round: i32) -> bool {
        let of_round =
            || self.rows.iter().filter(move |row| row.teacher == teacher && row.round == round && row.at.lives());
        let intensive = |project: usize| PROJECTS[project].2 >= 90;
        self.live(teacher, project).is_none()
            && of_round().count() < 3
            && !(intensive(project) && of_round().any(|row| intensive(row.project)))
            && (round == 1 || (!self.barred(teacher) && self.free(project) > 0))
    }

    fn submit(&mut self, name: String, teacher: usize, project: usize, round: i32) {
        let held = round == 2;
        self.rows.push(Row { name, teacher, project, round, at: At::Submitted, approved: false, held, place: 0 });
    }

    fn end(&mut self, row: usize, at: At) {
        self.rows[row].at = at;
        self.rows[row].held = false;
        self.rows[row].place = 0;
        self.promote(self.rows[row].project);
    }

    fn confirm(&mut self, row: usize) {
        let (teacher, round) = (self.rows[row].teacher, self.rows[row].round);
        self.rows[row].at = At::Confirmed;
        self.rows[row].held = false;
        self.rows[row].place = 0;
        // A seat in a later round ends the waiting.
        for other in &mut self.rows {
            if other.teacher == teacher && other.round < round && other.at == At::Waiting {
                other.at = At::Expired;
                other.place = 0;
            }
        }
    }

    /// Free places go to those with a place in the list.
    fn promote(&mut self, project: usize) {
        while self.free(project) > 0 {
            let waiting = |row: &(usize, &Row)| row.1.project == project && row.1.at == At::Waiting && row.1.place > 0;
            let next = self.rows.iter().enumerate().filter(waiting).min_by_key(|(_, row)| (row.round, row.place));
            let Some((row, _)) = next else { return };
            self.confirm(row);
        }
    }

    fn settle(&mut self, round: i32) {
        for project in 0..PROJECTS.len() {
            self.promote(project);
            for held in [true, false] {
                for row in 0..self.rows.len() {
                    let one = &self.rows[row];
                    let open = one.at == At::Approved || (one.at == At::Waiting && one.place == 0);
                    if one.project == project && one.round <= round && open && one.held == held {
                        let room = held || self.free(project) > 0;
                        if room {
                            self.confirm(row);
                        }
                    }
                }
            }
            for row in 0..self.rows.len() {
                let one = &mut self.rows[row];
                let open = one.at == At::Approved || (one.at == At::Waiting && one.place == 0);
                if one.project == project && one.round <= round && open {
                    self.places += 1;
                    one.at = At::Waiting;
                    one.place = self.places;
                }
            }
        }
    }

    fn states(&self) -> BTreeMap<String, String> {
        self.rows.iter().map(|row| (row.name.clone(), row.at.word().to_owned())).collect()
    }
}

fn act() -> impl Strategy<Value = Act> {
    let choice = prop_oneof![3 => Just(Choice::Confirm), 1 => Just(Choice::Decline), 2 => Just(Choice::Waitlist)];
    let pick = || 0..1000_usize;
    prop_oneof![
        20 => (0..TEACHERS.len(), 0..PROJECTS.len()).prop_map(|(teacher, project)| Act::Submit(teacher, project)),
        1 => pick().prop_map(Act::Withdraw),
        1 => pick().prop_map(Act::Release),
        12 => (pick(), prop::bool::weighted(0.85)).prop_map(|(one, yes)| Act::Review(one, yes)),
        4 => (pick(), choice).prop_map(|(one, choice)| Act::Decide(one, choice)),
    ]
}

struct History<'a> {
    world: &'a World,
    model: Model,
    clock: i64,
    done: u32,
}

impl History<'_> {
    /// Tries one act while a round is open; the system and the model must agree whether it goes, and then how things stand.
    async fn play(&mut self, act: Act, round: i32, selecting: bool) {
        self.clock += 1;
        let at = self.clock;
        match act {
            Act::Submit(teacher, project) => {
                let outcome = self.world.submit(TEACHERS[teacher], PROJECTS[project].0, at).await;
                let may = selecting && self.model.may_submit(teacher, project, round);
                assert_eq!(outcome.is_ok(), may, "{act:?} in round {round}: {outcome:?}");
                if let Ok(selection) = outcome {
                    self.model.submit(selection.name, teacher, project, round);
                }
            }
            Act::Withdraw(pick) => {
                let Some(row) = self.model.pick(pick) else { return };
                let name = self.model.rows[row].name.clone();
                let outcome = self.world.withdraw(&as_teacher(TEACHERS[self.model.rows[row].teacher]), &name, at).await;
                let may = selecting && self.model.rows[row].round == round;
                assert_eq!(outcome.is_ok(), may, "{act:?} in round {round}: {outcome:?}");
                if may {
                    self.model.end(row, At::Withdrawn);
                }
            }
            Act::Release(pick) => {
                let Some(row) = self.model.pick(pick) else { return };
                let name = self.model.rows[row].name.clone();
                self.world.withdraw(&bureau(), &name, at).await.expect("the bureau withdraws at any time");
                self.model.end(row, At::Withdrawn);
            }
            Act::Review(pick, yes) => {
                let Some(row) = self.model.pick(pick) else { return };
                let name = self.model.rows[row].name.clone();
                let outcome = self.world.review(&admin(), &[(&name, yes, "理由")], at).await;
                let may = selecting && self.model.rows[row].at == At::Submitted && self.model.rows[row].round == round;
                assert_eq!(outcome.is_ok(), may, "{act:?} in round {round}: {outcome:?}");
                if may && yes {
                    self.model.rows[row].at = At::Approved;
                    self.model.rows[row].approved = true;
                } else if may {
                    self.model.end(row, At::Rejected);
                }
            }
            Act::Decide(pick, choice) => {
                let Some(row) = self.model.pick(pick) else { return };
                let one = self.model.rows[row].clone();
                let (project, free) = (one.project, self.model.free(one.project));
                let verdict = match choice {
                    Choice::Confirm => Verdict::Confirm,
                    Choice::Decline => Verdict::Decline,
                    Choice::Waitlist => Verdict::Waitlist,
                };
                let outcome = self.world.decide(PROJECTS[project].0, &[(&one.name, verdict, "理由")], at).await;
                let may = !selecting
                    && match choice {
                        Choice::Confirm => matches!(one.at, At::Approved | At::Waiting) && (one.held || free > 0),
                        Choice::Decline => matches!(one.at, At::Approved | At::Waiting),
                        Choice::Waitlist => one.at == At::Approved,
                    };
                assert_eq!(outcome.is_ok(), may, "{act:?} in round {round}: {outcome:?}");
                match (may, choice) {
                    (false, _) => return,
                    (_, Choice::Confirm) => self.model.confirm(row),
                    (_, Choice::Decline) => self.model.end(row, At::Declined),
                    (_, Choice::Waitlist) => self.model.end(row, At::Waiting),
                }
                self.model.promote(project);
            }
        }
        self.done += 1;
    }

    async fn compare(&self) {
        let mut reader = self.world.db.reader();
        let rows = reader
            .all("SELECT name, state FROM selection WHERE term = $1 ORDER BY name", args![&self.world.term])
            .await
            .expect("selections");
        let found: BTreeMap<String, String> =
            rows.iter().map(|row| (row.get("name").expect("a name"), row.get("state").expect("a state"))).collect();
        assert_eq!(found, self.model.states());
        let seats = self.world.seats().await;
        for (index, (id, _, _)) in PROJECTS.iter().enumerate() {
            let seats = &seats[&self.world.project(id)];
            assert_eq!(seats.capacity - seats.held - seats.granted, self.model.free(index), "{id}");
        }
        self.world.check_seats().await;
    }
}

async fn history(db: &Db, term: &str, acts: &[Act]) -> u32 {
    let menu = PROJECTS.iter().zip(0..).map(|((id, places, credits), index)| Menu {
        id,
        places: *places,
        credits: *credits,
        day: 40 + 10 * index,
        sessions: 2,
    });
    let menu: Vec<Menu> = menu.collect();
    let world = World::new(db, term, &TEACHERS, &menu).await;
    let mut history = History { world: &world, model: Model::default(), clock: 0, done: 0 };
    let quarter = acts.len() / 4;
    for (index, (from, round, selecting)) in
        [(7, 1, true), (18, 1, false), (21, 2, true), (24, 2, false)].iter().enumerate()
    {
        history.clock = OPENS + from * DAY;
        for act in acts.iter().skip(index * quarter).take(quarter) {
            history.play(*act, *round, *selecting).await;
            if history.done.is_multiple_of(16) {
                history.compare().await;
            }
        }
        match (*round, *selecting) {
            (round, true) => {
                let window = format!("school-review-{round}");
                world.step(Action::ExpireUnreviewed, &window, if round == 1 { 15 } else { 24 }).await;
                for row in 0..history.model.rows.len() {
                    let one = &history.model.rows[row];
                    if one.at == At::Submitted && one.round == round {
                        history.model.end(row, At::Expired);
                    }
                }
            }
            (round, false) => {
                let window = format!("provider-confirmation-{round}");
                world.step(Action::SettleConfirmation, &window, if round == 1 { 19 } else { 28 }).await;
                history.model.settle(round);
            }
        }
        history.compare().await;
    }
    history.done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_does_as_the_model_says() {
    for (engine, database) in databases().await.iter().enumerate() {
        let seed = [42; 32];
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let strategy = proptest::collection::vec(act(), ACTS * 4);
        let mut done = 0;
        for index in 0..HISTORIES {
            let acts = strategy.new_tree(&mut runner).expect("acts").current();
            done += history(&database.db, &format!("terms/history-{engine}-{index}"), &acts).await;
        }
        assert!(done > 1000, "only {done} acts were tried");
    }
}
