//! `PersonService`: all that is held of a person; its erasure has a file of its own.

use chassis::{
    Call, Failure, Faults, Page,
    changes::history,
    db::{Queries, Record, Scope, Tx},
    export::{self, Found as Records, Permit, Sections},
};
use proto::{
    Held,
    common::v1::{ExportPermit, RoleGrant},
    roster::v1::{
        self as pb, EraseAccountRequest, EraseAccountResponse, EraseTeacherRequest, EraseTeacherResponse,
        ExportAccountRequest, ExportAccountResponse, ExportTeacherRequest, ExportTeacherResponse, ExportedRecord,
        OpenAccountExportRequest, OpenAccountExportResponse, OpenExportRequest, OpenExportResponse,
        exported_record::Record as Exported, person_service_server::PersonService,
    },
};
use tonic::{Request, Response, Status};

use super::{
    Service,
    appointments::{governing, scoped},
    erasure, facts,
    teachers::{Found, find},
    wire,
};
use crate::{
    domain::{
        fault::{Defect, is_coded_reason, is_told_reason},
        field::Entry,
        scope,
    },
    store::{accounts, history as happened},
};

/// For how long an officer may read what he has opened: a day, in microseconds.
const OPEN: i64 = 86_400_000_000;

#[tonic::async_trait]
impl PersonService for Service {
    async fn open_export(&self, request: Request<OpenExportRequest>) -> Result<Response<OpenExportResponse>, Status> {
        chassis::answer(request, |call| open(self, call)).await
    }

    async fn export_teacher(
        &self,
        request: Request<ExportTeacherRequest>,
    ) -> Result<Response<ExportTeacherResponse>, Status> {
        chassis::answer(request, |call| export_teacher(self, call)).await
    }

    async fn open_account_export(
        &self,
        request: Request<OpenAccountExportRequest>,
    ) -> Result<Response<OpenAccountExportResponse>, Status> {
        chassis::answer(request, |call| open_account(self, call)).await
    }

    async fn export_account(
        &self,
        request: Request<ExportAccountRequest>,
    ) -> Result<Response<ExportAccountResponse>, Status> {
        chassis::answer(request, |call| export_account(self, call)).await
    }

    async fn erase_teacher(
        &self,
        request: Request<EraseTeacherRequest>,
    ) -> Result<Response<EraseTeacherResponse>, Status> {
        chassis::answer(request, |call| erasure::erase_teacher(self, call)).await
    }

    async fn erase_account(
        &self,
        request: Request<EraseAccountRequest>,
    ) -> Result<Response<EraseAccountResponse>, Status> {
        chassis::answer(request, |call| erasure::erase_account(self, call)).await
    }
}

async fn open(service: &Service, call: Call<OpenExportRequest>) -> Result<OpenExportResponse, Failure> {
    let OpenExportRequest { teacher: name, reason, .. } = &call.message;
    check_reason(reason)?;
    let mut tx = service.db.begin(&call, Scope::AnyTerm).await?;
    let Found { teacher, school } = find(&mut tx, name).await?;
    let held = scope::governs(tx.actor(), &school.path).ok_or_else(|| Failure::out_of_scope(name))?.clone();
    let (name, account) = (teacher.name.clone(), teacher.account.as_str());
    // Of an erased person nothing is written any more.
    let reason_kept = if teacher.erased { "" } else { reason };
    let permit = permit(&mut tx, (&name, &name, account), (reason, reason_kept), &held).await?;
    tx.commit(OpenExportResponse { permit: Some(permit) }).await
}

async fn open_account(
    service: &Service,
    call: Call<OpenAccountExportRequest>,
) -> Result<OpenAccountExportResponse, Failure> {
    let OpenAccountExportRequest { account: name, reason, .. } = &call.message;
    check_reason(reason)?;
    let mut tx = service.db.begin(&call, Scope::AnyTerm).await?;
    let scoped = scoped(&mut tx, name).await?;
    let actor = tx.actor().clone();
    let held = governing(&mut tx, &scoped, &actor).await?;
    let reason_kept = if scoped.account.erased { "" } else { reason };
    let permit = permit(&mut tx, (name, &scoped.account.teacher, name), (reason, reason_kept), &held).await?;
    tx.commit(OpenAccountExportResponse { permit: Some(permit) }).await
}

