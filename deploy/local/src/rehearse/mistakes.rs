//! The mistakes that people make while they select.

use proto::catalog::v1::Project;
use proto::common::v1::Role;
use proto::enrollment::v1::Selection;

use super::programme::{
    FOR_OTHERS, FOURTH, Mistake, NOT_ON_MENU, OVERLAPPING, PROVIDER_SELECTS, SECOND_INTENSIVE, SECOND_THOUGHTS,
    SELECT_AGAIN, SELECT_FOR_STRANGER, SELECT_REUSED_ID, SELECTED_FOR, TWICE, WITHDRAW_OTHERS,
};
use super::select::{submit, teachers, withdraw};
use super::stage::Stage;
use crate::people::{self, Person, Plan, all_overlap, overlap};

/// The mistakes of the first day, one after the other, by people who have chosen already.
pub async fn make(stage: &Stage<'_>) {
    fourth(stage).await;
    overlapping(stage).await;
    second_intensive(stage).await;
    repeated(stage).await;
    not_for_me(stage).await;
    not_on_the_menu(stage).await;
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
    people::admits(plan.project.audience.as_ref(), &person.teacher)
}

/// Of the projects that would do, one that is for the teacher, else any.
fn tempting<'a>(person: &Person, fitting: impl Iterator<Item = (&'a Plan, Project)>) -> Option<Project> {
    let (mine, others): (Vec<_>, Vec<_>) = fitting.partition(|(plan, _)| admits(plan, person));
    mine.into_iter().chain(others).next().map(|(_, project)| project)
}

/// Somebody tries a project that does not go with what he has: the first for whom there is one.
async fn one_too_many(
    stage: &Stage<'_>,
    mistake: Mistake,
    act: &str,
    clashes: impl Fn(&Plan, &[&Plan]) -> bool,
) -> Option<()> {
    let menu = menu(stage);
    for (_, person, selections) in chosen(stage, 1) {
        let mine: Vec<&Plan> =
            person.habits.wishes.iter().filter_map(|wish| stage.county.projects.get(*wish)).collect();
        let taken = |project: &Project| selections.iter().any(|selection| selection.project == project.name);
        let fitting = menu.iter().filter(|(plan, project)| !taken(project) && clashes(plan, &mine)).cloned();
        let Some(project) = tempting(person, fitting) else { continue };
        let me = stage.person(&person.login).await?;
        let outcome = submit(stage, &me, "", &project.name, act).await;
        stage.books.mistake(mistake, outcome);
        return Some(());
    }
    None
}

async fn fourth(stage: &Stage<'_>) -> Option<()> {
    let most = most(stage);
    if chosen(stage, most).is_empty() {
        fill(stage, most).await?;
    }
    let (person, taken) = {
        let memory = stage.memory();
        let (n, mine) = memory.selections.iter().find(|(_, mine)| mine.len() == most)?;
        let taken: Vec<String> = mine.iter().map(|selection| selection.project.clone()).collect();
        (stage.county.teachers.get(*n)?, taken)
    };
    let project = tempting(person, menu(stage).into_iter().filter(|(_, project)| !taken.contains(&project.name)))?;
    let me = stage.person(&person.login).await?;
    let outcome = submit(stage, &me, "", &project.name, "a-fourth").await;
    stage.books.mistake(FOURTH, outcome);
    Some(())
}

/// How many selections of a teacher a round allows.
fn most(stage: &Stage<'_>) -> usize {
    let policy: toml::Table = stage.folder.policy.parse().unwrap_or_default();
    let most = policy.get("selection").and_then(|section| section.get("max_per_round")?.as_integer());
    most.and_then(|most| usize::try_from(most).ok()).unwrap_or(3)
}

/// Where nobody wished for as many as a round allows, somebody for whom the menu has enough takes some more.
async fn fill(stage: &Stage<'_>, most: usize) -> Option<()> {
    let menu = menu(stage);
    let mut candidates = chosen(stage, 1);
    candidates.retain(|(n, ..)| !stage.cast.befalls(*n));
    candidates.sort_by_key(|(_, _, selections)| std::cmp::Reverse(selections.len()));
    for (n, person, selections) in candidates {
        let mut mine: Vec<&Plan> =
            person.habits.wishes.iter().filter_map(|wish| stage.county.projects.get(*wish)).collect();
        let mut more = Vec::new();
        for (plan, project) in &menu {
            let taken = selections.iter().any(|selection| selection.project == project.name);
            let intensive = plan.is_intensive() && mine.iter().any(|other| other.is_intensive());
            let clashes = taken || intensive || mine.iter().any(|other| overlap(plan, other));
            if mine.len() < most && admits(plan, person) && !clashes {
                mine.push(plan);
                more.push(project.name.clone());
            }
        }
        if mine.len() < most {
            continue;
        }
        let me = stage.person(&person.login).await?;
        for project in more {
            let outcome = submit(stage, &me, "", &project, &format!("select-1-{project}")).await;
            let selection = stage.books.must("select one more", outcome)?;
            stage.memory().selections.entry(n).or_default().push(selection);
        }
        return Some(());
    }
    None
}

