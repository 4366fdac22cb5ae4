//! No text holds U+0000: PostgreSQL cannot keep it, so that neither engine is given it. Looked for once, in every message that
//! a handler gets.

use prost::Name;
use prost_reflect::{DynamicMessage, MapKey, Value};

use crate::{
    contract,
    failure::{Failure, Faults},
};

/// # Errors
/// `INVALID_ARGUMENT` with every text of the request that holds U+0000.
pub fn refuse<M: Name>(message: &M) -> Result<(), Failure> {
    let mut faults = Faults::new();
    check(&mut faults, "", &M::full_name(), &message.encode_to_vec());
    faults.check()
}

/// Notes every text of a message that holds U+0000: `encoded` is the message `type_name` that stands at `path` of the
/// request, empty for the request itself.
pub fn check(faults: &mut Faults, path: &str, type_name: &str, encoded: &[u8]) {
    for field in fields(type_name, encoded) {
        let field = if path.is_empty() { field } else { format!("{path}.{field}") };
        faults.add(field, "文字不能含有字符 U+0000", "no text may contain the character U+0000");
    }
}

/// The fields, by their paths in it, of an encoded message whose texts hold U+0000.
#[must_use]
pub fn fields(type_name: &str, encoded: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    // The character is a zero byte of the encoding, and most messages have none at all.
    if encoded.contains(&0) {
        let message = contract::pool()
            .get_message_by_name(type_name)
            .and_then(|descriptor| DynamicMessage::decode(descriptor, encoded).ok());
        if let Some(message) = message {
            in_message(&mut found, "", &message);
        }
    }
    found
}

fn in_message(found: &mut Vec<String>, path: &str, message: &DynamicMessage) {
    for (field, value) in message.fields() {
        let name = field.name();
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        in_value(found, &path, value);
    }
}

fn in_value(found: &mut Vec<String>, path: &str, value: &Value) {
    match value {
        Value::String(text) if text.contains('\0') => found.push(path.to_owned()),
        Value::Message(message) => in_message(found, path, message),
        Value::List(values) => {
            for (index, value) in values.iter().enumerate() {
                in_value(found, &format!("{path}[{index}]"), value);
            }
        }
        Value::Map(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            for (key, value) in entries {
                match key {
                    MapKey::String(key) if key.contains('\0') => found.push(path.to_owned()),
                    MapKey::String(key) => in_value(found, &format!("{path}[{key}]"), value),
                    _ => in_value(found, path, value),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use prost::{Message, Name};
    use proto::{
        catalog::v1::{Class, CreateProjectRequest, Project, Session},
        common::v1::{Actor, Change, Credit, Gates, PutGatesRequest, Window},
        enrollment::v1::{Notification, OrderSelectionsRequest, SubmitSelectionRequest},
    };
    use tonic::Status;
    use tonic_types::StatusExt as _;

    use super::*;

    /// The fields that are told of a message.
    fn found<M: Message + Name>(message: &M) -> Vec<String> {
        let mut faults = Faults::new();
        check(&mut faults, "", &M::full_name(), &message.encode_to_vec());
        let Err(failure) = faults.check() else { return Vec::new() };
        let bad = Status::from(failure).get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
        bad.into_iter().map(|violation| violation.field).collect()
    }

    fn text(zero: bool) -> String {
        if zero { "terms/\0".to_owned() } else { "terms/2019".to_owned() }
    }

    #[test]
    fn each_text_is_named_wherever_it_stands() {
        let submit = SubmitSelectionRequest { parent: text(true), request_id: text(true), ..Default::default() };
        assert_eq!(found(&submit), ["parent", "request_id"]);
        let selections = vec![text(false), text(true), text(false)];
        assert_eq!(found(&OrderSelectionsRequest { selections, ..Default::default() }), ["selections[1]"]);
        let class = Class { venue: text(true), ..Class::default() };
        let project = Project { title: text(true), classes: vec![Class::default(), class], ..Project::default() };
        let request = CreateProjectRequest { project: Some(project), ..Default::default() };
        assert_eq!(found(&request), ["project.title", "project.classes[1].venue"]);
        let metadata = [("count".to_owned(), text(true)), ("zero\0".to_owned(), text(false))].into();
        assert_eq!(found(&Notification { metadata, ..Default::default() }), ["metadata[count]", "metadata"]);
    }

    #[test]
    fn a_zero_that_is_no_text_is_no_fault() {
        // Bytes of a binary field, an empty message, numbers and a present zero.
        let after = Some(prost_types::Any { type_url: text(false), value: vec![0, 1, 0] });
        assert_eq!(found(&Change { actor: Some(Actor::default()), after, ..Change::default() }), Vec::<String>::new());
        let session = Session { starts: Some(proto::timestamp(0)), ends: Some(proto::timestamp(1 << 40)) };
        let project = Project {
            base_credit: Some(Credit { hundredths: 0 }),
            classes: vec![Class { sessions: vec![session], ..Class::default() }],
            ..Project::default()
        };
        assert_eq!(found(&CreateProjectRequest { project: Some(project), ..Default::default() }), Vec::<String>::new());
    }

    proptest::proptest! {
        /// Whatever else is in a message: as many faults as there are texts with the character.
        #[test]
        fn none_is_missed_and_none_made_up(
            zeros in proptest::collection::vec(proptest::bool::ANY, 6),
            version: i64,
            at in 0_i64..253_402_300_799_000_000,
            owners in proptest::collection::vec(0..10_i32, 0..5),
        ) {
            let gates = Gates {
                term: text(zeros[0]),
                version,
                zone: text(zeros[1]),
                windows: vec![Window {
                    id: text(zeros[2]),
                    opens: Some(proto::timestamp(at)),
                    owners,
                    organizations: vec![text(zeros[3]), text(zeros[4])],
                    ..Window::default()
                }],
                policy: text(zeros[5]),
                ..Gates::default()
            };
            let expected = zeros.iter().filter(|zero| **zero).count();
            proptest::prop_assert_eq!(found(&PutGatesRequest { gates: Some(gates), validate_only: true }).len(), expected);
        }
    }
}
