//! Reading a configuration: a file, overridden by the environment; and no key in either that nobody reads.

use std::{fmt::Write as _, path::Path};

use anyhow::Context as _;
use figment::{
    Figment,
    error::{Actual, Kind},
    providers::{Env, Format as _, Serialized, Toml},
    value::{Dict, Value},
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::schema::{BETWEEN, PREFIX, schema, section};
use crate::policy::nearest;

/// Reads the configuration of a program.
///
/// # Errors
/// All unknown keys by their full names, each with its source and the nearest key that there is; and what is missing or
/// malformed.
pub fn read<C: DeserializeOwned + JsonSchema>(file: Option<&Path>) -> anyhow::Result<C> {
    let mut figment = Figment::new();
    if let Some(file) = file {
        anyhow::ensure!(file.exists(), "{} does not exist", file.display());
        is_toml(file)?;
        figment = figment.merge(Toml::file(file));
    }
    figment = figment.merge(Env::prefixed(PREFIX).ignore(&["CONFIG"]).split(BETWEEN));
    let mut tree: Dict = figment.extract().map_err(without_values)?;
    let mut told = String::new();
    for (path, remedy) in take_strangers(&mut tree, &schema::<C>(), "") {
        let source = figment.find_metadata(&path).map(|source| format!(" ({})", source.name)).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(told, "unknown key {path}{source}: {remedy}");
    }
    match Figment::from(Serialized::defaults(tree)).extract() {
        Ok(config) if told.is_empty() => Ok(config),
        Ok(_) => anyhow::bail!("{}", told.trim_end()),
        Err(error) => anyhow::bail!("{told}{}", without_values(error)),
    }
}

/// A fault of the file's form is told by its place: its text may hold what is secret.
fn is_toml(file: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let Err(error) = text.parse::<toml::Table>() else { return Ok(()) };
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    anyhow::bail!("{}, line {}: {}", file.display(), before.split('\n').count(), error.message())
}

/// The same faults, with the kinds of values in the place of the values: one of them may be a secret.
fn without_values(errors: figment::Error) -> anyhow::Error {
    let told = errors.into_iter().map(|mut error| {
        error.kind = match error.kind {
            Kind::InvalidType(found, expected) => Kind::InvalidType(kind_of(&found), expected),
            Kind::InvalidValue(found, expected) => Kind::InvalidValue(kind_of(&found), expected),
            Kind::Unsupported(found) => Kind::Unsupported(kind_of(&found)),
            kind => kind,
        };
        error.to_string()
    });
    anyhow::anyhow!("{}", told.collect::<Vec<_>>().join("\n"))
}

fn kind_of(found: &Actual) -> Actual {
    let kind = match found {
        Actual::Bool(_) => "a boolean",
        Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_) => "a number",
        Actual::Char(_) | Actual::Str(_) | Actual::Bytes(_) => "a text",
        Actual::Seq => "a list",
        Actual::Map => "a section",
        _ => "something else",
    };
    Actual::Other(kind.to_owned())
}

/// Takes out what the schema does not know. Returns each such key's path, and what was meant.
fn take_strangers(tree: &mut Dict, schema: &serde_json::Value, above: &str) -> Vec<(String, String)> {
    // What is no section is told by its own type.
    let Some(section) = section(schema) else { return Vec::new() };
    let mut strangers = Vec::new();
    tree.retain(|key, value| {
        let path = format!("{above}{key}");
        match (section.property(key), value) {
            (None, _) => {
                let known: Vec<_> = section.properties().map(|(key, _)| key).collect();
                strangers.push((path, remedy(key, above, &known)));
                return false;
            }
            (Some(schema), Value::Dict(_, below)) => {
                strangers.extend(take_strangers(below, schema, &format!("{path}.")));
            }
            (Some(_), _) => {}
        }
        true
    });
    strangers
}

fn remedy(key: &str, above: &str, known: &[&str]) -> String {
    match nearest(key, known.iter().copied()) {
        Some(nearest) => format!("did you mean {above}{nearest}?"),
        None => format!("there are {}", known.join(", ")),
    }
}
