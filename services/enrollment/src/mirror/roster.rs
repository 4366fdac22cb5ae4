//! The roster: teachers, organisations, accounts.
//!
//! Retirement, departure and death cancel a teacher's live selections, but for classes that were over by their day; when they
//! are recorded before their day, only what reaches to it. So does a leave that overlaps the sessions; a transfer takes what
//! waits for review to the new school, on its day. None of these counts as a withdrawal. What others did to a teacher's entry is
//! told to him. Of who was erased, only ids and coded facts are kept.

use std::collections::BTreeMap;

use chassis::{
    Failure,
    changes::decode,
    db::{Tx, forget},
    export,
};
use proto::{
    common::v1::Change,
    roster::v1::{AccountFacts, OrganizationFacts, TeacherFacts},
};

use super::{
    desk,
    told::{self, Told},
};
use crate::{
    domain::{
        Event, Selection, State, Teacher,
        desk::Why,
        eligibility::{attended_before, kept_away},
        teacher::Status,
    },
    store::{catalog, desk as store, facts, persons, roster, selections},
};

/// Mirrors the roster.
#[derive(Debug, Clone, Copy)]
pub struct RosterMirror;

#[tonic::async_trait]
impl chassis::Mirror for RosterMirror {
    fn source(&self) -> &'static str {
        "roster"
    }

    async fn apply(&self, tx: &mut Tx, change: &Change) -> Result<(), Failure> {
        self.apply_all(tx, std::slice::from_ref(change)).await
    }

    /// An import brings thousands at once: whoever has no live selection is written with the others.
    async fn apply_all(&self, tx: &mut Tx, changes: &[Change]) -> Result<(), Failure> {
        let (mut teachers, mut accounts) = (Vec::new(), BTreeMap::new());
        for change in changes {
            if export::mirror(tx, change).await? {
                continue;
            }
            if let Some(facts) = decode::<TeacherFacts>(change)? {
                teachers.push((change, facts));
            } else if let Some(facts) = decode::<AccountFacts>(change)? {
                accounts.insert(facts.name.clone(), facts);
            } else if let Some(facts) = decode::<OrganizationFacts>(change)? {
                roster::put_organization(tx, &facts).await?;
            }
        }
        let names = teachers.iter().map(|(_, facts)| facts.name.clone()).collect();
        let renewed = teachers.iter().filter(|(change, _)| told::is_renewal(change));
        let renewed = renewed.map(|(_, facts)| facts.name.clone()).collect();
        // Submissions that have read a teacher as he was are waited for, so that all of them are seen here.
        roster::lock(tx, &names).await?;
        let selecting = roster::selecting(tx, &names).await?;
        let mut before = roster::facts(tx, &renewed).await?;
        let mut known = roster::teachers(tx, &selecting).await?;
        let erased = teachers.iter().filter(|(_, facts)| facts.erased);
        let mut erased: Vec<_> = erased.map(|(_, facts)| (facts.name.clone(), facts.account.clone())).collect();
        // Of who is no teacher it is the account that tells it.
        let others = accounts.values().filter(|facts| facts.erased && facts.teacher.is_empty());
        erased.extend(others.map(|facts| (String::new(), facts.name.clone())));
        let mut told = Told::default();
        let mut others = BTreeMap::new();
        for (change, facts) in teachers {
            told.roster(change, &facts, before.get(&facts.name));
            if let Some(before) = before.get_mut(&facts.name) {
                before.clone_from(&facts);
            }
            if !selecting.contains(&facts.name) {
                others.insert(facts.name.clone(), facts);
                continue;
            }
            if let Some(at) = &change.at {
                tx.set_at(proto::instant(at));
            }
            let live = selections::live_of(tx, &facts.name).await?;
            roster::put_teachers(tx, [&facts]).await?;
            let teacher = facts::teacher(facts)?;
            let known = known.insert(teacher.name.clone(), teacher.clone());
            // A place that he has in spite of a leave was given knowingly: only another leave takes it.
            let moved = Moved {
                leaves: known.as_ref().is_none_or(|known| known.leaves != teacher.leaves),
                gone: known.is_none_or(|known| known.gone != teacher.gone),
            };
            follow(tx, &teacher, &live, moved).await?;
        }
        roster::put_teachers(tx, others.values()).await?;
        roster::put_accounts(tx, accounts.values()).await?;
        told.write(tx).await?;
        erase(tx, &erased).await
    }
}

