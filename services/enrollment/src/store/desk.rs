//! The desk: rows laid on it under their locks, and what was done there written down.
//!
//! Lock order: fence and request ids (chassis), teachers, projects, feed head (chassis), each sorted. Every write of a
//! selection holds its teacher's lock, every write of seats the project's.

use std::collections::{BTreeMap, BTreeSet};

use chassis::{
    Failure,
    db::{Queries, Record, Tx},
};
use proto::{Held, common::v1::Reason};

use super::{catalog, notices, notifications, notifications::Message, roster, seats, selections, training, wire};
use crate::domain::{Class, Desk, Event, Project, Projects, Selection, notification::Kind, seats::Book};

/// Lays on the desk, under their locks: every selection of the term of `teachers` and of those who wait for places of
/// `projects`, their projects, the books of `projects`, and the teachers themselves.
pub async fn load(
    tx: &mut Tx,
    term: &str,
    teachers: &BTreeSet<String>,
    projects: &BTreeSet<String>,
    policy_version: i64,
) -> Result<Desk, Failure> {
    let mut locked = teachers.clone();
    if !projects.is_empty() {
        // Who joins the list between this and the locks is not at the desk; his turn comes with the next free place.
        locked.extend(selections::waiting_teachers(tx, projects).await?);
    }
    roster::lock(tx, &locked).await?;
    seats::lock(tx, projects).await?;
    let selections = selections::of_teachers(tx, term, &locked).await?;
    let mut wanted = projects.clone();
    wanted.extend(selections.iter().map(|selection| selection.project.clone()));
    let projects_at_desk = catalog::projects(tx, &wanted).await?;
    let books = books(tx, projects, &projects_at_desk).await?;
    let zone = tx.gates_of(term).await?.zone().clone();
    let teachers = roster::teachers(tx, &locked).await?;
    let shut = shut(tx, &books, &projects_at_desk).await?;
    let mut desk = Desk::new(selections, projects_at_desk, books, policy_version).with_teachers(teachers, zone);
    desk.shut = shut;
    Ok(desk)
}

/// Classes of these books in which nobody gets a place any more: results are confirmed once for all, and what is over is over.
async fn shut(
    tx: &mut Tx,
    books: &BTreeMap<String, Book>,
    projects: &Projects,
) -> Result<BTreeMap<String, Reason>, Failure> {
    let classes: Vec<&Class> = books.keys().filter_map(|name| projects.get(name)).flat_map(Project::active).collect();
    let over = classes.iter().filter(|class| class.ends().is_some_and(|ends| ends <= tx.at()));
    let mut shut: BTreeMap<_, _> = over.map(|class| (class.name.clone(), Reason::ClassOver)).collect();
    if !shut.is_empty() {
        // None is confirmed before it is over.
        let confirmed = training::confirmed(tx, &shut.keys().cloned().collect()).await?;
        shut.extend(confirmed.into_iter().map(|class| (class, Reason::ResultsConfirmed)));
    }
    Ok(shut)
}

/// The books of locked projects.
pub async fn books(
    db: &mut impl Queries,
    names: &BTreeSet<String>,
    projects: &crate::domain::Projects,
) -> Result<BTreeMap<String, Book>, Failure> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let counts = seats::counts(db, names).await?;
    let open = |(name, (held, granted)): (&String, &(i32, BTreeMap<String, i32>))| {
        projects.get(name).map(|project| (name.clone(), Book::open(project, *held, granted)))
    };
    Ok(counts.iter().filter_map(open).collect())
}

/// The books of projects in which places are only held.
#[must_use]
pub fn books_to_hold(sums: &seats::Sums, projects: &Projects) -> BTreeMap<String, Book> {
    let open = |(name, (held, granted)): (&String, &(i32, i32))| {
        Some((name.clone(), Book::to_hold(projects.get(name)?, *held, *granted)))
    };
    sums.iter().filter_map(open).collect()
}

/// As `load`, for the selections of these names: their teachers, and the books of their projects.
///
/// # Errors
/// `NOT_FOUND` for a name that is none, or of another term.
pub async fn load_named(
    tx: &mut Tx,
    term: &str,
    names: &BTreeSet<String>,
    policy_version: i64,
) -> Result<Desk, Failure> {
    let found = selections::named(tx, names).await?;
    for name in names {
        let known = found.iter().any(|selection| selection.name == *name);
        if !known || !name.starts_with(&format!("{term}/")) {
            return Err(Failure::not_found(name));
        }
    }
    let teachers = found.iter().map(|selection| selection.teacher.clone()).collect();
    let projects = found.iter().map(|selection| selection.project.clone()).collect();
    load(tx, term, &teachers, &projects, policy_version).await
}