async fn overlapping(stage: &Stage<'_>) -> Option<()> {
    let clashes = |plan: &Plan, mine: &[&Plan]| mine.iter().any(|other| all_overlap(plan, other));
    one_too_many(stage, OVERLAPPING, "overlapping", clashes).await
}

async fn second_intensive(stage: &Stage<'_>) -> Option<()> {
    let clashes = |plan: &Plan, mine: &[&Plan]| plan.is_intensive() && mine.iter().any(|other| other.is_intensive());
    one_too_many(stage, SECOND_INTENSIVE, "second-intensive", clashes).await
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
    stage.books.happened(SELECT_AGAIN);
    let twice = submit(stage, &me, "", &first.project, "twice").await;
    stage.books.mistake(TWICE, twice);
    let (_, other) = menu(stage).into_iter().find(|(_, project)| project.name != first.project)?;
    let reused = submit(stage, &me, "", &other.name, &id).await;
    stage.books.mistake(SELECT_REUSED_ID, reused);
    Some(())
}

/// A project of another stage; and a provider who means well.
async fn not_for_me(stage: &Stage<'_>) -> Option<()> {
    let (_, person, _) = chosen(stage, 1).into_iter().next()?;
    let me = stage.person(&person.login).await?;
    let (_, foreign) = menu(stage).into_iter().find(|(plan, _)| !admits(plan, person))?;
    let outcome = submit(stage, &me, "", &foreign.name, "foreign").await;
    stage.books.mistake(FOR_OTHERS, outcome);
    let provider = stage.staff_of(&foreign.provider).await?;
    let outcome = submit(stage, &provider, &person.teacher.name, &foreign.name, "provider").await;
    stage.books.mistake(PROVIDER_SELECTS, outcome);
    Some(())
}

/// A project that never came onto the menu.
async fn not_on_the_menu(stage: &Stage<'_>) -> Option<()> {
    let (_, person, _) = chosen(stage, 1).into_iter().next()?;
    let me = stage.person(&person.login).await?;
    let hidden = (0..).zip(&stage.county.projects).find(|(_, plan)| !plan.is_published())?.0;
    let outcome = submit(stage, &me, "", &stage.project(hidden)?, "hidden").await;
    stage.books.mistake(NOT_ON_MENU, outcome);
    Some(())
}

/// Administrators select for teachers: of their school, which is allowed, and of another, which is not.
async fn for_others(stage: &Stage<'_>) -> Option<()> {
    let (n, helped) = stage.cast.helped?;
    let me = stage.reviewer(&helped.teacher.school, Role::SchoolAdmin).await?;
    let (_, project) = menu(stage).into_iter().find(|(plan, _)| admits(plan, helped))?;
    let outcome = submit(stage, &me, &helped.teacher.name, &project.name, "for-another").await;
    let selection = stage.books.must("an administrator selects for a teacher", outcome)?;
    stage.memory().selections.entry(n).or_default().push(selection);
    stage.books.happened(SELECTED_FOR);
    let stranger = stage.county.teachers.iter().find(|other| other.teacher.school != helped.teacher.school)?;
    let outcome = submit(stage, &me, &stranger.teacher.name, &project.name, "for-a-stranger").await;
    stage.books.mistake(SELECT_FOR_STRANGER, outcome);
    Some(())
}

/// One withdraws and selects the same again; another's selection is not his to withdraw.
async fn second_thoughts(stage: &Stage<'_>) -> Option<()> {
    let chosen = chosen(stage, 1);
    let (n, person, selections) = chosen.iter().rfind(|(n, ..)| !stage.cast.befalls(*n))?;
    let me = stage.person(&person.login).await?;
    let first = selections.first()?;
    stage.books.must("withdraw a selection", withdraw(&me, &first.name, "withdraw").await)?;
    let outcome = submit(stage, &me, "", &first.project, "select-1-again").await;
    let again = stage.books.must("select again what was withdrawn", outcome)?;
    if let Some(mine) = stage.memory().selections.get_mut(n).and_then(|mine| mine.first_mut()) {
        *mine = again;
    }
    stage.books.happened(SECOND_THOUGHTS);
    let (_, _, others) = chosen.iter().find(|(other, ..)| other != n)?;
    let outcome = withdraw(&me, &others.first()?.name, "withdraw-others").await;
    stage.books.mistake(WITHDRAW_OTHERS, outcome);
    Some(())
}
