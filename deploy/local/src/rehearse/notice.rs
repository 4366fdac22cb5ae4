//! Training notices: providers issue them, teachers acknowledge; after them nobody withdraws just so.

use proto::catalog::v1::project_service_client::ProjectServiceClient;
use proto::catalog::v1::{Class, ListProjectsRequest, Project, class, project};
use proto::common::v1::Role;
use proto::enrollment::v1::inbox_service_client::InboxServiceClient;
use proto::enrollment::v1::notice_service_client::NoticeServiceClient;
use proto::enrollment::v1::selection_service_client::SelectionServiceClient;
use proto::enrollment::v1::training_service_client::TrainingServiceClient;
use proto::enrollment::v1::{
    AcknowledgeNoticeRequest, IssueNoticeRequest, ListNoticesRequest, ListNotificationsRequest,
    ListParticipantsRequest, ListSelectionsRequest, MarkNotificationsReadRequest, Participant,
    WithdrawSelectionRequest, selection,
};

use super::caller::{Caller, call};
use super::programme::{WITHDRAW_AFTER_NOTICE, WITHDRAWN_BY_BUREAU};
use super::stage::{PAGE, Stage};

/// Classes, in percent, whose provider forgets the notice, so that the sequencer issues it.
const FORGOTTEN: u64 = 15;

/// A provider's projects in a state.
pub async fn projects(stage: &Stage<'_>, me: &Caller, provider: &str, state: project::State) -> Option<Vec<Project>> {
    let projects = stage.pages(|page_token| {
        let request = ListProjectsRequest {
            parent: stage.term.clone(),
            provider: provider.to_owned(),
            state: state.into(),
            page_size: PAGE,
            page_token,
            ..ListProjectsRequest::default()
        };
        async move {
            let reply = call!(me, ProjectServiceClient.list_projects(request))?;
            Ok((reply.projects, reply.next_page_token))
        }
    });
    stage.books.must("list a provider's projects", projects.await)
}

/// The classes of all providers that take place: (provider's staff, class).
pub async fn classes(stage: &Stage<'_>, state: project::State) -> Vec<(Caller, Class)> {
    let mut all = Vec::new();
    let providers = stage.county.staff.iter().filter(|staff| staff.role == Role::ProviderStaff);
    for staff in providers {
        let Some(me) = stage.person(&staff.login).await else { continue };
        let Some(projects) = projects(stage, &me, &staff.organization, state).await else { continue };
        let classes = projects.into_iter().flat_map(|project| project.classes);
        all.extend(classes.filter(|class| class.state() == class::State::Active).map(|class| (me.clone(), class)));
    }
    all.sort_by(|(_, one), (_, other)| one.name.cmp(&other.name));
    all
}

/// Who takes part in a class.
pub async fn participants(stage: &Stage<'_>, me: &Caller, class: &str) -> Option<Vec<Participant>> {
    let participants = stage.pages(|page_token| {
        let request = ListParticipantsRequest { class: class.to_owned(), page_size: PAGE, page_token };
        async move {
            let reply = call!(me, TrainingServiceClient.list_participants(request))?;
            Ok((reply.participants, reply.next_page_token))
        }
    });
    stage.books.must("list the participants of a class", participants.await)
}

/// Providers issue the notices of their classes; some forget.
pub async fn issue(stage: &Stage<'_>) {
    let classes = classes(stage, project::State::Published).await;
    stage
        .all(classes.into_iter().map(|(me, class)| async move {
            if stage.chance(&format!("notice:{}", class.name), FORGOTTEN) {
                return None;
            }
            if participants(stage, &me, &class.name).await?.is_empty() {
                return None;
            }
            let request = IssueNoticeRequest {
                text: format!("请按时到{}参加培训，自带教材。", class.venue),
                request_id: format!("notice-{}", class.name),
                class: class.name,
            };
            stage.books.must("issue a notice", call!(me, NoticeServiceClient.issue_notice(request))).map(drop)
        }))
        .await;
}

