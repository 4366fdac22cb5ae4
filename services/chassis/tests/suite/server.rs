//! A server over the wire: who is let in, what every server offers, what does not start.

use std::time::Duration;

use chassis::{
    Env, Host, Program,
    identity::{self, Identity},
    peer::{SERVICE_HEADER, within},
    replicas::Replicas,
};
use proto::{
    common::v1::{
        GetStatusRequest, PutGatesRequest, Role, WaitMirrorRequest, WatchRequest,
        change_service_client::ChangeServiceClient, gate_service_client::GateServiceClient,
    },
    roster::v1::{
        CreateOrganizationRequest, GetOrganizationRequest, ListOrganizationsRequest, Organization,
        organization_service_client::OrganizationServiceClient,
    },
};
use tokio::{io::AsyncReadExt as _, time::Instant};
use tokio_stream::StreamExt as _;
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::fixture::{AT, Consumer, Keys, Running, Settings, Source, databases, migrations, reason, start};

const ANY: std::net::SocketAddr = std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// The source on a database of its own; the databases' guards go along.
async fn source(keys: &Keys) -> anyhow::Result<(Running, impl Sized)> {
    let databases = databases().await?;
    let Some(database) = databases.first() else { anyhow::bail!("no database") };
    database.db.close().await;
    let running = start::<Source>(Settings::new(keys, "roster", &database.url)?, ANY, Env::rehearsal(AT)).await?;
    Ok((running, databases))
}

fn channel(server: &Running) -> anyhow::Result<Channel> {
    chassis::peer::channel(&format!("http://{}", server.address))
}

fn with<M>(message: M, header: &'static str, value: &str) -> anyhow::Result<Request<M>> {
    let mut request = within(Duration::from_secs(5), message);
    request.metadata_mut().insert(header, value.parse()?);
    Ok(request)
}

fn creating(name: &str) -> CreateOrganizationRequest {
    let organization = Organization { name: name.to_owned(), ..Organization::default() };
    CreateOrganizationRequest { organization: Some(organization), request_id: name.to_owned() }
}

#[tokio::test]
async fn identity_and_role_are_checked_before_any_handler() -> anyhow::Result<()> {
    let keys = Keys::new()?;
    let (server, _databases) = source(&keys).await?;
    let mut client = OrganizationServiceClient::new(channel(&server)?);
    let mut create = async |header: &'static str, token: String| -> anyhow::Result<Result<(), Status>> {
        Ok(client.create_organization(with(creating("o"), header, &token)?).await.map(drop))
    };
    let bearer = |token: String| format!("Bearer {token}");

    let stranger = tempfile::tempdir()?;
    let forger = identity::ensure_key(stranger.path(), "gateway")?;
    let forger = Identity::load("gateway", &forger, stranger.path(), Env::system())?;
    let role = || vec![(Role::BureauOfficer as i32, "organizations/any".to_owned())];
    let forged = forger.issue("accounts/any", "", role(), 300)?.0;
    let expired = keys.identity("gateway")?.issue("accounts/any", "", role(), -1)?.0;
    // Each key speaks for its own service, and only the gateway's for persons.
    let usurped = keys.identity("roster")?.issue("accounts/any", "", role(), 300)?.0;
    let own = keys.identity("gateway")?.own_token()?;
    let mut cut = keys.person(&[Role::BureauOfficer])?;
    cut.pop();
    for (what, token) in [
        ("forged", bearer(forged)),
        ("expired", bearer(expired)),
        ("usurped", bearer(usurped)),
        ("a service's", bearer(own)),
        ("cut", bearer(cut)),
        ("empty", bearer(String::new())),
        ("of another scheme", "Basic YTph".to_owned()),
    ] {
        let refused = create("authorization", token).await?.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::Unauthenticated, "REASON_UNAUTHENTICATED"),
            "{what}"
        );
    }
    let nothing = create("x-nothing", String::new()).await?.unwrap_err();
    assert_eq!(reason(&nothing), "REASON_UNAUTHENTICATED");

    let wrong_role = create("authorization", bearer(keys.person(&[Role::Teacher, Role::Expert])?)).await?.unwrap_err();
    assert_eq!((wrong_role.code(), reason(&wrong_role).as_str()), (Code::PermissionDenied, "REASON_ROLE_NOT_ALLOWED"));
    assert!(wrong_role.message().contains("bureau officer"), "{}", wrong_role.message());
    let info = wrong_role.get_details_error_info().map(|info| info.metadata).unwrap_or_default();
    assert!(info.get("allowed").is_some_and(|allowed| allowed.contains("ROLE_BUREAU_OFFICER")), "{info:?}");
    let service = create(SERVICE_HEADER, keys.identity("gateway")?.own_token()?).await?.unwrap_err();
    assert_eq!(reason(&service), "REASON_ROLE_NOT_ALLOWED");

    create("authorization", bearer(keys.person(&[Role::Teacher, Role::BureauOfficer])?)).await??;
    server.end().await
}

