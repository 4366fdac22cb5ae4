//! Mutual TLS over the wire: who is let in and who is believed, and certificates that change under calls.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use anyhow::Context as _;
use chassis::{
    CancellationToken, Env, Host, Program,
    config::TelemetryConfig,
    db::Migrations,
    peer::{Peer, SERVICE_HEADER, within},
    replicas::Replicas,
    telemetry,
    testing::{Authority, Certified, TestDatabase},
};
use proto::{
    common::v1::{GetStatusRequest, Role, gate_service_client::GateServiceClient},
    roster::v1::{CreateOrganizationRequest, Organization, organization_service_client::OrganizationServiceClient},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tonic::{
    Code, Request, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::fixture::{
    AT, Consumer, Hooks, Keys, Running, Settings, Source, databases, figure, migrations, reason, start, until,
};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const PATIENCE: Duration = Duration::from_secs(20);

/// What a test's programs stand on: keys, certificates, a database each.
struct Ground {
    keys: Keys,
    authority: Authority,
    folder: TempDir,
    databases: Vec<TestDatabase>,
}

impl Ground {
    async fn new() -> anyhow::Result<Self> {
        chassis::install_crypto();
        let (keys, authority, folder) = (Keys::new()?, Authority::new()?, TempDir::new()?);
        let databases = databases().await?;
        for database in &databases {
            database.db.close().await;
        }
        Ok(Self { keys, authority, folder, databases })
    }

    /// The certificate of `name`, as files.
    fn certified(&self, name: &str) -> anyhow::Result<Certified> {
        self.authority.certify(name, &self.folder.path().join(name))
    }

    fn settings(&self, service: &str) -> anyhow::Result<Settings> {
        let url = &self.databases[usize::from(service == "catalog")].url;
        Ok(Settings::new(&self.keys, service, url)?.tls(&self.certified(service)?))
    }

    async fn source(&self) -> anyhow::Result<Running> {
        start::<Source>(self.settings("roster")?, ANY, Env::rehearsal(AT)).await
    }

    /// The consumer, and where to get hold of it.
    async fn consumer(&self, source: SocketAddr) -> anyhow::Result<(Running, Hooks)> {
        let settings = self.settings("catalog")?.peer("roster", source);
        let hooks = settings.hooks.clone();
        Ok((start::<Consumer>(settings, ANY, Env::rehearsal(AT)).await?, hooks))
    }

    /// Somebody who creates organisations, carried by nobody.
    fn creating(&self, name: &str) -> anyhow::Result<Request<CreateOrganizationRequest>> {
        let organization = Organization { name: name.to_owned(), ..Organization::default() };
        let message = CreateOrganizationRequest { organization: Some(organization), request_id: name.to_owned() };
        let mut request = within(PATIENCE, message);
        let token = self.keys.person(&[Role::BureauOfficer])?;
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
        Ok(request)
    }
}

/// A way to a server that passes for `name`, shown the certificate of `own`.
async fn connect(at: SocketAddr, name: &str, authority: &str, own: Option<&Certified>) -> anyhow::Result<Channel> {
    Ok(endpoint(at, name, authority, own)?.connect().await?)
}

fn endpoint(at: SocketAddr, name: &str, authority: &str, own: Option<&Certified>) -> anyhow::Result<Endpoint> {
    let mut tls = ClientTlsConfig::new().domain_name(name).ca_certificate(Certificate::from_pem(authority));
    if let Some(own) = own {
        tls = tls.identity(Identity::from_pem(std::fs::read(&own.certificate)?, std::fs::read(&own.key)?));
    }
    Ok(Endpoint::from_shared(format!("https://{at}"))?.tls_config(tls)?)
}

/// Whether a server answers at all.
async fn answers(channel: anyhow::Result<Channel>) -> Result<(), String> {
    let mut health = HealthClient::new(channel.map_err(|error| format!("{error:#}"))?);
    let asked = within(PATIENCE, HealthCheckRequest { service: "liveness".to_owned() });
    health.check(asked).await.map(drop).map_err(|status| format!("{status:?}"))
}

/// The consumer's own channel to its source, as its build made it.
async fn to_source(hooks: &Hooks) -> anyhow::Result<Peer> {
    let mut built = hooks.to_source.subscribe();
    let peer = tokio::time::timeout(PATIENCE, built.wait_for(Option::is_some)).await??.clone();
    peer.context("a channel")
}

async fn status(peer: &Peer) -> Result<(), Status> {
    GateServiceClient::new(peer.clone()).get_status(within(PATIENCE, GetStatusRequest {})).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn services_call_and_mirror_one_another_over_tls() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    let source = ground.source().await?;
    let (consumer, hooks) = ground.consumer(source.address).await?;
    status(&to_source(&hooks).await?).await?;
    let mut client = OrganizationServiceClient::new(to_source(&hooks).await?);
    client.create_organization(ground.creating("organizations/o")?).await?;
    tokio::time::timeout(PATIENCE, hooks.given.subscribe().wait_for(|given| *given == 1)).await??;
    consumer.end().await?;
    source.end().await
}

/// A way that leads the first comer to `ending`, where his greeting stops half-way until he gets leave, and others to `other`.
async fn halting(
    ending: SocketAddr,
    other: SocketAddr,
    half_way: CancellationToken,
    leave: CancellationToken,
) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(ANY).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let (mut first, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut server = TcpStream::connect(ending).await?;
            let mut hello = vec![0; 1 << 14];
            let length = first.read(&mut hello).await?;
            server.write_all(&hello[..length]).await?;
            server.readable().await?;
            half_way.cancel();
            leave.cancelled().await;
            copy_bidirectional(&mut first, &mut server).await
        });
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(other).await?;
            tokio::spawn(async move { copy_bidirectional(&mut near, &mut far).await });
        }
        anyhow::Ok(())
    });
    Ok(address)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_being_greeted_when_the_end_begins_loses_no_call() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    let certified = ground.certified("roster")?;
    let serve = async |url: &str| {
        let mut settings = Settings::new(&ground.keys, "roster", url)?.tls(&certified);
        settings.chassis.server.drain_seconds = PATIENCE.as_secs();
        start::<Source>(settings, ANY, Env::rehearsal(AT)).await
    };
    let (ending, other) = (serve(&ground.databases[0].url).await?, serve(&ground.databases[1].url).await?);
    let (half_way, leave) = (CancellationToken::new(), CancellationToken::new());
    let way = halting(ending.address, other.address, half_way.clone(), leave.clone()).await?;
    let own = ground.certified("catalog")?;
    let channel = endpoint(way, "roster", &ground.authority.pem(), Some(&own))?.connect_lazy();
    let calling = tokio::spawn(async move {
        let asked = within(PATIENCE, HealthCheckRequest { service: "liveness".to_owned() });
        HealthClient::new(Replicas::from(channel)).check(asked).await
    });
    half_way.cancelled().await;
    ending.stop.cancel();
    until("nobody more is taken", async || Ok(TcpStream::connect(ending.address).await.is_err())).await?;
    leave.cancel();
    calling.await??;
    ending.ended().await?;
    other.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_certificate_of_ours_is_not_let_in() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    let source = ground.source().await?;
    let trusted = ground.authority.pem();
    let own = ground.certified("catalog")?;
    answers(connect(source.address, "roster", &trusted, Some(&own)).await).await.map_err(anyhow::Error::msg)?;

    let stranger = Authority::new()?.certify("catalog", &ground.folder.path().join("stranger"))?;
    let expired = ground.authority.certify_until("catalog", 2020, &ground.folder.path().join("expired"))?;
    for (what, shown) in [("none", None), ("a stranger's", Some(&stranger)), ("an old one", Some(&expired))] {
        let refused = answers(connect(source.address, "roster", &trusted, shown).await).await;
        assert!(refused.is_err(), "let in with {what}");
    }
    let clear = chassis::peer::channel(&format!("http://{}", source.address))?;
    assert!(answers(Ok(clear)).await.is_err(), "let in without TLS");
    // They took no place for long, and nothing of the server's.
    answers(connect(source.address, "roster", &trusted, Some(&own)).await).await.map_err(anyhow::Error::msg)?;
    source.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_speaks_to_nobody_but_whom_it_means() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    // Where the roster should be there is somebody else, whose certificate is as good; of its own, for it reads it while the caller's is made.
    let other = start::<Consumer>(
        Settings::new(&ground.keys, "catalog", &ground.databases[0].url)?
            .tls(&ground.authority.certify("catalog", &ground.folder.path().join("other"))?)
            .peer("roster", SocketAddr::from(([127, 0, 0, 1], 9))),
        ANY,
        Env::rehearsal(AT),
    );
    let other = other.await?;
    let (consumer, hooks) = ground.consumer(other.address).await?;
    let refused = status(&to_source(&hooks).await?).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(format!("{refused:?}").contains("NotValidForName"), "{refused:?}");

    // One that another authority of the same name certified.
    let stranger = Authority::new()?.certify("roster", &ground.folder.path().join("stranger"))?;
    let settings = Settings::new(&ground.keys, "roster", &format!("sqlite:{}/s.db", ground.folder.path().display()))?;
    let stranger = start::<Source>(settings.tls(&stranger), ANY, Env::rehearsal(AT)).await?;
    let third = Settings::new(&ground.keys, "catalog", &format!("sqlite:{}/t.db", ground.folder.path().display()))?
        .tls(&ground.certified("catalog")?)
        .peer("roster", stranger.address);
    let hooks = third.hooks.clone();
    let third = start::<Consumer>(third, ANY, Env::rehearsal(AT)).await?;
    let refused = status(&to_source(&hooks).await?).await.unwrap_err();
    assert!(format!("{refused:?}").contains("BadSignature"), "{refused:?}");
    for server in [third, stranger, consumer, other] {
        server.end().await?;
    }
    Ok(())
}

