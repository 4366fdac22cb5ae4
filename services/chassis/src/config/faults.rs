//! All that is wrong with a configuration, by its schema: what nobody reads, what is not as it must be, what is missing. Each fault
//! names the key and its variable and says what is expected; never what was given, which may be a secret.

use serde_json::{Map, Value};

use super::{
    format::wanted,
    schema::{ANY, Section, VARIABLE, kind, section},
};
use crate::policy::nearest;

/// The faults of a section, in the order of its keys.
pub(super) fn faults(given: &Map<String, Value>, schema: &Value, source: &dyn Fn(&str) -> String) -> Vec<String> {
    let mut look = Look { source, faults: Vec::new() };
    if let Some(section) = section(schema) {
        look.section(given, &section, "");
    }
    look.faults
}

struct Look<'a> {
    /// Where a key was given: " (TOML file)".
    source: &'a dyn Fn(&str) -> String,
    faults: Vec<String>,
}

impl Look<'_> {
    fn section(&mut self, given: &Map<String, Value>, section: &Section<'_>, above: &str) {
        for (key, value) in given {
            let path = format!("{above}{key}");
            match section.property(key) {
                None => {
                    let known: Vec<_> = section.properties().map(|(key, _)| key).collect();
                    let remedy = remedy(key, above, &known);
                    self.faults.push(format!("unknown key {path}{}: {remedy}", (self.source)(&path)));
                }
                Some(schema) => self.value(value, schema, &path),
            }
        }
        for (key, schema) in section.properties() {
            if section.requires(key) && !given.contains_key(key) {
                self.missing(schema, &format!("{above}{key}"));
            }
        }
    }

    fn value(&mut self, value: &Value, schema: &Value, path: &str) {
        match (section(schema), value) {
            (Some(section), Value::Object(given)) => self.section(given, &section, &format!("{path}.")),
            (Some(_), _) => self.faults.push(format!("{path}{}: must be a section, [{path}]", (self.source)(path))),
            (None, _) => {
                let schema = plain(schema);
                if !fits(value, schema) {
                    let quoted = value.is_number() || value.is_boolean();
                    let quoted = quoted && schema_has_type(schema, "string") && schema.get("enum").is_none();
                    let hint = if quoted { "; in the variable with quotation marks around it" } else { "" };
                    self.faults.push(format!("{path}{}: must be {}{hint}", variable(schema), expected(schema)));
                }
            }
        }
    }

    fn missing(&mut self, schema: &Value, path: &str) {
        let before = self.faults.len();
        if let Some(section) = section(schema) {
            self.section(&Map::new(), &section, &format!("{path}."));
            if let (true, Some(any)) = (self.faults.len() == before, section.any()) {
                self.missing(any, &format!("{path}.{ANY}"));
            }
        } else {
            let schema = plain(schema);
            self.faults.push(format!("missing key {path}{}: {}", variable(schema), expected(schema)));
        }
    }
}

fn remedy(key: &str, above: &str, known: &[&str]) -> String {
    match nearest(key, known.iter().copied()) {
        Some(nearest) => format!("did you mean {above}{nearest}?"),
        None => format!("there are {}", known.join(", ")),
    }
}

fn variable(schema: &Value) -> String {
    schema.get(VARIABLE).and_then(Value::as_str).map(|name| format!(" ({name})")).unwrap_or_default()
}

/// Of a value that may be absent, what it is where it is there.
fn plain(schema: &Value) -> &Value {
    let either = schema.get("anyOf").and_then(Value::as_array);
    let there = either.and_then(|either| either.iter().find(|one| one.get("type") != Some(&Value::from("null"))));
    there.unwrap_or(schema)
}

fn schema_has_type(schema: &Value, name: &str) -> bool {
    match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == name),
        Some(kind) => kind == name,
        None => false,
    }
}

/// The values that there are, where the schema lists them.
fn listed(schema: &Value) -> Option<Vec<&Value>> {
    let one_of = schema.get("oneOf").and_then(Value::as_array);
    let constants = one_of.map(|either| either.iter().filter_map(|one| one.get("const")).collect());
    constants.or_else(|| schema.get("enum").and_then(Value::as_array).map(|values| values.iter().collect()))
}

fn fits(value: &Value, schema: &Value) -> bool {
    if let Some(listed) = listed(schema) {
        return listed.contains(&value);
    }
    match value {
        Value::String(text) => {
            let format = schema.get("format").and_then(Value::as_str);
            schema_has_type(schema, "string")
                && format.and_then(|format| wanted(format, text)).is_none_or(|(_, fits)| fits)
        }
        Value::Number(number) => {
            let (least, most) = range(schema);
            let number = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
            schema_has_type(schema, "integer") && number.is_some_and(|number| (least..=most).contains(&number))
        }
        Value::Bool(_) => schema_has_type(schema, "boolean"),
        Value::Array(values) => {
            let item = schema.get("items").unwrap_or(&Value::Bool(true));
            schema_has_type(schema, "array") && values.iter().all(|value| fits(value, item))
        }
        Value::Null | Value::Object(_) => false,
    }
}

/// The least and the most that a number may be.
pub(super) fn range(schema: &Value) -> (i128, i128) {
    let kept: (i128, i128) = match schema.get("format").and_then(Value::as_str) {
        Some("uint16") => (0, u16::MAX.into()),
        Some("uint32") => (0, u32::MAX.into()),
        Some("int32") => (i32::MIN.into(), i32::MAX.into()),
        Some("uint" | "uint64") => (0, u64::MAX.into()),
        _ => (i64::MIN.into(), i64::MAX.into()),
    };
    let bound = |name: &str| schema.get(name).and_then(Value::as_i64).map(i128::from);
    (bound("minimum").unwrap_or(kept.0), bound("maximum").unwrap_or(kept.1))
}

fn expected(schema: &Value) -> String {
    if listed(schema).is_some() {
        return kind(schema);
    }
    let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
    if let Some((wanted, _)) = wanted(format, "") {
        return wanted.to_owned();
    }
    if schema_has_type(schema, "integer") {
        let (least, most) = range(schema);
        return format!("a whole number from {least} to {most}");
    }
    let told = [("boolean", "true or false"), ("array", "a list of texts"), ("string", "a text")];
    let told = told.iter().find(|(name, _)| schema_has_type(schema, name));
    told.map_or_else(|| kind(schema), |(_, told)| (*told).to_owned())
}
