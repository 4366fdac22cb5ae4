//! `PersonService`: all that is held of a teacher.

use chassis::{
    Call, Failure, Page, answer,
    db::{Rows, Scope},
    export::{self, Sections},
};
use proto::credit::v1::{
    self as pb, ExportTeacherRequest, ExportTeacherResponse, ExportedRecord, exported_record::Record,
    person_service_server::PersonService,
};
use tonic::{Request, Response, Status};

use super::{
    Api,
    ledger::{book, drawn_up},
};
use crate::{
    domain::teacher::Stay,
    rules::Rules,
    store::{entries, standings, teachers},
    wire,
};

#[tonic::async_trait]
impl PersonService for Api {
    async fn export_teacher(
        &self,
        request: Request<ExportTeacherRequest>,
    ) -> Result<Response<ExportTeacherResponse>, Status> {
        answer(request, |call| export_teacher(self, call)).await
    }
}

async fn export_teacher(api: &Api, call: Call<ExportTeacherRequest>) -> Result<ExportTeacherResponse, Failure> {
    let message = &call.message;
    let query = ExportTeacherRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let page = Page::read(message.page_size, &message.page_token, &query)?;
    let mut db = api.db.read(&call, Scope::AnyTerm).await?;
    let (actor, at, teacher) = (db.actor().clone(), db.at(), message.teacher.as_str());
    export::admit(&mut db, &actor, teacher, at).await?;
    let kept = teachers::load(&mut db, &Rows::texts([teacher])).await?.remove(teacher);
    let kept = kept.ok_or_else(|| Failure::not_found(teacher))?;
    let mut records = Sections::of(page, 4);
    while let Some((section, after, limit)) = records.next() {
        records.take(match section {
            0 => {
                let after = after.split_once(' ').and_then(|(at, name)| Some((at.parse().ok()?, name)));
                let found = entries::page(&mut db, teacher, after.unwrap_or((i64::MIN, "")), limit).await?;
                let key = |entry: &crate::domain::entry::Entry| format!("{} {}", entry.recorded_at, entry.name);
                found.iter().map(|entry| (key(entry), record(Record::Entry(wire::entry(entry))))).collect()
            }
            1 => {
                let found = standings::of_teacher(&mut db, teacher, &after, limit).await?;
                found.into_iter().map(|(key, standing)| (key, record(Record::Standing(standing)))).collect()
            }
            2 => {
                let stays = kept.teacher.stays.iter().map(stay).filter(|(from, _)| *from > after);
                stays.take(limit).collect()
            }
            _ => {
                let rules = Rules::of(db.gates())?;
                let book = book(&mut db, teacher, i64::MAX).await?;
                let statement = drawn_up(&book, rules.day(at), &rules);
                let statement = pb::Statement { entries: Vec::new(), ..statement };
                vec![("statement".to_owned(), record(Record::Statement(statement)))]
            }
        });
    }
    let (records, next_page_token) = records.end();
    Ok(ExportTeacherResponse { records, next_page_token })
}

fn stay(stay: &Stay) -> (String, ExportedRecord) {
    let told = pb::Stay { from: Some(stay.from_on.into()), school: stay.school.clone() };
    (stay.from_on.to_string(), record(Record::Stay(told)))
}

fn record(record: Record) -> ExportedRecord {
    ExportedRecord { record: Some(record) }
}
