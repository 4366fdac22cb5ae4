//! Traces, metrics and logs. One layer opens the span of a call with its parent already set; OTLP when configured, quiet
//! otherwise.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

pub use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Histogram},
};
use opentelemetry::{
    global,
    metrics::Meter,
    propagation::{Extractor, Injector},
    trace::TracerProvider as _,
};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::{
    Resource, logs::SdkLoggerProvider, metrics::SdkMeterProvider, propagation::TraceContextPropagator,
    trace::SdkTracerProvider,
};
use tonic::{Code, Status, body::Body, metadata::MetadataMap};
use tower::{Layer, Service};
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::config::TelemetryConfig;

mod scrape;
mod spans;

pub use spans::shared;
pub(crate) use spans::{following, statement, traceparent};

/// Flushes what is left when it is dropped; a mute collector delays that by its time-out, and changes nothing else.
#[derive(Debug, Default)]
pub struct Guard {
    traces: Option<SdkTracerProvider>,
    meters: Option<SdkMeterProvider>,
    logs: Option<SdkLoggerProvider>,
    /// Ends with its drop.
    _scrape: Option<scrape::Page>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        // All at once: a collector that says nothing holds each of them for its time-out.
        std::thread::scope(|scope| {
            scope.spawn(|| self.traces.as_ref().map(SdkTracerProvider::shutdown));
            scope.spawn(|| self.meters.as_ref().map(SdkMeterProvider::shutdown));
            scope.spawn(|| self.logs.as_ref().map(SdkLoggerProvider::shutdown));
        });
    }
}

/// Starts logging to standard error (JSON; `RUST_LOG` chooses), and, as configured, exporting traces, metrics and the same logs,
/// and showing the metrics to Prometheus. In a runtime.
///
/// # Errors
/// If the endpoint is no address, or the one for Prometheus is taken.
pub fn start(service: &'static str, config: &TelemetryConfig) -> anyhow::Result<Guard> {
    global::set_text_map_propagator(TraceContextPropagator::new());
    let logs = tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr).with_filter(wanted_logs());
    let resource = Resource::builder().with_service_name(format!("shixun-{service}")).build();
    let mut meters = SdkMeterProvider::builder().with_resource(resource.clone());
    let mut guard = Guard::default();
    if let Some(address) = &config.prometheus {
        let (reader, page) = scrape::serve(address)?;
        meters = meters.with_reader(reader);
        guard._scrape = Some(page);
    }
    let mut exporting = None;
    if let Some(endpoint) = &config.otlp_endpoint {
        let exporter = opentelemetry_otlp::MetricExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
        meters = meters.with_periodic_exporter(exporter);
        let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
        let traces = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.clone()).build();
        let exporter = opentelemetry_otlp::LogExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
        let exported = SdkLoggerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        EXPORTING.store(true, Ordering::Relaxed);
        global::set_tracer_provider(traces.clone());
        let spans = tracing_opentelemetry::layer()
            .with_tracer(traces.tracer("shixun"))
            .with_filter(Targets::new().with_target("chassis", tracing::Level::INFO));
        let mut filter = wanted_logs();
        for transport in TRANSPORT {
            filter = filter.add_directive(transport.parse()?);
        }
        let bridge = OpenTelemetryTracingBridge::new(&exported).with_filter(filter);
        exporting = Some((spans, bridge));
        (guard.traces, guard.logs) = (Some(traces), Some(exported));
    }
    if config.prometheus.is_some() || exporting.is_some() {
        let meters = meters.build();
        MEASURING.store(true, Ordering::Relaxed);
        global::set_meter_provider(meters.clone());
        guard.meters = Some(meters);
    }
    let (spans, bridge) = exporting.unzip();
    // A second start in one process keeps the first.
    let _ = tracing_subscriber::registry().with(logs).with(spans).with(bridge).try_init();
    Ok(guard)
}