/// A school tries to withdraw a teacher who has his notice.
pub async fn withdraw_after(stage: &Stage<'_>) -> Option<()> {
    let (school, name) = noticed(stage).await?.into_iter().next()?;
    let me = stage.reviewer(&school, Role::SchoolAdmin).await?;
    let request =
        WithdrawSelectionRequest { name, reason: "工作冲突".to_owned(), request_id: "withdraw-late".to_owned() };
    let outcome = call!(me, SelectionServiceClient.withdraw_selection(request));
    stage.books.mistake(WITHDRAW_AFTER_NOTICE, outcome);
    Some(())
}

/// Confirmed selections of classes with a notice, with their schools, in order; none of the school without reviewers.
async fn noticed(stage: &Stage<'_>) -> Option<Vec<(String, String)>> {
    let officer = stage.staff(Role::BureauOfficer).await?;
    let notices = list(stage, &officer).await?;
    let mut noticed: Vec<&str> = notices.iter().map(|notice| notice.class.as_str()).collect();
    noticed.sort_unstable();
    let request = ListSelectionsRequest {
        parent: stage.term.clone(),
        organization: "organizations/county".to_owned(),
        state: selection::State::Confirmed.into(),
        page_size: PAGE,
        ..ListSelectionsRequest::default()
    };
    let reply = call!(officer, SelectionServiceClient.list_selections(request));
    let confirmed = stage.books.must("list the confirmed", reply)?.selections;
    let mut all: Vec<(String, String)> = confirmed
        .into_iter()
        .filter(|selection| noticed.binary_search(&selection.class.as_str()).is_ok())
        .filter(|selection| Some(selection.school.as_str()) != stage.cast.orphaned)
        .map(|selection| (selection.school, selection.name))
        .collect();
    all.sort();
    Some(all)
}

/// All notices of the term.
pub async fn list(stage: &Stage<'_>, me: &Caller) -> Option<Vec<proto::enrollment::v1::Notice>> {
    let notices = stage.pages(|page_token| {
        let request =
            ListNoticesRequest { parent: stage.term.clone(), project: String::new(), page_size: PAGE, page_token };
        async move {
            let reply = call!(me, NoticeServiceClient.list_notices(request))?;
            Ok((reply.notices, reply.next_page_token))
        }
    });
    stage.books.must("list the notices", notices.await)
}

/// The bureau withdraws whom the school could not; some teachers read their inbox and acknowledge their notices.
pub async fn acknowledge(stage: &Stage<'_>) -> Option<()> {
    let officer = stage.staff(Role::BureauOfficer).await?;
    if let Some((_, name)) = noticed(stage).await?.into_iter().next() {
        let reason = "因公借调".to_owned();
        let request = WithdrawSelectionRequest { name, reason, request_id: "withdraw-by-bureau".to_owned() };
        let outcome = call!(officer, SelectionServiceClient.withdraw_selection(request));
        stage.books.must("the bureau withdraws a selection", outcome)?;
        stage.books.happened(WITHDRAWN_BY_BUREAU);
    }
    let readers = (0_usize..).zip(&stage.county.teachers);
    // Who has a role in the school sees the notices of others too.
    let readers = readers.filter(|(_, person)| person.roles.is_empty() && !person.habits.wishes.is_empty());
    let readers = readers.filter(|(n, _)| stage.chance(&format!("read:{n}"), 12));
    stage
        .all(readers.map(|(n, person)| async move {
            let me = stage.person(&person.login).await?;
            let request = ListNotificationsRequest { unread_only: true, page_size: 50, page_token: String::new() };
            let inbox = call!(me, InboxServiceClient.list_notifications(request));
            let inbox = stage.books.must("read the inbox", inbox)?;
            let names: Vec<String> = inbox.notifications.into_iter().map(|one| one.name).collect();
            if !names.is_empty() {
                let request = MarkNotificationsReadRequest { names, request_id: format!("read-{n}") };
                let read = call!(me, InboxServiceClient.mark_notifications_read(request));
                stage.books.must("mark notifications as read", read)?;
            }
            for notice in list(stage, &me).await? {
                let request_id = format!("acknowledge-{}-{n}", notice.name);
                let request = AcknowledgeNoticeRequest { name: notice.name, request_id };
                let outcome = call!(me, NoticeServiceClient.acknowledge_notice(request));
                stage.books.must("acknowledge a notice", outcome)?;
            }
            Some(())
        }))
        .await;
    Some(())
}
