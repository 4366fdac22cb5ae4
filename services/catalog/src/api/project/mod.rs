//! `ProjectService`: the table of its methods.

mod browse;
mod decide;
mod declare;

use chassis::answer;
use proto::catalog::v1::{project_service_server::ProjectService, *};
use tonic::{Request, Response, Status};

use super::Service;

/// Each method is one function of this folder.
macro_rules! table {
    ($($method:ident: $request:ty => $reply:ty = $work:path;)*) => {
        #[tonic::async_trait]
        impl ProjectService for Service {$(
            async fn $method(&self, request: Request<$request>) -> Result<Response<$reply>, Status> {
                answer(request, |call| $work(self, call)).await
            }
        )*}
    };
}

table! {
    create_project: CreateProjectRequest => CreateProjectResponse = declare::create;
    update_project: UpdateProjectRequest => UpdateProjectResponse = declare::update;
    submit_project: SubmitProjectRequest => SubmitProjectResponse = declare::submit;
    withdraw_project: WithdrawProjectRequest => WithdrawProjectResponse = declare::withdraw;
    request_cancellation: RequestCancellationRequest => RequestCancellationResponse = declare::request_cancellation;
    accept_project: AcceptProjectRequest => AcceptProjectResponse = decide::accept;
    return_project: ReturnProjectRequest => ReturnProjectResponse = decide::give_back;
    approve_project: ApproveProjectRequest => ApproveProjectResponse = decide::approve;
    reject_project: RejectProjectRequest => RejectProjectResponse = decide::reject;
    cancel_project: CancelProjectRequest => CancelProjectResponse = decide::cancel;
    cancel_class: CancelClassRequest => CancelClassResponse = decide::cancel_class;
    get_project: GetProjectRequest => GetProjectResponse = browse::get;
    list_projects: ListProjectsRequest => ListProjectsResponse = browse::list;
}
