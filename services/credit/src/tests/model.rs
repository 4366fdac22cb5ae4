//! A reference ledger, small and obvious, beside the real one on random histories.

use std::collections::BTreeMap;

use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::*;
use crate::store::standings;

#[derive(Debug, Clone)]
enum Operation {
    SchoolBased { teacher: u32, amount: i64, source: u8 },
    Balance { teacher: u32, credits: i64, year: i16 },
    Reverse { index: prop::sample::Index },
    Result { selection: u32, coefficient: Option<i32> },
    Recognise,
    Move { teacher: u32, school: bool, day: u8 },
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        (1_u32..4, 1_i64..6_000, 0_u8..6).prop_map(|(teacher, amount, source)| Operation::SchoolBased {
            teacher,
            amount,
            source
        }),
        (1_u32..4, 1_i64..120, 2018_i16..2020).prop_map(|(teacher, credits, year)| Operation::Balance {
            teacher,
            credits,
            year
        }),
        any::<prop::sample::Index>().prop_map(|index| Operation::Reverse { index }),
        (0_u32..9, prop::option::of(50_i32..110))
            .prop_map(|(selection, coefficient)| Operation::Result { selection, coefficient }),
        Just(Operation::Recognise),
        (1_u32..4, any::<bool>(), 1_u8..29).prop_map(|(teacher, school, day)| Operation::Move { teacher, school, day }),
    ]
}

/// What the ledger must say: live amounts by name, and what each source holds.
#[derive(Default)]
struct Model {
    /// name → (teacher, amount, whether school-based, what it is of)
    live: BTreeMap<String, (u32, i64, bool, String)>,
    reversed: Vec<String>,
    /// selection → (coefficient as last told; whether it is news to recognition)
    results: BTreeMap<u32, (Option<i32>, bool)>,
}

impl Model {
    fn holds(&self, teacher: u32, of: &str) -> bool {
        self.live.values().any(|(t, _, _, o)| *t == teacher && o == of)
    }

    fn total(&self, teacher: u32) -> i64 {
        let sum = |school_based: bool| -> i64 {
            let live = self.live.values().filter(|(t, _, s, _)| *t == teacher && *s == school_based);
            live.map(|(_, amount, _, _)| amount).sum()
        };
        sum(false) + sum(true).min(12_000)
    }
}

#[tokio::test]
async fn random_histories_agree_with_the_reference_ledger() {
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]));
    for round in 0..4 {
        let history = prop::collection::vec(operation(), 60).new_tree(&mut runner).unwrap().current();
        for county in counties().await {
            play(&county, &history).await;
            agree_with_books(&county).await;
        }
        assert!(round < 4);
    }
}

