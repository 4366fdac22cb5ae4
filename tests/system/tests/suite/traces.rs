//! What a collector sees of one submission: the client's call, through the gateway into enrollment, its batch, each statement down
//! to the commit, and what follows in the service that mirrors it, all in the client's trace.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::Context as _;
use chassis::{config::TelemetryConfig, peer::within, telemetry};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::Span,
};
use proto::{
    catalog::v1::{Audience, ListProjectsRequest, project_service_client::ProjectServiceClient},
    common::v1::Role,
    enrollment::v1::{SubmitSelectionRequest, selection_service_client::SelectionServiceClient},
};
use shixun::{
    people::{County, TermFolder},
    progress::Progress,
    rehearse,
};
use system::{World, engines};
use tokio::{net::TcpListener, sync::mpsc};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

const TEACHERS: u32 = 60;
const PATIENCE: Duration = Duration::from_secs(60);
/// The span of the client, who is traced by somebody else.
const CLIENT: &str = "00f067aa0ba902b7";
const SUBMIT: &str = "shixun.enrollment.v1.SelectionService/SubmitSelection";

struct Collector(mpsc::UnboundedSender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.send(request.into_inner()).map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// An attribute of a span, if it is a text.
fn text<'a>(span: &'a Span, key: &str) -> &'a str {
    let found = span.attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text,
        _ => "",
    }
}

/// A trace, as far as it has come.
#[derive(Default)]
struct Trace(BTreeMap<Vec<u8>, Span>);

impl Trace {
    /// Whether `span` happened within a span of which `is` holds.
    fn within(&self, span: &Span, is: impl Fn(&Span) -> bool) -> bool {
        let mut at = self.0.get(&span.parent_span_id);
        while let Some(above) = at {
            if is(above) {
                return true;
            }
            at = self.0.get(&above.parent_span_id);
        }
        false
    }

    fn statement(&self, part: &str, within: impl Fn(&Span) -> bool) -> bool {
        let all = self.0.values().filter(|span| text(span, "db.query.text").contains(part));
        all.into_iter().any(|span| self.within(span, &within))
    }

    /// What is not there yet of what must be.
    fn missing(&self) -> Vec<&'static str> {
        let calls: Vec<_> = self.0.values().filter(|span| span.name == SUBMIT).collect();
        let from_client = |span: &Span| hex(&span.parent_span_id) == CLIENT;
        let is_call = |span: &Span| span.name == SUBMIT;
        let is_batch = |span: &Span| span.name == "batch" && self.within(span, is_call);
        let follows = |span: &Span| span.name == "mirror" && text(span, "shixun.source") == "enrollment";
        [
            ("the gateway's call", calls.iter().any(|call| from_client(call))),
            (
                "enrollment's call",
                calls.iter().any(|call| self.within(call, |above| is_call(above) && from_client(above))),
            ),
            ("the selection's statement", self.statement("INSERT INTO selection", is_batch)),
            ("the commit", self.statement("COMMIT", is_batch)),
            ("credit's cursor", self.statement("UPDATE mirror_cursor", follows)),
        ]
        .into_iter()
        .filter_map(|(what, there)| (!there).then_some(what))
        .collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The sample county on the first selection morning, with projects that are for everyone.
async fn morning(engine: &str, county: &County, folder: &TermFolder) -> anyhow::Result<World> {
    let begin = proto::jiff_instant(rehearse::before_the_term(folder)?).to_string();
    let world = World::start_for(engine, &begin, &county.password).await?;
    let opening = Some("2019-08-26T00:00:00+08:00".parse()?);
    let journal = rehearse::Journal::default();
    rehearse::play_until(&world.system, county, folder, opening, Progress::hidden(), journal).await?;
    Ok(world)
}

/// One submission through the gateway, in a trace of the client's.
async fn submit(world: &World, county: &County, term: &str, trace: &str) -> anyhow::Result<()> {
    let person = county.teachers.first().context("nobody")?;
    let account = person.teacher.name.replace("teachers/", "accounts/traced-");
    let token = world.token(&account, &person.teacher.name, &[(Role::Teacher, &person.teacher.school)])?;
    let channel = chassis::peer::channel(&world.system.gateway())?;
    let bearer: tonic::metadata::MetadataValue<_> = format!("Bearer {token}").parse()?;
    let list = ListProjectsRequest { parent: term.to_owned(), page_size: 1, ..ListProjectsRequest::default() };
    let mut list = within(PATIENCE, list);
    list.metadata_mut().insert("authorization", bearer.clone());
    let menu = ProjectServiceClient::new(channel.clone()).list_projects(list).await?.into_inner();
    let mut request = within(
        PATIENCE,
        SubmitSelectionRequest {
            parent: term.to_owned(),
            project: menu.projects.first().context("an empty menu")?.name.clone(),
            request_id: "traced".to_owned(),
            ..SubmitSelectionRequest::default()
        },
    );
    request.metadata_mut().insert("authorization", bearer);
    request.metadata_mut().insert("traceparent", format!("00-{trace}-{CLIENT}-01").parse()?);
    SelectionServiceClient::new(channel).submit_selection(request).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_is_one_trace_down_to_its_statements_and_on_to_its_mirrors() -> anyhow::Result<()> {
    let folder = TermFolder::sample()?;
    let mut county = County::generate(5, TEACHERS, &folder);
    county.projects.iter_mut().for_each(|plan| plan.project.audience = Some(Audience::default()));
    let mut worlds = Vec::new();
    for engine in engines() {
        worlds.push((engine, morning(engine, &county, &folder).await?));
    }

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let otlp_endpoint = Some(format!("http://{}", listener.local_addr()?));
    let (sender, mut exported) = mpsc::unbounded_channel();
    let collecting = Server::builder().add_service(TraceServiceServer::new(Collector(sender)));
    tokio::spawn(collecting.serve_with_incoming(TcpIncoming::from(listener)));
    let guard = telemetry::start("system", &TelemetryConfig { otlp_endpoint, ..TelemetryConfig::default() })?;

    for (n, (engine, world)) in (1..).zip(&worlds) {
        let id = format!("{n:032x}");
        submit(world, &county, &folder.name(), &id).await?;
        let mut trace = Trace::default();
        while !trace.missing().is_empty() {
            let came = tokio::time::timeout(PATIENCE, exported.recv()).await;
            let came =
                came.with_context(|| format!("{engine}: {:?} never came", trace.missing()))?.context("no more")?;
            let scopes = came.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
            let spans = scopes.flat_map(|scope| scope.spans).filter(|span| hex(&span.trace_id) == id);
            trace.0.extend(spans.map(|span| (span.span_id.clone(), span)));
        }
        let systems: BTreeSet<_> = trace.0.values().map(|span| text(span, "db.system.name")).collect();
        let system = if *engine == "sqlite" { "sqlite" } else { "postgresql" };
        assert_eq!(systems, BTreeSet::from(["", system]));
        // Whoever reads traces learns nothing of persons.
        let all = format!("{:?}", trace.0.values().collect::<Vec<_>>());
        for person in &county.teachers {
            for personal in [&person.teacher.display_name, &person.teacher.identity_number] {
                assert!(personal.is_empty() || !all.contains(personal.as_str()), "{engine}: a person is in the trace");
            }
        }
    }
    for (_, world) in worlds {
        world.system.stop().await?;
    }
    tokio::task::spawn_blocking(move || drop(guard)).await?;
    Ok(())
}