/// Persons connect to it, as to the gateway.
struct Front;

impl Program for Front {
    const NAME: &'static str = "gateway";
    const FACES_PEOPLE: bool = true;
    type Config = Settings;

    fn migrations() -> Migrations {
        migrations()
    }

    async fn build(host: &mut Host, config: &Settings) -> anyhow::Result<()> {
        Source::build(host, config).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_services_token_is_good_on_its_own_connections_alone() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    let source = ground.source().await?;
    let trusted = ground.authority.pem();
    let asking = |service: &'static str| {
        let mut request = within(PATIENCE, GetStatusRequest {});
        request.metadata_mut().insert(SERVICE_HEADER, ground.keys.identity(service)?.own_token()?.parse()?);
        anyhow::Ok(request)
    };
    let as_catalog = connect(source.address, "roster", &trusted, Some(&ground.certified("catalog")?)).await?;
    let mut gates = GateServiceClient::new(as_catalog.clone());
    gates.get_status(asking("catalog")?).await?;
    let usurped = gates.get_status(asking("gateway")?).await.unwrap_err();
    assert_eq!((usurped.code(), reason(&usurped).as_str()), (Code::Unauthenticated, "REASON_UNAUTHENTICATED"));
    // Nor does it bring a person; the person's own token needs nobody.
    let mut organizations = OrganizationServiceClient::new(as_catalog);
    let mut brought = ground.creating("organizations/o")?;
    brought.metadata_mut().insert(SERVICE_HEADER, ground.keys.identity("gateway")?.own_token()?.parse()?);
    assert_eq!(reason(&organizations.create_organization(brought).await.unwrap_err()), "REASON_UNAUTHENTICATED");
    organizations.create_organization(ground.creating("organizations/o")?).await?;
    source.end().await?;

