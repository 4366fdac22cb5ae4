//! Tokens, as anybody can write them into a header.

use std::sync::LazyLock;

use chassis::{Env, identity::Identity};
use tempfile::TempDir;

/// The gateway's identity, and a token that it signed for a person.
struct Signed {
    identity: Identity,
    person: String,
    _folder: TempDir,
}

static SIGNED: LazyLock<anyhow::Result<Signed>> = LazyLock::new(|| {
    chassis::install_crypto();
    let folder = TempDir::new()?;
    let key = chassis::identity::ensure_key(folder.path(), "gateway")?;
    let identity = Identity::load("gateway", &key, folder.path(), Env::system())?;
    let (person, _) =
        identity.issue("accounts/one", "teachers/one", vec![(1, "organizations/one".to_owned())], 3600)?;
    Ok(Signed { identity, person, _folder: folder })
});

/// The token with some of its characters replaced by the input's is believed only where it is the same token.
///
/// # Panics
/// If a forged token is believed, or the true one is not.
pub fn token(input: &[u8]) {
    assert!(SIGNED.is_ok(), "no identity: {:?}", SIGNED.as_ref().err());
    let Ok(signed) = SIGNED.as_ref() else { return };
    let (place, text) = input.split_at(input.len().min(2));
    let at = place.iter().fold(0, |at, byte| at * 256 + usize::from(*byte)) % signed.person.len().max(1);
    let mut forged = signed.person.clone().into_bytes();
    for (to, from) in forged.iter_mut().skip(at).zip(text) {
        *to = *from;
    }
    let forged = String::from_utf8_lossy(&forged);
    assert_eq!(signed.identity.person(&forged).is_ok(), forged == signed.person, "{forged}");
    for alone in [String::from_utf8_lossy(text), forged] {
        assert!(signed.identity.service(&alone).is_err(), "a person's token, or none, is no service's: {alone}");
    }
}
