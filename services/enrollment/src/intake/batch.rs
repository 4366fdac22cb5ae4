//! One transaction for all that wait. Lock order: fence, teachers, projects, request ids, feed head, each sorted; the rules run
//! on what is read under the locks, so that two replicas cannot both take a fourth selection or the last place.

use std::collections::{BTreeMap, BTreeSet};

use chassis::{
    Failure,
    db::{Claim, Claimed, Db, Lane, Record, Tx, recall, tell_apart},
    gates::Admitted,
};
use prost::Message as _;
use proto::{
    Held,
    common::v1::Reason,
    enrollment::v1::{self as pb, SubmitSelectionRequest, SubmitSelectionResponse},
};

use tokio::time::Instant;

use super::{
    Answer, Job,
    full::Full,
    judge::{self, Bench},
};
use crate::{
    domain::{
        Desk, Ground, Policy, Projects, Selection, Teacher,
        allocation::{Allocation, allocation},
        notification::Kind,
    },
    store::{
        catalog, desk as store, notifications,
        notifications::Message,
        roster::{self, Roster},
        rounds, seats, selections, wire,
    },
};

/// A submission that is to be judged.
struct Fresh<'a> {
    index: usize,
    message: &'a SubmitSelectionRequest,
    job: &'a Job,
    admitted: Admitted,
    teacher: String,
}

/// Which requests are looked for among those that were answered before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recalled {
    /// Those that would be refused: hardly one of the others was, and a conflict tells it.
    Refused,
    /// All.
    All,
}

/// What is refused unless it was answered before.
type Refused<'a> = Vec<(usize, &'a Claim, Failure)>;

/// A submission that was accepted.
struct Taken {
    held: Held,
    name: String,
    for_account: Option<String>,
    warnings: Vec<Ground>,
}

/// Carries the submissions out; a verdict for each, in their order. `None`: it repeats another one of the same batch.
///
/// # Errors
/// Those of the database; a conflict if one of them was answered before.
pub(super) async fn run(
    db: &Db,
    lane: Lane,
    term: &str,
    jobs: &[Job],
    full: &Full,
    recalled: Recalled,
) -> Result<Vec<Option<Answer>>, Failure> {
    let mut verdicts: Vec<Option<Answer>> = jobs.iter().map(|_| None).collect();
    let mut tx = db.batch(term, lane).await?;
    let (fresh, mut refused, Roster { teachers, cycle_ends, position: roster_position }) =
        recognise(&mut tx, jobs, recalled, &mut verdicts).await?;

    let gates = tx.gates()?;
    let policy = tx.policy::<Policy>()?;
    let teachers_named: BTreeSet<String> = fresh.iter().map(|fresh| fresh.teacher.clone()).collect();
    // Nothing bars from the first round.
    let later = fresh.iter().any(|fresh| fresh.admitted.windows.iter().any(|window| window.round > 1));
    let overridden = if later { rounds::overridden(&mut tx, term, &teachers_named).await? } else { BTreeSet::new() };
    let first_round_ends_on = judge::first_round_ends_on(&gates);
    let bench = Bench {
        gates: &gates,
        policy: &policy,
        overridden: &overridden,
        roster_position,
        cycle_ends: &cycle_ends,
        first_round_ends_on,
    };

    let mut desk = lay(&mut tx, term, &fresh, &teachers, &teachers_named, &policy).await?;
    desk.policy_version = gates.policy_version();
    let mut taken = BTreeMap::new();
    for fresh in &fresh {
        let claim = &fresh.job.claim;
        tx.seed_ids(&format!("{}\n{}\n{}", claim.caller, claim.method, claim.request_id));
        let name = tx.id(&format!("{term}/selections"));
        match decide(&bench, &mut desk, fresh, teachers.get(&fresh.teacher), &name) {
            Ok(done) => {
                taken.insert(fresh.index, done);
            }
            Err(failure) => refused.push((fresh.index, claim, failure)),
        }
    }
    refuse(&mut tx, refused, &mut verdicts).await?;

    let now = Instant::now();
    for (project, book) in &desk.books {
        full.see(project, book.free(), now);
    }
    if taken.is_empty() {
        tx.abandon().await;
        return Ok(verdicts);
    }
    store::add(&mut tx, term, &desk).await?;
    for fresh in fresh {
        let Some(done) = taken.get_mut(&fresh.index) else { continue };
        let Some(selection) = desk.selections.get(&done.name) else { continue };
        let record = Record::of(&done.name, "submitted", &wire::facts(selection)).term(term);
        tx.record(record.by(&fresh.admitted.actor, Some(&done.held)).at(fresh.job.admission.at));
        let warnings = std::mem::take(&mut done.warnings).into_iter().map(wire::ground).collect();
        let told = pb::Selection { warnings, ..wire::selection(selection) };
        let reply = SubmitSelectionResponse { selection: Some(told) };
        tx.reply(fresh.job.claim.clone(), &reply);
        set(&mut verdicts, fresh.index, Ok(reply));
    }
    let messages = taken.values().filter_map(|done| told(done, desk.selections.get(&done.name)?)).collect();
    notifications::write(&mut tx, term, messages).await?;
    tx.finish().await?;
    Ok(verdicts)
}

