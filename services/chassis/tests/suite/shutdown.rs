//! The end: within the drain limit whoever stays connected, with the calls in flight answered.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use chassis::{Env, peer::within};
use proto::{
    common::v1::{Role, WatchRequest, change_service_client::ChangeServiceClient},
    roster::v1::{CreateOrganizationRequest, Organization, organization_service_client::OrganizationServiceClient},
};
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::Instant};
use tonic::{Code, Request};

use crate::fixture::{AT, Keys, Settings, Source, databases, reason, start};

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn slow(keys: &Keys) -> anyhow::Result<Request<CreateOrganizationRequest>> {
    let organization = Organization {
        name: "organizations/slow".to_owned(),
        display_name: "slow".to_owned(),
        ..Organization::default()
    };
    let message = CreateOrganizationRequest { organization: Some(organization), request_id: "slow".to_owned() };
    let mut request = within(Duration::from_secs(30), message);
    request.metadata_mut().insert("authorization", format!("Bearer {}", keys.person(&[Role::BureauOfficer])?).parse()?);
    Ok(request)
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_half_open_and_streaming_peers_do_not_hold_it_and_calls_in_flight_are_answered() -> anyhow::Result<()> {
    let keys = Keys::new()?;
    for database in databases().await? {
        database.db.close().await;
        let settings = Settings::new(&keys, "roster", &database.url)?;
        let hooks = settings.hooks.clone();
        let server = start::<Source>(settings.clone(), ANY, Env::rehearsal(AT)).await?;
        let address = server.address;

        // Idle: connected, with nothing going on. Half-open: says nothing at all. Streaming: watches, and does not read.
        let idle = tonic::transport::Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
        let mut half_open = TcpStream::connect(address).await?;
        let watching = ChangeServiceClient::new(keys.peer("catalog", address)?).watch(WatchRequest::default()).await?;
        let calling = {
            let (mut client, request) = (OrganizationServiceClient::new(idle.clone()), slow(&keys)?);
            tokio::spawn(async move { client.create_organization(request).await })
        };
        hooks.entered.acquire().await?.forget();

        let begun = Instant::now();
        server.stop.cancel();
        // The call is inside its transaction when the end begins; it is let go after that.
        let mut watching = watching.into_inner();
        let ended = watching.message().await.unwrap_err();
        assert_eq!((ended.code(), reason(&ended).as_str()), (Code::Unavailable, "REASON_UNAVAILABLE"));
        hooks.leave.add_permits(1);
        let answered = calling.await??.into_inner();
        assert_eq!(answered.organization.map(|known| known.name).as_deref(), Some("organizations/slow"));

        server.ended().await?;
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(2500), "a second's drain took {took:?}");
        // What was half-open is closed, not left behind.
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(5), half_open.read_to_end(&mut rest)).await?;
        assert!(closed.is_ok() || closed.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
        drop(idle);

        // The same address and database are free at once, and the answered call is there.
        let again = start::<Source>(settings, address, Env::rehearsal(AT)).await?;
        let mut client = OrganizationServiceClient::new(chassis::peer::channel(&format!("http://{address}"))?);
        client.create_organization(slow(&keys)?).await?;
        again.end().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_outlasts_the_drain_is_cut_and_leaves_nothing() -> anyhow::Result<()> {
    let keys = Keys::new()?;
    for database in databases().await? {
        database.db.close().await;
        let settings = Settings::new(&keys, "roster", &database.url)?;
        let hooks = settings.hooks.clone();
        let server = start::<Source>(settings.clone(), ANY, Env::rehearsal(AT)).await?;
        let address = server.address;
        let calling = {
            let mut client = OrganizationServiceClient::new(chassis::peer::channel(&format!("http://{address}"))?);
            let request = slow(&keys)?;
            tokio::spawn(async move { client.create_organization(request).await })
        };
        hooks.entered.acquire().await?.forget();
        let begun = Instant::now();
        server.end().await?;
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(2500), "a second's drain took {took:?}");
        assert!(calling.await?.is_err());

        // Nothing of it is left: the same request is carried out as if for the first time.
        hooks.leave.add_permits(1);
        let again = start::<Source>(settings, address, Env::rehearsal(AT)).await?;
        let mut client = OrganizationServiceClient::new(chassis::peer::channel(&format!("http://{address}"))?);
        client.create_organization(slow(&keys)?).await?;
        assert_eq!(hooks.entered.available_permits(), 1);
        again.end().await?;
    }
    Ok(())
}
