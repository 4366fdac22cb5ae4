//! SIGTERM to the process: whoever is connected, whatever is in flight, it is gone within the drain limit, and says 0.

use std::time::Duration;

use anyhow::Context as _;
use chassis::peer::channel;
use prost::Message as _;
use proto::{
    common::v1::{Role, WatchRequest, change_service_client::ChangeServiceClient},
    gateway::v1::{WatchStepsRequest, step_service_client::StepServiceClient},
    roster::v1::{
        ImportTeachersRequest,
        import_teachers_request::{Frame, Header, Rows},
        teacher_service_client::TeacherServiceClient,
    },
};
use sha2::{Digest as _, Sha256};
use shixun::{client::Person, up::setup::OPERATOR};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    net::TcpStream,
    sync::mpsc,
    time::Instant,
};
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::child::{Home, Process};

/// The drain limit, and what a loaded machine may add to it.
const LIMIT: Duration = Duration::from_millis(3000 + 1500);

/// Sends SIGTERM and waits until nobody new is let in.
async fn terminate(process: &mut Process, gateway: &str) -> anyhow::Result<Instant> {
    process.terminate()?;
    let begun = Instant::now();
    while TcpStream::connect(gateway).await.is_ok() {
        anyhow::ensure!(begun.elapsed() < LIMIT, "it still listens");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(begun)
}

async fn with_everyone_connected(engine: &str) -> anyhow::Result<()> {
    let home = Home::new(engine, 60, 1).await?;
    let mut process = home.launch(&[])?;
    let reach = home.reach(&mut process).await?;
    home.set_up(&reach, 1).await?;
    let gateway = reach.gateway();
    let socket = gateway.trim_start_matches("http://").to_owned();
    let password = &home.county.password;

    // Idle: says nothing at all, to the gateway and to a service.
    let _idle = TcpStream::connect(&socket).await?;
    let _idle_within = TcpStream::connect(reach.address("enrollment").trim_start_matches("http://")).await?;
    // Half-open: has begun HTTP/2, and does not go on; at another service too.
    let mut half_open = Vec::new();
    for address in [socket.clone(), reach.address("credit").trim_start_matches("http://").to_owned()] {
        let mut connection = TcpStream::connect(address).await?;
        connection.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
        // The server's own settings: it takes this for a connection.
        connection.read_exact(&mut [0; 9]).await?;
        half_open.push(connection);
    }
    // Streaming: watches changes and steps.
    let operator = Person::login(&channel(&gateway)?, OPERATOR, password).await?;
    let watching = ChangeServiceClient::new(reach.peer("roster")?).watch(WatchRequest::default()).await?;
    let request = WatchStepsRequest { parent: home.term.name() };
    let watching_steps = StepServiceClient::new(operator.wire()).watch_steps(request).await?;
    // In flight: an import whose rows are still coming.
    let officer = home.county.staff_with(Role::BureauOfficer).context("an officer")?;
    let officer = Person::login(&channel(&gateway)?, &officer.login, password).await?;
    let teacher = home.county.teachers.first().context("a teacher")?.teacher.clone();
    let header = Header {
        request_id: "in-flight".to_owned(),
        digest: Sha256::digest(teacher.encode_to_vec()).to_vec(),
        row_count: 1,
        ..Header::default()
    };
    let header = ImportTeachersRequest { frame: Some(Frame::Header(header)) };
    let rows = ImportTeachersRequest { frame: Some(Frame::Rows(Rows { teachers: vec![teacher] })) };
    let (frames, coming) = mpsc::unbounded_channel();
    frames.send(header.clone())?;
    let mut client = TeacherServiceClient::new(officer.wire());
    let calling = tokio::spawn(async move { client.import_teachers(UnboundedReceiverStream::new(coming)).await });
    // It has got through once what came after it on the same connection is answered.
    Person::login(&channel(&gateway)?, OPERATOR, password).await?;

    let begun = terminate(&mut process, &socket).await?;
    frames.send(rows.clone())?;
    drop(frames);
    let answered = calling.await?.context("the call in flight")?.into_inner();
    let left = LIMIT.saturating_sub(begun.elapsed());
    let status = process.ended(left).await?;
    assert_eq!(status.code(), Some(0), "{engine}");
    // Streams end; they do not hang.
    for mut connection in half_open {
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(LIMIT, connection.read_to_end(&mut rest)).await.context("half-open")?;
    }
    let mut feed = watching.into_inner();
    while let Ok(Some(_)) = feed.message().await {}
    let mut steps = watching_steps.into_inner();
    while let Ok(Some(_)) = steps.message().await {}

    // What was answered is there: the same call gets the same answer.
    let mut process = home.launch(&[])?;
    let reach = home.reach(&mut process).await?;
    let officer = home.county.staff_with(Role::BureauOfficer).context("an officer")?;
    let officer = Person::login(&channel(&reach.gateway())?, &officer.login, password).await?;
    let again = TeacherServiceClient::new(officer.wire()).import_teachers(tokio_stream::iter([header, rows])).await?;
    assert_eq!(again.into_inner(), answered);
    // With nobody there but its own parts it does not take the drain's time.
    process.terminate()?;
    assert_eq!(process.ended(LIMIT).await?.code(), Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_on_sqlite() -> anyhow::Result<()> {
    with_everyone_connected("sqlite").await
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_on_postgres() -> anyhow::Result<()> {
    with_everyone_connected("postgres").await
}

/// SIGTERM while a county is being set up: the process ends well, and the setting up goes on in the next one.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_while_setting_up() -> anyhow::Result<()> {
    for engine in ["sqlite", "postgres"] {
        let home = Home::new(engine, 60, 1).await?;
        let mut process = home.launch(&[])?;
        let reach = home.reach(&mut process).await?;
        let interrupted = async {
            // Some of it is there, and not all.
            while reach.status("roster").await?.position < 20 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            process.terminate()?;
            let status = process.ended(LIMIT).await?;
            assert_eq!(status.code(), Some(0), "{engine}");
            anyhow::Ok(home.launch(&[])?)
        };
        // Goes on by itself as soon as the next process serves.
        let (set_up, next) = tokio::join!(home.set_up(&reach, 2), interrupted);
        let _next = next?;
        set_up?;
        let officer = home.county.staff_with(Role::BureauOfficer).context("an officer")?;
        Person::login(&channel(&reach.gateway())?, &officer.login, &home.county.password).await?;
    }
    Ok(())
}

/// A collector that takes connections and says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_mute_collector_changes_nothing() -> anyhow::Result<()> {
    let mute = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", mute.local_addr()?);
    let home = Home::new("sqlite", 60, 1).await?;
    // Its RUST_LOG is "error": few logs are no reason for no traces.
    let mut process = home.launch(&[("SHIXUN_TELEMETRY__OTLP_ENDPOINT", &endpoint)])?;
    let reach = home.reach(&mut process).await?;
    Person::login(&channel(&reach.gateway())?, OPERATOR, &home.county.password).await?;
    // It was asked to take something.
    let _connection = tokio::time::timeout(Duration::from_secs(30), mute.accept()).await??;
    process.terminate()?;
    // The exporters' own bound comes on top of the drain.
    let status = process.ended(LIMIT + Duration::from_secs(10)).await?;
    assert_eq!(status.code(), Some(0));
    Ok(())
}
