//! DECLARATION: providers declare, bureaus accept or return.

use prost_types::FieldMask;
use proto::catalog::v1::project_service_client::ProjectServiceClient;
use proto::catalog::v1::{
    AcceptProjectRequest, CreateProjectRequest, Project, ReturnProjectRequest, SubmitProjectRequest,
    UpdateProjectRequest, WithdrawProjectRequest,
};
use proto::common::v1::Role;

use super::caller::{Caller, call};
use super::programme::{
    DECLARE_AGAIN, DECLARE_AS_NOBODY, DECLARE_AS_TEACHER, DECLARE_NOTHING, DECLARE_REUSED_ID, DECLARE_TOO_LATE,
    WITHDRAW_OTHERS_PROJECT,
};
use super::stage::Stage;
use crate::people::{Course, Plan};

/// Providers enter and submit their projects; a few forget to.
pub async fn declare(stage: &Stage<'_>) {
    stage.all((0..).zip(&stage.county.projects).map(|(n, plan)| declare_one(stage, n, plan))).await;
    mistakes(stage).await;
}

async fn declare_one(stage: &Stage<'_>, n: usize, plan: &Plan) -> Option<()> {
    let me = stage.staff_of(&plan.project.provider).await?;
    let created = create(stage, &me, plan.project.clone(), &format!("declare-{n}")).await;
    let project = stage.books.must("declare a project", created)?;
    let name = project.name.clone();
    stage.memory().projects.insert(n, project);
    if plan.course != Course::Forgotten {
        submit(stage, &me, &name, "submit").await?;
    }
    Some(())
}

async fn create(
    stage: &Stage<'_>,
    me: &Caller,
    project: Project,
    request_id: &str,
) -> Result<Project, super::books::Refusal> {
    let request =
        CreateProjectRequest { parent: stage.term.clone(), project: Some(project), request_id: request_id.to_owned() };
    Ok(call!(me, ProjectServiceClient.create_project(request))?.project.unwrap_or_default())
}

async fn submit(stage: &Stage<'_>, me: &Caller, name: &str, act: &str) -> Option<()> {
    let request = SubmitProjectRequest { name: name.to_owned(), request_id: format!("{act}-{name}") };
    stage.books.must("submit a project", call!(me, ProjectServiceClient.submit_project(request))).map(drop)
}

async fn mistakes(stage: &Stage<'_>) -> Option<()> {
    let plan = stage.county.projects.first()?;
    let provider = stage.staff_of(&plan.project.provider).await?;
    let books = &stage.books;

    // The same request again gets the first reply; another body under its id is refused.
    let declared = stage.memory().projects.get(&0).cloned()?;
    let again = books.must("repeat a request", create(stage, &provider, plan.project.clone(), "declare-0").await)?;
    if again.name != declared.name {
        books.surprise("a repeated request made a second project");
    }
    books.happened(DECLARE_AGAIN);
    let other = Project { title: "另一个项目".to_owned(), ..plan.project.clone() };
    let reused = create(stage, &provider, other, "declare-0").await;
    books.mistake(DECLARE_REUSED_ID, reused);

    let empty = create(stage, &provider, Project::default(), "declare-nothing").await;
    match empty {
        // A draft may be incomplete; it is submission that checks.
        Ok(project) => {
            let request = SubmitProjectRequest { name: project.name, request_id: "submit-nothing".to_owned() };
            let outcome = call!(provider, ProjectServiceClient.submit_project(request));
            books.mistake(DECLARE_NOTHING, outcome);
        }
        refused => books.mistake(DECLARE_NOTHING, refused),
    }

    let teacher = stage.person(&stage.county.teachers.last()?.login).await?;
    let created = create(stage, &teacher, plan.project.clone(), "declare-as-teacher").await;
    books.mistake(DECLARE_AS_TEACHER, created);

    let other = stage.county.projects.iter().find(|other| other.project.provider != plan.project.provider)?;
    let other = stage.staff_of(&other.project.provider).await?;
    let request = WithdrawProjectRequest {
        name: declared.name,
        reason: "误操作".to_owned(),
        request_id: "withdraw-others".to_owned(),
    };
    let outcome = call!(other, ProjectServiceClient.withdraw_project(request));
    books.mistake(WITHDRAW_OTHERS_PROJECT, outcome);

    let nobody = stage.staff(Role::BureauOfficer).await?.nobody();
    let created = create(stage, &nobody, plan.project.clone(), "declare-as-nobody").await;
    books.mistake(DECLARE_AS_NOBODY, created);
    Some(())
}

