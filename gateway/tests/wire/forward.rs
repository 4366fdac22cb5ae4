//! Calls are passed on by path, both ways, without being decoded.

use std::time::Duration;

use http::uri::PathAndQuery;
use proto::{
    common::v1::GetStatusRequest,
    roster::v1::{GetTeacherRequest, UpdateTeacherRequest},
};
use tonic::{Code, Request, Response, Status, Streaming, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use crate::world::{Person, Running, World, reason, worlds};

const GET: &str = "/shixun.roster.v1.TeacherService/GetTeacher";
const UPDATE: &str = "/shixun.roster.v1.TeacherService/UpdateTeacher";
const IMPORT: &str = "/shixun.roster.v1.TeacherService/ImportTeachers";

/// The played services send back what comes.
async fn unary<M: prost::Message + Default + 'static>(
    channel: &Channel,
    path: &'static str,
    request: Request<M>,
) -> Result<Response<M>, Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    client.unary(request, PathAndQuery::from_static(path), ProstCodec::<M, M>::default()).await
}

async fn one() -> (World, Running) {
    let world = worlds().await.remove(0);
    let running = world.start().await;
    (world, running)
}

fn get(name: &str) -> GetTeacherRequest {
    GetTeacherRequest { name: name.to_owned() }
}

#[tokio::test]
async fn a_call_goes_through_with_both_identities_and_less_time() {
    let (world, running) = one().await;
    let officer = Person::log_in(&running, "officer").await;
    let roster = &world.fakes["roster"];
    roster.passed();
    let mut forged = officer.ask(get("teachers/t1"));
    forged.metadata_mut().insert("x-shixun-service", "forged".parse().unwrap());
    let refused = unary(&running.channel, GET, forged).await.unwrap_err();
    assert_eq!((refused.code(), roster.passed().len()), (Code::Unauthenticated, 0));
    let reply = unary(&running.channel, GET, officer.ask(get("teachers/t1"))).await.unwrap();
    assert_eq!(reply.into_inner().name, "teachers/t1");
    let passed = roster.passed();
    assert_eq!(passed.len(), 1);
    let (path, headers) = &passed[0];
    assert_eq!(path, GET);
    assert_eq!(headers["authorization"].to_str().unwrap(), format!("Bearer {}", officer.token));
    assert_eq!(headers.get_all("x-shixun-service").iter().count(), 1);
    let left: u64 = headers["grpc-timeout"].to_str().unwrap().trim_end_matches('m').parse().unwrap();
    assert!((50_000..=59_980).contains(&left), "{left}");

    // No deadline of the caller's: one is set.
    unary(&running.channel, GET, officer.watch(get("teachers/t1"))).await.unwrap();
    assert!(roster.passed()[0].1.contains_key("grpc-timeout"));
    // Too little time is no time.
    let mut hasty = officer.watch(get("teachers/t1"));
    hasty.set_timeout(Duration::from_millis(90));
    let refused = unary(&running.channel, GET, hasty).await.unwrap_err();
    assert!(matches!(refused.code(), Code::DeadlineExceeded | Code::Cancelled), "{refused:?}");
    assert!(roster.passed().is_empty());
    running.stop().await;
}

#[tokio::test]
async fn who_may_not_is_refused_before_any_service_is_asked() {
    let (world, running) = one().await;
    let teacher = Person::log_in(&running, "teacher").await;
    world.fakes["roster"].passed();
    let nobody =
        unary(&running.channel, GET, chassis::peer::within(Duration::from_secs(5), get("x"))).await.unwrap_err();
    assert_eq!((nobody.code(), reason(&nobody).as_str()), (Code::Unauthenticated, "REASON_UNAUTHENTICATED"));
    let create = "/shixun.roster.v1.OrganizationService/CreateOrganization";
    let refused = unary(&running.channel, create, teacher.ask(get("x"))).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "REASON_ROLE_NOT_ALLOWED"));
    // What services say to each other is not passed on; what is in no contract neither.
    for path in ["/shixun.common.v1.StepService/RunStep", "/shixun.common.v1.ClockService/Advance"] {
        let refused = unary(&running.channel, path, teacher.ask(GetStatusRequest {})).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{path}");
    }
    let refused = unary(&running.channel, "/shixun.roster.v1.Secret/Get", teacher.ask(get("x"))).await.unwrap_err();
    assert!(matches!(refused.code(), Code::NotFound | Code::Unimplemented), "{refused:?}");
    assert!(world.fakes.values().all(|fake| fake.passed().is_empty()));
    running.stop().await;
}

#[tokio::test]
async fn a_service_that_is_away_is_tried_three_times() {
    let (world, running) = one().await;
    let officer = Person::log_in(&running, "officer").await;
    let roster = &world.fakes["roster"];
    roster.passed();
    // A read, and a mutation that is recognised when it comes again.
    roster.unavailable(2);
    unary(&running.channel, GET, officer.ask(get("t"))).await.unwrap();
    assert_eq!(roster.passed().len(), 3);
    roster.unavailable(2);
    unary(&running.channel, UPDATE, officer.ask(UpdateTeacherRequest::default())).await.unwrap();
    assert_eq!(roster.passed().len(), 3);
    roster.unavailable(5);
    let refused = unary(&running.channel, GET, officer.ask(get("t"))).await.unwrap_err();
    assert_eq!((refused.code(), roster.passed().len()), (Code::Unavailable, 3));
    running.stop().await;
}

#[tokio::test]
async fn streams_flow_both_ways() {
    let (_world, running) = one().await;
    let officer = Person::log_in(&running, "officer").await;
    let mut client = Grpc::new(running.channel.clone());
    client.ready().await.unwrap();
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let request = officer.watch(tokio_stream::wrappers::ReceiverStream::new(receiver));
    let codec = ProstCodec::<GetTeacherRequest, GetTeacherRequest>::default();
    sender.send(get("0")).await.unwrap();
    let mut replies: Streaming<GetTeacherRequest> =
        client.streaming(request, PathAndQuery::from_static(IMPORT), codec).await.unwrap().into_inner();
    // Each comes back while the stream is open: nothing is held until its end.
    for number in 1..=100 {
        let reply = tokio::time::timeout(Duration::from_secs(10), replies.message()).await.unwrap().unwrap().unwrap();
        assert_eq!(reply.name, (number - 1).to_string());
        sender.send(get(&number.to_string())).await.unwrap();
    }
    drop(sender);
    assert_eq!(replies.message().await.unwrap().unwrap().name, "100");
    assert_eq!(replies.message().await.unwrap(), None);
    running.stop().await;
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused() {
    let (world, running) = one().await;
    let officer = Person::log_in(&running, "officer").await;
    world.fakes["roster"].passed();
    let largest = get(&"x".repeat((4 << 20) - 16));
    unary(&running.channel, GET, officer.ask(largest)).await.unwrap();
    assert_eq!(world.fakes["roster"].passed().len(), 1);
    let refused = unary(&running.channel, GET, officer.ask(get(&"x".repeat(4 << 20)))).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "REASON_INVALID_ARGUMENT"));
    assert!(world.fakes["roster"].passed().is_empty());
    running.stop().await;
}
