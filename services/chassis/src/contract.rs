//! What the contracts say, read once from the embedded descriptor: method rules and reason texts.

mod docs;

use std::{collections::BTreeMap, sync::LazyLock};

use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, MethodDescriptor, Value};
use proto::common::v1::{Idempotency, Phase, Reason, Role};
use tonic::Code;

use crate::{
    names::{self, Binding},
    replicas::Affinity,
};

pub use docs::{errors_markdown, methods_markdown};

/// A method of one of our services, with its rule.
#[derive(Debug, Clone)]
pub struct Method {
    /// "/shixun.roster.v1.TeacherService/GetTeacher"
    pub path: String,
    /// "shixun.roster.v1.TeacherService"
    pub service: String,
    /// "GetTeacher"
    pub name: String,
    /// The service of the house that it belongs to: "roster"; "common" for what every service has.
    pub package: String,
    /// Whether the client streams.
    pub client_streaming: bool,
    /// Whether the server streams.
    pub server_streaming: bool,
    /// Full name of the request message.
    pub input: String,
    /// Names of resources in its request.
    pub(crate) bindings: Vec<Binding>,
    /// The field by which calls go to the same replica.
    affinity: Option<FieldDescriptor>,
    /// Its rule; `None` must not be served.
    pub rule: Option<Rule>,
}

impl Method {
    /// Neither side streams.
    #[must_use]
    pub const fn is_unary(&self) -> bool {
        !self.client_streaming && !self.server_streaming
    }

    /// What a call goes to the same replica by, if its contract says so; `message` is the request as it is encoded.
    #[must_use]
    pub fn affinity(&self, message: &[u8]) -> Option<Affinity> {
        let field = self.affinity.as_ref()?;
        let message = DynamicMessage::decode(field.parent_message().clone(), message).ok()?;
        message.get_field(field).as_str().filter(|value| !value.is_empty()).map(Affinity::of)
    }
}

/// Who may call a method, when, and whether a retry is safe.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Any one suffices.
    pub grants: Vec<Grant>,
    /// By what a repeated call is recognised.
    pub idempotency: Idempotency,
    /// No token needed.
    pub public: bool,
    /// Answers with data of persons.
    pub personal: bool,
}

/// One way to be allowed.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Roles that it admits.
    pub roles: Vec<Role>,
    /// Windows in one of which the call must fall; holds `Phase::Any` if any time will do.
    pub phases: Vec<Phase>,
    /// With `Role::Service`: which services; empty: every trusted one.
    pub services: Vec<String>,
}

/// A reason on the wire and to a person.
#[derive(Debug, Clone)]
pub struct ReasonText {
    /// gRPC code.
    pub code: Code,
    /// Chinese, with `{variables}`.
    pub zh: String,
    /// English, with `{variables}`.
    pub en: String,
}

struct Contract {
    pool: DescriptorPool,
    methods: BTreeMap<String, Method>,
    reasons: BTreeMap<i32, ReasonText>,
}

static CONTRACT: LazyLock<Contract> = LazyLock::new(|| {
    // The bytes are produced by our own build and decoded by the build itself before they are embedded; should they be
    // broken all the same, there is no method and no rule, so that nothing is served.
    let pool = DescriptorPool::decode(proto::DESCRIPTOR).unwrap_or_default();
    let methods = pool
        .services()
        .filter(|service| service.package_name().starts_with("shixun."))
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .map(|method| read_method(&pool, &method))
        .map(|method| (method.path.clone(), method))
        .collect();
    let reasons = read_reasons(&pool);
    Contract { pool, methods, reasons }
});

/// The pool of all contracts.
#[must_use]
pub fn pool() -> &'static DescriptorPool {
    &CONTRACT.pool
}

/// The method at an HTTP path, if it is one of ours.
#[must_use]
pub fn method(path: &str) -> Option<&'static Method> {
    CONTRACT.methods.get(path)
}

/// Every method of ours, by path.
pub fn methods() -> impl Iterator<Item = &'static Method> {
    CONTRACT.methods.values()
}

/// Code and texts of a reason.
#[must_use]
pub fn reason_text(reason: Reason) -> &'static ReasonText {
    CONTRACT.reasons.get(&(reason as i32)).unwrap_or_else(crate::failure::unspecified)
}

fn read_method(pool: &DescriptorPool, method: &MethodDescriptor) -> Method {
    let service = method.parent_service();
    let package = service.package_name().split('.').nth(1).unwrap_or_default().to_owned();
    Method {
        path: format!("/{}/{}", service.full_name(), method.name()),
        service: service.full_name().to_owned(),
        name: method.name().to_owned(),
        package,
        client_streaming: method.is_client_streaming(),
        server_streaming: method.is_server_streaming(),
        input: method.input().full_name().to_owned(),
        bindings: names::bindings(method),
        affinity: read_affinity(pool, method),
        rule: read_rule(pool, method),
    }
}

