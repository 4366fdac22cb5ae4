//! From enrollment: approvals, results, and which classes' are confirmed. Credit enters nothing by itself: the sequencer's step does.

use std::collections::BTreeMap;

use chassis::{Failure, Mirror, changes::decode, db::Tx};
use proto::{
    Credit,
    common::v1::Change,
    enrollment::v1::{ClassResults, ResultFacts, Selection, selection::State},
};

use crate::{
    domain::recognition::{Earned, award},
    store::{
        approvals,
        results::{self, Told},
    },
    wire,
};

/// Mirrors results.
#[derive(Debug)]
pub struct EnrollmentMirror;

#[tonic::async_trait]
impl Mirror for EnrollmentMirror {
    fn source(&self) -> &'static str {
        "enrollment"
    }

    async fn apply(&self, tx: &mut Tx, change: &Change) -> Result<(), Failure> {
        self.apply_all(tx, std::slice::from_ref(change)).await
    }

    async fn apply_all(&self, tx: &mut Tx, changes: &[Change]) -> Result<(), Failure> {
        let mut told = BTreeMap::new();
        let mut confirmed = BTreeMap::new();
        let mut selections = BTreeMap::new();
        for change in changes {
            if let Some(facts) = decode::<ResultFacts>(change)? {
                told.insert(facts.selection.clone(), read(facts));
            } else if let Some(class) = decode::<ClassResults>(change)? {
                confirmed.insert(class.class.clone(), class);
            } else if let Some(selection) = decode::<Selection>(change)? {
                selections.insert(selection.name.clone(), selection);
            }
        }
        approvals::put(tx, &selections.into_values().collect::<Vec<_>>()).await?;
        if !told.is_empty() {
            let told: Vec<_> = told.into_values().collect();
            results::put(tx, &told).await?;
        }
        for class in confirmed.values() {
            results::confirm(tx, class).await?;
        }
        Ok(())
    }
}

/// What a result earns: nothing without a pass, nor without the day that decides year and cycle.
fn read(facts: ResultFacts) -> Told {
    let passed = matches!(facts.state(), State::Passed | State::Credited);
    let base = Credit::from(facts.base_credit.unwrap_or_default());
    let earned = wire::day(facts.effective_on).filter(|_| passed).map(|effective_on| Earned {
        base,
        awarded: award(base, facts.difficulty_percent.into(), facts.coefficient_percent.into()),
        effective_on,
    });
    Told { selection: facts.selection, teacher: facts.teacher, project: facts.project, class: facts.class, earned }
}
