//! Sessions: tokens that end, refreshed once each, until logout.

use proto::gateway::v1::{
    GetTodayRequest, LoginRequest, LogoutRequest, RefreshRequest, Session,
    calendar_service_client::CalendarServiceClient, session_service_client::SessionServiceClient,
};
use tonic::{Code, Status};

use crate::world::{PATIENCE, Person, Running, reason, worlds};

async fn log_in(running: &Running, login: &str, password: &str) -> Result<Session, Status> {
    let request = LoginRequest { login: login.to_owned(), password: password.to_owned() };
    let request = chassis::peer::within(PATIENCE, request);
    let reply = SessionServiceClient::new(running.channel.clone()).login(request).await?;
    Ok(reply.into_inner().session.unwrap())
}

async fn refresh(running: &Running, token: &str) -> Result<Session, Status> {
    let request = chassis::peer::within(PATIENCE, RefreshRequest { refresh_token: token.to_owned() });
    let reply = SessionServiceClient::new(running.channel.clone()).refresh(request).await?;
    Ok(reply.into_inner().session.unwrap())
}

#[tokio::test]
async fn a_session_is_renewed_once_by_each_token_until_logout() {
    for world in worlds().await {
        let running = world.start().await;
        for (login, password) in [("officer", "wrong"), ("nobody", "right")] {
            let refused = log_in(&running, login, password).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "REASON_BAD_CREDENTIALS"));
        }
        let refused = log_in(&running, "", "").await.unwrap_err();
        assert_eq!(reason(&refused), "REASON_INVALID_ARGUMENT");

        let first = log_in(&running, "officer", "right").await.unwrap();
        assert_eq!((first.account.as_str(), first.roles.len()), ("accounts/officer", 1));
        let seconds = |session: &Session| {
            session.refresh_expires_at.unwrap().seconds - session.access_expires_at.unwrap().seconds
        };
        assert!((12 * 3600 - 15 * 60 - 2..=12 * 3600 - 15 * 60 + 2).contains(&seconds(&first)));

        let second = refresh(&running, &first.refresh_token).await.unwrap();
        assert_ne!(first.refresh_token, second.refresh_token);
        let refused = refresh(&running, &first.refresh_token).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "REASON_SESSION_ENDED"));
        let officer = Person { channel: running.channel.clone(), token: second.access_token.clone() };
        officer.calendars().get_today(officer.ask(GetTodayRequest::default())).await.unwrap();

        // Of two that use one token at once, one gets through.
        let (one, other) =
            tokio::join!(refresh(&running, &second.refresh_token), refresh(&running, &second.refresh_token));
        let mut sessions: Vec<Session> = [one, other].into_iter().flatten().collect();
        assert_eq!(sessions.len(), 1);
        let third = sessions.remove(0);

        // Another login is another session: logging out of this one leaves it.
        let elsewhere = log_in(&running, "officer", "right").await.unwrap();
        let logout = LogoutRequest { refresh_token: third.refresh_token.clone() };
        let mut sessions = SessionServiceClient::new(running.channel.clone());
        sessions.logout(chassis::peer::within(PATIENCE, logout)).await.unwrap();
        assert_eq!(reason(&refresh(&running, &third.refresh_token).await.unwrap_err()), "REASON_SESSION_ENDED");
        refresh(&running, &elsewhere.refresh_token).await.unwrap();
        assert_eq!(reason(&refresh(&running, "made up").await.unwrap_err()), "REASON_SESSION_ENDED");

        world.fakes["roster"].away(true);
        let refused = log_in(&running, "officer", "right").await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "REASON_UNAVAILABLE"));
        let refused = CalendarServiceClient::new(running.channel.clone())
            .get_today(chassis::peer::within(PATIENCE, GetTodayRequest::default()))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        running.stop().await;
    }
}