    // Where persons come in without a certificate, a service's token does not.
    let settings = Settings::new(&ground.keys, "gateway", &ground.databases[1].url)?;
    let front = start::<Front>(settings.tls(&ground.certified("gateway")?), ANY, Env::rehearsal(AT)).await?;
    let person = connect(front.address, "gateway", &trusted, None).await?;
    OrganizationServiceClient::new(person.clone()).create_organization(ground.creating("organizations/o")?).await?;
    let bare = GateServiceClient::new(person).get_status(asking("gateway")?).await.unwrap_err();
    assert_eq!(reason(&bare), "REASON_UNAUTHENTICATED");
    let own = connect(front.address, "gateway", &trusted, Some(&ground.certified("gateway")?)).await?;
    GateServiceClient::new(own).get_status(asking("gateway")?).await?;
    // Whoever shows one shows one of ours.
    let stranger = Authority::new()?.certify("catalog", &ground.folder.path().join("stranger"))?;
    let refused = answers(connect(front.address, "gateway", &trusted, Some(&stranger)).await).await;
    assert!(refused.is_err(), "a stranger's certificate was taken for none");
    front.end().await
}

/// All certificates change hands, authority included, under calls that go on all the while.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_change_under_calls_and_bad_ones_are_refused() -> anyhow::Result<()> {
    let page = std::net::TcpListener::bind(ANY)?.local_addr()?;
    let telemetry = telemetry::start(
        "test",
        &TelemetryConfig { prometheus: Some(page.to_string()), ..TelemetryConfig::default() },
    )?;
    let ground = Ground::new().await?;
    let settings = ground.settings("roster")?;
    let held = settings.hooks.clone();
    let source = start::<Source>(settings, ANY, Env::rehearsal(AT)).await?;
    let (consumer, hooks) = ground.consumer(source.address).await?;
    let peer = to_source(&hooks).await?;
    status(&peer).await?;

    // A call that lasts, and others that follow one another, from before the change to after it.
    let slow = {
        let (mut client, mut request) =
            (OrganizationServiceClient::new(peer.clone()), ground.creating("organizations/s")?);
        if let Some(organization) = &mut request.get_mut().organization {
            organization.display_name = "slow".to_owned();
        }
        tokio::spawn(async move { client.create_organization(request).await })
    };
    held.entered.acquire().await?.forget();
    let (over, mut calling) = (CancellationToken::new(), tokio::task::JoinSet::new());
    for _ in 0..4 {
        let (peer, over) = (peer.clone(), over.clone());
        calling.spawn(async move {
            let mut answered = 0_u32;
            while !over.is_cancelled() {
                status(&peer).await?;
                answered += 1;
            }
            Ok::<_, Status>(answered)
        });
    }

    // Everybody believes both authorities, then has the new one's certificate, then forgets the old one.
    let new = Authority::new()?;
    let probe = new.certify("gateway", &ground.folder.path().join("new"))?;
    let folders = [("roster", source.address), ("catalog", consumer.address)];
    for (service, at) in folders {
        let bundle = ground.authority.pem() + &new.pem();
        std::fs::write(ground.folder.path().join(service).join("ca.crt"), bundle)?;
        let old = ground.authority.pem();
        until("the new authority is believed", async || {
            Ok(answers(connect(at, service, &old, Some(&probe)).await).await.is_ok())
        })
        .await?;
    }
    for (service, at) in folders {
        new.certify(service, &ground.folder.path().join(service))?;
        let pem = new.pem();
        until("the new certificate is shown", async || {
            Ok(answers(connect(at, service, &pem, Some(&probe)).await).await.is_ok())
        })
        .await?;
        let old = ground.certified("gateway")?;
        until("the old authority is forgotten", async || {
            Ok(answers(connect(at, service, &pem, Some(&old)).await).await.is_err())
        })
        .await?;
    }
    let ending = "shixun_tls_certificate_left_seconds{service=\"roster\"";
    let left = figure(page, ending).await?.context("until it ends")?;
    assert!((2.2e9..4.2e9).contains(&left), "2100 is {left} s away");

    // Half a file is no certificate: the one that is there goes on, and it is seen that another was meant.
    let refused = "shixun_reload_refused{service=\"roster\",what=\"certificate\"";
    let file = ground.folder.path().join("roster/tls.crt");
    let sound = std::fs::read_to_string(&file)?;
    let half = sound.lines().take(3).collect::<Vec<_>>().join("\n");
    let expired = new.certify_until("roster", 2020, &ground.folder.path().join("expired"))?;
    let misnamed = new.certify("catalog", &ground.folder.path().join("misnamed"))?;
    for bad in [half, std::fs::read_to_string(expired.certificate)?, std::fs::read_to_string(misnamed.certificate)?] {
        std::fs::write(&file, bad)?;
        until("it is refused", async || Ok(figure(page, refused).await? == Some(1.0))).await?;
        answers(connect(source.address, "roster", &new.pem(), Some(&probe)).await).await.map_err(anyhow::Error::msg)?;
        std::fs::write(&file, &sound)?;
        until("it is no longer refused", async || Ok(figure(page, refused).await? == Some(0.0))).await?;
    }

    over.cancel();
    while let Some(answered) = calling.join_next().await {
        assert!(answered?? > 0, "one of the callers never got a turn");
    }
    held.leave.add_permits(1);
    slow.await??;
    // The mirror's stream has gone on, too, or has come back.
    tokio::time::timeout(PATIENCE, hooks.given.subscribe().wait_for(|given| *given == 1)).await??;
    drop(telemetry);
    consumer.end().await?;
    source.end().await
}