#[tokio::test]
async fn what_services_alone_may_do_no_person_does_not_even_through_one() -> anyhow::Result<()> {
    let keys = Keys::new()?;
    let (server, _databases) = source(&keys).await?;
    let mut client = GateServiceClient::new(channel(&server)?);
    let every_role: Vec<_> = (1..=9).filter_map(|role| Role::try_from(role).ok()).collect();
    let person = format!("Bearer {}", keys.person(&every_role)?);
    let alone = client.put_gates(with(PutGatesRequest::default(), "authorization", &person)?).await.unwrap_err();
    assert_eq!(reason(&alone), "REASON_ROLE_NOT_ALLOWED");
    let mut carried = with(PutGatesRequest::default(), "authorization", &person)?;
    carried.metadata_mut().insert(SERVICE_HEADER, keys.identity("gateway")?.own_token()?.parse()?);
    let carried = client.put_gates(carried).await.unwrap_err();
    assert_eq!(reason(&carried), "REASON_ROLE_NOT_ALLOWED");
    // A service that is not among those the rule names.
    let other = keys.identity("catalog")?.own_token()?;
    let other = client.put_gates(with(PutGatesRequest::default(), SERVICE_HEADER, &other)?).await.unwrap_err();
    assert_eq!(reason(&other), "REASON_ROLE_NOT_ALLOWED");
    // A service that is not who it says it is spoils a person's call as well.
    let mut spoilt = with(GetStatusRequest {}, "authorization", &person)?;
    spoilt.metadata_mut().insert(SERVICE_HEADER, "forged".parse()?);
    assert_eq!(reason(&client.get_status(spoilt).await.unwrap_err()), "REASON_UNAUTHENTICATED");
    server.end().await
}

#[tokio::test]
async fn a_service_brings_a_deadline_and_gets_an_answer_within_it() -> anyhow::Result<()> {
    let keys = Keys::new()?;
    let (server, _databases) = source(&keys).await?;
    let mut client = GateServiceClient::new(keys.peer("gateway", server.address)?);
    let without = client.get_status(GetStatusRequest {}).await.unwrap_err();
    assert_eq!((without.code(), reason(&without).as_str()), (Code::InvalidArgument, "REASON_INVALID_ARGUMENT"));
    let short = client.get_status(within(Duration::from_millis(99), GetStatusRequest {})).await.unwrap_err();
    assert_eq!((short.code(), reason(&short).as_str()), (Code::DeadlineExceeded, "REASON_DEADLINE_EXCEEDED"));
    client.get_status(within(Duration::from_secs(5), GetStatusRequest {})).await?;
    // It waits for what never comes; the answer, with its reason, is there before the caller gives up.
    let waiting = WaitMirrorRequest { source: "catalog".to_owned(), position: 1 };
    let waited = client.wait_mirror(within(Duration::from_millis(400), waiting)).await.unwrap_err();
    assert_eq!((waited.code(), reason(&waited).as_str()), (Code::DeadlineExceeded, "REASON_DEADLINE_EXCEEDED"));
    // A stream needs none.
    let mut watching = ChangeServiceClient::new(keys.peer("catalog", server.address)?);
    watching.watch(WatchRequest::default()).await?;
    server.end().await
}