/// `RUST_LOG` chooses logs alone: whoever wants few of them has not renounced traces.
fn wanted_logs() -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,chassis=info"))
}

/// What exporting logs would itself log: exported, each would bring forth the next.
const TRANSPORT: [&str; 5] = ["opentelemetry=off", "tonic=off", "tower=off", "hyper=off", "h2=off"];

/// Whether anything is exported: without it, nobody sees a span's parent or fields, and no call pays for them.
static EXPORTING: AtomicBool = AtomicBool::new(false);

/// Whether metrics are exported, or shown to Prometheus.
static MEASURING: AtomicBool = AtomicBool::new(false);

/// Whether anybody reads metrics: what costs more than counting need not be measured otherwise.
pub(crate) fn measuring() -> bool {
    MEASURING.load(Ordering::Relaxed)
}

fn exporting() -> bool {
    EXPORTING.load(Ordering::Relaxed)
}

/// Puts the current trace context on an outgoing call.
pub fn inject(metadata: &mut MetadataMap) {
    if !exporting() {
        return;
    }
    struct Into<'a>(&'a mut http::HeaderMap);
    impl Injector for Into<'_> {
        fn set(&mut self, key: &str, value: String) {
            if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(key), http::HeaderValue::try_from(value)) {
                self.0.insert(name, value);
            }
        }
    }
    let mut headers = std::mem::take(metadata).into_headers();
    let context = tracing::Span::current().context();
    global::get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut Into(&mut headers)));
    *metadata = MetadataMap::from_headers(headers);
}

struct From<'a>(&'a http::HeaderMap);

impl Extractor for From<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }
    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// The house's meter, for what a service measures beside its calls. To be asked for after telemetry was started.
#[must_use]
pub fn meter() -> Meter {
    global::meter("shixun")
}

/// Bounds of histograms of durations in seconds, as OpenTelemetry advises for calls: the library's own are for milliseconds.
pub const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Duration of calls by method and code (OpenTelemetry's `rpc.server.duration`, seconds); its count is the rate.
static DURATION: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    meter().f64_histogram("rpc.server.duration").with_unit("s").with_boundaries(SECONDS.to_vec()).build()
});

/// The layer that gives each call its span and its figures.
#[derive(Debug, Clone, Copy)]
pub struct TraceLayer;

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;
    fn layer(&self, inner: S) -> Trace<S> {
        Trace(inner)
    }
}

/// See [`TraceLayer`].
#[derive(Debug, Clone)]
pub struct Trace<S>(S);

impl<S> Service<http::Request<Body>> for Trace<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        // Only our contracts' methods become label values: a stranger's path must not.
        let method =
            crate::contract::method(request.uri().path()).map_or("other", |method| method.path.trim_start_matches('/'));
        let exporting = exporting();
        // Nobody sees it otherwise but the logs of a call, and they are few.
        let span = if exporting {
            tracing::info_span!(
                "rpc",
                otel.name = method,
                otel.kind = "server",
                rpc.system = "grpc",
                rpc.grpc.status_code = tracing::field::Empty
            )
        } else {
            tracing::debug_span!("rpc", otel.name = method)
        };
        if exporting {
            let parent = global::get_text_map_propagator(|propagator| propagator.extract(&From(request.headers())));
            let _ = span.set_parent(parent);
        }
        let begun = tokio::time::Instant::now();
        let work = self.0.call(request);
        let recorded = span.clone();
        Box::pin(
            async move {
                let response = work.await?;
                let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
                if exporting {
                    recorded.record("rpc.grpc.status_code", code as i32);
                }
                let labels = [
                    KeyValue::new("rpc.method", method),
                    KeyValue::new("rpc.grpc.status_code", i64::from(code as i32)),
                ];
                DURATION.record(begun.elapsed().as_secs_f64(), &labels);
                tracing::debug!(method, code = code as i32, "call");
                Ok(response)
            }
            .instrument(span),
        )
    }
}