/// Bureaus accept what is in order and return what is not; one provider takes its project back.
pub async fn check(stage: &Stage<'_>) {
    stage
        .all((0..).zip(&stage.county.projects).map(|(n, plan)| async move {
            let name = stage.project(n)?;
            match plan.course {
                Course::Forgotten => None,
                Course::Withdrawn => {
                    let me = stage.staff_of(&plan.project.provider).await?;
                    let request_id = format!("withdraw-{name}");
                    let request = WithdrawProjectRequest { name, reason: "师资安排有变".to_owned(), request_id };
                    stage
                        .books
                        .must("take a project back", call!(me, ProjectServiceClient.withdraw_project(request)))
                        .map(drop)
                }
                Course::Returned => {
                    let me = stage.staff_of(&plan.project.accepting_bureau).await?;
                    let request_id = format!("return-{name}");
                    let request = ReturnProjectRequest { name, reason: "请补充培训目标".to_owned(), request_id };
                    stage
                        .books
                        .must("return a project", call!(me, ProjectServiceClient.return_project(request)))
                        .map(drop)
                }
                _ => accept(stage, plan, name, "accept").await,
            }
        }))
        .await;
}

async fn accept(stage: &Stage<'_>, plan: &Plan, name: String, act: &str) -> Option<()> {
    let me = stage.staff_of(&plan.project.accepting_bureau).await?;
    let request_id = format!("{act}-{name}");
    let request = AcceptProjectRequest { name, request_id };
    stage.books.must("accept a project", call!(me, ProjectServiceClient.accept_project(request))).map(drop)
}

/// The returned ones, by index and name.
fn returned<'a>(stage: &'a Stage<'_>) -> impl Iterator<Item = (usize, &'a Plan, String)> {
    let plans = (0..).zip(&stage.county.projects).filter(|(_, plan)| plan.course == Course::Returned);
    plans.filter_map(|(n, plan)| Some((n, plan, stage.project(n)?)))
}

/// What was returned is corrected and submitted again.
pub async fn correct(stage: &Stage<'_>) {
    stage
        .all(returned(stage).map(|(_, plan, name)| async move {
            let me = stage.staff_of(&plan.project.provider).await?;
            let description = format!("{}培训目标：改进课堂教学。", plan.project.description);
            let request = UpdateProjectRequest {
                project: Some(Project { name: name.clone(), description, ..Project::default() }),
                update_mask: Some(FieldMask { paths: vec!["description".to_owned()] }),
                request_id: format!("correct-{name}"),
            };
            stage.books.must("correct a project", call!(me, ProjectServiceClient.update_project(request)))?;
            submit(stage, &me, &name, "resubmit").await
        }))
        .await;
}

/// And accepted.
pub async fn accept_corrected(stage: &Stage<'_>) {
    stage.all(returned(stage).map(|(_, plan, name)| accept(stage, plan, name, "accept-again"))).await;
}

/// Someone comes after the declaration has closed.
pub async fn too_late(stage: &Stage<'_>) -> Option<()> {
    let plan = stage.county.projects.first()?;
    let me = stage.staff_of(&plan.project.provider).await?;
    let created = create(stage, &me, plan.project.clone(), "declare-too-late").await;
    stage.books.mistake(DECLARE_TOO_LATE, created);
    Some(())
}
