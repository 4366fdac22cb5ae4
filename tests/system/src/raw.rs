//! Calling any method of any contract by its path, with bytes: for tests that are generated from the descriptor.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use chassis::contract::Method;
use prost::Message as _;
use prost_reflect::{DynamicMessage, Kind, ReflectMessage, Value};
use tonic::{
    Code, Request, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};
use tonic_types::{ErrorDetail, StatusExt as _};

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// gRPC code.
    pub code: Code,
    /// The reason of its `ErrorInfo`, e.g. "REASON_WINDOW_CLOSED"; empty when it went well.
    pub reason: String,
    /// The message, for a failing test to show.
    pub message: String,
    /// What a person reads of a refusal, in each language.
    pub texts: Vec<String>,
    /// Every reason at once, where there are several; else the one.
    pub reasons: Vec<String>,
    /// The fields that the refusal names, each with its remedy.
    pub faults: Vec<(String, String)>,
    /// The reply's bytes; empty where there is none.
    pub reply: Bytes,
}

impl From<Status> for Outcome {
    fn from(status: Status) -> Self {
        let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
        let several = status.get_details_precondition_failure().map(|failed| failed.violations).unwrap_or_default();
        let mut reasons: Vec<_> = several.into_iter().map(|failed| failed.r#type).collect();
        if reasons.is_empty() && !reason.is_empty() {
            reasons.push(reason.clone());
        }
        let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
        let faults = violations.into_iter().map(|fault| (fault.field, fault.description)).collect();
        let texts = status.get_error_details_vec().into_iter().filter_map(|detail| match detail {
            ErrorDetail::LocalizedMessage(text) => Some(text.message),
            _ => None,
        });
        let (texts, message) = (texts.collect(), status.message().to_owned());
        Self { code: status.code(), reason, message, texts, reasons, faults, reply: Bytes::new() }
    }
}

impl Outcome {
    /// Whether a person is shown a name of the contract: of a phase, a role or a state.
    #[must_use]
    pub fn shows_a_name(&self) -> bool {
        let faults = self.faults.iter().map(|(_, remedy)| remedy);
        let mut texts = self.texts.iter().chain([&self.message]).chain(faults);
        texts.any(|text| ["PHASE_", "ROLE_", "STATE_", "STATUS_", "KIND_"].iter().any(|name| text.contains(name)))
    }
}

/// Calls `method` with one message and one header. A stream that stays open without a message counts as answered.
///
/// # Errors
/// If the channel cannot be used at all.
pub async fn call(
    channel: Channel,
    method: &Method,
    header: Option<(&'static str, String)>,
    message: Vec<u8>,
) -> anyhow::Result<Outcome> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await?;
    let mut request = Request::new(tokio_stream::once(Bytes::from(message)));
    if let Some((name, value)) = header {
        request.metadata_mut().insert(name, value.parse()?);
    }
    if method.is_unary() {
        request.set_timeout(Duration::from_secs(10));
    }
    let answered = |reply| Outcome { reply, ..Outcome::from(Status::new(Code::Ok, "")) };
    let mut stream = match client.streaming(request, method.path.parse()?, BytesCodec).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Ok(status.into()),
    };
    Ok(match tokio::time::timeout(Duration::from_millis(300), stream.message()).await {
        Ok(Err(status)) => status.into(),
        Ok(Ok(reply)) => answered(reply.unwrap_or_default()),
        Err(_) => answered(Bytes::new()),
    })
}

/// A request of `method` that is about `term`: its resource names come from the HTTP mapping, or from the field that names
/// a term; its request id is set.
///
/// # Errors
/// If the contract has no such message, or nothing says how the method names its term.
pub fn request(method: &Method, term: &str, request_id: &str) -> anyhow::Result<Vec<u8>> {
    let pool = chassis::contract::pool();
    let descriptor =
        pool.get_message_by_name(&method.input).ok_or_else(|| anyhow::anyhow!("{} is unknown", method.input))?;
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        if !matches!(field.kind(), Kind::String) || field.is_list() {
            continue;
        }
        let value = match field.name() {
            "request_id" => request_id.to_owned(),
            "term" | "parent" => term.to_owned(),
            _ => continue,
        };
        message.set_field(&field, Value::String(value));
    }
    for (path, template) in bindings(method) {
        set(&mut message, &path, template.replacen("terms/*", term, 1).replace('*', "none"))?;
    }
    if method.client_streaming {
        // The first frame carries the id.
        if let Some(field) = descriptor.get_field_by_name("header")
            && let Kind::Message(inner) = field.kind()
        {
            let mut header = DynamicMessage::new(inner.clone());
            header.set_field_by_name("request_id", Value::String(request_id.to_owned()));
            header.set_field_by_name("digest", Value::Bytes(Bytes::from_static(&[0; 32])));
            message.set_field(&field, Value::Message(header));
        }
    }
    Ok(message.encode_to_vec())
}

/// The variables of a method's HTTP path with their templates: ("name", "terms/*/projects/*").
fn bindings(method: &Method) -> Vec<(String, String)> {
    let pool = chassis::contract::pool();
    let service = pool.get_service_by_name(&method.service);
    let found = service.and_then(|service| service.methods().find(|known| known.name() == method.name));
    let http = pool.get_extension_by_name("google.api.http");
    let (Some(found), Some(http)) = (found, http) else { return Vec::new() };
    let options = found.options();
    let rule = options.get_extension(&http);
    let Some(rule) = rule.as_message() else { return Vec::new() };
    let path = ["get", "put", "post", "delete", "patch"].into_iter().find_map(|verb| {
        let value = rule.get_field_by_name(verb)?;
        value.as_str().filter(|path| !path.is_empty()).map(str::to_owned)
    });
    let path = path.unwrap_or_default();
    path.split('{')
        .skip(1)
        .filter_map(|rest| rest.split('}').next())
        .filter_map(|variable| variable.split_once('='))
        .map(|(field, template)| (field.to_owned(), template.to_owned()))
        .collect()
}

fn set(message: &mut DynamicMessage, path: &str, value: String) -> anyhow::Result<()> {
    match path.split_once('.') {
        None => message.set_field_by_name(path, Value::String(value)),
        Some((first, rest)) => {
            let field = ReflectMessage::descriptor(message)
                .get_field_by_name(first)
                .ok_or_else(|| anyhow::anyhow!("no field {first}"))?;
            let inner = message
                .get_field_mut(&field)
                .as_message_mut()
                .ok_or_else(|| anyhow::anyhow!("{first} is no message"))?;
            set(inner, rest, value)?;
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, Default)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
