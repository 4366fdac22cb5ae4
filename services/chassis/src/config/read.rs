//! Reading a configuration: a file, overridden by the environment; and all that is wrong with it at once.

use std::path::Path;

use anyhow::Context as _;
use figment::{
    Figment,
    error::{Actual, Kind},
    providers::{Env, Format as _, Toml},
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    faults::faults,
    schema::{BETWEEN, PREFIX, schema, schema_of},
};
use crate::server::Program;

/// Reads the configuration of a program, which must have the addresses of its peers.
///
/// # Errors
/// As [`read`].
pub fn read_of<P: Program>(file: Option<&Path>) -> anyhow::Result<P::Config> {
    read_by(file, &schema_of::<P>())
}

/// Reads a configuration.
///
/// # Errors
/// Every fault, a line each: unknown keys, each with its source and the nearest key that there is; what is not as it must be, and
/// what is missing, each with its variable and what is expected. If there is none, the rules between keys that are broken.
pub fn read<C: DeserializeOwned + JsonSchema>(file: Option<&Path>) -> anyhow::Result<C> {
    read_by(file, &schema::<C>())
}

fn read_by<C: DeserializeOwned>(file: Option<&Path>, schema: &Value) -> anyhow::Result<C> {
    let mut figment = Figment::new();
    if let Some(file) = file {
        anyhow::ensure!(file.exists(), "{} does not exist", file.display());
        is_toml(file)?;
        figment = figment.merge(Toml::file(file));
    }
    figment = figment.merge(Env::prefixed(PREFIX).ignore(&["CONFIG"]).split(BETWEEN));
    let tree: Map<String, Value> = figment.extract().map_err(without_values)?;
    let source =
        |path: &str| figment.find_metadata(path).map(|source| format!(" ({})", source.name)).unwrap_or_default();
    let faults = faults(&tree, schema, &source);
    anyhow::ensure!(faults.is_empty(), "{}", faults.join("\n"));
    figment::value::Value::serialize(tree).map_err(without_values)?.deserialize().map_err(without_values)
}

/// A fault of the file's form is told by its place: its text may hold what is secret.
fn is_toml(file: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let Err(error) = text.parse::<toml::Table>() else { return Ok(()) };
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    anyhow::bail!("{}, line {}: {}", file.display(), before.split('\n').count(), error.message())
}

/// The faults by their keys, with the kinds of values in the place of the values: one of them may be a secret.
fn without_values(errors: figment::Error) -> anyhow::Error {
    let told = errors.into_iter().map(|error| {
        let kind = match error.kind {
            Kind::InvalidType(found, expected) => Kind::InvalidType(kind_of(&found), expected),
            Kind::InvalidValue(found, expected) => Kind::InvalidValue(kind_of(&found), expected),
            Kind::Unsupported(found) => Kind::Unsupported(kind_of(&found)),
            kind => kind,
        };
        if error.path.is_empty() { kind.to_string() } else { format!("{}: {kind}", error.path.join(".")) }
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