#[tokio::test]
async fn a_written_organisation_is_read_and_an_unknown_one_is_not_found() -> anyhow::Result<()> {
    let keys = Keys::new()?;
    let (server, _databases) = source(&keys).await?;
    let mut client = OrganizationServiceClient::new(channel(&server)?);
    let bearer = format!("Bearer {}", keys.person(&[Role::BureauOfficer])?);
    let created = client.create_organization(with(creating("organizations/a"), "authorization", &bearer)?).await?;
    let again = client.create_organization(with(creating("organizations/a"), "authorization", &bearer)?).await?;
    assert_eq!(created.into_inner(), again.into_inner());
    let read = |name: &str| with(GetOrganizationRequest { name: name.to_owned() }, "authorization", &bearer);
    assert!(client.get_organization(read("organizations/a")?).await?.into_inner().organization.is_some());
    let unknown = client.get_organization(read("organizations/b")?).await.unwrap_err();
    assert_eq!((unknown.code(), reason(&unknown).as_str()), (Code::NotFound, "REASON_NOT_FOUND"));
    server.end().await
}

#[tokio::test]
async fn an_answer_with_very_many_faults_still_arrives() -> anyhow::Result<()> {
    let keys = Keys::new()?;
    let (server, _databases) = source(&keys).await?;
    let mut client = OrganizationServiceClient::new(channel(&server)?);
    let bearer = format!("Bearer {}", keys.person(&[Role::Teacher])?);
    let asked = ListOrganizationsRequest { page_size: 5000, ..ListOrganizationsRequest::default() };
    let refused = client.list_organizations(with(asked, "authorization", &bearer)?).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "REASON_INVALID_ARGUMENT"));
    let details = refused.get_error_details();
    assert!(details.bad_request().is_some_and(|bad| bad.field_violations.len() > 20));
    assert_eq!(details.error_info().and_then(|info| info.metadata.get("count")).map(String::as_str), Some("5000"));
    server.end().await
}

#[tokio::test]
async fn every_server_tells_its_health_and_what_it_serves() -> anyhow::Result<()> {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let keys = Keys::new()?;
    let (server, _databases) = source(&keys).await?;
    let mut health = HealthClient::new(channel(&server)?);
    let status = health.check(HealthCheckRequest { service: String::new() }).await?.into_inner().status;
    assert_eq!(status, tonic_health::ServingStatus::Serving as i32);

    let mut reflection = ServerReflectionClient::new(channel(&server)?);
    let ask = |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let asked = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("shixun.roster.v1.OrganizationService".to_owned())),
    ];
    let mut answers = reflection.server_reflection_info(tokio_stream::iter(asked)).await?.into_inner();
    let Some(MessageResponse::ListServicesResponse(listed)) =
        answers.next().await.transpose()?.and_then(|a| a.message_response)
    else {
        anyhow::bail!("no list of services")
    };
    let mut names: Vec<_> = listed.service.iter().map(|service| service.name.as_str()).collect();
    names.sort_unstable();
    let expected = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "shixun.common.v1.AuditService",
        "shixun.common.v1.ChangeService",
        "shixun.common.v1.ClockService",
        "shixun.common.v1.GateService",
        "shixun.common.v1.StepService",
        "shixun.roster.v1.OrganizationService",
    ];
    assert_eq!(names, expected);
    let file = answers.next().await.transpose()?.and_then(|answer| answer.message_response);
    assert!(matches!(file, Some(MessageResponse::FileDescriptorResponse(_))), "{file:?}");
    server.end().await
}

#[tokio::test]
async fn a_name_leads_to_its_replicas_and_one_without_any_says_so() -> anyhow::Result<()> {
    let keys = Keys::new()?;
    let (server, _databases) = source(&keys).await?;
    let ask = async |address: String| -> anyhow::Result<Result<(), Status>> {
        let mut client = GateServiceClient::new(Replicas::at(&address)?);
        let token = keys.identity("gateway")?.own_token()?;
        Ok(client.get_status(with(GetStatusRequest {}, SERVICE_HEADER, &token)?).await.map(drop))
    };
    ask(format!("dns:///{}", server.address)).await??;
    let nobody = ask("dns:///nobody.invalid:7701".to_owned()).await?.unwrap_err();
    assert_eq!(nobody.code(), Code::Unavailable, "{nobody:?}");
    assert!(Replicas::at("dns:///no address").is_err());
    server.end().await
}

