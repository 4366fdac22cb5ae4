//! `PersonService`: a person's sessions. Who may have them the roster says, on the person's own token.

use std::time::Duration;

use chassis::{
    Call, Failure, Page, answer,
    db::{Db, Scope},
    export::Sections,
    peer::{Peer, is_away, within},
};
use proto::{
    common::v1::Reason,
    gateway::v1::{
        ExportAccountRequest, ExportAccountResponse, ExportTeacherRequest, ExportTeacherResponse, ExportedRecord,
        SessionRecord, exported_record::Record, person_service_server::PersonService,
    },
    roster::v1::{self as roster, person_service_client::PersonServiceClient},
};
use tonic::{
    Request, Response, Status,
    metadata::{Ascii, MetadataValue},
};
use tonic_types::StatusExt as _;

use crate::store::sessions as store;

/// How long the roster may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where a person's token stands.
const TOKEN: &str = "authorization";

/// `PersonService`.
#[derive(Debug, Clone)]
pub struct Persons {
    /// The gateway's database.
    pub db: Db,
    /// The roster.
    pub roster: Peer,
}

#[tonic::async_trait]
impl PersonService for Persons {
    async fn export_teacher(
        &self,
        request: Request<ExportTeacherRequest>,
    ) -> Result<Response<ExportTeacherResponse>, Status> {
        let token = request.metadata().get(TOKEN).cloned();
        answer(request, |call| export_teacher(self, call, token.clone())).await
    }

    async fn export_account(
        &self,
        request: Request<ExportAccountRequest>,
    ) -> Result<Response<ExportAccountResponse>, Status> {
        let token = request.metadata().get(TOKEN).cloned();
        answer(request, |call| export_account(self, call, token.clone())).await
    }
}

async fn export_account(
    api: &Persons,
    call: Call<ExportAccountRequest>,
    token: Option<MetadataValue<Ascii>>,
) -> Result<ExportAccountResponse, Failure> {
    let message = &call.message;
    let query = ExportAccountRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let page = Page::read(message.page_size, &message.page_token, &query)?;
    if message.account != call.actor().account {
        let account = message.account.clone();
        let asked = roster::ExportAccountRequest { account, page_size: 1, page_token: String::new() };
        let reply = PersonServiceClient::new(api.roster.clone()).export_account(as_he(asked, token)).await;
        reply.map_err(|status| refused(&status, &message.account))?;
    }
    let (records, next_page_token) = sessions(api, &call, page, &message.account).await?;
    Ok(ExportAccountResponse { records, next_page_token })
}

/// One page of an account's sessions.
async fn sessions<M>(
    api: &Persons,
    call: &Call<M>,
    page: Page,
    account: &str,
) -> Result<(Vec<ExportedRecord>, String), Failure> {
    let mut db = api.db.read(call, Scope::AnyTerm).await?;
    let mut records = Sections::of(page, 1);
    while let Some((_, after, limit)) = records.next() {
        let sessions = store::of_account(&mut db, account, &after, limit).await?;
        records.take(sessions.into_iter().map(|session| (session.id.clone(), record(&session))).collect());
    }
    Ok(records.end())
}

/// A request to the roster on a person's own token.
fn as_he<M>(message: M, token: Option<MetadataValue<Ascii>>) -> Request<M> {
    let mut request = within(PATIENCE, message);
    if let Some(token) = token {
        request.metadata_mut().insert(TOKEN, token);
    }
    request
}

async fn export_teacher(
    api: &Persons,
    call: Call<ExportTeacherRequest>,
    token: Option<MetadataValue<Ascii>>,
) -> Result<ExportTeacherResponse, Failure> {
    let message = &call.message;
    let query = ExportTeacherRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let page = Page::read(message.page_size, &message.page_token, &query)?;
    let account = account_of(api, &message.teacher, token).await?;
    let (records, next_page_token) = sessions(api, &call, page, &account).await?;
    Ok(ExportTeacherResponse { records, next_page_token })
}

/// The account of a teacher whose data the bearer of this token may have.
async fn account_of(api: &Persons, teacher: &str, token: Option<MetadataValue<Ascii>>) -> Result<String, Failure> {
    let asked = roster::ExportTeacherRequest { teacher: teacher.to_owned(), page_size: 2, page_token: String::new() };
    let reply = PersonServiceClient::new(api.roster.clone()).export_teacher(as_he(asked, token)).await;
    let records = reply.map_err(|status| refused(&status, teacher))?.into_inner().records;
    let account = records.into_iter().find_map(|one| match one.record {
        Some(roster::exported_record::Record::Facts(facts)) => Some(facts.account),
        _ => None,
    });
    account.ok_or_else(|| Failure::internal("the roster told no facts of a teacher"))
}

/// The roster's refusal as the person sees it.
fn refused(status: &Status, teacher: &str) -> Failure {
    let reason = status.get_details_error_info().and_then(|info| Reason::from_str_name(&info.reason));
    match reason {
        Some(reason @ (Reason::OutOfScope | Reason::NotFound | Reason::ExportNotOpened)) => {
            Failure::new(reason).with("resource", teacher)
        }
        // It names the teacher as the caller did, and each tells of that by the same contract.
        Some(Reason::InvalidArgument) => Failure::not_found(teacher),
        Some(reason @ (Reason::Overloaded | Reason::StorageFull | Reason::Unauthenticated)) => Failure::new(reason),
        _ if is_away(status) => Failure::away("roster"),
        _ => Failure::internal(format!("the roster answered {:?}", status.code())),
    }
}

fn record(session: &store::Kept) -> ExportedRecord {
    let second = |at: i64| proto::timestamp(at.saturating_mul(1_000_000));
    let told = SessionRecord {
        began_at: (session.began_at > 0).then(|| second(session.began_at)),
        expires_at: Some(second(session.expires_at)),
        ended: session.ended,
    };
    ExportedRecord { record: Some(Record::Session(told)) }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn a_connection_that_breaks_is_no_fault_of_the_software() {
        let told = |status: Status| refused(&status, "teachers/t").reason();
        for broken in [Code::Unknown, Code::Cancelled, Code::Internal, Code::Unavailable, Code::DeadlineExceeded] {
            assert_eq!(told(Status::new(broken, "h2 protocol error")), Some(Reason::Unavailable), "{broken:?}");
        }
        for passing in [Reason::Unavailable, Reason::Overloaded, Reason::StorageFull] {
            assert_eq!(told(Failure::new(passing).into()), Some(passing));
        }
        assert_eq!(told(Failure::internal("a fault").into()), None);
        assert_eq!(told(Status::out_of_range("too large")), None);
    }
}
