//! Names of resources in a request: which form each has, the method's HTTP mapping says. Looked at only once a request has failed,
//! so that what is misspelt is told as such, and together with the request's other faults.

use prost_reflect::{DynamicMessage, MethodDescriptor, Value};

use crate::{
    contract::{self, Method},
    failure::Faults,
};

/// A variable of a method's HTTP path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The field, e.g. "project.name".
    pub field: String,
    /// The form of its value, e.g. "terms/*/projects/*".
    pub form: String,
}

impl Binding {
    /// Whether a name has the form: a `*` stands for anything but nothing and `/`.
    fn fits(&self, name: &str) -> bool {
        let (mut parts, mut form) = (name.split('/'), self.form.split('/'));
        loop {
            match (parts.next(), form.next()) {
                (None, None) => return true,
                (Some(part), Some("*")) if !part.is_empty() => {}
                (Some(part), Some(fixed)) if part == fixed => {}
                _ => return false,
            }
        }
    }
}

/// The variables of a method's HTTP path that are names of resources.
pub(crate) fn bindings(method: &MethodDescriptor) -> Vec<Binding> {
    let Some(extension) = method.parent_pool().get_extension_by_name("google.api.http") else { return Vec::new() };
    let options = method.options();
    let rule = options.get_extension(&extension);
    let Some(rule) = rule.as_message() else { return Vec::new() };
    let verbs = ["get", "put", "post", "delete", "patch"].into_iter().filter(|verb| rule.has_field_by_name(verb));
    let paths = verbs.filter_map(|verb| Some(rule.get_field_by_name(verb)?.as_str()?.to_owned()));
    let variables = paths.flat_map(|path| {
        let opened = path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).map(str::to_owned);
        opened.collect::<Vec<_>>()
    });
    let named = variables.filter_map(|variable| {
        let (field, form) = variable.split_once('=')?;
        Some(Binding { field: field.to_owned(), form: form.to_owned() })
    });
    named.collect()
}

/// The fields of a request whose values are no names of the form that its method's path has.
pub(crate) fn faults<M: prost::Name>(method: &Method, message: &M) -> Faults {
    let mut faults = Faults::new();
    let descriptor = contract::pool().get_message_by_name(&method.input);
    let message = descriptor.and_then(|it| DynamicMessage::decode(it, message.encode_to_vec().as_slice()).ok());
    let Some(message) = message else { return faults };
    for binding in &method.bindings {
        let value = value(&message, &binding.field);
        if !binding.fits(&value) {
            let form = &binding.form;
            faults.add(&binding.field, format!("应为“{form}”形式的名称"), format!("must be a name of the form {form}"));
        }
    }
    faults
}

fn value(message: &DynamicMessage, path: &str) -> String {
    let mut at = message.clone();
    let mut steps = path.split('.').peekable();
    while let Some(step) = steps.next() {
        let Some(value) = at.get_field_by_name(step).map(std::borrow::Cow::into_owned) else { return String::new() };
        match value {
            Value::String(text) if steps.peek().is_none() => return text,
            Value::Message(inner) => at = inner,
            _ => return String::new(),
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use proto::catalog::v1::{Project, SubmitProjectRequest, UpdateProjectRequest};
    use tonic::Status;
    use tonic_types::StatusExt as _;

    use super::*;

    fn told<M: prost::Name>(path: &str, message: &M) -> Vec<String> {
        let method = contract::method(path).expect("a method");
        let Err(failure) = faults(method, message).check() else { return Vec::new() };
        let bad = Status::from(failure).get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
        bad.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn a_name_has_the_form_of_the_path() {
        let path = "/shixun.catalog.v1.ProjectService/SubmitProject";
        let of = |name: &str| told(path, &SubmitProjectRequest { name: name.to_owned(), ..Default::default() });
        assert_eq!(of("terms/2019/projects/1"), Vec::<String>::new());
        for name in ["", "terms/2019", "terms/2019/projects/", "terms//projects/1", "terms/2019/projects/1/2", "1"] {
            assert_eq!(of(name), ["name"], "{name:?}");
        }
        let path = "/shixun.catalog.v1.ProjectService/UpdateProject";
        let of = |project| told(path, &UpdateProjectRequest { project, ..Default::default() });
        assert_eq!(of(None), ["project.name"]);
        let project = |name: &str| Some(Project { name: name.to_owned(), ..Project::default() });
        assert_eq!(of(project("projects/1")), ["project.name"]);
        assert_eq!(of(project("terms/2019/projects/1")), Vec::<String>::new());
    }

    #[test]
    fn every_form_is_one_of_names() {
        for binding in contract::methods().flat_map(|method| &method.bindings) {
            assert!(binding.form.split('/').all(|part| part == "*" || !part.contains('*')), "{binding:?}");
        }
    }
}
