//! An overlay as kubectl renders it, and the secrets that `deploy/kubernetes/secrets` makes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use base64::Engine as _;
use serde_json::Value;

/// The overlays, and whether their secrets come from outside.
pub const OVERLAYS: [&str; 2] = ["trial", "production"];

pub type Labels = BTreeMap<String, String>;

/// Some manifests.
#[derive(Debug)]
pub struct Manifests(pub Vec<Value>);

/// The folder of the manifests.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../kubernetes")
}

impl Manifests {
    /// What `kubectl apply -k` would apply.
    pub fn of_overlay(name: &str) -> anyhow::Result<Self> {
        let overlay = folder().join("overlays").join(name);
        Self::printed_by(Command::new("kubectl").arg("kustomize").arg(overlay))
            .context("kubectl (tests/run installs it)")
    }

    /// The secrets of a new system.
    pub fn of_secrets() -> anyhow::Result<Self> {
        Self::printed_by(Command::new(folder().join("secrets")).args([env!("CARGO_BIN_EXE_shixun"), "operator"]))
    }

    fn printed_by(command: &mut Command) -> anyhow::Result<Self> {
        let printed = command.output()?;
        anyhow::ensure!(printed.status.success(), "{command:?}: {}", String::from_utf8_lossy(&printed.stderr));
        Ok(Self(serde_saphyr::from_multiple(std::str::from_utf8(&printed.stdout)?)?))
    }

    /// All of a kind.
    pub fn kind(&self, kind: &'static str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |manifest| text(manifest, "/kind") == kind)
    }

    /// The one of a kind and name; kustomize ends names of generated ones by a hash.
    pub fn get(&self, kind: &'static str, name: &str) -> anyhow::Result<&Value> {
        let mut found = self.kind(kind).filter(|manifest| text(manifest, "/metadata/name") == name);
        found.next().with_context(|| format!("there is no {kind} {name}"))
    }

    /// The value of a key of a secret.
    pub fn secret(&self, name: &str, key: &str) -> anyhow::Result<Vec<u8>> {
        let data = self.get("Secret", name)?.get("data").and_then(|data| data.get(key)).and_then(Value::as_str);
        let data = data.with_context(|| format!("the secret {name} has no {key}"))?;
        Ok(base64::engine::general_purpose::STANDARD.decode(data)?)
    }

    /// The pod templates, by kind and name of what makes pods of them.
    pub fn pods(&self) -> BTreeMap<String, &Value> {
        let mut pods = BTreeMap::new();
        for kind in ["Deployment", "StatefulSet", "Job"] {
            for manifest in self.kind(kind) {
                let name = format!("{kind} {}", text(manifest, "/metadata/name"));
                pods.extend(manifest.pointer("/spec/template").map(|template| (name, template)));
            }
        }
        pods
    }
}

/// The text at a pointer; empty if there is none.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The list at a pointer; empty if there is none.
pub fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The labels at a pointer.
pub fn labels(value: &Value, pointer: &str) -> Labels {
    let labels = value.pointer(pointer).and_then(Value::as_object);
    labels
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect()
}

/// Whether a label selector takes something with these labels.
pub fn selects(selector: &Value, labels: &Labels) -> bool {
    let required = selector.get("matchLabels").and_then(Value::as_object);
    let has = |(key, value): (&String, &Value)| labels.get(key).map(String::as_str) == value.as_str();
    let fits = |rule: &Value| {
        assert_eq!(text(rule, "/operator"), "In", "no other operator is understood here");
        let label = labels.get(text(rule, "/key"));
        label.is_some_and(|label| list(rule, "/values").iter().any(|value| value == label.as_str()))
    };
    required.into_iter().flatten().all(has) && list(selector, "/matchExpressions").iter().all(fits)
}
