//! The mistakes that people make while they select.

use proto::catalog::v1::Project;
use proto::common::v1::{Reason, Role};
use proto::enrollment::v1::Selection;

use super::select::{submit, teachers, withdraw};
use super::stage::Stage;
use crate::people::{Person, Plan, all_overlap};

/// The mistakes of the first day, one after the other, by people who have chosen already.
pub async fn make(stage: &Stage<'_>) {
    fourth(stage).await;
    overlapping(stage).await;
    second_intensive(stage).await;
    repeated(stage).await;
    not_for_me(stage).await;
    for_others(stage).await;
    second_thoughts(stage).await;
}

/// Teachers who have chosen all they wished by now, with their selections.
fn chosen<'a>(stage: &Stage<'a>, wishes: usize) -> Vec<(usize, &'a Person, Vec<Selection>)> {
    let memory = stage.memory();
    let all = teachers(stage).filter(|(_, person)| person.habits.wishes.len() >= wishes);
    all.filter_map(|(n, person)| Some((n, person, memory.selections.get(&n)?.clone())))
        .filter(|(_, person, selections)| selections.len() == person.habits.wishes.len())
        .collect()
}

/// Plans on the menu with their names.
pub(super) fn menu<'a>(stage: &Stage<'a>) -> Vec<(&'a Plan, Project)> {
    let memory = stage.memory();
    let plans = (0..).zip(&stage.county.projects).filter(|(_, plan)| plan.is_published());
    plans.filter_map(|(n, plan)| Some((plan, memory.projects.get(&n)?.clone()))).collect()
}

pub(super) fn admits(plan: &Plan, person: &Person) -> bool {
    let audience = plan.project.audience.as_ref();
    audience.is_none_or(|audience| {
        let allows = |codes: &[String], code: &String| codes.is_empty() || codes.contains(code);
        allows(&audience.stages, &person.teacher.stage) && allows(&audience.subjects, &person.teacher.subject)
    })
}

/// A mistake for which nobody of this county is in the right place is told, not hidden.
pub(super) fn nobody(stage: &Stage<'_>, what: &str) {
    stage.books.surprise(format!("{what}: nobody of this county is in the place to try"));
}

async fn fourth(stage: &Stage<'_>) -> Option<()> {
    let what = "a fourth selection";
    for (_, person, selections) in chosen(stage, 3) {
        let taken = |project: &Project| selections.iter().any(|selection| selection.project == project.name);
        let fitting = menu(stage).into_iter().find(|(plan, project)| admits(plan, person) && !taken(project));
        let Some((_, project)) = fitting else { continue };
        let me = stage.person(&person.login).await?;
        let outcome = submit(stage, &me, "", &project.name, "a-fourth").await;
        stage.books.mistake(what, &[Reason::SelectionLimit], outcome);
        return Some(());
    }
    nobody(stage, what);
    None
}

async fn overlapping(stage: &Stage<'_>) -> Option<()> {
    let what = "overlapping sessions";
    for (_, person, selections) in chosen(stage, 1) {
        let mine: Vec<&Plan> =
            person.habits.wishes.iter().filter_map(|wish| stage.county.projects.get(*wish)).collect();
        let taken = |project: &Project| selections.iter().any(|selection| selection.project == project.name);
        let clashing = menu(stage).into_iter().find(|(plan, project)| {
            admits(plan, person) && !taken(project) && mine.iter().any(|other| all_overlap(plan, other))
        });
        let Some((_, project)) = clashing else { continue };
        let me = stage.person(&person.login).await?;
        let outcome = submit(stage, &me, "", &project.name, "overlapping").await;
        stage.books.mistake(what, &[Reason::SessionsOverlap], outcome);
        return Some(());
    }
    nobody(stage, what);
    None
}

async fn second_intensive(stage: &Stage<'_>) -> Option<()> {
    let what = "a second intensive project";
    for (_, person, selections) in chosen(stage, 1) {
        let mine = person.habits.wishes.iter().filter_map(|wish| stage.county.projects.get(*wish));
        if !mine.clone().any(Plan::is_intensive) {
            continue;
        }
        let taken = |project: &Project| selections.iter().any(|selection| selection.project == project.name);
        let second = menu(stage).into_iter().find(|(plan, project)| plan.is_intensive() && !taken(project));
        let Some((_, project)) = second else { continue };
        let me = stage.person(&person.login).await?;
        let outcome = submit(stage, &me, "", &project.name, "second-intensive").await;
        stage.books.mistake(what, &[Reason::IntensiveLimit], outcome);
        return Some(());
    }
    nobody(stage, what);
    None
}

