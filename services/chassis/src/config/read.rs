//! Reading a configuration: a file, overridden by the environment; and no key in either that nobody reads.

use std::{fmt::Write as _, path::Path};

use figment::{
    Figment,
    error::Kind,
    providers::{Env, Format as _, Serialized, Toml},
    value::{Dict, Value},
};
use serde::de::{Deserialize as _, DeserializeOwned, value::MapDeserializer};

use super::Config;
use crate::contract;

/// How like two keys are that are the same but for a slip (Jaro–Winkler, 0 to 1).
const ALIKE: f64 = 0.8;

/// Reads the configuration of a program with `sections` of its own beside what every service has.
///
/// # Errors
/// All unknown keys by their full names, each with its source and the nearest key that there is; and what is missing or
/// malformed.
pub fn read<C: DeserializeOwned>(file: Option<&Path>, sections: &[&str]) -> anyhow::Result<C> {
    let mut figment = Figment::new();
    if let Some(file) = file {
        anyhow::ensure!(file.exists(), "{} does not exist", file.display());
        figment = figment.merge(Toml::file(file));
    }
    figment = figment.merge(Env::prefixed("SHIXUN_").ignore(&["CONFIG"]).split("__"));
    let mut tree: Dict = figment.extract()?;
    let mut told = String::new();
    let mut tell = |path: &str, known: &[&str]| {
        let source = figment.find_metadata(path).map(|source| format!(" ({})", source.name)).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(told, "unknown key {path}{source}: {}", remedy(path, known));
    };

    let top: Vec<_> = common_sections().iter().chain(sections).copied().collect();
    let services = services();
    let strangers: Vec<_> = tree.keys().filter(|key| !top.contains(&key.as_str())).cloned().collect();
    for key in strangers {
        tell(&key, &top);
        tree.remove(&key);
    }
    if let Some(Value::Dict(_, peers)) = tree.get("peers") {
        for key in peers.keys().filter(|key| !services.contains(&key.as_str())) {
            tell(&format!("peers.{key}"), &services);
        }
    }
    let extracted = loop {
        let extracted = extract::<C>(&tree);
        let Some((key, known)) = extracted.as_ref().err().and_then(|error| unknown(error)) else { break extracted };
        // The error has no path. The one without which it is gone, and no other in its place, is the one.
        let mut found = paths(&tree, "", &key).into_iter().map(|path| (without(&tree, &path), path));
        let Some((rest, path)) = found.find(|(rest, _)| settles(&extract::<C>(rest), &key, known)) else {
            break extracted;
        };
        tell(&path, known);
        tree = rest;
    };
    match extracted {
        Ok(config) if told.is_empty() => Ok(config),
        Ok(_) => anyhow::bail!("{}", told.trim_end()),
        Err(error) => anyhow::bail!("{told}{error}"),
    }
}

fn extract<C: DeserializeOwned>(tree: &Dict) -> Result<C, Box<figment::Error>> {
    Figment::from(Serialized::defaults(tree)).extract().map_err(Box::new)
}

fn unknown(error: &figment::Error) -> Option<(String, &'static [&'static str])> {
    match &error.kind {
        Kind::UnknownField(key, known) => Some((key.clone(), known)),
        _ => None,
    }
}

/// Whether a key that was taken away was the unknown one: neither is it still told, nor is it missed now.
fn settles<C>(extracted: &Result<C, Box<figment::Error>>, key: &str, known: &'static [&'static str]) -> bool {
    match extracted.as_ref().map_err(|error| &error.kind) {
        Ok(_) => true,
        Err(Kind::UnknownField(other, others)) => other != key || *others != known,
        Err(Kind::MissingField(missing)) => missing != key,
        Err(_) => true,
    }
}

/// All places below the top at which a tree has `key`, as dotted paths.
fn paths(tree: &Dict, above: &str, key: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in tree {
        let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        if !above.is_empty() && name == key {
            found.push(path.clone());
        }
        if let Value::Dict(_, below) = value {
            found.extend(paths(below, &path, key));
        }
    }
    found
}

fn without(tree: &Dict, path: &str) -> Dict {
    let mut tree = tree.clone();
    match path.split_once('.') {
        None => {
            tree.remove(path);
        }
        Some((name, rest)) => {
            if let Some(Value::Dict(_, below)) = tree.get_mut(name) {
                *below = without(below, rest);
            }
        }
    }
    tree
}

fn remedy(path: &str, known: &[&str]) -> String {
    let (above, key) = path.rsplit_once('.').map_or(("", path), |(above, key)| (above, key));
    let alike = known.iter().map(|known| (strsim::jaro_winkler(key, known), known));
    match alike.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((likeness, nearest)) if likeness >= ALIKE && above.is_empty() => format!("did you mean {nearest}?"),
        Some((likeness, nearest)) if likeness >= ALIKE => format!("did you mean {above}.{nearest}?"),
        _ => format!("there are {}", known.join(", ")),
    }
}

/// The keys that every service has at the top, as their struct names them.
fn common_sections() -> &'static [&'static str] {
    let refused = Config::deserialize(MapDeserializer::<_, figment::Error>::new([("", true)].into_iter()));
    refused.err().as_ref().and_then(unknown).map_or(&[], |(_, known)| known)
}

/// The services of the house, of which each may be a peer.
fn services() -> Vec<&'static str> {
    let mut all: Vec<_> = contract::methods()
        .filter_map(|method| method.service.strip_prefix("shixun.")?.split('.').next())
        .filter(|package| *package != "common")
        .collect();
    all.dedup();
    all
}
