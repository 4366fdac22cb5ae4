//! The whole system over mutual TLS.

use std::time::Duration;

use chassis::peer::within;
use proto::{
    common::v1::{GetStatusRequest, Role, WaitMirrorRequest, gate_service_client::GateServiceClient},
    enrollment::v1::{ListSelectionsRequest, selection_service_client::SelectionServiceClient},
    gateway::v1::{LoginRequest, session_service_client::SessionServiceClient},
    roster::v1::{
        CreateOrganizationRequest, Organization, organization::Kind,
        organization_service_client::OrganizationServiceClient,
    },
};
use system::sealed::{PASSWORD, Sealed};
use tonic::Request;

const PATIENCE: Duration = Duration::from_secs(20);

fn by<M>(token: &str, message: M) -> anyhow::Result<Request<M>> {
    let mut request = within(PATIENCE, message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
    Ok(request)
}

async fn login(system: &Sealed) -> anyhow::Result<String> {
    let login = LoginRequest { login: "operator".to_owned(), password: PASSWORD.to_owned() };
    let session =
        SessionServiceClient::new(system.person()?).login(within(PATIENCE, login)).await?.into_inner().session;
    Ok(session.map(|session| session.access_token).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_served_through_all_services_over_tls() -> anyhow::Result<()> {
    let system = Sealed::start().await?;
    let operator = login(&system).await?;
    // To the roster, and by its feed to whoever mirrors it.
    let organization = Organization {
        name: "organizations/city".to_owned(),
        display_name: "市".to_owned(),
        ..Organization::default()
    };
    let organization = Organization { kinds: vec![Kind::City as i32], ..organization };
    let create = CreateOrganizationRequest { organization: Some(organization), request_id: "city".to_owned() };
    OrganizationServiceClient::new(system.person()?).create_organization(by(&operator, create)?).await?;
    let mut roster = GateServiceClient::new(system.peer("gateway", "roster")?);
    let position = roster.get_status(within(PATIENCE, GetStatusRequest {})).await?.into_inner().position;
    assert!(position > 0);
    for service in ["catalog", "enrollment", "credit"] {
        let mut mirror = GateServiceClient::new(system.peer("gateway", service)?);
        mirror.wait_mirror(within(PATIENCE, WaitMirrorRequest { source: "roster".to_owned(), position })).await?;
    }
    // And through the gateway to enrollment.
    let roles = vec![(Role::BureauOfficer as i32, "organizations/city".to_owned())];
    let officer = system.identity("gateway")?.issue("accounts/officer", "", roles, 300)?.0;
    let list = ListSelectionsRequest {
        parent: "terms/none".to_owned(),
        organization: "organizations/city".to_owned(),
        ..ListSelectionsRequest::default()
    };
    let refused = SelectionServiceClient::new(system.person()?).list_selections(by(&officer, list)?).await.unwrap_err();
    // Enrollment's own answer: nobody else knows whether it has gates of the term.
    assert_eq!(refused.message(), "There is no calendar of term terms/none.", "{refused:?}");
    system.end().await
}
