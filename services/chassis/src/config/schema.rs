//! What a configuration may hold: a JSON Schema, generated from its types, in which each key names the environment variable
//! that sets it.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::format::wanted;
use crate::server::Program;

/// What the names of all variables begin with.
pub(super) const PREFIX: &str = "SHIXUN_";
/// What stands between the levels of a variable's name.
pub(super) const BETWEEN: &str = "__";
/// Where a key's schema names its variable.
pub(super) const VARIABLE: &str = "x-environment";
/// Stands for the key where any may be.
pub(super) const ANY: &str = "ID";

/// A key of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// Dotted, e.g. "database.url"; `ID` stands where any name may.
    pub path: String,
    /// The environment variable that sets it.
    pub variable: String,
    /// The type of its value, e.g. "integer".
    pub kind: String,
    /// What holds if it is not given, where that is a value.
    pub default: Option<Value>,
    /// Whether the section that it stands in must have it.
    pub required: bool,
    /// What it is for.
    pub about: String,
}

/// The schema of a program's configuration (JSON Schema, draft 2020-12), which must have the addresses of its peers.
#[must_use]
pub fn schema_of<P: Program>() -> Value {
    let mut schema = schema::<P::Config>();
    if let Some(Value::Object(peers)) = schema.pointer_mut("/properties/peers")
        && !P::PEERS.is_empty()
    {
        peers.insert("required".to_owned(), P::PEERS.into());
        if let Some(Value::Array(required)) = schema.get_mut("required") {
            required.push("peers".into());
        }
    }
    schema
}

pub(super) fn schema<C: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<C>().to_value();
    name_variables(&mut schema, PREFIX);
    schema
}

fn name_variables(schema: &mut Value, variable: &str) {
    let below = |key: &str| {
        let between = if variable == PREFIX { "" } else { BETWEEN };
        format!("{variable}{between}{}", key.to_uppercase())
    };
    let Value::Object(schema) = schema else { return };
    if let Some(Value::Array(either)) = schema.get_mut("anyOf") {
        either.iter_mut().for_each(|schema| name_variables(schema, variable));
        return;
    }
    let mut section = false;
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        section = true;
        properties.iter_mut().for_each(|(key, schema)| name_variables(schema, &below(key)));
    }
    if let Some(any @ Value::Object(_)) = schema.get_mut("additionalProperties") {
        section = true;
        name_variables(any, &below(ANY));
    }
    if !section && schema.get("type") != Some(&json!("null")) {
        schema.insert(VARIABLE.to_owned(), variable.into());
    }
}

/// All keys that a schema has, in its order.
#[must_use]
pub fn keys(schema: &Value) -> Vec<Key> {
    let mut keys = Vec::new();
    collect(schema, "", true, &mut keys);
    keys
}

fn collect(schema: &Value, path: &str, required: bool, keys: &mut Vec<Key>) {
    let Some(section) = section(schema) else {
        let text = |field: &str| schema.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        keys.push(Key {
            path: path.to_owned(),
            variable: text(VARIABLE),
            kind: kind(schema),
            default: schema.get("default").filter(|default| !default.is_null()).cloned(),
            required,
            about: text("description"),
        });
        return;
    };
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    for (key, schema) in section.properties() {
        collect(schema, &below(key), section.requires(key), keys);
    }
    if let Some(schema) = section.any() {
        collect(schema, &below(ANY), true, keys);
    }
}

/// In a word: "string (host:port)", "integer (from 1)", or the values that there are.
pub(super) fn kind(schema: &Value) -> String {
    let words = |values: &Vec<Value>| {
        let words = values.iter().filter_map(Value::as_str).filter(|word| *word != "null");
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    if let Some(Value::Array(either)) = schema.get("oneOf") {
        let values = either.iter().filter_map(|one| one.get("const")).map(Value::to_string);
        return values.collect::<Vec<_>>().join(" or ");
    }
    let kind = match (schema.get("enum"), schema.get("type")) {
        (Some(Value::Array(values)), _) => return values.iter().map(Value::to_string).collect::<Vec<_>>().join(" or "),
        (_, Some(Value::String(kind))) => kind.clone(),
        (_, Some(Value::Array(kinds))) => words(kinds).join(" or "),
        _ => return String::new(),
    };
    let number = |bound: &str| schema.get(bound).and_then(Value::as_i64).filter(|bound| *bound != 0);
    let format = schema.get("format").and_then(Value::as_str).filter(|format| wanted(format, "").is_some());
    match (format, number("minimum"), number("maximum")) {
        (Some(format), ..) => format!("{kind} ({format})"),
        (None, Some(least), Some(most)) => format!("{kind} ({least} to {most})"),
        (None, Some(least), None) => format!("{kind} (from {least})"),
        (None, None, Some(most)) => format!("{kind} (to {most})"),
        (None, None, None) => kind,
    }
}

/// A schema whose values have keys of their own.
pub(super) struct Section<'a>(&'a Map<String, Value>);

/// The section that a schema describes, whether it may be absent or not; `None` for a plain value.
pub(super) fn section(schema: &Value) -> Option<Section<'_>> {
    if let Some(Value::Array(either)) = schema.get("anyOf") {
        return either.iter().find_map(section);
    }
    let section = Section(schema.as_object()?);
    (section.0.contains_key("properties") || section.any().is_some()).then_some(section)
}

impl<'a> Section<'a> {
    /// The keys that it has by name.
    pub(super) fn properties(&self) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        let properties = self.0.get("properties").and_then(Value::as_object);
        properties.into_iter().flatten().map(|(key, schema)| (key.as_str(), schema))
    }

    /// The schema of a key.
    pub(super) fn property(&self, key: &str) -> Option<&'a Value> {
        self.properties().find_map(|(name, schema)| (name == key).then_some(schema)).or_else(|| self.any())
    }

    /// What stands under names that are not known beforehand.
    pub(super) fn any(&self) -> Option<&'a Value> {
        self.0.get("additionalProperties").filter(|any| any.is_object())
    }

    pub(super) fn requires(&self, key: &str) -> bool {
        let required = self.0.get("required").and_then(Value::as_array);
        required.is_some_and(|names| names.iter().any(|name| name == key))
    }
}
