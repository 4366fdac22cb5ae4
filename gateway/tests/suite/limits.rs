//! How often somebody may call, by account and by address; and that others are not the worse for it.

use anyhow::Context as _;
use gateway::edge::{LimitConfig, Rate};
use proto::{
    common::v1::Role,
    gateway::v1::{LoginRequest, RefreshRequest, session_service_client::SessionServiceClient},
    roster::v1::{GetOrganizationRequest, organization_service_client::OrganizationServiceClient},
};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::fixture::{House, PATIENCE, databases, reason};

const LIMITED: &str = "REASON_RATE_LIMITED";

/// So many at once, and hardly any after them.
fn rate(burst: u32) -> Option<Rate> {
    Some(Rate { per_second: 1.try_into().ok()?, burst: burst.try_into().ok()? })
}

fn is_limited(status: &Status) -> bool {
    let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
    status.code() == Code::ResourceExhausted && reason(status) == LIMITED && retry.is_some_and(|delay| !delay.is_zero())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_calls_too_often_waits_and_others_do_not() -> anyhow::Result<()> {
    let databases = databases().await?;
    let database = databases.first().context("SQLite")?;
    database.db.close().await;
    let house = House::new(&database.url).await?;
    let limits = LimitConfig { account: rate(3), ..LimitConfig::default() };
    let gateway = house.gateway_with(|config| config.limits = limits).await?;
    let mut client = OrganizationServiceClient::new(gateway.channel()?);
    let mut get = async |account: &str| {
        let request = GetOrganizationRequest { name: "organizations/a".to_owned() };
        let request =
            gateway.call_by(account, &[Role::Teacher], request).map_err(|error| Status::internal(error.to_string()))?;
        client.get_organization(request).await.map(drop)
    };
    for _ in 0..3 {
        get("accounts/one").await?;
    }
    let refused = get("accounts/one").await.expect_err("one too many");
    assert!(is_limited(&refused), "{refused:?}");
    get("accounts/other").await?;
    // He is let in again by himself.
    tokio::time::timeout(PATIENCE, async { while get("accounts/one").await.is_err() {} }).await?;
    gateway.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_that_which_our_proxy_names() -> anyhow::Result<()> {
    let databases = databases().await?;
    let database = databases.first().context("SQLite")?;
    database.db.close().await;
    let house = House::new(&database.url).await?;
    let limits = LimitConfig {
        address: rate(4),
        login: rate(2),
        trusted_proxies: vec!["127.0.0.0/8".to_owned()],
        ..LimitConfig::default()
    };
    let gateway = house.gateway_with(|config| config.limits = limits).await?;
    let mut sessions = SessionServiceClient::new(gateway.channel()?);
    let mut login = async |from: &'static str| {
        let mut request = Request::new(LoginRequest { login: "wang".to_owned(), password: "wrong".to_owned() });
        request.metadata_mut().insert("x-forwarded-for", from.parse().map_err(|_| Status::internal("header"))?);
        sessions.login(request).await.map(drop)
    };
    for _ in 0..2 {
        assert_eq!(reason(&login("203.0.113.1").await.expect_err("wrong")), "REASON_BAD_CREDENTIALS");
    }
    let refused = login("203.0.113.1").await.expect_err("guessing");
    assert!(is_limited(&refused), "{refused:?}");
    assert_eq!(reason(&login("203.0.113.2").await.expect_err("wrong")), "REASON_BAD_CREDENTIALS", "another address");
    // Whatever he calls counts, though nothing of it was verified.
    let mut sessions = SessionServiceClient::new(gateway.channel()?);
    let mut refresh = async |from: &'static str| {
        let mut request = Request::new(RefreshRequest { refresh_token: "none".to_owned() });
        request.metadata_mut().insert("x-forwarded-for", from.parse().map_err(|_| Status::internal("header"))?);
        sessions.refresh(request).await.map(drop)
    };
    for _ in 0..4 {
        assert_eq!(reason(&refresh("203.0.113.3").await.expect_err("no session")), "REASON_SESSION_ENDED");
    }
    let refused = refresh("203.0.113.3").await.expect_err("one too many");
    assert!(is_limited(&refused), "{refused:?}");
    gateway.end().await
}
