//! Keeps identity numbers: sealed with AES-256-GCM under a key that is named beside them, found again by a blind index.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use aes_gcm::{
    Aes256Gcm, KeyInit as _,
    aead::{Aead as _, Nonce, Payload},
};
use anyhow::Context as _;
use chassis::{Env, Failure};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::{config::IdentityConfig, domain::teacher::Sealed};

/// Bytes of a nonce, which stands before the ciphertext.
const NONCE: usize = 12;

/// See the module.
pub struct Vault {
    env: Env,
    current: String,
    ciphers: BTreeMap<String, Aes256Gcm>,
    index: Hmac<Sha256>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("current", &self.current).finish_non_exhaustive()
    }
}

impl Vault {
    /// A vault with these keys.
    ///
    /// # Errors
    /// If the index key is not taken.
    pub fn new(config: &IdentityConfig, env: Env) -> anyhow::Result<Self> {
        let cipher = |key: &crate::config::Key| Aes256Gcm::new(&key.0.into());
        Ok(Self {
            env,
            current: config.current.clone(),
            ciphers: config.keys.iter().map(|(id, key)| (id.clone(), cipher(key))).collect(),
            index: Hmac::new_from_slice(&config.index_key.0).context("identity.index_key")?,
        })
    }

    /// Seals a teacher's identity number. It opens for that teacher only.
    ///
    /// # Errors
    /// Internal, if chance or the cipher fails.
    pub fn seal(&self, teacher: &str, number: &str) -> Result<Sealed, Failure> {
        let cipher = self.ciphers.get(&self.current).ok_or_else(|| Failure::internal("no current identity key"))?;
        let nonce = self.env.random::<NONCE>().map_err(Failure::internal)?;
        let payload = Payload { msg: number.as_bytes(), aad: teacher.as_bytes() };
        let text = cipher
            .encrypt(&Nonce::<Aes256Gcm>::from(nonce), payload)
            .map_err(|_| Failure::internal("sealing an identity number"))?;
        let sealed = nonce.into_iter().chain(text).collect();
        Ok(Sealed { key: self.current.clone(), sealed, index: self.index(number) })
    }

    /// Opens a teacher's identity number; none if its key is not here or it was altered.
    #[must_use]
    pub fn open(&self, teacher: &str, sealed: &Sealed) -> Option<String> {
        let cipher = self.ciphers.get(&sealed.key)?;
        let (nonce, text) = sealed.sealed.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg: text, aad: teacher.as_bytes() };
        let number = cipher.decrypt(&Nonce::<Aes256Gcm>::from(*nonce), payload).ok()?;
        String::from_utf8(number).ok()
    }

    /// Whether these are the keys by which numbers were sealed and are found again: samples, of each key some, with their
    /// teachers. Others would open nothing and find no duplicate. One of several that was altered proves nothing.
    ///
    /// # Errors
    /// Names the key that is missing or another.
    pub fn fits(&self, samples: &[(String, Sealed)]) -> anyhow::Result<()> {
        let keys: BTreeSet<&str> = samples.iter().map(|(_, sealed)| sealed.key.as_str()).collect();
        for key in keys {
            let of_key = samples.iter().filter(|(_, sealed)| sealed.key == key);
            let opened: Vec<_> =
                of_key.filter_map(|(teacher, sealed)| Some((self.open(teacher, sealed)?, &sealed.index))).collect();
            anyhow::ensure!(
                !opened.is_empty(),
                "identity.keys.{key} is missing, or another than identity numbers in the database are sealed with: put it back"
            );
            anyhow::ensure!(
                opened.iter().any(|(number, index)| self.index(number) == **index),
                "identity.index_key is another than identity numbers in the database are found by: put it back"
            );
        }
        Ok(())
    }

    /// The blind index of an identity number, in hex.
    #[must_use]
    pub fn index(&self, number: &str) -> String {
        self.keyed("identity", number)
    }

    /// The blind index of a login, in hex.
    #[must_use]
    pub fn login_index(&self, login: &str) -> String {
        self.keyed("login", login)
    }

    /// A keyed mark of a secret in a request: the request is recognised by it when it comes again, and what is kept of the
    /// request gives nothing to guess at.
    #[must_use]
    pub fn mark(&self, secret: &str) -> String {
        self.keyed("secret", secret)
    }

    fn keyed(&self, kind: &str, text: &str) -> String {
        let mut mac = self.index.clone();
        mac.update(kind.as_bytes());
        mac.update(&[0]);
        mac.update(text.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::Key;

    pub(crate) fn vault() -> Vault {
        let keys = BTreeMap::from([("k1".to_owned(), Key([1; 32])), ("k2".to_owned(), Key([2; 32]))]);
        let config = IdentityConfig { current: "k2".into(), keys, index_key: Key([3; 32]) };
        Vault::new(&config, Env::system()).unwrap()
    }

    #[test]
    fn opens_for_its_teacher_only() {
        let vault = vault();
        let sealed = vault.seal("teachers/a", "11010519491231002X").ok().unwrap();
        assert_eq!(sealed.key, "k2");
        assert_eq!(vault.open("teachers/a", &sealed).as_deref(), Some("11010519491231002X"));
        assert_eq!(vault.open("teachers/b", &sealed), None);
        let other_key = Sealed { key: "k1".into(), ..sealed.clone() };
        assert_eq!(vault.open("teachers/a", &other_key), None);
        let lost_key = Sealed { key: "k0".into(), ..sealed.clone() };
        assert_eq!(vault.open("teachers/a", &lost_key), None);
        assert!(!sealed.sealed.windows(6).any(|part| part == b"110105"), "nothing of it is legible");
    }

    #[test]
    fn other_keys_than_numbers_were_sealed_with_are_noticed() {
        let sealed = |teacher: &str| (teacher.to_owned(), vault().seal(teacher, "11010519491231002X").ok().unwrap());
        let samples = [sealed("teachers/a"), sealed("teachers/z")];
        let with = |keys: &[(&str, u8)], index: u8| {
            let keys: BTreeMap<_, _> = keys.iter().map(|(id, byte)| ((*id).to_owned(), Key([*byte; 32]))).collect();
            let current = keys.keys().next().unwrap().clone();
            Vault::new(&IdentityConfig { current, keys, index_key: Key([index; 32]) }, Env::system()).unwrap()
        };
        with(&[("k2", 2)], 3).fits(&samples).unwrap();
        with(&[("k3", 9), ("k2", 2)], 3).fits(&samples).unwrap();
        with(&[("k2", 4)], 5).fits(&[]).unwrap();
        let refused = |vault: Vault| vault.fits(&samples).unwrap_err().to_string();
        assert!(refused(with(&[("k2", 4)], 3)).contains("identity.keys.k2"));
        assert!(refused(with(&[("k1", 2)], 3)).contains("identity.keys.k2"));
        assert!(refused(with(&[("k2", 2)], 5)).contains("identity.index_key"));
        // One that was altered is no reason not to serve the others.
        let [mut altered, good] = samples.clone();
        altered.1.sealed.reverse();
        with(&[("k2", 2)], 3).fits(&[altered, good]).unwrap();
    }

    #[test]
    fn the_same_number_has_the_same_index_and_never_the_same_seal() {
        let vault = vault();
        let seal = |number| vault.seal("teachers/a", number).ok().unwrap();
        assert_eq!(seal("11010519491231002X").index, seal("11010519491231002X").index);
        assert_ne!(seal("11010519491231002X").sealed, seal("11010519491231002X").sealed);
        assert_ne!(vault.index("a"), vault.login_index("a"));
    }
}
