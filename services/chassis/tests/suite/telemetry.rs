//! What a collector gets.

use std::time::Duration;

use anyhow::Context as _;
use chassis::{config::TelemetryConfig, telemetry};
use opentelemetry_proto::tonic::{
    collector::logs::v1::{
        ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    common::v1::{AnyValue, any_value::Value},
};
use tokio::{net::TcpListener, sync::mpsc};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

struct Collector(mpsc::UnboundedSender<ExportLogsServiceRequest>);

#[tonic::async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.0.send(request.into_inner()).map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

fn text(value: Option<AnyValue>) -> Option<String> {
    match value?.value? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_go_to_the_collector_with_the_name_of_their_service() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let otlp_endpoint = Some(format!("http://{}", listener.local_addr()?));
    let (sender, mut exported) = mpsc::unbounded_channel();
    let collecting = Server::builder().add_service(LogsServiceServer::new(Collector(sender)));
    tokio::spawn(collecting.serve_with_incoming(TcpIncoming::from(listener)));
    let guard = telemetry::start("roster", &TelemetryConfig { otlp_endpoint, ..TelemetryConfig::default() })?;
    tracing::warn!(target: "chassis::test", step = 7, "something to look at");
    // Ending flushes what is left.
    tokio::task::spawn_blocking(move || drop(guard)).await?;

    let export = tokio::time::timeout(Duration::from_secs(20), exported.recv()).await?.context("nothing came")?;
    let logs = export.resource_logs.into_iter().next().context("a resource")?;
    let resource = logs.resource.context("its attributes")?.attributes;
    let name = resource.into_iter().find(|attribute| attribute.key == "service.name").context("a name")?;
    assert_eq!(text(name.value).as_deref(), Some("shixun-roster"));
    let mut records = logs.scope_logs.into_iter().flat_map(|scope| scope.log_records);
    let record = records.find(|record| text(record.body.clone()).as_deref() == Some("something to look at"));
    let record = record.context("the record")?;
    assert_eq!(record.severity_text, "WARN");
    assert!(record.attributes.iter().any(|attribute| attribute.key == "step"), "{record:?}");
    Ok(())
}
