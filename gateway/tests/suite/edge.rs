//! Passing on by path: what arrives at a service, what comes back, and what happens while it is away.

use std::{sync::atomic::Ordering, time::Duration};

use anyhow::Context as _;
use chassis::peer::within;
use proto::{
    common::v1::{Role, WatchRequest, change_service_client::ChangeServiceClient},
    gateway::v1::GetTodayRequest,
    roster::v1::{
        CreateOrganizationRequest, GetOrganizationRequest, ImportTeachersRequest, ListOrganizationsRequest,
        Organization, organization_service_client::OrganizationServiceClient,
        teacher_service_client::TeacherServiceClient,
    },
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, transport::Channel};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt as _;

use crate::fixture::{CALENDAR, House, Mode, Running, databases, reason};

/// A gateway on SQLite; the database's guard goes along.
async fn house() -> anyhow::Result<(House, Running, impl Sized)> {
    let databases = databases().await?;
    let database = databases.first().context("SQLite")?;
    database.db.close().await;
    let house = House::new(&database.url).await?;
    let gateway = house.gateway().await?;
    Ok((house, gateway, databases))
}

fn organizations(gateway: &Running) -> anyhow::Result<OrganizationServiceClient<Channel>> {
    Ok(OrganizationServiceClient::new(gateway.channel()?))
}

fn get(name: &str) -> GetOrganizationRequest {
    GetOrganizationRequest { name: name.to_owned() }
}

