//! Reading a configuration: a file, overridden by the environment; and no key in either that nobody reads.

use std::{fmt::Write as _, path::Path};

use figment::{
    Figment,
    providers::{Env, Format as _, Serialized, Toml},
    value::{Dict, Value},
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::schema::{BETWEEN, PREFIX, schema, section};

/// How like two keys are that are the same but for a slip (Jaro–Winkler, 0 to 1).
const ALIKE: f64 = 0.8;

/// Reads the configuration of a program.
///
/// # Errors
/// All unknown keys by their full names, each with its source and the nearest key that there is; and what is missing or
/// malformed.
pub fn read<C: DeserializeOwned + JsonSchema>(file: Option<&Path>) -> anyhow::Result<C> {
    let mut figment = Figment::new();
    if let Some(file) = file {
        anyhow::ensure!(file.exists(), "{} does not exist", file.display());
        figment = figment.merge(Toml::file(file));
    }
    figment = figment.merge(Env::prefixed(PREFIX).ignore(&["CONFIG"]).split(BETWEEN));
    let mut tree: Dict = figment.extract()?;
    let mut told = String::new();
    for (path, remedy) in take_strangers(&mut tree, &schema::<C>(), "") {
        let source = figment.find_metadata(&path).map(|source| format!(" ({})", source.name)).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(told, "unknown key {path}{source}: {remedy}");
    }
    match Figment::from(Serialized::defaults(tree)).extract() {
        Ok(config) if told.is_empty() => Ok(config),
        Ok(_) => anyhow::bail!("{}", told.trim_end()),
        Err(error) => anyhow::bail!("{told}{error}"),
    }
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
    let alike = known.iter().map(|known| (strsim::jaro_winkler(key, known), known));
    match alike.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((likeness, nearest)) if likeness >= ALIKE => format!("did you mean {above}{nearest}?"),
        _ => format!("there are {}", known.join(", ")),
    }
}
