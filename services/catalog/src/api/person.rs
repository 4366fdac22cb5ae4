//! `PersonService`: all that is held of a person.

use chassis::{
    Call, Failure, Page, answer,
    db::Scope,
    export::{self, Found, Sections},
};
use proto::catalog::v1::{
    ExportAccountRequest, ExportAccountResponse, ExportedRecord, exported_record::Record,
    person_service_server::PersonService,
};
use tonic::{Request, Response, Status};

use super::Service;
use crate::store::person;

#[tonic::async_trait]
impl PersonService for Service {
    async fn export_account(
        &self,
        request: Request<ExportAccountRequest>,
    ) -> Result<Response<ExportAccountResponse>, Status> {
        answer(request, |call| export_account(self, call)).await
    }
}

async fn export_account(service: &Service, call: Call<ExportAccountRequest>) -> Result<ExportAccountResponse, Failure> {
    let message = &call.message;
    let query = ExportAccountRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let page = Page::read(message.page_size, &message.page_token, &query)?;
    let mut db = service.db.read(&call, Scope::AnyTerm).await?;
    let (actor, at, account) = (db.actor().clone(), db.at(), message.account.as_str());
    export::admit(&mut db, &actor, account, at).await?;
    let mut records = Sections::of(page, 2);
    while let Some((section, after, limit)) = records.next() {
        records.take(match section {
            0 => of(person::assignments(&mut db, account, &after, limit).await?, Record::Assignment),
            _ => of(person::scores(&mut db, account, &after, limit).await?, Record::Score),
        });
    }
    let (records, next_page_token) = records.end();
    Ok(ExportAccountResponse { records, next_page_token })
}

fn of<T>(found: Vec<(String, T)>, kind: impl Fn(T) -> Record) -> Found<ExportedRecord> {
    found.into_iter().map(|(key, one)| (key, ExportedRecord { record: Some(kind(one)) })).collect()
}