/// Gives what became free to those who wait, writes everything down, records the changes, and tells the teachers.
pub async fn finish(tx: &mut Tx, term: &str, desk: &mut Desk, held: Option<&Held>) -> Result<(), Failure> {
    let freed: Vec<_> =
        desk.books.iter().filter(|(_, book)| book.free() > 0).map(|(project, _)| project.clone()).collect();
    for project in freed {
        desk.promote(&project);
    }
    write(tx, term, desk).await?;
    let actor = tx.actor().clone();
    for act in desk.acts() {
        let record = Record::of(&act.after.name, act.verb, &wire::facts(&act.after));
        tx.record(record.reason(&act.after.reason).term(term).by(&actor, held));
    }
    tell(tx, term, desk).await?;
    join_notices(tx, term, desk).await
}

/// Writes selections and seats.
pub async fn write(tx: &mut Tx, term: &str, desk: &Desk) -> Result<(), Failure> {
    let touched: Vec<&Selection> = desk.touched().collect();
    // A selection that lives again must not meet a row of its own project that dies in the same transaction.
    let (live, ended): (Vec<&Selection>, Vec<&Selection>) =
        touched.into_iter().partition(|selection| selection.state.is_live());
    selections::write(tx, term, ended).await?;
    selections::write(tx, term, live).await?;
    seats::write(tx, &desk.books).await
}

/// Writes selections that are all new, and seats.
pub async fn add(tx: &mut Tx, term: &str, desk: &Desk) -> Result<(), Failure> {
    selections::add(tx, term, desk.touched()).await?;
    seats::write(tx, &desk.books).await
}

/// Tells teachers what was done with their selections, but for what they did themselves.
async fn tell(tx: &mut Tx, term: &str, desk: &Desk) -> Result<(), Failure> {
    let told: Vec<_> = desk.acts().iter().filter_map(|act| Some((Kind::of_act(act)?, &act.after))).collect();
    let teachers: BTreeSet<String> = told.iter().map(|(_, selection)| selection.teacher.clone()).collect();
    if teachers.is_empty() {
        return Ok(());
    }
    let accounts = roster::accounts(tx, &teachers).await?;
    let own = tx.actor().account.clone();
    let messages = told.into_iter().filter_map(|(kind, selection)| {
        let account = accounts.get(&selection.teacher).filter(|account| **account != own)?;
        let mut metadata = metadata(selection);
        let more = match kind {
            Kind::Moved => Some(("school", selection.school.clone())),
            Kind::ResultCorrected => Some(("coefficient", selection.coefficient_percent.to_string())),
            _ => None,
        };
        metadata.extend(more.map(|(key, value)| (key.to_owned(), value)));
        Some(Message { account: account.clone(), kind, resource: selection.name.clone(), metadata })
    });
    let messages = messages.collect();
    notifications::write(tx, term, messages).await
}

/// Variables of a message about a selection.
#[must_use]
pub fn metadata(selection: &Selection) -> BTreeMap<String, String> {
    [
        ("project", selection.project.as_str()),
        ("class", &selection.class),
        ("state", selection.state.word()),
        ("reason", &selection.reason),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// Who gets a place in a class whose notice is out gets the notice too.
async fn join_notices(tx: &mut Tx, term: &str, desk: &Desk) -> Result<(), Failure> {
    let placed: Vec<&Selection> = desk
        .acts()
        .iter()
        .filter(|act| act.event == Some(Event::Confirm))
        .filter_map(|act| desk.selections.get(&act.after.name))
        .filter(|selection| !selection.class.is_empty())
        .collect();
    if placed.is_empty() {
        return Ok(());
    }
    let classes = placed.iter().map(|selection| selection.class.clone()).collect();
    for (class, notice) in notices::of_classes(tx, &classes).await? {
        let of_class = placed.iter().filter(|selection| selection.class == class);
        let teachers: BTreeSet<String> = of_class.map(|selection| selection.teacher.clone()).collect();
        address(tx, term, &notice, &class, &teachers).await?;
    }
    Ok(())
}

/// Addresses a notice to teachers and tells them.
pub async fn address(
    tx: &mut Tx,
    term: &str,
    notice: &str,
    class: &str,
    teachers: &BTreeSet<String>,
) -> Result<(), Failure> {
    notices::address(tx, notice, teachers).await?;
    let project = class.split_once("/classes/").map_or("", |(project, _)| project);
    let metadata: BTreeMap<String, String> =
        [("project", project), ("class", class)].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let accounts = roster::accounts(tx, teachers).await?;
    let message = |account: String| Message {
        account,
        kind: Kind::NoticeIssued,
        resource: notice.to_owned(),
        metadata: metadata.clone(),
    };
    let messages = accounts.into_values().map(message).collect();
    notifications::write(tx, term, messages).await
}