fn check_reason(reason: &str) -> Result<(), Failure> {
    let mut faults = Faults::new();
    faults.required("reason", reason.trim());
    if !is_told_reason(reason) {
        faults.add("reason", Defect::Malformed.zh(), Defect::Malformed.en());
    }
    faults.check()
}

/// Lets the caller read for a day what is held of a person, keeps why, and tells of it by a coded reason only.
async fn permit(
    tx: &mut Tx,
    (person, teacher, account): (&str, &str, &str),
    (reason, reason_kept): (&str, &str),
    held: &Held,
) -> Result<ExportPermit, Failure> {
    let actor = tx.actor().clone();
    let permit = ExportPermit {
        name: format!("{person}/{}", tx.id("exports")),
        teacher: teacher.to_owned(),
        account: account.to_owned(),
        officer: actor.account.clone(),
        expires_at: Some(proto::timestamp(tx.at().saturating_add(OPEN))),
    };
    let kept = Permit { permit: permit.clone(), reason: reason_kept.to_owned(), opened_at: tx.at() };
    export::keep(tx, &kept).await?;
    let coded = if is_coded_reason(reason) { reason } else { "" };
    tx.record(Record::of(&permit.name, "opened", &permit).reason(coded).by(&actor, Some(held)));
    Ok(permit)
}

async fn export_account(service: &Service, call: Call<ExportAccountRequest>) -> Result<ExportAccountResponse, Failure> {
    let message = &call.message;
    let query = ExportAccountRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let page = Page::read(message.page_size, &message.page_token, &query)?;
    let mut db = service.db.read(&call, Scope::AnyTerm).await?;
    let (actor, at, account) = (db.actor().clone(), db.at(), message.account.as_str());
    export::admit(&mut db, &actor, account, at).await?;
    let mut records = Sections::of(page, 3);
    while let Some((section, after, limit)) = records.next() {
        records.take(match section {
            0 => part(account_and_roles(&mut db, account).await?, &after, limit),
            1 => opened_exports(&mut db, account, &after, limit).await?,
            _ => {
                let (changes, next) = happened_to(&mut db, [account], &after).await?;
                records.take_part(changes, next);
                continue;
            }
        });
    }
    let (records, next_page_token) = records.end();
    Ok(ExportAccountResponse { records, next_page_token })
}

async fn opened_exports(
    db: &mut impl Queries,
    person: &str,
    after: &str,
    limit: usize,
) -> Result<Records<ExportedRecord>, Failure> {
    Ok(export::permits(db, person, after, limit).await?.into_iter().map(opened).collect())
}

/// A part of the changes of what a person has, and where the next part begins.
async fn happened_to<const N: usize>(
    db: &mut impl Queries,
    resources: [&str; N],
    after: &str,
) -> Result<(Vec<ExportedRecord>, Option<String>), Failure> {
    let resources = resources.into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let (changes, next) = history(db, &resources, after.parse().unwrap_or(0)).await?;
    let changes = changes.into_iter().map(|change| record(Exported::Change(change))).collect();
    Ok((changes, next.map(|position| position.to_string())))
}

async fn export_teacher(service: &Service, call: Call<ExportTeacherRequest>) -> Result<ExportTeacherResponse, Failure> {
    let message = &call.message;
    let query = ExportTeacherRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let page = Page::read(message.page_size, &message.page_token, &query)?;
    let mut db = service.db.read(&call, Scope::AnyTerm).await?;
    let (actor, at) = (db.actor().clone(), db.at());
    export::admit(&mut db, &actor, &message.teacher, at).await?;
    let found = find(&mut db, &message.teacher).await?;
    let today = service.term(db.gates().ok().as_deref(), at)?.today;
    let (teacher, account) = (found.teacher.name.clone(), found.teacher.account.clone());
    let mut records = Sections::of(page, 7);
    while let Some((section, after, limit)) = records.next() {
        let found = match section {
            0 => himself(service, &found, today),
            1 => account_and_roles(&mut db, &account).await?,
            2 => leaves(&found),
            3 => happened::events(&mut db, &teacher).await?.iter().map(event).collect(),
            4 => happened::decisions(&mut db, &teacher).await?.into_iter().map(decision).collect(),
            5 => opened_exports(&mut db, &teacher, &after, limit).await?,
            _ => {
                let (changes, next) = happened_to(&mut db, [&teacher, &account], &after).await?;
                records.take_part(changes, next);
                continue;
            }
        };
        records.take(part(found, &after, limit));
    }
    let (records, next_page_token) = records.end();
    Ok(ExportTeacherResponse { records, next_page_token })
}

