//! What people do, through the handlers as the rules' layer calls them.

use enrollment::api::Api;
use proto::{
    Actor,
    enrollment::v1::{
        DecideSelectionsRequest, DecideSelectionsResponse, Decision, ProviderDecision, ReviewSelectionsRequest,
        ReviewSelectionsResponse, Selection, SubmitSelectionRequest, SubmitSelectionResponse, WithdrawSelectionRequest,
        WithdrawSelectionResponse, confirmation_service_server::ConfirmationService as _, provider_decision::Verdict,
        review_service_server::ReviewService as _, selection_service_server::SelectionService as _,
    },
};
use tonic::Status;

use super::{World, as_teacher, provider};

impl World {
    pub async fn submit_as(
        &self,
        api: &Api,
        actor: &Actor,
        message: SubmitSelectionRequest,
        at: i64,
    ) -> Result<Selection, Status> {
        let path = "/shixun.enrollment.v1.SelectionService/SubmitSelection";
        let reply = api.submit_selection(self.request(path, actor, at, message)).await?;
        let SubmitSelectionResponse { selection } = reply.into_inner();
        Ok(selection.expect("a selection"))
    }

    pub fn submission(&self, project: &str) -> SubmitSelectionRequest {
        SubmitSelectionRequest {
            parent: self.term.clone(),
            project: self.project(project),
            teacher: String::new(),
            request_id: self.next(),
        }
    }

    /// A teacher selects for himself.
    pub async fn submit(&self, id: &str, project: &str, at: i64) -> Result<Selection, Status> {
        self.submit_as(&self.api, &as_teacher(id), self.submission(project), at).await
    }

    pub async fn withdraw(&self, actor: &Actor, name: &str, at: i64) -> Result<Selection, Status> {
        let path = "/shixun.enrollment.v1.SelectionService/WithdrawSelection";
        let message =
            WithdrawSelectionRequest {
                name: name.to_owned(), reason: "工作冲突".to_owned(), request_id: self.next()
            };
        let reply = self.api.withdraw_selection(self.request(path, actor, at, message)).await?;
        let WithdrawSelectionResponse { selection } = reply.into_inner();
        Ok(selection.expect("a selection"))
    }

    pub async fn review(
        &self,
        actor: &Actor,
        decisions: &[(&str, bool, &str)],
        at: i64,
    ) -> Result<Vec<Selection>, Status> {
        let path = "/shixun.enrollment.v1.ReviewService/ReviewSelections";
        let decision = |(name, approved, reason): &(&str, bool, &str)| Decision {
            selection: (*name).to_owned(),
            approved: *approved,
            reason: (*reason).to_owned(),
        };
        let message = ReviewSelectionsRequest {
            parent: self.term.clone(),
            decisions: decisions.iter().map(decision).collect(),
            request_id: self.next(),
        };
        let reply = self.api.review_selections(self.request(path, actor, at, message)).await?;
        let ReviewSelectionsResponse { selections } = reply.into_inner();
        Ok(selections)
    }

    pub async fn decide(
        &self,
        project: &str,
        decisions: &[(&str, Verdict, &str)],
        at: i64,
    ) -> Result<Vec<Selection>, Status> {
        let path = "/shixun.enrollment.v1.ConfirmationService/DecideSelections";
        let decision = |(name, verdict, reason): &(&str, Verdict, &str)| ProviderDecision {
            selection: (*name).to_owned(),
            verdict: (*verdict).into(),
            reason: (*reason).to_owned(),
            class: String::new(),
        };
        let message = DecideSelectionsRequest {
            parent: self.project(project),
            decisions: decisions.iter().map(decision).collect(),
            request_id: self.next(),
        };
        let reply = self.api.decide_selections(self.request(path, &provider(), at, message)).await?;
        let DecideSelectionsResponse { selections } = reply.into_inner();
        Ok(selections)
    }
}
