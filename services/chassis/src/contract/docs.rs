//! The reference pages that are generated from the contracts: docs/errors.md and docs/methods.md.

use std::{fmt::Write as _, sync::LazyLock};

use prost_reflect::{DescriptorPool, FileDescriptor, ServiceDescriptor, Value};
use proto::common::v1::{Idempotency, Phase, Reason, Role};

use super::{Grant, Method, Rule, methods, reason_text};

/// The contracts with their comments.
static COMMENTED: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(proto::COMMENTED_DESCRIPTOR).unwrap_or_default());

const GENERATED: &str = "Generated from the contracts; do not edit. `UPDATE_DOCS=1 cargo nextest run -p chassis contract` \
                         writes it anew.";

/// Blocks of reasons, by the number with which each begins.
const BLOCKS: [(i32, &str); 6] =
    [(1, "Every service"), (100, "Roster"), (200, "Catalog"), (300, "Enrollment"), (400, "Credit"), (500, "Gateway")];

/// docs/errors.md: every reason with its code, its texts, and what to do.
#[must_use]
pub fn errors_markdown() -> String {
    let mut page = format!(
        "# Errors\n\n<!-- {GENERATED} -->\n\n\
         Every refusal is a `google.rpc.Status` with one `ErrorInfo` (domain `{}`), whose reason stands below and whose\n\
         metadata holds every variable of the text, and a `LocalizedMessage` in zh-CN and in en. Phases, roles and states\n\
         are names in the metadata and words in the texts. Bad input lists its fields in `BadRequest`, rules that are not\n\
         met are listed in `PreconditionFailure`, and `RetryInfo` says when to try again.\n",
        crate::failure::DOMAIN
    );
    let Some(reasons) = COMMENTED.get_enum_by_name("shixun.common.v1.Reason") else {
        return page;
    };
    let file = reasons.parent_file();
    for (index, (first, title)) in BLOCKS.iter().enumerate() {
        let end = BLOCKS.get(index + 1).map_or(i32::MAX, |(next, _)| *next);
        let _ = write!(page, "\n## {title}\n\n| reason | code | text | what to do |\n| --- | --- | --- | --- |\n");
        for value in reasons.values().filter(|value| (*first..end).contains(&value.number())) {
            let text = reason_text(Reason::try_from(value.number()).unwrap_or_default());
            let remedy = comment(&file, value.path());
            let (code, zh, en) = (text.code, cell(&text.zh), cell(&text.en));
            let _ = writeln!(page, "| `{}` | {code:?} | {zh}<br>{en} | {} |", value.name(), cell(&remedy));
        }
    }
    page
}

/// docs/methods.md: every method with who may call it and when, whether it may be repeated, and its HTTP mapping.
#[must_use]
pub fn methods_markdown() -> String {
    let mut page = format!(
        "# Methods\n\n<!-- {GENERATED} -->\n\n\
         Who may call a method, and in which windows, is part of the contract and enforced by every server. Any one line\n\
         of *who and when* is enough. *Repeat* says by what a repeated call is recognised: `REQUEST_ID` gets the first\n\
         reply again.\n"
    );
    let ours = |service: &ServiceDescriptor| service.package_name().starts_with("shixun.");
    let mut services: Vec<_> = COMMENTED.services().filter(ours).collect();
    services.sort_by(|a, b| a.full_name().cmp(b.full_name()));
    for service in services {
        let about = comment(&service.parent_file(), service.path());
        let _ = write!(page, "\n## {}\n\n", service.full_name());
        if !about.is_empty() {
            let _ = write!(page, "{about}\n\n");
        }
        page.push_str("| method | who and when | repeat | HTTP |\n| --- | --- | --- | --- |\n");
        for descriptor in service.methods() {
            let path = format!("/{}/{}", service.full_name(), descriptor.name());
            let Some(method) = methods().find(|method| method.path == path) else { continue };
            let (who, repeat) = method.rule.as_ref().map(|rule| (who(rule), repeat(rule))).unwrap_or_default();
            let http = http(&descriptor.options()).unwrap_or_default();
            let _ = writeln!(page, "| {} | {who} | {repeat} | {http} |", name(method));
        }
    }
    page
}

fn name(method: &Method) -> String {
    let stream = match (method.client_streaming, method.server_streaming) {
        (false, false) => "",
        (true, false) => " (stream in)",
        (false, true) => " (stream out)",
        (true, true) => " (streams)",
    };
    format!("`{}`{stream}", method.name)
}

fn who(rule: &Rule) -> String {
    if rule.public {
        return "anyone, without a token".to_owned();
    }
    rule.grants.iter().map(grant).collect::<Vec<_>>().join("<br>")
}

fn grant(grant: &Grant) -> String {
    let role = |role: &Role| match role {
        Role::Service if !grant.services.is_empty() => format!("service {}", grant.services.join(", ")),
        Role::Service => "any service".to_owned(),
        role => plain(role.as_str_name(), "ROLE_"),
    };
    let roles: Vec<_> = grant.roles.iter().map(role).collect();
    let phase = |phase: &Phase| plain(phase.as_str_name(), "PHASE_");
    let phases: Vec<_> = grant.phases.iter().map(phase).collect();
    let when = if grant.phases.contains(&Phase::Any) { "any time".to_owned() } else { phases.join(", ") };
    format!("{}: {when}", roles.join(", "))
}

fn repeat(rule: &Rule) -> String {
    match rule.idempotency {
        Idempotency::ReadOnly => "changes nothing".to_owned(),
        other => plain(other.as_str_name(), "IDEMPOTENCY_"),
    }
}

/// "ROLE_SCHOOL_ADMIN" as "`SCHOOL_ADMIN`".
fn plain(name: &str, prefix: &str) -> String {
    format!("`{}`", name.strip_prefix(prefix).unwrap_or(name))
}

fn http(options: &prost_reflect::DynamicMessage) -> Option<String> {
    let extension = COMMENTED.get_extension_by_name("google.api.http")?;
    if !options.has_extension(&extension) {
        return None;
    }
    let rule = options.get_extension(&extension);
    let rule = rule.as_message()?;
    ["get", "put", "post", "delete", "patch"].into_iter().find_map(|verb| {
        let path = rule.get_field_by_name(verb).filter(|_| rule.has_field_by_name(verb))?;
        let Value::String(path) = path.as_ref() else { return None };
        Some(format!("`{} {path}`", verb.to_uppercase()))
    })
}

/// The comment above what stands at `path` of a contract, as one line.
fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let locations = file.file_descriptor_proto().source_code_info.iter().flat_map(|info| &info.location);
    let text =
        locations.filter(|location| location.path == path).find_map(|location| location.leading_comments.clone());
    text.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
