//! Submissions to projects that were seen full a moment ago are judged by what can be read without a lock, and without the
//! writer. Only refusals come of it, each for reasons that held after it arrived: whoever would get anything else gets it from
//! the batch, in which he then waits.

use std::collections::{BTreeMap, BTreeSet};

use chassis::{
    Failure,
    db::{Claim, Claimed, Db, recall},
    gates::Admitted,
};
use proto::common::v1::Reason;

use tokio::time::Instant;

use super::{
    Answer, Job,
    batch::{held_at_once, teacher},
    full::Full,
    judge::{self, Bench},
};
use crate::{
    domain::{Desk, Policy},
    store::{catalog, desk as store, roster, rounds, seats, selections},
};

/// A submission that could be refused.
struct Asked<'a> {
    index: usize,
    job: &'a Job,
    admitted: Admitted,
}

/// The refusals of these submissions, in their order. `None`: it is for the batch.
pub(super) async fn run(db: &Db, term: &str, jobs: &[Job], full: &Full) -> Result<Vec<Option<Answer>>, Failure> {
    let mut refusals: Vec<Option<Answer>> = jobs.iter().map(|_| None).collect();
    let mut reader = db.read_batch(term).await?;
    let mut asked = Vec::with_capacity(jobs.len());
    for (index, (job, refusal)) in jobs.iter().zip(&mut refusals).enumerate() {
        let admission = &job.admission;
        if admission.expired() {
            *refusal = Some(Err(Failure::new(Reason::DeadlineExceeded)));
            continue;
        }
        // Who may not at all may have been answered before.
        if let Ok(admitted) = reader.admit(admission) {
            asked.push(Asked { index, job, admitted });
        }
    }
    let claims: Vec<&Claim> = asked.iter().map(|asked| &asked.job.claim).collect();
    let mut recalled = recall(&mut reader, &claims).await?.into_iter();
    asked.retain(|_| recalled.next() == Some(Claimed::Fresh));

    let (gates, policy) = (reader.gates()?, reader.policy::<Policy>()?);
    let names: BTreeSet<String> = asked.iter().map(|asked| teacher(asked.job, &asked.admitted).clone()).collect();
    let teachers = roster::teachers(&mut reader, &names).await?;
    let overridden = rounds::overridden(&mut reader, term, &names).await?;
    let selections = selections::of_teachers(&mut reader, term, &names).await?;
    let wanted = asked.iter().map(|asked| &asked.job.message.project);
    let named: BTreeSet<String> =
        wanted.chain(selections.iter().map(|selection| &selection.project)).cloned().collect();
    let mut projects = catalog::projects(&mut reader, &named).await?;
    projects.retain(|_, project| project.term == term);
    let first_come: BTreeSet<String> = asked
        .iter()
        .filter(|Asked { job, admitted, .. }| held_at_once(job, admitted, &teachers, &projects, &policy))
        .map(|asked| asked.job.message.project.clone())
        .collect();
    let books = store::books_to_hold(&seats::sums(&mut reader, &first_come).await?, &projects);
    let now = Instant::now();
    for (project, book) in &books {
        full.see(project, book.free(), now);
    }

    let desk = Desk::new(selections, projects, books, 0);
    // They only matter to warnings, which a refusal has none of.
    let cycle_ends = BTreeMap::new();
    let bench = Bench {
        gates: &gates,
        policy: &policy,
        overridden: &overridden,
        roster_position: 0,
        cycle_ends: &cycle_ends,
        first_round_ends_on: judge::first_round_ends_on(&gates),
    };
    for Asked { index, job, admitted, .. } in &asked {
        let Some(teacher) = teachers.get(teacher(job, admitted)) else { continue };
        let judged = judge::submitting_as(&admitted.actor, teacher).and_then(|_| {
            let round = judge::round(admitted, teacher)?;
            let by = (admitted.actor.as_ref(), job.admission.at);
            judge::judge(&bench, &desk, teacher, &job.message.project, round, "", by)
        });
        if let (Err(refusal), Some(place)) = (judged, refusals.get_mut(*index)) {
            *place = Some(Err(refusal));
        }
    }
    Ok(refusals)
}
