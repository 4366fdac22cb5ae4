//! What holds for every text of a request, looked for once, in every message that a handler gets. None holds U+0000: PostgreSQL
//! cannot keep it, so that neither engine is given it. And none is longer than a person writes: what was taken must fit into an
//! answer again, a thousand of them on a page.

use prost::Name;
use prost_reflect::{DynamicMessage, FieldDescriptor, MapKey, Value};

use crate::{
    contract,
    failure::{Failure, Faults},
};

/// Most characters of a reason.
const REASON: usize = 1_000;
/// Most characters of any other text, but for documents.
const TEXT: usize = 4_000;

/// # Errors
/// `INVALID_ARGUMENT` with every text of the request that holds U+0000 or is too long.
pub fn refuse<M: Name>(message: &M) -> Result<(), Failure> {
    let mut faults = Faults::new();
    let encoded = message.encode_to_vec();
    check(&mut faults, "", &M::full_name(), &encoded);
    check_lengths(&mut faults, &M::full_name(), &encoded);
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

fn check_lengths(faults: &mut Faults, type_name: &str, encoded: &[u8]) {
    // A character has a byte at least, and most messages are shorter than one reason may be.
    if encoded.len() <= REASON {
        return;
    }
    if let Some(message) = decoded(type_name, encoded) {
        lengths_in(faults, "", &message);
    }
}

fn lengths_in(faults: &mut Faults, path: &str, message: &DynamicMessage) {
    for (field, value) in message.fields() {
        if is_document(&field) {
            continue;
        }
        let limit = if field.name() == "reason" { REASON } else { TEXT };
        let name = field.name();
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let mut one = |path: String, value: &Value| match value {
            Value::String(text) if text.len() > limit && text.chars().count() > limit => {
                faults.add(path, format!("最多 {limit} 个字"), format!("at most {limit} characters"));
            }
            Value::Message(message) => lengths_in(faults, &path, message),
            _ => {}
        };
        match value {
            Value::List(values) => {
                values.iter().enumerate().for_each(|(index, value)| one(format!("{path}[{index}]"), value));
            }
            Value::Map(entries) => entries.iter().for_each(|(_, value)| one(path.clone(), value)),
            value => one(path, value),
        }
    }
}

/// Whether the contract says that a field is a whole document.
fn is_document(field: &FieldDescriptor) -> bool {
    let extension = contract::pool().get_extension_by_name("shixun.common.v1.document");
    extension.is_some_and(|extension| field.options().get_extension(&extension).as_bool() == Some(true))
}

fn decoded(type_name: &str, encoded: &[u8]) -> Option<DynamicMessage> {
    let descriptor = contract::pool().get_message_by_name(type_name)?;
    DynamicMessage::decode(descriptor, encoded).ok()
}

/// The fields, by their paths in it, of an encoded message whose texts hold U+0000.
#[must_use]
pub fn fields(type_name: &str, encoded: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    // The character is a zero byte of the encoding, and most messages have none at all.
    if encoded.contains(&0)
        && let Some(message) = decoded(type_name, encoded)
    {
        in_message(&mut found, "", &message);
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
        enrollment::v1::{
            Decision, Notification, OrderSelectionsRequest, ReviewSelectionsRequest, SubmitSelectionRequest,
            WithdrawSelectionRequest,
        },
        gateway::v1::PutCalendarRequest,
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
    fn what_is_too_long_is_named_and_a_document_may_be_long() {
        let long = |characters| "长".repeat(characters);
        let told = |failure: Failure| {
            let bad = Status::from(failure).get_details_bad_request().map(|bad| bad.field_violations);
            bad.unwrap_or_default().into_iter().map(|violation| violation.field).collect::<Vec<_>>()
        };
        let request = WithdrawSelectionRequest { reason: long(REASON), ..Default::default() };
        refuse(&request).unwrap();
        let request = WithdrawSelectionRequest { reason: long(REASON + 1), name: long(TEXT + 1), ..Default::default() };
        assert_eq!(told(refuse(&request).unwrap_err()), ["name", "reason"]);
        let decisions = [REASON, REASON + 1].map(|length| Decision { reason: long(length), ..Default::default() });
        let request = ReviewSelectionsRequest { decisions: decisions.into(), ..Default::default() };
        assert_eq!(told(refuse(&request).unwrap_err()), ["decisions[1].reason"]);
        let document = PutCalendarRequest { document: long(TEXT + 1), policy: long(TEXT + 1), ..Default::default() };
        refuse(&document).unwrap();
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
            proptest::prop_assert_eq!(found(&PutGatesRequest { gates: Some(gates), ..PutGatesRequest::default() }).len(), expected);
        }
    }
}