fn set(verdicts: &mut [Option<Answer>], index: usize, verdict: Answer) {
    if let Some(place) = verdicts.get_mut(index) {
        *place = Some(verdict);
    }
}

/// Admits each by itself, and tells those that repeat another: the fresh ones are left to be judged.
///
/// Requests are recalled under the locks of their teachers: what another process is answering at this moment is waited for.
async fn recognise<'a>(
    tx: &mut Tx,
    jobs: &'a [Job],
    recalled: Recalled,
    verdicts: &mut [Option<Answer>],
) -> Result<(Vec<Fresh<'a>>, Refused<'a>, Roster), Failure> {
    let mut waiting: Vec<(usize, &'a Job, Result<Admitted, Failure>)> = Vec::with_capacity(jobs.len());
    for (index, job) in jobs.iter().enumerate() {
        if job.admission.expired() {
            set(verdicts, index, Err(Failure::new(Reason::DeadlineExceeded)));
        } else {
            waiting.push((index, job, tx.admit(&job.admission).await));
        }
    }
    let admitted = waiting.iter().filter_map(|(_, job, admitted)| Some(teacher(job, admitted.as_ref().ok()?)));
    let teachers: BTreeSet<String> = admitted.cloned().collect();
    let roster = roster::lock_and_read(tx, &teachers).await?;
    let claims: Vec<&Claim> = waiting.iter().map(|(_, job, _)| &job.claim).collect();
    let claimed = match recalled {
        Recalled::Refused => tell_apart(&claims),
        Recalled::All => recall(tx, &claims).await?,
    };
    let (mut fresh, mut refused) = (Vec::with_capacity(waiting.len()), Vec::new());
    for ((index, job, admitted), claimed) in waiting.into_iter().zip(claimed) {
        match (claimed, admitted) {
            (Claimed::Fresh, Ok(admitted)) => {
                let teacher = teacher(job, &admitted).clone();
                fresh.push(Fresh { index, message: &job.message, job, admitted, teacher });
            }
            (Claimed::Fresh, Err(failure)) => refused.push((index, &job.claim, failure)),
            // His own may be the one that was answered.
            (Claimed::Reused, _) => refused.push((index, &job.claim, Failure::new(Reason::RequestIdReused))),
            (claimed, _) => {
                if let Some(verdict) = answered(claimed) {
                    set(verdicts, index, verdict);
                }
            }
        }
    }
    Ok((fresh, refused, roster))
}

/// Answers those who would be refused: a replay is answered as before, whatever has closed or changed since.
async fn refuse(tx: &mut Tx, refused: Refused<'_>, verdicts: &mut [Option<Answer>]) -> Result<(), Failure> {
    let claims: Vec<&Claim> = refused.iter().map(|(_, claim, _)| *claim).collect();
    let claimed = recall(tx, &claims).await?;
    for ((index, _, failure), claimed) in refused.into_iter().zip(claimed) {
        set(verdicts, index, answered(claimed).unwrap_or(Err(failure)));
    }
    Ok(())
}

/// The answer to what is not fresh; `None` if it is, or if it finds another one's reply when it is run again.
fn answered(claimed: Claimed) -> Option<Answer> {
    match claimed {
        Claimed::Fresh | Claimed::Twin(_) => None,
        Claimed::Replay(reply) => Some(SubmitSelectionResponse::decode(reply.as_slice()).map_err(Failure::internal)),
        Claimed::Erased => Some(Err(Failure::new(Reason::ReplyErased))),
        Claimed::Reused => Some(Err(Failure::new(Reason::RequestIdReused))),
    }
}

/// For whom a submission is: the teacher named, else the caller himself.
pub(super) fn teacher<'a>(job: &'a Job, admitted: &'a Admitted) -> &'a String {
    let named = &job.message.teacher;
    if named.is_empty() { &admitted.actor.teacher } else { named }
}

/// The desk of the batch: the teachers' selections, and the books of the projects in which a seat is held at submission.
async fn lay(
    tx: &mut Tx,
    term: &str,
    fresh: &[Fresh<'_>],
    teachers: &BTreeMap<String, Teacher>,
    named: &BTreeSet<String>,
    policy: &Policy,
) -> Result<Desk, Failure> {
    let selections = selections::of_teachers(tx, term, named).await?;
    let wanted: BTreeSet<String> = fresh.iter().map(|fresh| fresh.message.project.clone()).collect();
    // A project that is cancelled meanwhile takes these selections with it, because its mirror waits for them.
    let mut projects = catalog::share(tx, &wanted).await?;
    let others: BTreeSet<String> =
        selections.iter().map(|selection| selection.project.clone()).filter(|name| !wanted.contains(name)).collect();
    if !others.is_empty() {
        projects.extend(catalog::projects(tx, &others).await?);
    }
    projects.retain(|_, project| project.term == term);
    let first_come: BTreeSet<String> = fresh
        .iter()
        .filter(|fresh| held_at_once(fresh.job, &fresh.admitted, teachers, &projects, policy))
        .map(|fresh| fresh.message.project.clone())
        .collect();
    let sums = seats::lock(tx, &first_come).await?;
    let books = store::books_to_hold(&sums, &projects);
    Ok(Desk::new(selections, projects, books, 0))
}

/// Whether a seat is held for a submission as soon as it is made.
pub(super) fn held_at_once(
    job: &Job,
    admitted: &Admitted,
    teachers: &BTreeMap<String, Teacher>,
    projects: &Projects,
    policy: &Policy,
) -> bool {
    let (Some(teacher), Some(project)) = (teachers.get(teacher(job, admitted)), projects.get(&job.message.project))
    else {
        return false;
    };
    judge::round(admitted, teacher)
        .is_ok_and(|round| allocation(project, &policy.allocation, round) == Allocation::FirstCome)
}

fn decide(
    bench: &Bench<'_>,
    desk: &mut Desk,
    fresh: &Fresh<'_>,
    teacher: Option<&Teacher>,
    name: &str,
) -> Result<Taken, Failure> {
    let teacher = teacher.ok_or_else(|| Failure::not_found(&fresh.teacher))?;
    let actor = &fresh.admitted.actor;
    let held = judge::submitting_as(actor, teacher)?;
    let round = judge::round(&fresh.admitted, teacher)?;
    let by = (actor.as_ref(), fresh.job.admission.at);
    let accepted = judge::judge(bench, desk, teacher, &fresh.message.project, round, name, by)?;
    desk.submit(accepted.selection, accepted.hold)?;
    let for_account = (teacher.account != actor.account).then(|| teacher.account.clone());
    Ok(Taken { held, name: name.to_owned(), for_account, warnings: accepted.warnings })
}

/// What a teacher is told of a selection that another made for him.
fn told(done: &Taken, selection: &Selection) -> Option<Message> {
    Some(Message {
        account: done.for_account.clone()?,
        kind: Kind::SubmittedFor,
        resource: selection.name.clone(),
        metadata: store::metadata(selection),
    })
}