/// What of a person's short list follows a key.
fn part(mut all: Records<ExportedRecord>, after: &str, limit: usize) -> Records<ExportedRecord> {
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    all.retain(|(key, _)| key.as_str() > after);
    all.truncate(limit);
    all
}

fn record(record: Exported) -> ExportedRecord {
    ExportedRecord { record: Some(record) }
}

fn himself(service: &Service, Found { teacher, school }: &Found, today: jiff::civil::Date) -> Records<ExportedRecord> {
    let mut all = vec![
        ("1".to_owned(), record(Exported::Teacher(wire::teacher_in_full(teacher, &service.vault, today)))),
        ("2".to_owned(), record(Exported::Facts(facts::teacher(teacher, &school.path, today)))),
    ];
    if !teacher.pending.is_empty() {
        let fields = values(&teacher.pending);
        all.push(("3".to_owned(), record(Exported::PendingCorrection(pb::PendingCorrection { fields }))));
    }
    all
}

fn values(entry: &Entry) -> std::collections::BTreeMap<String, String> {
    entry.iter().map(|(field, value)| (field.name().to_owned(), value.to_owned())).collect()
}

async fn account_and_roles(db: &mut impl Queries, name: &str) -> Result<Records<ExportedRecord>, Failure> {
    let Some(account) = accounts::find(db, name).await? else { return Ok(Vec::new()) };
    let himself = proto::Actor { account: name.to_owned(), ..proto::Actor::default() };
    let mut all = vec![("account".to_owned(), record(Exported::Account(wire::account(&account, &himself))))];
    for (held, revoked_at) in accounts::roles_ever(db, name).await? {
        let role = pb::RoleRecord {
            grant: Some(RoleGrant { role: held.role.into(), organization: held.organization.clone() }),
            from: held.from.map(Into::into),
            until: held.until.map(Into::into),
            revoked_at: (revoked_at != 0).then(|| proto::timestamp(revoked_at)),
        };
        all.push((format!("role {} {}", held.role.as_str_name(), held.organization), record(Exported::Role(role))));
    }
    Ok(all)
}

fn leaves(Found { teacher, .. }: &Found) -> Records<ExportedRecord> {
    let one = |leave: &crate::domain::status::Leave| {
        let told = pb::Leave { first_on: Some(leave.first_on.into()), last_on: leave.last_on.map(Into::into) };
        (leave.first_on.to_string(), record(Exported::Leave(told)))
    };
    teacher.leaves.iter().map(one).collect()
}

fn event(event: &happened::StatusEvent) -> (String, ExportedRecord) {
    let told = pb::StatusEventRecord {
        event: Some(wire::status_event(event)),
        recorded_at: Some(proto::timestamp(event.recorded_at)),
        recorded_by: event.recorded_by.clone(),
    };
    (event.name.clone(), record(Exported::StatusEvent(told)))
}

fn decision(decided: happened::Decided) -> (String, ExportedRecord) {
    let key = format!("{:020}", decided.version);
    let told = pb::CorrectionDecision {
        fields: decided.fields,
        accepted: decided.accepted,
        reason: decided.reason,
        policy_version: decided.policy_version,
        decided_at: Some(proto::timestamp(decided.at)),
        decided_by: decided.by,
    };
    (key, record(Exported::Correction(told)))
}

fn opened(Permit { permit, reason, opened_at }: Permit) -> (String, ExportedRecord) {
    let opened_at = Some(proto::timestamp(opened_at));
    (permit.name.clone(), record(Exported::Export(pb::ExportRecord { permit: Some(permit), reason, opened_at })))
}