#[tokio::test]
async fn calls_pass_over_replicas_that_are_not_there() -> anyhow::Result<()> {
    let keys = Keys::new()?;
    let (server, _databases) = source(&keys).await?;
    let gone = tokio::net::TcpListener::bind(ANY).await?.local_addr()?;
    let token = keys.identity("gateway")?.own_token()?;
    let ask = async |client: &mut GateServiceClient<Replicas>| -> anyhow::Result<Result<(), Status>> {
        Ok(client.get_status(with(GetStatusRequest {}, SERVICE_HEADER, &token)?).await.map(drop))
    };
    let mut client = GateServiceClient::new(Replicas::at(&format!("http://{gone},http://{}", server.address))?);
    for _ in 0..20 {
        ask(&mut client).await??;
    }
    // Somebody comes in his place: he takes his turn.
    let there = tokio::net::TcpListener::bind(gone).await?;
    let came = tokio::time::timeout(Duration::from_secs(10), async {
        // The look whether he is there; then a call, whose connection speaks first.
        let (mut look, _) = there.accept().await?;
        anyhow::ensure!(look.read(&mut [0; 1]).await? == 0, "more than a look");
        let (mut call, _) = there.accept().await?;
        Ok(call.read_exact(&mut [0; 1]).await?)
    });
    let calls = async {
        loop {
            // The one that he gets is never answered.
            let _ = tokio::time::timeout(Duration::from_millis(100), ask(&mut client)).await;
        }
    };
    tokio::select! {
        came = came => came??,
        () = calls => unreachable!("they go on"),
    };
    let mut nobody = GateServiceClient::new(Replicas::at(&format!("http://{gone}"))?);
    drop(there);
    assert_eq!(ask(&mut nobody).await?.unwrap_err().code(), Code::Unavailable);
    server.end().await
}

#[tokio::test]
async fn readiness_waits_for_mirrors_and_liveness_for_nobody() -> anyhow::Result<()> {
    use chassis::server::health::{LIVENESS, READINESS};
    use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_client::HealthClient};
    const SERVING: i32 = tonic_health::ServingStatus::Serving as i32;
    const NOT_SERVING: i32 = tonic_health::ServingStatus::NotServing as i32;
    async fn health(server: &Running, service: &str) -> anyhow::Result<tonic::Streaming<HealthCheckResponse>> {
        let asked = HealthCheckRequest { service: service.to_owned() };
        Ok(HealthClient::new(channel(server)?).watch(asked).await?.into_inner())
    }
    async fn next(told: &mut tonic::Streaming<HealthCheckResponse>) -> anyhow::Result<i32> {
        let answer = tokio::time::timeout(Duration::from_secs(20), told.message()).await??;
        Ok(answer.ok_or_else(|| anyhow::anyhow!("the stream ended"))?.status)
    }
    let keys = Keys::new()?;
    let (sources, consumers) = (databases().await?, databases().await?);
    let (Some(of_source), Some(of_consumer)) = (sources.first(), consumers.first()) else {
        anyhow::bail!("no database")
    };
    of_source.db.close().await;
    of_consumer.db.close().await;
    let source = || anyhow::Ok(Settings::new(&keys, "roster", &of_source.url)?);
    let running = start::<Source>(source()?, ANY, Env::rehearsal(AT)).await?;
    let at = running.address;
    let mut client = OrganizationServiceClient::new(channel(&running)?);
    let token = format!("Bearer {}", keys.person(&[Role::BureauOfficer])?);
    client.create_organization(with(creating("o"), "authorization", &token)?).await?;
    running.end().await?;

    // The source is away, and nothing of it is held.
    let consumer = || anyhow::Ok(Settings::new(&keys, "catalog", &of_consumer.url)?.peer("roster", at));
    let consuming = start::<Consumer>(consumer()?, ANY, Env::rehearsal(AT)).await?;
    let (mut alive, mut ready) = (health(&consuming, LIVENESS).await?, health(&consuming, READINESS).await?);
    assert_eq!((next(&mut alive).await?, next(&mut ready).await?), (SERVING, NOT_SERVING));
    let running = start::<Source>(source()?, at, Env::rehearsal(AT)).await?;
    assert_eq!(next(&mut ready).await?, SERVING);
    // What is gone later takes nobody away who has its facts.
    running.end().await?;
    consuming.end().await?;
    assert_eq!(next(&mut ready).await?, NOT_SERVING);

    // Nor whoever begins meanwhile.
    let consuming = start::<Consumer>(consumer()?, ANY, Env::rehearsal(AT)).await?;
    let mut ready = health(&consuming, READINESS).await?;
    assert_eq!((next(&mut ready).await?, next(&mut ready).await?), (NOT_SERVING, SERVING));
    consuming.end().await
}

