//! The rehearsal's clock: it never goes back, not by an `Advance`, not by a restart.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use chassis::{Env, peer::within};
use proptest::prelude::*;
use proto::common::v1::{AdvanceRequest, clock_service_client::ClockServiceClient};
use tokio::time::Instant;
use tonic::Code;

use crate::fixture::{AT, Keys, Running, Settings, Source, databases, start};

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const SECOND: i64 = 1_000_000;

async fn advance(keys: &Keys, server: &Running, to: i64, running: bool) -> anyhow::Result<i64> {
    let mut client = ClockServiceClient::new(keys.peer("local", server.address)?);
    let message = AdvanceRequest { to: Some(proto::timestamp(to)), running };
    let now = client.advance(within(Duration::from_secs(5), message)).await?.into_inner().now;
    Ok(now.as_ref().map(proto::instant).unwrap_or_default())
}

#[tokio::test]
async fn it_moves_forward_only_and_keeps_its_place_over_restarts() -> anyhow::Result<()> {
    let keys = Keys::new()?;
    for database in databases().await? {
        database.db.close().await;
        let settings = Settings::new(&keys, "roster", &database.url)?;
        let server = start::<Source>(settings.clone(), ANY, Env::rehearsal(AT)).await?;
        assert_eq!(advance(&keys, &server, AT + 10 * SECOND, false).await?, AT + 10 * SECOND);
        assert_eq!(advance(&keys, &server, AT, false).await?, AT + 10 * SECOND);
        let missing = ClockServiceClient::new(keys.peer("local", server.address)?)
            .advance(within(Duration::from_secs(5), AdvanceRequest::default()))
            .await
            .unwrap_err();
        assert_eq!(missing.code(), Code::InvalidArgument);
        server.end().await?;

        // It begins anywhere: the database has the later place.
        let server = start::<Source>(settings.clone(), ANY, Env::rehearsal(0)).await?;
        assert_eq!(advance(&keys, &server, 0, true).await?, AT + 10 * SECOND);
        let begun = Instant::now();
        let run = loop {
            let run = advance(&keys, &server, 0, true).await?;
            if run > AT + 10 * SECOND {
                break run;
            }
            anyhow::ensure!(begun.elapsed() < Duration::from_secs(20), "it does not run");
        };
        server.end().await?;

        // It was running: what it may have shown meanwhile is past.
        let server = start::<Source>(settings, ANY, Env::rehearsal(0)).await?;
        assert!(advance(&keys, &server, 0, false).await? > run);
        server.end().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_advances_at_once_the_farthest_stays() -> anyhow::Result<()> {
    let keys = Keys::new()?;
    for database in databases().await? {
        database.db.close().await;
        let settings = Settings::new(&keys, "roster", &database.url)?;
        let server = start::<Source>(settings.clone(), ANY, Env::rehearsal(AT)).await?;
        let advances = (0..20).map(|n| advance(&keys, &server, AT + (n * 7 % 20) * SECOND, false));
        for now in futures::future::join_all(advances).await {
            assert!((AT..=AT + 19 * SECOND).contains(&now?));
        }
        server.end().await?;
        let server = start::<Source>(settings, ANY, Env::rehearsal(0)).await?;
        assert_eq!(advance(&keys, &server, 0, false).await?, AT + 19 * SECOND);
        server.end().await?;
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_advances_are_monotone(moves in prop::collection::vec((-100_i64..100, any::<bool>()), 0..20)) {
        let clock = chassis::env::RehearsalClock::at(0);
        let mut before = clock.now();
        for (to, running) in moves {
            let now = clock.advance(to, running);
            prop_assert!(now >= before && now >= to);
            before = now;
        }
        prop_assert!(clock.now() >= before);
    }
}
