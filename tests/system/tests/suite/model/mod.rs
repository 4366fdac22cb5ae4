//! Random histories against the reference (`system::model`): seats and selections, the credit ledger, and the sequencer, in
//! the real running system over its real calendar. Every operation is sent twice.
//!
//! Without `MODEL_SEED` the history of [`SEED`] is played, which is known to reach everything; `MODEL_SEED=N` plays another,
//! `MODEL_SEED=random` one that nobody has seen.

#![allow(clippy::print_stdout, reason = "what a failing test shows: its seed, and what was tried")]
#![allow(clippy::indexing_slicing, reason = "a test that indexes wrongly fails")]

mod acts;
mod attempt;
mod books;
mod compare;
mod offers;
mod people;
mod results;
mod steps;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use attempt::Went;
use chassis::Env;
use prost::Message;
use proto::{common::v1::Role, enrollment::v1::selection::State};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use shixun::{client::Person, up::setup::reach};
use system::model::{self, Ledger, Model, Open};

use crate::county::{Header, Stage};

const TEACHERS: usize = 40;
/// Operations while a round's selection and review are open.
const SELECTING: usize = 800;
/// Operations while a round's confirmation is open.
const CONFIRMING: usize = 450;
/// Operations on results and on the ledger.
const ENTRIES: usize = 800;
/// Operations between two looks at the whole.
const TOGETHER: usize = 50;
/// The history that is always played. What a history must reach is asserted of this one alone: chance promises it of none.
const SEED: u64 = 4;
/// How often each kind of operation goes at least.
const OFTEN: usize = 10;

/// A teacher as the test knows him.
struct Teacher {
    name: String,
    header: Header,
}

struct Play {
    stage: Stage,
    model: Model,
    ledger: Ledger,
    officer: Person,
    bureau: Header,
    teachers: Vec<Teacher>,
    /// Names of the schools, and who reviews there.
    schools: Vec<(String, Header)>,
    classes: Vec<String>,
    providers: Vec<Header>,
    rng: ChaCha8Rng,
    /// Where the heads of feeds must be, as far as they were looked at.
    heads: BTreeMap<&'static str, i64>,
    acts: usize,
    /// What went and was not repeated yet.
    went: Vec<Went>,
    /// How often each kind of operation went, and was refused.
    counts: BTreeMap<&'static str, (usize, usize)>,
    /// Classes whose results were confirmed, and how often a result was corrected after it.
    trained: usize,
    corrections: usize,
}

fn encode(message: &impl Message) -> Vec<u8> {
    message.encode_to_vec()
}

