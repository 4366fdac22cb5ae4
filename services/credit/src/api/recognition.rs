//! A class's results are confirmed: passed results become credit, once each; corrected ones are put right.

use std::collections::BTreeMap;

use chassis::{
    Failure, StepOutcome,
    db::{Rows, Tx},
};
use proto::common::v1::RunStepRequest;

use super::ledger::fresh_name;
use crate::{
    books::{Book, Books},
    domain::{
        entry::{Entry, Kind},
        matching::matches,
        recognition::{Act, Earned, Outcome, decide, is_intensive, practice},
    },
    rules::Rules,
    store::{
        projects::{self, Project},
        results,
    },
};

/// Results in one transaction.
const PAGE: usize = 500;

/// Recognises one page of a class.
pub async fn recognize(tx: &mut Tx, step: &RunStepRequest) -> Result<StepOutcome, Failure> {
    let class = &step.subject;
    if !results::is_confirmed(tx, class).await? {
        return Err(Failure::not_found(class));
    }
    let rules = Rules::on(tx).await?;
    let offset = usize::try_from(step.page).unwrap_or(0).saturating_mul(PAGE);
    let mut outcomes = results::of_class(tx, class, PAGE + 1, offset).await?;
    let more = outcomes.len() > PAGE;
    outcomes.truncate(PAGE);
    let mut books = Books::open(tx, outcomes.iter().map(|outcome| outcome.teacher.as_str())).await?;
    let projects = projects::load(tx, &Rows::texts(outcomes.iter().map(|outcome| &outcome.project))).await?;
    let mut done = StepOutcome { more, ..StepOutcome::default() };
    for outcome in &outcomes {
        let book = books.of(&outcome.teacher)?;
        let last = book
            .entries
            .iter()
            .filter(|entry| entry.kind == Kind::Project && entry.source == outcome.selection)
            .max_by_key(|entry| entry.revision);
        let act = decide(outcome, last);
        count(&mut done, outcome, act);
        let mut written = Vec::new();
        if let (Act::Reverse | Act::Replace(_), Some(undone)) = (act, last) {
            let name = fresh_name(tx, &outcome.teacher);
            let actor = tx.actor().acting_as(None);
            written.push(undone.reversal(name, tx.at(), actor, "result_corrected", rules.version));
        }
        if let Act::Enter(earned) | Act::Replace(earned) = act {
            let project = projects.get(&outcome.project).ok_or_else(|| Failure::not_found(&outcome.project))?;
            let name = fresh_name(tx, &outcome.teacher);
            written.push(entry(tx, name, outcome, earned, book, project, &rules));
        }
        for entry in written {
            books.enter(entry)?;
        }
    }
    if done.changed > 0 {
        books.close(tx, &rules, None).await?;
    }
    Ok(done)
}

fn entry(
    tx: &Tx,
    name: String,
    outcome: &Outcome,
    earned: Earned,
    book: &Book,
    project: &Project,
    rules: &Rules,
) -> Entry {
    let teacher = &book.kept.teacher;
    Entry {
        name,
        teacher: outcome.teacher.clone(),
        kind: Kind::Project,
        base: earned.base,
        awarded: earned.awarded,
        practice: practice(earned.awarded, project.practice_hours, project.total_hours),
        effective_on: earned.effective_on,
        recorded_at: tx.at(),
        source: outcome.selection.clone(),
        revision: outcome.revision,
        intensive: is_intensive(project.intensive_form, earned.base, &rules.policy),
        restricted_elective: project.restricted_elective,
        matched: matches(&rules.policy.dimensions, &project.audience, &teacher.profile, &book.kept.path),
        project: outcome.project.clone(),
        reverses: String::new(),
        reversed_by: String::new(),
        actor: tx.actor().acting_as(None),
        reason: String::new(),
        reason_text: String::new(),
        policy_version: rules.version,
        school: teacher.school_on(earned.effective_on).to_owned(),
    }
}

fn count(done: &mut StepOutcome, outcome: &Outcome, act: Act) {
    let counts: &mut BTreeMap<String, i64> = &mut done.counts;
    let mut add = |key: &str, changed: i32| {
        *counts.entry(key.to_owned()).or_default() += 1;
        done.changed = done.changed.saturating_add(changed);
    };
    match act {
        Act::Enter(_) => add("entered", 1),
        Act::Reverse => add("reversed", 1),
        Act::Replace(_) => {
            add("reversed", 1);
            add("entered", 1);
        }
        Act::Keep if outcome.earned.is_none() => add("without credit", 0),
        Act::Keep => add("recognised before", 0),
    }
}