/// So many of a method's calls came to the roster.
fn arrived(house: &House, method: &str) -> usize {
    house.door("roster").calls(method).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_arrives_with_its_caller_and_a_shorter_deadline_and_its_answer_comes_back() -> anyhow::Result<()> {
    let (house, gateway, _databases) = house().await?;
    let mut client = organizations(&gateway)?;
    let answer = client.get_organization(gateway.call(&[Role::Teacher], get("organizations/a"))?).await?;
    let organization = answer.into_inner().organization.expect("an organisation");
    assert_eq!(organization.name, "organizations/a");
    let (timeout, account) = organization.display_name.split_once(' ').expect("both");
    assert_eq!(account, "accounts/any");
    let millis: u64 = timeout.strip_suffix('m').expect("in milliseconds").parse()?;
    assert!((15_000..=19_980).contains(&millis), "{timeout} of 20 s");

    // A refusal, which has trailers and no body, arrives with its details.
    let refused = client.get_organization(gateway.call(&[Role::Teacher], get("organizations/nowhere"))?).await;
    let refused = refused.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "REASON_NOT_FOUND"));
    assert_eq!(arrived(&house, "GetOrganization"), 2);

    // Whoever has no token, or not the role, does not get as far as the service.
    let nobody = client.get_organization(within(Duration::from_secs(5), get("organizations/a"))).await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unauthenticated);
    let organization = Some(Organization { name: "organizations/a".to_owned(), ..Organization::default() });
    let create = CreateOrganizationRequest { organization, request_id: "c".to_owned() };
    let teacher = client.create_organization(gateway.call(&[Role::Teacher], create)?).await.unwrap_err();
    assert_eq!(reason(&teacher), "REASON_ROLE_NOT_ALLOWED");
    assert_eq!(arrived(&house, "CreateOrganization"), 0);

    // Without a deadline of the caller's there is one all the same.
    let mut patient = gateway.call(&[Role::Teacher], get("organizations/a"))?;
    patient.metadata_mut().remove("grpc-timeout");
    let answer = client.get_organization(patient).await?.into_inner().organization.expect("an organisation");
    assert!(answer.display_name.split_once(' ').is_some_and(|(timeout, _)| timeout.ends_with('m')));
    // Nobody but the gateway says that he is the gateway.
    let mut forged = gateway.call(&[Role::Teacher], get("organizations/a"))?;
    forged.metadata_mut().insert(chassis::peer::SERVICE_HEADER, "forged".parse()?);
    assert_eq!(client.get_organization(forged).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(arrived(&house, "GetOrganization"), 3);

    // A caller's time is up while the service works.
    let mut hurried = gateway.call(&[Role::Teacher], get("organizations/slow"))?;
    hurried.set_timeout(Duration::from_millis(400));
    let late = client.get_organization(hurried).await.unwrap_err();
    assert!(matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled), "{late:?}");
    let mut too_late = gateway.call(&[Role::Teacher], get("organizations/late"))?;
    too_late.set_timeout(Duration::from_millis(60));
    let late = client.get_organization(too_late).await.unwrap_err();
    assert!(matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled), "{late:?}");
    assert_eq!(arrived(&house, "GetOrganization"), 4, "with so little left nothing is begun");
    gateway.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes() -> anyhow::Result<()> {
    let (house, gateway, _databases) = house().await?;
    let mut client = organizations(&gateway)?.max_decoding_message_size(64 << 20);
    // About 3.5 MB, and about 11 MB: what the service sends is not the gateway's to bound.
    for thousands in [30, 100] {
        let list = ListOrganizationsRequest { page_size: thousands, ..ListOrganizationsRequest::default() };
        let page = client.list_organizations(gateway.call(&[Role::Teacher], list)?).await?.into_inner();
        assert_eq!(page.organizations.len(), usize::try_from(thousands)? * 1000);
    }
    let create = |bytes: usize| {
        let organization = Some(Organization { display_name: "n".repeat(bytes), ..Organization::default() });
        gateway.call(&[Role::BureauOfficer], CreateOrganizationRequest { organization, request_id: format!("{bytes}") })
    };
    let full = (4 << 20) - 64;
    client.create_organization(create(full)?).await?;
    let too_large = client.create_organization(create(4 << 20)?).await.unwrap_err();
    assert!(matches!(too_large.code(), Code::InvalidArgument | Code::OutOfRange), "{too_large:?}");
    assert_eq!(arrived(&house, "CreateOrganization"), 1);
    gateway.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_passes_frame_by_frame() -> anyhow::Result<()> {
    let (house, gateway, _databases) = house().await?;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let (metadata, extensions, ()) = gateway.call(&[Role::SchoolAdmin], ())?.into_parts();
    let request = Request::from_parts(metadata, extensions, ReceiverStream::new(receiver));
    let mut client = TeacherServiceClient::new(gateway.channel()?);
    let uploading = tokio::spawn(async move { client.import_teachers(request).await });
    let hooks = &house.hooks["roster"];
    for number in 1..=100 {
        sender.send(ImportTeachersRequest::default()).await?;
        // Each arrives while the stream is open: nothing is held until its end.
        while hooks.frames.load(Ordering::SeqCst) < number {
            tokio::time::timeout(Duration::from_secs(10), hooks.frame_arrived.notified()).await?;
        }
    }
    drop(sender);
    assert_eq!(uploading.await??.into_inner().created, 100);
    gateway.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_too_many_is_turned_away_until_one_has_ended() -> anyhow::Result<()> {
    let databases = databases().await?;
    let database = databases.first().context("SQLite")?;
    database.db.close().await;
    let house = House::new(&database.url).await?;
    let gateway = house.gateway_with(|config| config.edge.streams = 1).await?;
    let upload = |receiver| {
        let (metadata, extensions, ()) = gateway.call(&[Role::SchoolAdmin], ())?.into_parts();
        let request = Request::from_parts(metadata, extensions, ReceiverStream::new(receiver));
        let mut client = TeacherServiceClient::new(gateway.channel()?);
        anyhow::Ok(tokio::spawn(async move { client.import_teachers(request).await }))
    };
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let first = upload(receiver)?;
    sender.send(ImportTeachersRequest::default()).await?;
    let hooks = &house.hooks["roster"];
    while hooks.frames.load(Ordering::SeqCst) < 1 {
        tokio::time::timeout(Duration::from_secs(10), hooks.frame_arrived.notified()).await?;
    }
    let (_open, receiver) = tokio::sync::mpsc::channel(1);
    let refused = upload(receiver)?.await?.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "REASON_OVERLOADED"));
    assert!(refused.get_details_retry_info().is_some());
    drop(sender);
    assert_eq!(first.await??.into_inner().created, 1);
    // Calls have places of their own, and the stream's is free once its answer has been passed on.
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    drop(sender);
    upload(receiver)?.await??;
    gateway.end().await
}