/// The same request again; the same project under another id; another project under the same id.
async fn repeated(stage: &Stage<'_>) -> Option<()> {
    let (_, person, selections) = chosen(stage, 1).into_iter().next()?;
    let me = stage.person(&person.login).await?;
    let first = selections.first()?;
    let id = format!("select-1-{}", first.project);
    let again = stage.books.must("repeat a selection's request", submit(stage, &me, "", &first.project, &id).await)?;
    if again.name != first.name {
        stage.books.surprise("a repeated request made a second selection");
    }
    let twice = submit(stage, &me, "", &first.project, "twice").await;
    stage.books.mistake("select a project twice", &[Reason::AlreadySelected], twice);
    let (_, other) = menu(stage).into_iter().find(|(_, project)| project.name != first.project)?;
    let reused = submit(stage, &me, "", &other.name, &id).await;
    stage.books.mistake("another selection under a repeated request id", &[Reason::RequestIdReused], reused);
    Some(())
}

/// Projects of another stage, and such as never came onto the menu; and calls of the wrong role.
async fn not_for_me(stage: &Stage<'_>) -> Option<()> {
    let (_, person, _) = chosen(stage, 1).into_iter().next()?;
    let me = stage.person(&person.login).await?;
    let (_, foreign) = menu(stage).into_iter().find(|(plan, _)| !admits(plan, person))?;
    let outcome = submit(stage, &me, "", &foreign.name, "foreign").await;
    stage.books.mistake("a project for others", &[Reason::AudienceMismatch], outcome);

    let hidden = (0..).zip(&stage.county.projects).find(|(_, plan)| !plan.is_published())?.0;
    let outcome = submit(stage, &me, "", &stage.project(hidden)?, "hidden").await;
    stage.books.mistake("a project that is not on the menu", &[Reason::ProjectNotOpen, Reason::NotFound], outcome);

    let provider = stage.staff_of(&foreign.provider).await?;
    let outcome = submit(stage, &provider, &person.teacher.name, &foreign.name, "provider").await;
    stage.books.mistake("a provider selects for a teacher", &[Reason::RoleNotAllowed], outcome);
    Some(())
}

/// Administrators select for teachers: of their school, which is allowed, and of another, which is not.
async fn for_others(stage: &Stage<'_>) -> Option<()> {
    let helped = helped(stage)?;
    let me = stage.reviewer(&helped.1.teacher.school, Role::SchoolAdmin).await?;
    let (_, project) = menu(stage).into_iter().find(|(plan, _)| admits(plan, helped.1))?;
    let outcome = submit(stage, &me, &helped.1.teacher.name, &project.name, "for-another").await;
    if let Some(selection) = stage.books.must("an administrator selects for a teacher", outcome) {
        stage.memory().selections.entry(helped.0).or_default().push(selection);
    }
    let stranger = stage.county.teachers.iter().find(|other| other.teacher.school != helped.1.teacher.school)?;
    let outcome = submit(stage, &me, &stranger.teacher.name, &project.name, "for-a-stranger").await;
    let reasons = [Reason::OutOfScope, Reason::NotFound];
    stage.books.mistake("an administrator selects for someone else's teacher", &reasons, outcome);
    Some(())
}

/// A teacher who selects nothing himself, and for whom the administrator does.
pub fn helped<'a>(stage: &Stage<'a>) -> Option<(usize, &'a Person)> {
    let menu = menu(stage);
    teachers(stage).find(|(_, person)| {
        let plain = person.habits.wishes.is_empty() && person.roles.is_empty();
        plain && menu.iter().any(|(plan, _)| admits(plan, person))
    })
}

/// One withdraws and selects the same again; another's selection is not his to withdraw.
async fn second_thoughts(stage: &Stage<'_>) -> Option<()> {
    let chosen = chosen(stage, 1);
    let (n, person, selections) = chosen.get(2)?;
    let me = stage.person(&person.login).await?;
    let first = selections.first()?;
    stage.books.must("withdraw a selection", withdraw(&me, &first.name, "withdraw").await)?;
    let outcome = submit(stage, &me, "", &first.project, "select-1-again").await;
    let again = stage.books.must("select again what was withdrawn", outcome)?;
    if let Some(mine) = stage.memory().selections.get_mut(n).and_then(|mine| mine.first_mut()) {
        *mine = again;
    }
    let (_, _, others) = chosen.get(1)?;
    let outcome = withdraw(&me, &others.first()?.name, "withdraw-others").await;
    stage.books.mistake("withdraw another's selection", &[Reason::OutOfScope, Reason::NotFound], outcome);
    Some(())
}