/// Drops what people wrote about the erased, what was sent to them, and the replies that tell of them.
async fn erase(tx: &mut Tx, erased: &[(String, String)]) -> Result<(), Failure> {
    if erased.is_empty() {
        return Ok(());
    }
    let (teachers, accounts): (Vec<&str>, Vec<&str>) =
        erased.iter().map(|(teacher, account)| (teacher.as_str(), account.as_str())).unzip();
    persons::erase(tx, &teachers, &accounts).await?;
    forget(tx, &[teachers, accounts].concat()).await?;
    Ok(())
}

/// What is new of when a teacher is away.
#[derive(Debug, Clone, Copy)]
struct Moved {
    leaves: bool,
    gone: bool,
}

/// What a teacher's new facts mean for his live selections, term by term.
async fn follow(tx: &mut Tx, teacher: &Teacher, live: &[Selection], moved: Moved) -> Result<(), Failure> {
    let mut by_term: BTreeMap<String, Vec<&Selection>> = BTreeMap::new();
    for selection in live {
        let term = chassis::db::Scope::of_name(&selection.name).term();
        by_term.entry(term.to_owned()).or_default().push(selection);
    }
    for (term, live) in by_term {
        if !concerns(tx, &term, teacher, &live, moved).await? {
            continue;
        }
        let mut desk = desk(tx, &term, &live).await?;
        let names: Vec<String> = desk
            .of_teacher(&teacher.name)
            .filter(|selection| selection.state.is_live())
            .map(|selection| selection.name.clone())
            .collect();
        let zone = tx.gates_of(&term).await?.zone().clone();
        for name in names {
            let Some(selection) = desk.selections.get(&name) else { continue };
            let project = desk.projects.get(&selection.project);
            let away = project.and_then(|project| kept_away(teacher, project, &selection.class, &zone));
            let away = away.filter(|status| if status.is_gone() { moved.gone } else { moved.leaves });
            let over = project.is_some_and(|project| attended_before(teacher, project, &selection.class, &zone));
            let moves = selection.state == State::Submitted && selection.school != teacher.school;
            if teacher.status.is_gone() && !over {
                desk.apply(&name, Event::Cancel, &Why::coded(teacher.status.word()))?;
            } else if let Some(status) = away.filter(|_| selection.state != State::Attended) {
                let reason = if status == Status::OnLeave { "leave" } else { status.word() };
                desk.apply(&name, Event::Cancel, &Why::coded(reason))?;
            } else if moves {
                let moved = Selection { school: teacher.school.clone(), ..selection.clone() };
                desk.rewrite("transferred", None, moved);
            }
        }
        store::finish(tx, &term, &mut desk, None).await?;
    }
    Ok(())
}

/// Whether anything could follow: most changes of a teacher mean nothing to his selections, and take no locks.
async fn concerns(
    tx: &mut Tx,
    term: &str,
    teacher: &Teacher,
    live: &[&Selection],
    moved: Moved,
) -> Result<bool, Failure> {
    if teacher.status.is_gone() {
        return Ok(true);
    }
    if live.iter().any(|selection| selection.state == State::Submitted && selection.school != teacher.school) {
        return Ok(true);
    }
    if !moved.leaves && !moved.gone || teacher.leaves.is_empty() && teacher.gone.is_empty() {
        return Ok(false);
    }
    let zone = tx.gates_of(term).await?.zone().clone();
    let names = live.iter().map(|selection| selection.project.clone()).collect();
    let projects = catalog::projects(tx, &names).await?;
    Ok(live.iter().any(|selection| {
        let project = projects.get(&selection.project);
        project.is_some_and(|project| kept_away(teacher, project, &selection.class, &zone).is_some())
    }))
}