/// Why a source does not begin.
async fn refused(settings: Settings) -> anyhow::Result<String> {
    let ended = start::<Source>(settings, ANY, Env::rehearsal(AT)).await?.ended().await;
    Ok(ended.err().map(|error| format!("{error:#}")).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_before_anything_is_served() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    let told = async |settings: Settings, at: SocketAddr| -> anyhow::Result<String> {
        let ended = start::<Source>(settings, at, Env::rehearsal(AT)).await?.ended().await;
        Ok(ended.err().map(|error| format!("{error:#}")).unwrap_or_default())
    };
    let good = ground.certified("roster")?;
    let with = |certified: &Certified| anyhow::Ok(ground.settings("roster")?.tls(certified));
    let at = |name: &str| ground.folder.path().join(name);
    let expired = ground.authority.certify_until("roster", 2020, &at("expired"))?;
    let other = ground.certified("catalog")?;
    let stranger = Authority::new()?.certify("roster", &at("stranger"))?;
    let cases = [
        (Certified { certificate: at("nowhere"), ..good.clone() }, "reading tls.certificate"),
        (Certified { key: other.key.clone(), ..good.clone() }, "is not the certificate's"),
        (Certified { authorities: stranger.authorities, ..good.clone() }, "invalid peer certificate"),
        (expired, "expired"),
        (other, "will not do for serving as roster"),
        (Certified { certificate: good.key.clone(), ..good.clone() }, "no certificate in it"),
    ];
    for (certified, expected) in cases {
        let told = told(with(&certified)?, ANY).await?;
        assert!(told.contains(expected), "{expected} is not in: {told}");
        assert!(!told.contains("PRIVATE"), "{told}");
    }

    // Without TLS nothing is open to a network, unless that is said.
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let mut clear = ground.settings("roster")?;
    clear.chassis.tls = None;
    let refused = told(clear.clone(), everywhere).await?;
    assert!(refused.contains("configure [tls]"), "{refused}");
    clear.chassis.server.plaintext = true;
    let open = start::<Source>(clear.clone(), everywhere, Env::rehearsal(AT)).await?;
    let here = SocketAddr::from(([127, 0, 0, 1], open.address.port()));
    answers(chassis::peer::channel(&format!("http://{here}"))).await.map_err(anyhow::Error::msg)?;
    open.end().await?;
    // Nor is anybody called across one; and who has TLS calls nobody without.
    let mut caller = Settings::new(&ground.keys, "catalog", &ground.databases[1].url)?;
    caller.chassis.peers.insert("roster".to_owned(), "dns:///roster:7701".to_owned());
    let ended = start::<Consumer>(caller.clone(), ANY, Env::rehearsal(AT)).await?.ended().await;
    assert!(format!("{:#}", ended.unwrap_err()).contains("peers.roster: dns:///roster:7701 is not on this machine"));
    caller.chassis.peers.insert("roster".to_owned(), "http://127.0.0.1:7701".to_owned());
    let ended =
        start::<Consumer>(caller.tls(&ground.certified("catalog")?), ANY, Env::rehearsal(AT)).await?.ended().await;
    assert!(format!("{:#}", ended.unwrap_err()).contains("must begin with https://"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_was_revoked_is_good_for_nothing_any_more() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    let (list, trusted) = (ground.folder.path().join("crl.pem"), ground.authority.pem());
    let revoke = |revoked: &[&Certified]| anyhow::Ok(std::fs::write(&list, ground.authority.revoke(revoked)?)?);
    revoke(&[])?;
    let own = ground.certified("roster")?;
    let listed = |name: &str, certified: &Certified| {
        let url = &ground.databases[usize::from(name == "catalog")].url;
        anyhow::Ok(Settings::new(&ground.keys, name, url)?.tls(certified).revocations(&list))
    };
    let source = start::<Source>(listed("roster", &own)?, ANY, Env::rehearsal(AT)).await?;
    let settings = listed("catalog", &ground.certified("catalog")?)?.peer("roster", source.address);
    let hooks = settings.hooks.clone();
    let consumer = start::<Consumer>(settings, ANY, Env::rehearsal(AT)).await?;
    let peer = to_source(&hooks).await?;
    status(&peer).await?;

    // Who calls by it: nothing more comes, neither on a new connection nor on the one that there is.
    let stolen = ground.certified("gateway")?;
    let other = ground.authority.certify("gateway", &ground.folder.path().join("other"))?;
    let by = async |shown: &Certified| connect(source.address, "roster", &trusted, Some(shown)).await;
    let (before, kept) = (by(&stolen).await?, by(&other).await?);
    for channel in [&before, &kept] {
        answers(Ok(channel.clone())).await.map_err(anyhow::Error::msg)?;
    }
    revoke(&[&stolen])?;
    until("who has it is not let in", async || Ok(answers(by(&stolen).await).await.is_err())).await?;
    until("his connection ends", async || Ok(answers(Ok(before.clone())).await.is_err())).await?;
    answers(Ok(kept)).await.map_err(anyhow::Error::msg)?;
    answers(by(&other).await).await.map_err(anyhow::Error::msg)?;
    status(&peer).await?;

    // Who serves by it: nobody calls him any more.
    revoke(&[&stolen, &own])?;
    until("he is not called", async || {
        Ok(status(&peer).await.is_err_and(|refused| format!("{refused:?}").contains("Revoked")))
    })
    .await?;
    consumer.end().await?;
    source.end().await?;

    // Nor does he begin anew; nor who cannot know what was revoked.
    let stranger = Authority::new()?.revoke(&[])?;
    for (written, expected) in
        [(None, "Revoked"), (Some(trusted), "there is no list in it"), (Some(stranger), "BadSignature")]
    {
        if let Some(written) = written {
            std::fs::write(&list, written)?;
        }
        let told = refused(listed("roster", &own)?).await?;
        assert!(told.contains(expected), "{expected} is not in: {told}");
    }
    Ok(())
}

/// docs/operate.md, *Revoking a certificate*.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_scripts_make_is_taken() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    let made = ground.folder.path().join("made");
    let run = |script: &str, certificates: &[&Path]| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kubernetes").join(script);
        let told = std::process::Command::new(script).arg(&made).args(certificates).output()?;
        anyhow::ensure!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        Ok(())
    };
    run("certificates", &[])?;
    run("revoke", &[])?;
    let of = |name: &str| Certified {
        certificate: made.join(format!("{name}.crt")),
        key: made.join(format!("{name}.key")),
        authorities: made.join("ca.crt"),
    };
    let settings = Settings::new(&ground.keys, "roster", &ground.databases[0].url)?.tls(&of("roster"));
    let settings = settings.revocations(&made.join("ca.crl"));
    let source = start::<Source>(settings.clone(), ANY, Env::rehearsal(AT)).await?;
    let trusted = std::fs::read_to_string(made.join("ca.crt"))?;
    let by = async |name: &str| answers(connect(source.address, "roster", &trusted, Some(&of(name))).await).await;
    by("gateway").await.map_err(anyhow::Error::msg)?;
    run("revoke", &[&of("gateway").certificate])?;
    until("who has it is not let in", async || Ok(by("gateway").await.is_err())).await?;
    by("catalog").await.map_err(anyhow::Error::msg)?;
    source.end().await?;

    // An authority without a list vouches for nobody.
    std::fs::write(made.join("ca.crl"), ground.authority.revoke(&[])?)?;
    let told = refused(settings).await?;
    assert!(told.contains("UnknownRevocationStatus"), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_get_health_in_the_clear_and_nothing_else() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    let probes = std::net::TcpListener::bind(ANY)?.local_addr()?;
    let mut settings = ground.settings("roster")?;
    settings.chassis.server.probes = Some(probes.to_string());
    let source = start::<Source>(settings, ANY, Env::rehearsal(AT)).await?;
    let clear = chassis::peer::channel(&format!("http://{probes}"))?;
    until("it is alive", async || Ok(answers(Ok(clear.clone())).await.is_ok())).await?;
    let mut gates = GateServiceClient::new(clear);
    let mut asked = within(PATIENCE, GetStatusRequest {});
    asked.metadata_mut().insert(SERVICE_HEADER, ground.keys.identity("gateway")?.own_token()?.parse()?);
    assert_eq!(gates.get_status(asked).await.unwrap_err().code(), Code::Unimplemented);
    source.end().await
}