/// Serves what no contract of ours has a rule for.
struct Lawless;

impl Program for Lawless {
    const NAME: &'static str = "roster";
    type Config = Settings;

    fn migrations() -> chassis::db::Migrations {
        migrations()
    }

    async fn build(host: &mut Host, _: &Settings) -> anyhow::Result<()> {
        let (_, health) = tonic_health::server::health_reporter();
        host.add(health);
        Ok(())
    }
}

#[tokio::test]
async fn a_service_without_rules_does_not_start() -> anyhow::Result<()> {
    let keys = Keys::new()?;
    let databases = databases().await?;
    let Some(database) = databases.first() else { anyhow::bail!("no database") };
    database.db.close().await;
    let running = start::<Lawless>(Settings::new(&keys, "roster", &database.url)?, ANY, Env::rehearsal(AT)).await?;
    let error = running.ended().await.unwrap_err();
    assert!(error.to_string().contains("grpc.health.v1.Health is in no contract"), "{error:#}");
    Ok(())
}

#[tokio::test]
async fn a_second_process_is_kept_off_an_embedded_database() -> anyhow::Result<()> {
    let keys = Keys::new()?;
    let databases = databases().await?;
    let Some(database) = databases.first() else { anyhow::bail!("no database") };
    let config = || Settings::new(&keys, "roster", &database.url);
    let kept_off = start::<Source>(config()?, ANY, Env::rehearsal(AT)).await?.ended().await.unwrap_err();
    assert!(kept_off.to_string().contains("held by another process"), "{kept_off:#}");
    database.db.close().await;
    start::<Source>(config()?, ANY, Env::rehearsal(AT)).await?.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_too_many_is_closed_at_once_and_the_others_stay() -> anyhow::Result<()> {
    let keys = Keys::new()?;
    for database in databases().await? {
        database.db.close().await;
        let mut settings = Settings::new(&keys, "roster", &database.url)?;
        settings.chassis.server.max_connections = 2;
        let server = start::<Source>(settings, ANY, Env::rehearsal(AT)).await?;
        let connect = async || {
            let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", server.address))?;
            anyhow::Ok(tonic_health::pb::health_client::HealthClient::new(endpoint.connect().await?))
        };
        let check = async |client: &mut tonic_health::pb::health_client::HealthClient<_>| {
            client.check(within(Duration::from_secs(5), tonic_health::pb::HealthCheckRequest::default())).await
        };
        let (mut one, mut other) = (connect().await?, connect().await?);
        check(&mut one).await?;
        check(&mut other).await?;
        let mut third = tokio::net::TcpStream::connect(server.address).await?;
        let closed = tokio::time::timeout(Duration::from_secs(5), third.read(&mut [0; 16])).await?;
        assert!(matches!(closed, Ok(0) | Err(_)), "it was served: {closed:?}");
        check(&mut one).await?;
        // A place that became free is the next one's; when the server sees that is its own matter.
        drop(other);
        let begun = Instant::now();
        loop {
            if let Ok(mut next) = connect().await
                && check(&mut next).await.is_ok()
            {
                break;
            }
            anyhow::ensure!(begun.elapsed() < Duration::from_secs(20), "no place became free");
        }
        server.end().await?;
    }
    Ok(())
}
