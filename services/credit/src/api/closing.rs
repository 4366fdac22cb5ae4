//! A term's training or results are closed: compliance is taken, of every school, district and bureau.

use std::collections::BTreeMap;

use chassis::{
    Failure, StepOutcome,
    db::{Record, Tx},
};
use proto::{
    common::v1::RunStepRequest,
    credit::v1::{Compliance, compliance::State},
};

use super::compliance::report;
use crate::{
    books::Books,
    domain::compliance::Tally,
    rules::{Rules, training_years},
    store::{compliance, organizations, standings, teachers},
};

/// Teachers in one transaction.
const PAGE: usize = 500;
/// Organisations in one transaction: for each page all schools of the region are added up, which takes seconds in a province.
const ORGANIZATIONS: usize = 5_000;

/// One page: first the teachers whose years have to be drawn up anew, then the organisations that have no report yet. What
/// is left to do is read from the database, so that any page can be repeated; the cursor only spares looking again at those
/// before it.
pub async fn take(tx: &mut Tx, step: &RunStepRequest, state: State) -> Result<StepOutcome, Failure> {
    let rules = Rules::on(tx).await?;
    let years = training_years(&*tx.gates()?);
    let today = rules.day(tx.at());
    let mut done = StepOutcome::default();
    let stale = teachers::stale(tx, today.year(), &rules.policy.basis(), today, &step.cursor, PAGE).await?;
    if let Some(last) = stale.last() {
        let books = Books::open(tx, stale.iter().map(String::as_str)).await?;
        books.close(tx, &rules, None).await?;
        done.changed = i32::try_from(stale.len()).unwrap_or(i32::MAX);
        done.more = true;
        done.cursor.clone_from(last);
        return Ok(done);
    }
    for year in years {
        let missing = compliance::missing(tx, &step.term, year, state, ORGANIZATIONS).await?;
        if missing.is_empty() {
            continue;
        }
        let reports = reports(tx, &missing, year, state, &rules).await?;
        compliance::put(tx, &step.term, tx.at(), rules.version, &reports).await?;
        let verb = if state == State::Final { "reported finally" } else { "reported provisionally" };
        for report in &reports {
            tx.record(Record::of(&format!("{}/compliance/{year}", report.organization), verb, report));
        }
        done.changed = i32::try_from(reports.len()).unwrap_or(i32::MAX);
        done.counts.insert(format!("organizations {year}"), done.changed.into());
        done.more = true;
        return Ok(done);
    }
    Ok(done)
}

async fn reports(
    tx: &mut Tx,
    names: &[String],
    year: i16,
    state: State,
    rules: &Rules,
) -> Result<Vec<Compliance>, Failure> {
    let tallies = standings::tallies(tx, year, "", &rules.policy).await?;
    let mut sums: BTreeMap<String, Tally> = BTreeMap::new();
    for (organization, school) in organizations::schools_of(tx, names).await? {
        let sum = sums.entry(organization).or_default();
        *sum = *sum + tallies.get(&school).copied().unwrap_or_default();
    }
    Ok(sums.iter().map(|(organization, tally)| report(organization, year, tally, state, &rules.policy)).collect())
}
