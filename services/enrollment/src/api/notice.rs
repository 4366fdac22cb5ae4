//! `NoticeService`.

use std::collections::BTreeSet;

use chassis::{
    Call, Failure, Faults, Page, answer,
    db::{Record, Scope, Tx},
    gates::TermGates,
};
use jiff::{ToSpan as _, civil::Date};
use proto::{
    Held,
    common::v1::Role,
    enrollment::v1::{
        AcknowledgeNoticeRequest, AcknowledgeNoticeResponse, IssueNoticeRequest, IssueNoticeResponse,
        ListNoticesRequest, ListNoticesResponse, Notice, notice_service_server::NoticeService,
    },
};
use tonic::{Request, Response, Status};

use super::{Api, project_of, scope, term_of};
use crate::{
    domain::{Class, Policy},
    store::{catalog, desk as store, notices, seats, selections},
};

#[tonic::async_trait]
impl NoticeService for Api {
    async fn issue_notice(
        &self,
        request: Request<IssueNoticeRequest>,
    ) -> Result<Response<IssueNoticeResponse>, Status> {
        answer(request, |call| issue(self, call)).await
    }

    async fn list_notices(
        &self,
        request: Request<ListNoticesRequest>,
    ) -> Result<Response<ListNoticesResponse>, Status> {
        answer(request, |call| list(self, call)).await
    }

    async fn acknowledge_notice(
        &self,
        request: Request<AcknowledgeNoticeRequest>,
    ) -> Result<Response<AcknowledgeNoticeResponse>, Status> {
        answer(request, |call| acknowledge(self, call)).await
    }
}

async fn issue(api: &Api, call: Call<IssueNoticeRequest>) -> Result<IssueNoticeResponse, Failure> {
    let IssueNoticeRequest { class, text, .. } = &call.message;
    let mut faults = Faults::new();
    faults.required("class", class);
    faults.required("text", text.trim());
    let term = term_of(class);
    let mut tx = api.db.begin(&call, Scope::Term(term)).await?;
    faults.check()?;
    let project = project_of(class).to_owned();
    // The participants of the class stand under the project's lock.
    seats::lock(&mut tx, &BTreeSet::from([project.clone()])).await?;
    let project = catalog::project(&mut tx, &project).await?.ok_or_else(|| Failure::not_found(class))?;
    let held = tx.actor().held_over(&[Role::ProviderStaff], std::slice::from_ref(&project.provider)).cloned();
    let held = held.ok_or_else(|| Failure::out_of_scope(class))?;
    let found = project.active().find(|one| one.name == *class).ok_or_else(|| Failure::not_found(class))?;
    let Some(notice) = send(&mut tx, term, found, text, Some(&held)).await? else {
        let existing = notices::of_class(&mut tx, class).await?.map(|notice| notice.name).unwrap_or_default();
        return Err(Failure::new(proto::common::v1::Reason::AlreadyExists).with("resource", existing));
    };
    tx.commit(IssueNoticeResponse { notice: Some(notice) }).await
}

/// Issues the notice of a class to its participants; `None` if the class has one.
pub(super) async fn send(
    tx: &mut Tx,
    term: &str,
    class: &Class,
    text: &str,
    held: Option<&Held>,
) -> Result<Option<Notice>, Failure> {
    let (gates, policy) = (tx.gates()?, tx.policy::<Policy>()?);
    let project = project_of(&class.name);
    let participants = selections::of_class(tx, project, &class.name, "", i64::MAX).await?;
    let teachers: BTreeSet<String> = participants.into_iter().map(|selection| selection.teacher).collect();
    let notice = Notice {
        name: tx.id(&format!("{term}/notices")),
        class: class.name.clone(),
        project: project.to_owned(),
        issued_at: Some(proto::timestamp(tx.at())),
        starts_on: Some(starts_on(&gates, tx.at(), class, policy.notice.min_days).into()),
        text: text.to_owned(),
        recipients: i32::try_from(teachers.len()).unwrap_or(i32::MAX),
        acknowledged: 0,
    };
    if !notices::issue(tx, term, &notice).await? {
        return Ok(None);
    }
    store::address(tx, term, &notice.name, &class.name, &teachers).await?;
    let facts = Notice { text: String::new(), ..notice.clone() };
    let record = Record::of(&notice.name, "issued", &facts).term(term);
    let actor = tx.actor().clone();
    tx.record(record.by(&actor, held));
    Ok(Some(notice))
}

/// The class starts on its first session's day, but not before so many days after the notice: policy `notice.min_days`.
fn starts_on(gates: &TermGates, at: i64, class: &Class, min_days: i64) -> Date {
    let earliest = gates.day(at).checked_add(min_days.days()).unwrap_or(Date::MAX);
    class.starts().map_or(earliest, |starts| gates.day(starts).max(earliest))
}

async fn list(api: &Api, call: Call<ListNoticesRequest>) -> Result<ListNoticesResponse, Failure> {
    let message = &call.message;
    let bound = ListNoticesRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let page = Page::read(message.page_size, &message.page_token, &bound)?;
    let mut db = api.db.read(&call, Scope::Term(&message.parent)).await?;
    let view = scope::view(db.actor());
    let found = notices::list(&mut db, &message.parent, &message.project, &view, page.after(), page.ask()).await?;
    let (notices, next_page_token) = page.cut(found, |last| last.name.clone());
    Ok(ListNoticesResponse { notices, next_page_token })
}

async fn acknowledge(api: &Api, call: Call<AcknowledgeNoticeRequest>) -> Result<AcknowledgeNoticeResponse, Failure> {
    let name = &call.message.name;
    let mut tx = api.db.begin(&call, Scope::Term(term_of(name))).await?;
    let teacher = tx.actor().teacher.clone();
    if !notices::acknowledge(&mut tx, name, &teacher).await? {
        return Err(Failure::not_found(name));
    }
    let notice = notices::find(&mut tx, name).await?.ok_or_else(|| Failure::not_found(name))?;
    let facts = Notice { text: String::new(), ..notice.clone() };
    tx.record(Record::of(name, "acknowledged", &facts));
    tx.commit(AcknowledgeNoticeResponse { notice: Some(notice) }).await
}
