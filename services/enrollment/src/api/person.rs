//! `PersonService`: all that is held of a person.

use chassis::{
    Call, Failure, Page, answer,
    changes::history,
    db::{Queries, Scope},
    export::{self, Found, Sections},
};
use proto::enrollment::v1::{
    ExportAccountRequest, ExportAccountResponse, ExportTeacherRequest, ExportTeacherResponse, ExportedRecord,
    SelectionRecord, exported_record::Record, person_service_server::PersonService,
};
use tonic::{Request, Response, Status};

use super::Api;
use crate::{
    domain::Selection,
    store::{notifications, persons, roster, selections, wire},
};

#[tonic::async_trait]
impl PersonService for Api {
    async fn export_teacher(
        &self,
        request: Request<ExportTeacherRequest>,
    ) -> Result<Response<ExportTeacherResponse>, Status> {
        answer(request, |call| export_teacher(self, call)).await
    }

    async fn export_account(
        &self,
        request: Request<ExportAccountRequest>,
    ) -> Result<Response<ExportAccountResponse>, Status> {
        answer(request, |call| export_account(self, call)).await
    }
}

async fn export_account(api: &Api, call: Call<ExportAccountRequest>) -> Result<ExportAccountResponse, Failure> {
    let message = &call.message;
    let query = ExportAccountRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let page = Page::read(message.page_size, &message.page_token, &query)?;
    let mut db = api.db.read(&call, Scope::AnyTerm).await?;
    let (actor, at, account) = (db.actor().clone(), db.at(), message.account.as_str());
    export::admit(&mut db, &actor, account, at).await?;
    let mut records = Sections::of(page, 1);
    while let Some((_, after, limit)) = records.next() {
        records.take(inbox(&mut db, account, &after, limit).await?);
    }
    let (records, next_page_token) = records.end();
    Ok(ExportAccountResponse { records, next_page_token })
}

async fn inbox(
    db: &mut impl Queries,
    account: &str,
    after: &str,
    limit: usize,
) -> Result<Found<ExportedRecord>, Failure> {
    let (found, _) = notifications::list(db, account, false, after, limit).await?;
    Ok(of(found.into_iter().map(|one| (notifications::key(&one), one)).collect(), Record::Notification))
}

async fn export_teacher(api: &Api, call: Call<ExportTeacherRequest>) -> Result<ExportTeacherResponse, Failure> {
    let message = &call.message;
    let query = ExportTeacherRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let page = Page::read(message.page_size, &message.page_token, &query)?;
    let mut db = api.db.read(&call, Scope::AnyTerm).await?;
    let (actor, at, teacher) = (db.actor().clone(), db.at(), message.teacher.as_str());
    export::admit(&mut db, &actor, teacher, at).await?;
    let account = roster::teacher(&mut db, teacher).await?.ok_or_else(|| Failure::not_found(teacher))?.account;
    let mut records = Sections::of(page, 8);
    while let Some((section, after, limit)) = records.next() {
        let after = after.as_str();
        let found = match section {
            0 => {
                let found = selections::of_teacher(&mut db, teacher, after, limit).await?;
                found.iter().map(|one| (one.name.clone(), record(Record::Selection(selection(one))))).collect()
            }
            1 => of(persons::overrides(&mut db, teacher, after, limit).await?, Record::Override),
            2 => of(persons::received(&mut db, teacher, after, limit).await?, Record::Notice),
            3 => inbox(&mut db, &account, after, limit).await?,
            4 => of(persons::non_selections(&mut db, teacher, after, limit).await?, Record::NonSelection),
            5 => of(persons::urgings(&mut db, teacher, after, limit).await?, Record::Urging),
            6 => of(persons::fixed(&mut db, teacher, after, limit).await?, Record::FixedCredit),
            _ => {
                let (changes, next) = what_happened(&mut db, teacher, after.parse().unwrap_or(0)).await?;
                records.take_part(changes, next.map(|position| position.to_string()));
                continue;
            }
        };
        records.take(found);
    }
    let (records, next_page_token) = records.end();
    Ok(ExportTeacherResponse { records, next_page_token })
}

async fn what_happened(
    db: &mut impl Queries,
    teacher: &str,
    after: i64,
) -> Result<(Vec<ExportedRecord>, Option<i64>), Failure> {
    let names = selections::names_of_teacher(db, teacher).await?;
    let (changes, next) = history(db, &names, after).await?;
    Ok((changes.into_iter().map(|change| record(Record::Change(change))).collect(), next))
}

fn of<T>(found: Vec<(String, T)>, kind: impl Fn(T) -> Record) -> Found<ExportedRecord> {
    found.into_iter().map(|(key, one)| (key, record(kind(one)))).collect()
}

fn record(record: Record) -> ExportedRecord {
    ExportedRecord { record: Some(record) }
}

fn selection(of: &Selection) -> SelectionRecord {
    SelectionRecord {
        selection: Some(wire::selection(of)),
        sessions_attended: of.sessions_attended.max(0),
        passed: of.passed,
        coefficient_percent: of.coefficient_percent,
        entry: of.entry.clone(),
        seat: of.seat.word().to_owned(),
    }
}
