//! `InboxService`.

use chassis::{Call, Failure, Page, answer, db::Scope};
use proto::enrollment::v1::{
    ListNotificationsRequest, ListNotificationsResponse, MarkNotificationsReadRequest, MarkNotificationsReadResponse,
    inbox_service_server::InboxService,
};
use tonic::{Request, Response, Status};

use super::Api;
use crate::store::notifications;

#[tonic::async_trait]
impl InboxService for Api {
    async fn list_notifications(
        &self,
        request: Request<ListNotificationsRequest>,
    ) -> Result<Response<ListNotificationsResponse>, Status> {
        answer(request, |call| list(self, call)).await
    }

    async fn mark_notifications_read(
        &self,
        request: Request<MarkNotificationsReadRequest>,
    ) -> Result<Response<MarkNotificationsReadResponse>, Status> {
        answer(request, |call| mark_read(self, call)).await
    }
}

async fn list(api: &Api, call: Call<ListNotificationsRequest>) -> Result<ListNotificationsResponse, Failure> {
    let message = &call.message;
    let bound = ListNotificationsRequest { page_size: 0, page_token: String::new(), ..*message };
    let page = Page::read(message.page_size, &message.page_token, &bound)?;
    let mut db = api.db.read(&call, Scope::AnyTerm).await?;
    let account = db.actor().account.clone();
    let (found, total_size) =
        notifications::list(&mut db, &account, message.unread_only, page.after(), page.ask()).await?;
    let (notifications, next_page_token) = page.cut(found, notifications::key);
    Ok(ListNotificationsResponse { notifications, next_page_token, total_size })
}

async fn mark_read(
    api: &Api,
    call: Call<MarkNotificationsReadRequest>,
) -> Result<MarkNotificationsReadResponse, Failure> {
    let mut tx = api.db.begin(&call, Scope::AnyTerm).await?;
    let account = tx.actor().account.clone();
    notifications::mark_read(&mut tx, &account, &call.message.names).await?;
    tx.commit(MarkNotificationsReadResponse {}).await
}