fn read_affinity(pool: &DescriptorPool, method: &MethodDescriptor) -> Option<FieldDescriptor> {
    let extension = pool.get_extension_by_name("shixun.common.v1.affinity")?;
    method.input().fields().find(|field| field.options().has_extension(&extension))
}

fn read_rule(pool: &DescriptorPool, method: &MethodDescriptor) -> Option<Rule> {
    let extension = pool.get_extension_by_name("shixun.common.v1.rule")?;
    let options = method.options();
    if !options.has_extension(&extension) {
        return None;
    }
    let value = options.get_extension(&extension);
    let rule = value.as_message()?.transcode_to::<proto::common::v1::Rule>().ok()?;
    Some(Rule {
        grants: rule
            .grants
            .iter()
            .map(|grant| Grant {
                roles: grant.roles().collect(),
                phases: grant.phases().collect(),
                services: grant.services.clone(),
            })
            .collect(),
        idempotency: rule.idempotency(),
        public: rule.public,
        personal: rule.personal,
    })
}

fn read_reasons(pool: &DescriptorPool) -> BTreeMap<i32, ReasonText> {
    let Some(extension) = pool.get_extension_by_name("shixun.common.v1.text") else {
        return BTreeMap::new();
    };
    let Some(reasons) = pool.get_enum_by_name("shixun.common.v1.Reason") else {
        return BTreeMap::new();
    };
    let text = |options: &DynamicMessage, name: &str| match options.get_extension(&extension).as_ref() {
        Value::Message(text) => {
            text.get_field_by_name(name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
        }
        _ => String::new(),
    };
    reasons
        .values()
        .filter_map(|value| {
            let options = value.options();
            options.has_extension(&extension).then(|| {
                let code = code_by_name(&text(&options, "code"));
                (value.number(), ReasonText { code, zh: text(&options, "zh"), en: text(&options, "en") })
            })
        })
        .collect()
}

fn code_by_name(name: &str) -> Code {
    match name {
        "INVALID_ARGUMENT" => Code::InvalidArgument,
        "DEADLINE_EXCEEDED" => Code::DeadlineExceeded,
        "NOT_FOUND" => Code::NotFound,
        "ALREADY_EXISTS" => Code::AlreadyExists,
        "PERMISSION_DENIED" => Code::PermissionDenied,
        "RESOURCE_EXHAUSTED" => Code::ResourceExhausted,
        "FAILED_PRECONDITION" => Code::FailedPrecondition,
        "ABORTED" => Code::Aborted,
        "DATA_LOSS" => Code::DataLoss,
        "UNAVAILABLE" => Code::Unavailable,
        "UNAUTHENTICATED" => Code::Unauthenticated,
        "INTERNAL" => Code::Internal,
        _ => Code::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn every_method_has_a_rule_with_grants_or_is_public() {
        assert!(methods().count() > 50);
        for method in methods() {
            let rule = method.rule.as_ref().unwrap_or_else(|| panic!("{} has no rule", method.path));
            assert_eq!(rule.public, rule.grants.is_empty(), "{}", method.path);
            assert_ne!(rule.idempotency, Idempotency::Unspecified, "{}", method.path);
            for grant in &rule.grants {
                assert!(!grant.roles.is_empty() && !grant.phases.is_empty(), "{}", method.path);
            }
        }
    }

    #[test]
    fn submissions_to_one_project_go_together() {
        use proto::enrollment::v1::{SubmitSelectionRequest, WithdrawSelectionRequest};
        let submit = method("/shixun.enrollment.v1.SelectionService/SubmitSelection").expect("a method");
        let to = |project: &str, teacher: &str| {
            let (project, teacher) = (project.to_owned(), teacher.to_owned());
            let request = SubmitSelectionRequest { project, teacher, ..SubmitSelectionRequest::default() };
            submit.affinity(&request.encode_to_vec())
        };
        assert_eq!(to("terms/a/projects/1", "teachers/1"), to("terms/a/projects/1", "teachers/2"));
        assert_ne!(to("terms/a/projects/1", ""), to("terms/a/projects/2", ""));
        assert_eq!((to("", "teachers/1"), submit.affinity(b"\xff")), (None, None));
        let withdraw = method("/shixun.enrollment.v1.SelectionService/WithdrawSelection").expect("a method");
        let request = WithdrawSelectionRequest { name: "selections/1".to_owned(), ..Default::default() };
        assert_eq!(withdraw.affinity(&request.encode_to_vec()), None);
    }

    #[test]
    fn every_reason_has_a_code_and_both_texts() {
        let reasons = pool().get_enum_by_name("shixun.common.v1.Reason").expect("the enum of reasons");
        for value in reasons.values().filter(|value| value.number() != 0) {
            let text = CONTRACT.reasons.get(&value.number()).unwrap_or_else(|| panic!("{} has no text", value.name()));
            assert!(text.code != Code::Unknown && !text.zh.is_empty() && !text.en.is_empty(), "{}", value.name());
        }
    }
}
