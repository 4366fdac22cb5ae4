//! The whole system over mutual TLS, and with keys that change.

use std::time::Duration;

use anyhow::Context as _;
use chassis::{
    CancellationToken, Env,
    identity::{Identity, next_key},
    peer::{SERVICE_HEADER, within},
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use prost::Message as _;
use prost_reflect::DynamicMessage;
use proto::{
    common::v1::{GetStatusRequest, Role, WaitMirrorRequest, gate_service_client::GateServiceClient},
    enrollment::v1::{ListSelectionsRequest, selection_service_client::SelectionServiceClient},
    gateway::v1::{
        GetKeySetRequest, LoginRequest, key_service_client::KeyServiceClient,
        session_service_client::SessionServiceClient,
    },
    roster::v1::{
        CreateOrganizationRequest, ListOrganizationsRequest, Organization, organization::Kind,
        organization_service_client::OrganizationServiceClient,
    },
};
use system::sealed::{PASSWORD, Sealed};
use tokio::task::JoinSet;
use tonic::{Code, Request};

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

/// The key that a token names.
fn key_of(token: &str) -> anyhow::Result<String> {
    jsonwebtoken::decode_header(token)?.kid.context("a token names its key")
}

/// The published set, as an outside verifier gets it.
async fn key_set(system: &Sealed) -> anyhow::Result<JwkSet> {
    let reply = KeyServiceClient::new(system.person()?).get_key_set(within(PATIENCE, GetKeySetRequest {})).await?;
    let descriptor = chassis::contract::pool().get_message_by_name("shixun.gateway.v1.GetKeySetResponse");
    let message =
        DynamicMessage::decode(descriptor.context("a contract")?, reply.into_inner().encode_to_vec().as_slice())?;
    Ok(serde_json::from_value(serde_json::to_value(message)?)?)
}

/// Whose token it is, by the published set alone.
fn verified(token: &str, set: &JwkSet) -> anyhow::Result<String> {
    let key = set.find(&key_of(token)?).context("its key is published")?;
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&["gateway"]);
    let claims = jsonwebtoken::decode::<serde_json::Value>(token, &DecodingKey::from_jwk(key)?, &validation)?.claims;
    Ok(claims["sub"].as_str().unwrap_or_default().to_owned())
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let waiting = async {
        while !holds().await? {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, waiting).await.with_context(|| format!("never: {what}"))?
}

/// Callers who ask the roster through the gateway as the operator, one call after the other, until they are told to end.
struct Callers {
    over: CancellationToken,
    calling: JoinSet<anyhow::Result<u32>>,
}

impl Callers {
    fn start(system: &Sealed, token: &str) -> anyhow::Result<Self> {
        let (over, mut calling) = (CancellationToken::new(), JoinSet::new());
        for _ in 0..4 {
            let (mut client, over) = (OrganizationServiceClient::new(system.person()?), over.clone());
            let token = token.to_owned();
            calling.spawn(async move {
                let mut answered = 0;
                while !over.is_cancelled() {
                    client.list_organizations(by(&token, ListOrganizationsRequest::default())?).await?;
                    answered += 1;
                }
                Ok(answered)
            });
        }
        Ok(Self { over, calling })
    }

    /// Every one of them was answered all the while.
    async fn end(mut self) -> anyhow::Result<()> {
        self.over.cancel();
        while let Some(answered) = self.calling.join_next().await {
            anyhow::ensure!(answered?? > 0, "one of them never got a turn");
        }
        Ok(())
    }
}

/// What docs/operate.md says of changing a service's key, for the gateway's: no call fails.
#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_key_is_changed_under_calls() -> anyhow::Result<()> {
    let system = Sealed::start().await?;
    let keys = system.keys();
    let before = login(&system).await?;
    let callers = Callers::start(&system, &before)?;
    assert_eq!(verified(&before, &key_set(&system).await?)?, key_owner(&system, &before)?);

    // 1. The next key is made, and its public half goes to all.
    let next = next_key(&keys, "gateway")?;
    until("both keys are published", async || Ok(key_set(&system).await?.keys.len() == 2)).await?;
    let foreign = Identity::load("gateway", &next, &keys, Env::system())?;
    for service in ["roster", "catalog", "enrollment", "credit"] {
        let trusted = async || {
            let mut asked = within(PATIENCE, GetStatusRequest {});
            asked.metadata_mut().insert(SERVICE_HEADER, foreign.own_token()?.parse()?);
            Ok(GateServiceClient::new(system.bare("gateway", service)?).get_status(asked).await.is_ok())
        };
        until("every service believes the new key", trusted).await?;
    }
    assert_eq!(key_of(&login(&system).await?)?, key_of(&before)?);

    // 2. The gateway gets its private half, and signs with it from then on.
    std::fs::rename(&next, keys.join("gateway.key"))?;
    until("the gateway signs with it", async || Ok(key_of(&login(&system).await?)? != key_of(&before)?)).await?;
    let after = login(&system).await?;
    let set = key_set(&system).await?;
    assert_eq!(verified(&after, &set)?, verified(&before, &set)?);
    let newer = Callers::start(&system, &after)?;

    // 3. When the old key's tokens have ended, which is cut short here, its public half goes.
    callers.end().await?;
    std::fs::remove_file(keys.join("gateway.pub"))?;
    until("the old key is no longer published", async || Ok(key_set(&system).await?.keys.len() == 1)).await?;
    let mut client = OrganizationServiceClient::new(system.person()?);
    let refused = async || {
        let listed = client.list_organizations(by(&before, ListOrganizationsRequest::default())?).await;
        Ok(listed.is_err_and(|status| status.code() == Code::Unauthenticated))
    };
    until("the old key's tokens are refused", refused).await?;
    newer.end().await?;
    system.end().await
}

fn key_owner(system: &Sealed, token: &str) -> anyhow::Result<String> {
    Ok(system.identity("gateway")?.person(token)?.claims.sub.clone())
}