async fn play(county: &County, history: &[Operation]) {
    // In one cycle, so that the model needs none: all entered in 2018.
    for number in 1..4 {
        let facts = teacher(number, SCHOOL_1, "2018-01-01", "novice");
        county.told(&RosterMirror, &[change("2019-06-18", &facts)]).await;
    }
    let mut model = Model::default();
    for operation in history {
        match operation {
            Operation::SchoolBased { teacher, amount, source } => {
                let source = format!("plan {source}");
                let entered = county.school_based(&officer(), *teacher, *amount, "2019-05-05", &source).await;
                if model.holds(*teacher, &source) {
                    assert_eq!(reason(entered), Reason::AlreadyExists);
                } else {
                    model.live.insert(entered.unwrap().name, (*teacher, *amount, true, source));
                }
            }
            Operation::Balance { teacher, credits, year } => {
                let on = format!("{year}-02-02");
                let entered = county.open(&officer(), county.balance(*teacher, *credits, &on)).await;
                if model.holds(*teacher, &on) {
                    assert_eq!(reason(entered), Reason::AlreadyExists);
                } else {
                    model.live.insert(entered.unwrap().name, (*teacher, credits * 100, false, on));
                }
            }
            Operation::Reverse { index } => {
                let names: Vec<_> = model.live.keys().chain(&model.reversed).cloned().collect();
                if names.is_empty() {
                    continue;
                }
                let name = index.get(&names);
                let undone = county.reverse(&officer(), "2020-01-12", name).await;
                match model.live.remove(name) {
                    Some(_) => {
                        undone.unwrap();
                        model.reversed.push(name.clone());
                    }
                    None => assert_eq!(reason(undone), Reason::AlreadyReversed),
                }
            }
            Operation::Result { selection, coefficient } => {
                let state = if coefficient.is_some() { State::Passed } else { State::Failed };
                let facts = ResultFacts {
                    coefficient_percent: coefficient.unwrap_or_default(),
                    ..result(*selection, selection % 3 + 1, 1, 100, state)
                };
                let changes = [change("2019-12-01", &facts), change("2019-12-01", &confirmed(CLASS, 1))];
                county.told(&EnrollmentMirror, &changes).await;
                let known = model.results.entry(*selection).or_insert((None, false));
                if known.0 != *coefficient {
                    *known = (*coefficient, true);
                }
            }
            Operation::Recognise => {
                if model.results.is_empty() {
                    continue;
                }
                county.step(Action::RecognizeResults, CLASS, "2019-12-02").await;
                recognise(county, &mut model).await;
            }
            Operation::Move { teacher: number, school, day } => {
                let school = if *school { SCHOOL_1 } else { SCHOOL_2 };
                let facts = teacher(*number, school, "2018-01-01", "novice");
                county.told(&RosterMirror, &[change(&format!("2019-07-{day:02}"), &facts)]).await;
            }
        }
        for number in 1..4 {
            let statement = county.statement_on(number, "2020-12-31").await;
            assert_eq!(hundredths(&statement.cycle_awarded), model.total(number), "after {operation:?}");
            let sum: i64 = statement.entries.iter().map(|entry| hundredths(&entry.awarded)).sum();
            let live: i64 =
                model.live.values().filter(|(t, _, _, _)| *t == number).map(|(_, amount, _, _)| amount).sum();
            assert_eq!(sum, live, "the entries' sum, reversals included");
        }
    }
}

/// What recognition must have done: news becomes the one live entry of its selection; what is no news stays.
async fn recognise(county: &County, model: &mut Model) {
    for (selection, (coefficient, news)) in &mut model.results {
        let teacher = selection % 3 + 1;
        let of = format!("{TERM}/selections/{selection:05}");
        if !std::mem::take(news) {
            continue;
        }
        let live = model.live.iter().find(|(_, (_, _, _, o))| *o == of).map(|(name, entry)| (name.clone(), entry.1));
        let amount = coefficient.map(|coefficient| i64::from(coefficient) * 100);
        if live.as_ref().map(|(_, amount)| *amount) == amount {
            continue;
        }
        if let Some((name, _)) = live {
            model.live.remove(&name);
            model.reversed.push(name);
        }
        if let Some(amount) = amount {
            let entries = county.statement_on(teacher, "2020-12-31").await.entries;
            let live: Vec<_> = entries
                .iter()
                .filter(|entry| entry.source == of && entry.reverses.is_empty() && entry.reversed_by.is_empty())
                .collect();
            assert_eq!(live.len(), 1, "{of} is credited once");
            model.live.insert(live[0].name.clone(), (teacher, amount, false, of));
        }
    }
}

/// The stored years are those that would be drawn up from the ledger now.
async fn agree_with_books(county: &County) {
    let mut reader = county.db().reader();
    let rules =
        crate::rules::Rules::of(Err::<std::sync::Arc<chassis::gates::TermGates>, _>(Failure::new(Reason::TermUnknown)))
            .unwrap();
    let stored = standings::tallies(&mut reader, 2019, "", &rules.policy).await.unwrap();
    let mut tx = county.db().begin_own(at("2019-12-02"), "test").await.unwrap();
    let books = crate::books::Books::open(&mut tx, ["teachers/1", "teachers/2", "teachers/3"]).await.unwrap();
    books.close(&mut tx, &rules, None).await.unwrap();
    tx.finish().await.unwrap();
    assert_eq!(standings::tallies(&mut reader, 2019, "", &rules.policy).await.unwrap(), stored);
    let checked = chassis::changes::verify(county.db(), &[]).await.unwrap();
    assert!(checked.fault.is_none());
}
