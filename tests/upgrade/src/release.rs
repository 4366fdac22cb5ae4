//! What releases promised: `deploy/releases/VERSION`, written by `deploy/releases/write`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use sha2::{Digest as _, Sha384};

use crate::expand;

/// A version, in the order of SemVer; pre-releases are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version([u32; 3]);

impl Version {
    /// "0.1.0"
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let parts: Vec<u32> = text.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self(parts.try_into().ok()?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// Migrations by their path in the repository: the digest of each.
pub type Migrations = BTreeMap<String, String>;

/// The repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The folder of the newest release's sample term, as it was then; `PREVIOUS_DOCUMENTS`, where the previous release is another.
///
/// # Errors
/// If there is none.
pub fn documents() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("PREVIOUS_DOCUMENTS") {
        return Ok(named.into());
    }
    let (newest, _) = releases()?.pop_last().context("no release")?;
    Ok(root().join(format!("deploy/releases/{newest}/2019-autumn")))
}

/// All releases with what each promised of its migrations.
///
/// # Errors
/// If a folder is not what `deploy/releases/write` writes.
pub fn releases() -> anyhow::Result<BTreeMap<Version, Migrations>> {
    let mut releases = BTreeMap::new();
    for entry in std::fs::read_dir(root().join("deploy/releases"))? {
        let path = entry?.path();
        if path.is_dir() {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let version = Version::read(name).with_context(|| format!("{name} is no version of a release"))?;
            let list = std::fs::read_to_string(path.join("migrations.sha384"))?;
            let read = |line: &str| {
                let (digest, path) = line.split_once("  ").with_context(|| format!("{version}: {line}"))?;
                anyhow::Ok((path.to_owned(), digest.to_owned()))
            };
            releases.insert(version, list.lines().map(read).collect::<anyhow::Result<_>>()?);
        }
    }
    Ok(releases)
}

/// The folders that hold an owner's migrations for both engines.
fn folders() -> anyhow::Result<Vec<String>> {
    let mut folders = vec!["gateway/migrations".to_owned()];
    for entry in std::fs::read_dir(root().join("services"))? {
        folders.push(format!("services/{}/migrations", entry?.file_name().to_string_lossy()));
    }
    Ok(folders)
}

/// The migrations as they are: path and text.
///
/// # Errors
/// If they cannot be read.
pub fn present() -> anyhow::Result<BTreeMap<String, String>> {
    let mut present = BTreeMap::new();
    for folder in folders()? {
        for engine in ENGINES {
            let folder = format!("{folder}/{engine}");
            for entry in std::fs::read_dir(root().join(&folder)).context(folder.clone())? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                let path = format!("{folder}/{name}");
                let text = std::fs::read_to_string(root().join(&path))?;
                present.insert(path, text);
            }
        }
    }
    Ok(present)
}

const ENGINES: [&str; 2] = ["sqlite", "postgres"];

/// What is wrong with the `present` migrations after these releases.
#[must_use]
pub fn faults(present: &BTreeMap<String, String>, releases: &BTreeMap<Version, Migrations>) -> Vec<String> {
    let mut faults = Vec::new();
    for (version, promised) in releases {
        for (path, digest) in promised {
            match present.get(path).map(|text| digest_of(text)) {
                None => faults.push(format!("{path} was released with {version}, and is gone")),
                Some(now) if now != *digest => {
                    faults.push(format!("{path} was released with {version}, and is altered"));
                }
                Some(_) => {}
            }
        }
    }
    let released: BTreeSet<&String> = releases.values().flat_map(BTreeMap::keys).collect();
    let mut newest: BTreeMap<&str, &str> = BTreeMap::new();
    for path in &released {
        if let Some((folder, name)) = path.rsplit_once('/') {
            let known = newest.entry(folder).or_insert(name);
            *known = (*known).max(name);
        }
    }
    for (path, text) in present {
        let Some((folder, name)) = path.rsplit_once('/') else { continue };
        let other = ENGINES.into_iter().find(|engine| !folder.ends_with(engine)).unwrap_or_default();
        let twin = folder.rsplit_once('/').map(|(owner, _)| format!("{owner}/{other}/{name}")).unwrap_or_default();
        if !present.contains_key(&twin) {
            faults.push(format!("{path}: there is no {twin}"));
        }
        if released.contains(path) {
            continue;
        }
        // Numbers have four digits: names are in their order.
        if newest.get(folder).is_some_and(|newest| number(newest) >= number(name)) {
            faults.push(format!("{path} comes before a migration that was released"));
        }
        let allowed = match expand::contracts_since(name) {
            Some(since) if releases.contains_key(&since) => continue,
            Some(since) => {
                faults.push(format!("{path} contracts what {since} does without, which was not released"));
                continue;
            }
            None => expand::narrows(text),
        };
        faults.extend(allowed.into_iter().map(|what| format!("{path}: {what}")));
    }
    faults
}

fn number(name: &str) -> &str {
    name.split('_').next().unwrap_or_default()
}

fn digest_of(text: &str) -> String {
    Sha384::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