/// Of a refusal's help: what each says, and its URL.
type Links = Vec<(String, String)>;

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_the_bureau_can_help_with_tells_whom_to_call() -> anyhow::Result<()> {
    let (_house, gateway, _databases) = house().await?;
    let mut client = organizations(&gateway)?;
    let mut refused = async |name: &str| -> anyhow::Result<(String, Links, usize)> {
        let request = gateway.call(&[Role::Teacher], get(name))?;
        let status = client.get_organization(request).await.expect_err("a refusal");
        let details = status.get_error_details();
        let links = details.help().map(|help| help.links.as_slice()).unwrap_or_default();
        let links = links.iter().map(|link| (link.description.clone(), link.url.clone())).collect();
        Ok((reason(&status), links, status.get_error_details_vec().len()))
    };
    let (before, links, details) = refused("organizations/settled").await?;
    assert_eq!((before.as_str(), links), ("REASON_WINDOW_SETTLED", vec![]), "no term, nobody to call");
    let contact =
        "\n[[contact]]\norganization = \"organizations/county\"\noffice = \"师训科\"\ntelephone = \"0577 000000\"\n";
    let calendar = CALENDAR.split("[[contact]]").next().unwrap_or_default();
    gateway.begin_term(&format!("{calendar}{contact}")).await?;
    let link = ("师训科：0577 000000（organizations/county）".to_owned(), "tel:0577000000".to_owned());
    let (after, links, more) = refused("organizations/settled").await?;
    assert_eq!((after, links, more), (before, vec![link.clone()], details + 1), "the rest is as it was");
    let (reason, links, _) = refused("organizations/barred").await?;
    assert_eq!((reason.as_str(), links), ("REASON_NOT_ELIGIBLE", vec![link]), "one of several rules");
    let today = GetTodayRequest { term: String::new() };
    let today = gateway.calendars()?.get_today(gateway.call(&[Role::Teacher], today)?).await?.into_inner();
    let named =
        today.contacts.iter().map(|one| (one.organization.as_str(), one.office.as_str(), one.telephone.as_str()));
    assert_eq!(named.collect::<Vec<_>>(), [("organizations/county", "师训科", "0577 000000")]);
    let (reason, links, _) = refused("organizations/nowhere").await?;
    assert_eq!((reason.as_str(), links), ("REASON_NOT_FOUND", vec![]));
    gateway.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_call_is_tried_again_only_where_that_is_safe() -> anyhow::Result<()> {
    let (mut house, gateway, _databases) = house().await?;
    let mut client = organizations(&gateway)?;
    house.door("roster").set(Mode::FirstCallLost);
    client.get_organization(gateway.call(&[Role::Teacher], get("organizations/a"))?).await?;
    assert_eq!(arrived(&house, "GetOrganization"), 2);
    let create = CreateOrganizationRequest { organization: None, request_id: "once".to_owned() };
    client.create_organization(gateway.call(&[Role::BureauOfficer], create)?).await?;
    assert_eq!(arrived(&house, "CreateOrganization"), 2);
    // A password is not tried twice: the roster counts failures.
    let login = proto::gateway::v1::LoginRequest { login: "wang".to_owned(), password: "right".to_owned() };
    let mut sessions = proto::gateway::v1::session_service_client::SessionServiceClient::new(gateway.channel()?);
    assert_eq!(sessions.login(login).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(arrived(&house, "Authenticate"), 1);

    // Away for good: three attempts, and when to come again.
    house.door("roster").set(Mode::Open);
    house.end("roster").await?;
    let before = arrived(&house, "GetOrganization");
    let away = client.get_organization(gateway.call(&[Role::Teacher], get("organizations/b"))?).await.unwrap_err();
    assert_eq!(away.code(), Code::Unavailable, "{away:?}");
    assert_eq!(arrived(&house, "GetOrganization") - before, 3);
    gateway.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_neighbour_the_caller_learns_when_to_come_again() -> anyhow::Result<()> {
    let (mut house, gateway, _databases) = house().await?;
    house.shut("roster").await;
    let mut client = organizations(&gateway)?;
    let away = client.get_organization(gateway.call(&[Role::Teacher], get("organizations/b"))?).await.unwrap_err();
    assert_eq!((away.code(), reason(&away).as_str()), (Code::Unavailable, "REASON_UNAVAILABLE"));
    assert!(away.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()));
    gateway.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_no_contract_or_only_between_services_is_not_passed_on() -> anyhow::Result<()> {
    let (house, gateway, _databases) = house().await?;
    let call = async |path: &'static str| -> anyhow::Result<tonic::Status> {
        let mut raw = tonic::client::Grpc::new(gateway.channel()?);
        raw.ready().await?;
        let request = gateway.call(&[Role::Operator, Role::BureauOfficer], get("organizations/a"))?;
        let codec = ProstCodec::<GetOrganizationRequest, Organization>::default();
        let answer = raw.unary(request, http::uri::PathAndQuery::from_static(path), codec).await;
        Ok(answer.expect_err("nobody is there"))
    };
    for path in ["/shixun.roster.v1.OrganizationService/Nothing", "/shixun.roster.v2.X/Y", "/", "/nothing/at/all"] {
        let status = call(path).await?;
        assert!(matches!(status.code(), Code::NotFound | Code::Unimplemented), "{path}: {status:?}");
    }
    // Between services only: a person is refused; the gateway's own feed is what Watch opens, never a neighbour's.
    let authenticate = call("/shixun.roster.v1.AccountService/Authenticate").await?;
    assert_eq!(reason(&authenticate), "REASON_ROLE_NOT_ALLOWED");
    let step = call("/shixun.common.v1.StepService/RunStep").await?;
    assert!(matches!(step.code(), Code::PermissionDenied | Code::NotFound | Code::Unimplemented), "{step:?}");
    let watch = gateway.call(&[Role::Operator], WatchRequest::default())?;
    let watch = ChangeServiceClient::new(gateway.channel()?).watch(watch).await;
    assert_eq!(watch.map(drop).unwrap_err().code(), Code::PermissionDenied);
    for door in house.doors.values() {
        assert!(door.calls("RunStep").is_empty() && door.calls("Authenticate").is_empty());
    }
    gateway.end().await
}
