//! Sessions over the wire: the roster says who someone is, the gateway signs it, a refresh token is good once.

use proto::{
    common::v1::Role,
    gateway::v1::{LoginRequest, LogoutRequest, RefreshRequest, Session, session_service_client::SessionServiceClient},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::fixture::{House, PASSWORD, Running, databases, reason};

async fn login(gateway: &Running, login: &str, password: &str) -> anyhow::Result<Result<Session, Status>> {
    let request = LoginRequest { login: login.to_owned(), password: password.to_owned() };
    let reply = SessionServiceClient::new(gateway.channel()?).login(request).await;
    Ok(reply.map(|reply| reply.into_inner().session.unwrap_or_default()))
}

/// How often an old token of his was used, as he is told when he logs in.
async fn told_of_reuse(gateway: &Running) -> anyhow::Result<Option<i32>> {
    let request = LoginRequest { login: "wang".to_owned(), password: PASSWORD.to_owned() };
    let reply = SessionServiceClient::new(gateway.channel()?).login(request).await?.into_inner();
    Ok(reply.token_reuse.map(|reuse| reuse.times))
}

async fn refresh(gateway: &Running, session: &Session) -> anyhow::Result<Result<Session, Status>> {
    let request = RefreshRequest { refresh_token: session.refresh_token.clone() };
    let reply = SessionServiceClient::new(gateway.channel()?).refresh(request).await;
    Ok(reply.map(|reply| reply.into_inner().session.unwrap_or_default()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_from_login_to_logout() -> anyhow::Result<()> {
    for database in databases().await? {
        database.db.close().await;
        let house = House::new(&database.url).await?;
        let gateway = house.gateway().await?;
        let first = login(&gateway, "wang", PASSWORD).await??;
        let claims = gateway.identity()?.person(&first.access_token)?.claims;
        assert_eq!((claims.sub.as_str(), claims.teacher.as_str()), ("accounts/wang", "teachers/t1"));
        assert_eq!(claims.roles, [(Role::Teacher as i32, "organizations/s1".to_owned())]);
        let expiry = first.access_expires_at.as_ref().map(proto::instant);
        assert_eq!(expiry, Some(claims.exp * 1_000_000));

        let second = refresh(&gateway, &first).await??;
        assert_ne!(second.refresh_token, first.refresh_token);
        gateway.identity()?.person(&second.access_token)?;
        assert_eq!(told_of_reuse(&gateway).await?, None);
        let old = refresh(&gateway, &first).await?.unwrap_err();
        // Its owner is told, once.
        assert_eq!((told_of_reuse(&gateway).await?, told_of_reuse(&gateway).await?), (Some(1), None));
        assert_eq!((old.code(), reason(&old).as_str()), (Code::Unauthenticated, "REASON_SESSION_ENDED"));
        // The old one, used again, does not end the session of whoever has the good one.
        let third = refresh(&gateway, &second).await??;
        // Twice at once: one of them.
        let (one, other) = tokio::join!(refresh(&gateway, &third), refresh(&gateway, &third));
        let (one, other) = (one?, other?);
        assert_eq!(usize::from(one.is_ok()) + usize::from(other.is_ok()), 1, "{one:?} {other:?}");
        let fourth = one.or(other)?;

        // Another login is another session: the end of this one leaves it.
        let elsewhere = login(&gateway, "wang", PASSWORD).await??;
        let mut client = SessionServiceClient::new(gateway.channel()?);
        let logout = LogoutRequest { refresh_token: fourth.refresh_token.clone() };
        client.logout(logout.clone()).await?;
        client.logout(logout).await?;
        assert_eq!(reason(&refresh(&gateway, &fourth).await?.unwrap_err()), "REASON_SESSION_ENDED");
        refresh(&gateway, &elsewhere).await??;
        let made_up = Session { refresh_token: "made up".to_owned(), ..Session::default() };
        assert_eq!(reason(&refresh(&gateway, &made_up).await?.unwrap_err()), "REASON_SESSION_ENDED");
        gateway.end().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rosters_refusal_reaches_the_person() -> anyhow::Result<()> {
    let databases = databases().await?;
    let database = databases.first().expect("SQLite");
    database.db.close().await;
    let mut house = House::new(&database.url).await?;
    let gateway = house.gateway().await?;
    let refused = async |who: &str, password: &str| -> anyhow::Result<(Code, String, Status)> {
        let status = login(&gateway, who, password).await?.unwrap_err();
        Ok((status.code(), reason(&status), status))
    };
    let (code, because, _) = refused("wang", "wrong").await?;
    assert_eq!((code, because.as_str()), (Code::Unauthenticated, "REASON_BAD_CREDENTIALS"));
    let (_, because, _) = refused("suspended", PASSWORD).await?;
    assert_eq!(because, "REASON_ACCOUNT_SUSPENDED");
    let (code, because, crowd) = refused("crowd", PASSWORD).await?;
    assert_eq!((code, because.as_str()), (Code::ResourceExhausted, "REASON_OVERLOADED"));
    let delay = crowd.get_details_retry_info().and_then(|info| info.retry_delay);
    assert_eq!(delay, Some(std::time::Duration::from_secs(7)));
    for (who, passing) in
        [("full", "REASON_STORAGE_FULL"), ("broken", "REASON_UNAVAILABLE"), ("faulty", "REASON_INTERNAL")]
    {
        assert_eq!(refused(who, PASSWORD).await?.1, passing);
    }
    let (_, _, empty) = refused("", "").await?;
    let fields = empty.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    assert_eq!(fields.iter().map(|one| one.field.as_str()).collect::<Vec<_>>(), ["login", "password"]);
    // Whose account is gone has no session any more.
    let leaver = login(&gateway, "leaver", PASSWORD).await??;
    assert_eq!(reason(&refresh(&gateway, &leaver).await?.unwrap_err()), "REASON_SESSION_ENDED");
    // The roster away: nobody is told that his password is wrong.
    let session = login(&gateway, "wang", PASSWORD).await??;
    house.end("roster").await?;
    let (code, because, _) = refused("wang", PASSWORD).await?;
    assert_eq!((code, because.as_str()), (Code::Unavailable, "REASON_UNAVAILABLE"));
    assert_eq!(reason(&refresh(&gateway, &session).await?.unwrap_err()), "REASON_UNAVAILABLE");
    gateway.end().await
}