impl Play {
    async fn set(engine: &str, seed: u64) -> anyhow::Result<Self> {
        let entered = proto::google::r#type::Date { year: 2019, month: 6, day: 1 };
        // All alike in what ranks them, so that leave and the order of submission are the order of need.
        let stage = Stage::set(engine, 60, |county| {
            for person in &mut county.teachers {
                person.teacher.platform_entered_on = Some(entered);
                // Past the year of probation, whose credit is of no cycle.
                person.teacher.employed_on = Some(proto::google::r#type::Date { year: 2018, ..entered });
            }
        });
        let stage = stage.await?;
        let officer = stage.county.staff_with(Role::BureauOfficer).context("no officer")?;
        let officer = Person::login(&stage.channel("gateway")?, &officer.login, &stage.county.password).await?;
        let bureau = stage.person(Role::BureauOfficer)?;
        let header = |account: &str, teacher: &str, role: Role, organization: &str| {
            let token = stage.world.token(account, teacher, &[(role, organization)])?;
            anyhow::Ok(Some(("authorization", format!("Bearer {token}"))))
        };
        let plain = stage.county.teachers.iter().filter(|person| person.roles.is_empty()).take(TEACHERS);
        let names: BTreeSet<&String> = plain.clone().map(|person| &person.teacher.school).collect();
        let (mut model, mut teachers, mut schools) = (Model::default(), Vec::new(), Vec::new());
        for name in &names {
            schools.push(((*name).clone(), header("accounts/reviewer", "", Role::SchoolAdmin, name)?));
        }
        for person in plain {
            let (name, school) = (person.teacher.name.clone(), person.teacher.school.as_str());
            let account = format!("accounts/of-{}", name.replace('/', "-"));
            teachers.push(Teacher { header: header(&account, &name, Role::Teacher, school)?, name });
            let school = names.iter().position(|name| *name == school).context("a school")?;
            model.people.push(model::Person::at(school));
        }
        anyhow::ensure!(teachers.len() == TEACHERS, "only {} teachers are only that", teachers.len());
        anyhow::ensure!(schools.len() > 1, "nobody can go to another school");
        let mut play = Self {
            model,
            ledger: Ledger::default(),
            officer,
            bureau,
            teachers,
            schools,
            classes: Vec::new(),
            providers: Vec::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            heads: BTreeMap::new(),
            acts: 0,
            went: Vec::new(),
            counts: BTreeMap::new(),
            trained: 0,
            corrections: 0,
            stage,
        };
        play.declare().await?;
        Ok(play)
    }

    async fn reach(&mut self, at: &str) -> anyhow::Result<()> {
        let at = at.parse::<jiff::Timestamp>()?;
        reach(&self.stage.world.system, &self.officer, &self.stage.term, at.as_microsecond()).await?;
        self.model.today = at.to_zoned_datetime(self.stage.folder.zone.clone()).date();
        self.heads.clear();
        Ok(())
    }

    /// States in which selections are now.
    fn states(&self) -> BTreeSet<State> {
        self.model.rows.iter().map(|row| row.state).collect()
    }

    /// Panics unless each kind of operation and each state was reached.
    fn covered(&self, reached: &BTreeSet<State>) {
        assert!(self.acts >= 2 * (SELECTING + CONFIRMING) + ENTRIES, "only {} acts", self.acts);
        for (kind, (went, _)) in &self.counts {
            assert!(*went >= OFTEN, "{kind} went only {went} times");
        }
        assert_eq!(self.counts.len(), 22, "{:?}", self.counts.keys());
        for state in [State::Withdrawn, State::Expired, State::Cancelled, State::Credited] {
            assert!(reached.contains(&state), "no history leads to {state:?}");
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    /// Any of so many.
    fn any(&mut self, of: usize) -> usize {
        self.rng.random_range(0..of)
    }

    async fn window(&mut self, at: &str, open: Open, acts: usize) -> anyhow::Result<()> {
        self.reach(at).await?;
        self.compare().await.with_context(|| format!("when {open:?} opened"))?;
        let last = self.acts + acts;
        while self.acts < last {
            let next = last.min(self.acts + TOGETHER);
            while self.acts < next {
                self.act(open).await?;
            }
            self.repeat().await?;
            self.compare().await.with_context(|| format!("after {} acts", self.acts))?;
        }
        Ok(())
    }
}

async fn play(engine: &str, seed: u64) -> anyhow::Result<()> {
    let mut play = Play::set(engine, seed).await?;
    play.model.open_round(1);
    play.window("2019-09-02T01:00:00Z", Open::Selecting(1), SELECTING).await?;
    play.model.expire(1);
    // Noted on the way: the bureau may bring back all that has expired.
    let mut reached = play.states();
    play.window("2019-09-13T01:00:00Z", Open::Confirming(1), CONFIRMING).await?;
    play.model.settle(1);
    play.model.open_round(2);
    play.window("2019-09-15T01:00:00Z", Open::Selecting(2), SELECTING).await?;
    play.model.expire(2);
    reached.extend(play.states());
    play.window("2019-09-19T01:00:00Z", Open::Confirming(2), CONFIRMING).await?;
    play.model.settle(2);
    play.model.freeze();
    play.reach("2019-09-23T01:00:00Z").await?;
    play.compare().await.context("when all was settled")?;
    play.repeat_steps().await?;

    play.reach("2019-10-20T01:00:00Z").await?;
    play.train().await?;
    play.keep_books().await?;
    play.steps().await?;

    println!("{engine}, seed {seed}: {} acts: went, refused: {:?}", play.acts, play.counts);
    reached.extend(play.states());
    if seed == SEED {
        play.covered(&reached);
    }
    play.stage.world.verify().await
}

async fn history(engine: &str) -> anyhow::Result<()> {
    let seed = match std::env::var("MODEL_SEED").ok().as_deref() {
        None => SEED,
        Some("random") => u64::from(u32::from_le_bytes(Env::system().random()?)),
        Some(seed) => seed.parse().context("MODEL_SEED")?,
    };
    println!("{engine}: MODEL_SEED={seed}");
    play(engine, seed).await.with_context(|| format!("MODEL_SEED={seed} plays it again"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_does_as_the_model_says_on_sqlite() -> anyhow::Result<()> {
    history("sqlite").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_does_as_the_model_says_on_postgres() -> anyhow::Result<()> {
    history("postgres").await
}
