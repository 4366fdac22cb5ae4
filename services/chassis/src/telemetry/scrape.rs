//! Metrics as Prometheus reads them: a page of its own, on an address of its own.

use anyhow::Context as _;
use axum::{Router, http::StatusCode, response::IntoResponse, routing::get};
use opentelemetry_prometheus::PrometheusExporter;
use prometheus::{Registry, TextEncoder};
use tokio::task::JoinHandle;

/// The page, for as long as it is kept.
#[derive(Debug)]
pub(super) struct Page(JoinHandle<()>);

impl Drop for Page {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Serves `/metrics` at `address`; what the reader is given is shown there.
pub(super) fn serve(address: &str) -> anyhow::Result<(PrometheusExporter, Page)> {
    let registry = Registry::new();
    let reader =
        opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false).build()?;
    // Bound before anything is served: a port that is taken must not be found out later.
    let listener = std::net::TcpListener::bind(address).with_context(|| format!("telemetry.prometheus {address}"))?;
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let router = Router::new().route("/metrics", get(async move || shown(&registry)));
    let serving = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the page of metrics ended");
        }
    });
    Ok((reader, Page(serving)))
}

fn shown(registry: &Registry) -> axum::response::Response {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(page) => ([("content-type", prometheus::TEXT_FORMAT)], page).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be shown");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
