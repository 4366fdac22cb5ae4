//! Whom to call: the contacts of a calendar document, each an office of an organisation and its telephone, never a private
//! number. They stay in the document: no gate, and no change, holds one.

use std::collections::BTreeSet;

use super::Fault;

/// Keys of a `[[contact]]`.
const KEYS: [&str; 3] = ["organization", "office", "telephone"];
/// More are a mistake.
const MOST: usize = 100;

/// Whom to call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contact {
    /// "organizations/…"
    pub organization: String,
    /// The office, as people know it.
    pub office: String,
    /// Its telephone.
    pub telephone: String,
}

/// The contacts of a document that was taken; none of one that is no document.
#[must_use]
pub fn contacts(document: &str) -> Vec<Contact> {
    document.parse().map(|table| read(&table, &mut Vec::new())).unwrap_or_default()
}

/// The `[[contact]]` of a document; every fault is noted.
pub fn read(document: &toml::Table, faults: &mut Vec<Fault>) -> Vec<Contact> {
    let Some(entries) = document.get("contact") else { return Vec::new() };
    let Some(entries) = entries.as_array().filter(|entries| entries.len() <= MOST) else {
        let en = format!("must be at most {MOST} [[contact]] tables");
        faults.push(Fault::new("contact", format!("须为至多 {MOST} 个 [[contact]] 表"), en));
        return Vec::new();
    };
    let mut known = BTreeSet::new();
    let mut contacts = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let table = entry.as_table();
        let mut fault = |key: &str, zh: &str, en: &str| {
            faults.push(Fault::new(format!("contact[{index}].{key}"), zh, en));
        };
        for key in table.iter().flat_map(|table| table.keys()).filter(|key| !KEYS.contains(&key.as_str())) {
            fault(
                key,
                "未知的键；可用 organization、office、telephone",
                "unknown; there are organization, office, telephone",
            );
        }
        let text = |key: &str| {
            table.and_then(|table| table.get(key)).and_then(toml::Value::as_str).unwrap_or_default().to_owned()
        };
        let contact =
            Contact { organization: text("organization"), office: text("office"), telephone: text("telephone") };
        if contact.organization.strip_prefix("organizations/").is_none_or(str::is_empty) {
            fault("organization", "须为 organizations/…", "must be organizations/…");
        } else if !known.insert(contact.organization.clone()) {
            fault("organization", "重复，每个机构一个联系方式", "stands twice: an organisation has one contact");
        }
        if contact.office.is_empty() || contact.office.chars().count() > 64 || contact.office.contains(char::is_control)
        {
            fault("office", "须为 1–64 个字符", "must have 1 to 64 characters");
        }
        if !is_telephone(&contact.telephone) {
            fault(
                "telephone",
                "须为办公电话：3–32 个数字、空格、+、-",
                "must be an office's telephone: 3 to 32 of digits, spaces, + and -",
            );
        }
        contacts.push(contact);
    }
    contacts
}

fn is_telephone(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_digit() || b" +-".contains(&byte);
    (3..=32).contains(&text.len()) && text.bytes().all(fits) && text.bytes().any(|byte| byte.is_ascii_digit())
}
