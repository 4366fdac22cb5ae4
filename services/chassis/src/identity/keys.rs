//! Keys as files: a private key for each process, and a folder of public ones.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use aws_lc_rs::signature::{ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, KeyPair as _};
use jsonwebtoken::{DecodingKey, EncodingKey};
use sha2::{Digest as _, Sha256};

/// A key that tokens are signed with.
pub(super) struct Private {
    pub id: String,
    pub key: EncodingKey,
}

/// A key that tokens are checked with.
pub(super) struct Public {
    /// Whose it is: it speaks for this service alone.
    pub service: String,
    pub bytes: Vec<u8>,
    pub key: DecodingKey,
}

impl Private {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let document = std::fs::read(path).with_context(|| format!("reading the key {}", path.display()))?;
        let pair = Ed25519KeyPair::from_pkcs8(&document)
            .with_context(|| format!("{} is no Ed25519 key in PKCS #8", path.display()))?;
        Ok(Self { id: id(pair.public_key().as_ref()), key: EncodingKey::from_ed_der(&document) })
    }
}

/// Every `*.pub` of a folder, by the key's id.
pub(super) fn trusted(folder: &Path) -> anyhow::Result<BTreeMap<String, Public>> {
    let mut keys = BTreeMap::new();
    let files = std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in files {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "pub") {
            continue;
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let (service, digits) = text
            .trim()
            .split_once(' ')
            .with_context(|| format!("{}: expected a service's name and a key in hex", path.display()))?;
        let bytes = hex::decode(digits).with_context(|| format!("{}: the key is not hex", path.display()))?;
        anyhow::ensure!(bytes.len() == ED25519_PUBLIC_KEY_LEN, "{}: the key is no Ed25519 key", path.display());
        let key = DecodingKey::from_ed_der(&bytes);
        keys.insert(id(&bytes), Public { service: service.to_owned(), bytes, key });
    }
    anyhow::ensure!(!keys.is_empty(), "{} has no *.pub", folder.display());
    Ok(keys)
}

/// Names a public key, in a token's `kid` and in the published set.
fn id(public: &[u8]) -> String {
    hex::encode(Sha256::digest(public).get(..8).unwrap_or_default())
}

/// Makes the key of `service` in `folder` unless it is there: `<service>.key` (PKCS #8, for its owner alone) and
/// `<service>.pub` (one line: service and public key in hex), which goes to every folder of trusted keys.
///
/// # Errors
/// If the folder cannot be written.
pub fn ensure_key(folder: &Path, service: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(format!("{service}.key"));
    if path.exists() { Ok(path) } else { make(folder, service, |_| service.to_owned()) }
}

/// Makes a key that is to follow the one that `service` has: `<service>-<id>.key` and `<service>-<id>.pub`.
///
/// # Errors
/// If the folder cannot be written.
pub fn next_key(folder: &Path, service: &str) -> anyhow::Result<PathBuf> {
    make(folder, service, |id| format!("{service}-{id}"))
}

fn make(folder: &Path, service: &str, name: impl FnOnce(&str) -> String) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let document = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new())?;
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref())?;
    let public = pair.public_key().as_ref();
    let name = name(&id(public));
    let path = folder.join(format!("{name}.key"));
    // Written aside and renamed: whoever looks at the folder meanwhile must not find half a line.
    let aside = folder.join(format!("{name}.pub.new"));
    std::fs::write(&aside, format!("{service} {}\n", hex::encode(public)))?;
    std::fs::rename(aside, folder.join(format!("{name}.pub")))?;
    write_private(&path, document.as_ref())?;
    Ok(path)
}

fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    // A process that is killed in between must not leave half a key.
    let aside = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(std::fs::rename(aside, path)?)
}
