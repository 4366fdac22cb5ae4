//! Spans beside those of calls: of statements, of what many calls share, and of what follows a call in another service. Without
//! a collector none is made.

use std::{collections::HashMap, future::Future};

use opentelemetry::{
    Context, global,
    trace::{SpanContext, TraceContextExt as _},
};
use tracing::{Instrument as _, Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::exporting;
use crate::db::Engine;

/// W3C's header, in which a context travels.
const TRACEPARENT: &str = "traceparent";

/// Runs a statement in a span of its own, if it is asked within one: the waiting of background work is nobody's trace. A
/// statement's text holds no value, since values are bound.
pub(crate) async fn statement<T, E>(
    engine: Engine,
    text: &str,
    asked: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    if !exporting() || Span::current().is_none() {
        return asked.await;
    }
    let system = match engine {
        Engine::Sqlite => "sqlite",
        Engine::Postgres => "postgresql",
    };
    let operation = text.split_whitespace().next().unwrap_or_default();
    let span = tracing::info_span!(
        "statement",
        otel.name = operation,
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = system,
        db.operation.name = operation,
        db.query.text = text
    );
    let answered = asked.instrument(span.clone()).await;
    if answered.is_err() {
        span.record("otel.status_code", "ERROR");
    }
    answered
}

/// The span of work that several calls wait for together: within the first one's trace, linked with the others'.
#[must_use]
pub fn shared(name: &'static str, calls: impl IntoIterator<Item = Span>) -> Span {
    if !exporting() {
        return Span::none();
    }
    caused(name, "internal", calls.into_iter().map(|call| call.context()))
}

/// The span of what follows changes of `source`: within the trace of the first call that made one, linked with the others'.
pub(crate) fn following<'a>(source: &'static str, causes: impl IntoIterator<Item = &'a str>) -> Span {
    if !exporting() {
        return Span::none();
    }
    let causes = causes.into_iter().filter(|cause| !cause.is_empty()).map(|cause| {
        let carrier = HashMap::from([(TRACEPARENT.to_owned(), cause.to_owned())]);
        global::get_text_map_propagator(|propagator| propagator.extract(&carrier))
    });
    let span = caused("mirror", "consumer", causes);
    span.record("shixun.source", source);
    span
}

/// None where no cause is traced.
fn caused(name: &'static str, kind: &'static str, causes: impl Iterator<Item = Context>) -> Span {
    let mut causes = causes.filter(|cause| of(cause).is_valid());
    let Some(first) = causes.next() else { return Span::none() };
    let span = tracing::info_span!("work", otel.name = name, otel.kind = kind, shixun.source = Empty);
    let own = of(&first).trace_id();
    let _ = span.set_parent(first);
    for other in causes.map(|cause| of(&cause)).filter(|other| other.trace_id() != own) {
        span.add_link(other);
    }
    span
}

fn of(context: &Context) -> SpanContext {
    context.span().span_context().clone()
}

/// The context of what runs now, as it travels with a change; empty where nobody traces.
pub(crate) fn traceparent() -> String {
    if !exporting() {
        return String::new();
    }
    let mut carrier = HashMap::new();
    let context = Span::current().context();
    global::get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut carrier));
    carrier.remove(TRACEPARENT).unwrap_or_default()
}
