//! Who calls: Ed25519-signed tokens of persons (issued by the gateway) and of services (each by its own key), checked
//! offline against a folder of trusted public keys.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use http::HeaderValue;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use proto::{
    Actor, Held,
    common::v1::{Reason, Role},
};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    env::Env,
    failure::Failure,
    telemetry::{KeyValue, meter},
};

/// Only this service's keys sign tokens of persons.
pub const ISSUER: &str = "gateway";
/// Seconds for which a service's own token is good.
const SERVICE_TOKEN_SECONDS: i64 = 300;
/// The type of tokens of persons, and of services.
const PERSON: &str = "person";
const SERVICE: &str = "service";
/// Verified tokens that are kept.
const VERIFIED: usize = 100_000;

/// What a token says.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Claims {
    /// The service that signed.
    pub iss: String,
    /// "accounts/…", or the service's name.
    pub sub: String,
    /// Seconds since the epoch.
    pub exp: i64,
    /// Seconds since the epoch.
    pub iat: i64,
    /// "person" or "service".
    pub typ: String,
    /// "teachers/…" where the person is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub teacher: String,
    /// Roles with their organisations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<(i32, String)>,
}

impl Claims {
    /// The roles that the token carries; unknown ones, and the services' own, are left out.
    #[must_use]
    pub fn held(&self) -> Vec<Held> {
        let known = |(role, organization): &(i32, String)| match Role::try_from(*role) {
            Ok(Role::Service | Role::Unspecified) | Err(_) => None,
            Ok(role) => Some(Held { role, organization: organization.clone() }),
        };
        self.roles.iter().filter_map(known).collect()
    }
}

/// The key of this process, and those it trusts.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    name: &'static str,
    env: Env,
    key: EncodingKey,
    key_id: String,
    trusted: BTreeMap<String, Trusted>,
    verified: Cache<[u8; 32], Verified>,
    own: Mutex<Option<(i64, HeaderValue)>>,
}

/// What a token that was verified says, and who brings it.
#[derive(Debug, Clone)]
pub struct Verified {
    /// What it says.
    pub claims: Arc<Claims>,
    /// A person with every role that the token carries, or a service.
    pub actor: Arc<Actor>,
}

impl Verified {
    fn new(claims: Claims) -> Self {
        let actor = if claims.typ == SERVICE {
            Actor { service: claims.sub.clone(), ..Actor::default() }
        } else {
            Actor {
                account: claims.sub.clone(),
                teacher: claims.teacher.clone(),
                roles: claims.held(),
                service: String::new(),
            }
        };
        Self { claims: Arc::new(claims), actor: Arc::new(actor) }
    }
}

struct Trusted {
    service: String,
    key: DecodingKey,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("service", &self.0.name)
            .field("key_id", &self.0.key_id)
            .finish_non_exhaustive()
    }
}

/// Makes the key of `service` in `folder` unless it is there: `<service>.key` (PKCS #8, for its owner alone) and
/// `<service>.pub` (one line: service and public key in hex), which goes to every folder of trusted keys.
///
/// # Errors
/// If the folder cannot be written.
pub fn ensure_key(folder: &Path, service: &str) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let path = folder.join(format!("{service}.key"));
    if !path.exists() {
        let document = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new())?;
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref())?;
        let line = format!("{service} {}\n", hex::encode(pair.public_key().as_ref()));
        std::fs::write(folder.join(format!("{service}.pub")), line)?;
        write_private(&path, document.as_ref())?;
    }
    Ok(path)
}

fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    // Written aside and renamed: a process that is killed in between must not leave half a key.
    let aside = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(std::fs::rename(aside, path)?)
}

/// Shows the tokens that are kept for as long as the identity is used.
fn observe(inner: &Arc<Inner>) {
    let gauge = |name: &'static str, description: &'static str, shown: fn(&Inner) -> usize| {
        let weak = Arc::downgrade(inner);
        meter()
            .u64_observable_gauge(name)
            .with_unit("{token}")
            .with_description(description)
            .with_callback(move |observer| {
                if let Some(inner) = weak.upgrade() {
                    observer.observe(
                        u64::try_from(shown(&inner)).unwrap_or(u64::MAX),
                        &[KeyValue::new("service", inner.name)],
                    );
                }
            })
            .build();
    };
    gauge("shixun.identity.tokens", "Verified tokens kept in memory", |inner| inner.verified.len());
    gauge("shixun.identity.tokens.limit", "Verified tokens that are kept at most", |_| VERIFIED);
}

impl Identity {
    /// Reads the process's key and every `*.pub` of the trusted folder.
    ///
    /// # Errors
    /// If a file is missing or is no key.
    pub fn load(name: &'static str, key: &Path, trusted: &Path, env: Env) -> anyhow::Result<Self> {
        let document = std::fs::read(key).with_context(|| format!("reading the key {}", key.display()))?;
        let pair = Ed25519KeyPair::from_pkcs8(&document)
            .with_context(|| format!("{} is no Ed25519 key in PKCS #8", key.display()))?;
        let mut keys = BTreeMap::new();
        let folder = std::fs::read_dir(trusted).with_context(|| format!("reading {}", trusted.display()))?;
        for entry in folder {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "pub") {
                continue;
            }
            let text = std::fs::read_to_string(&path)?;
            let (service, digits) = text
                .trim()
                .split_once(' ')
                .with_context(|| format!("{}: expected a service's name and a key in hex", path.display()))?;
            let public = hex::decode(digits).with_context(|| format!("{}: the key is not hex", path.display()))?;
            let trusted = Trusted { service: service.to_owned(), key: DecodingKey::from_ed_der(&public) };
            keys.insert(key_id(&public), trusted);
        }
        let inner = Arc::new(Inner {
            name,
            env,
            key: EncodingKey::from_ed_der(&document),
            key_id: key_id(pair.public_key().as_ref()),
            trusted: keys,
            verified: Cache::new(VERIFIED),
            own: Mutex::new(None),
        });
        observe(&inner);
        Ok(Self(inner))
    }

    /// Signs a token for a person. Good for `seconds`; returns it with its expiry in seconds since the epoch.
    ///
    /// # Errors
    /// If signing fails.
    pub fn issue(
        &self,
        account: &str,
        teacher: &str,
        roles: Vec<(i32, String)>,
        seconds: i64,
    ) -> Result<(String, i64), Failure> {
        let now = self.0.env.wall_seconds();
        let claims = Claims {
            iss: self.0.name.to_owned(),
            sub: account.to_owned(),
            exp: now + seconds,
            iat: now,
            typ: PERSON.to_owned(),
            teacher: teacher.to_owned(),
            roles,
        };
        Ok((self.sign(&claims)?, claims.exp))
    }

    /// This service's own token.
    ///
    /// # Errors
    /// If signing fails.
    pub fn own_token(&self) -> Result<String, Failure> {
        Ok(self.own_header()?.to_str().map_err(Failure::internal)?.to_owned())
    }

    /// This service's own token as a header has it, renewed well before it ends.
    ///
    /// # Errors
    /// If signing fails.
    pub fn own_header(&self) -> Result<HeaderValue, Failure> {
        let now = self.0.env.wall_seconds();
        let mut own = self.0.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((until, token)) = own.as_ref().filter(|(until, _)| *until > now) {
            let _ = until;
            return Ok(token.clone());
        }
        let claims = Claims {
            iss: self.0.name.to_owned(),
            sub: self.0.name.to_owned(),
            exp: now + SERVICE_TOKEN_SECONDS,
            iat: now,
            typ: SERVICE.to_owned(),
            teacher: String::new(),
            roles: Vec::new(),
        };
        let token = HeaderValue::try_from(self.sign(&claims)?).map_err(Failure::internal)?;
        *own = Some((now + SERVICE_TOKEN_SECONDS / 2, token.clone()));
        Ok(token)
    }

    fn sign(&self, claims: &Claims) -> Result<String, Failure> {
        let header = Header { kid: Some(self.0.key_id.clone()), ..Header::new(Algorithm::EdDSA) };
        encode(&header, claims, &self.0.key).map_err(Failure::internal)
    }

    /// The person whose token this is.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if it is not signed by the gateway, or has ended.
    pub fn person(&self, token: &str) -> Result<Verified, Failure> {
        let verified = self.verify(token)?;
        let claims = &verified.claims;
        if claims.typ != PERSON || claims.iss != ISSUER {
            return Err(Failure::new(Reason::Unauthenticated));
        }
        Ok(verified)
    }

    /// The service whose token this is.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if no trusted key signed it for itself, or it has ended.
    pub fn service(&self, token: &str) -> Result<Verified, Failure> {
        let verified = self.verify(token)?;
        let claims = &verified.claims;
        if claims.typ != SERVICE || claims.iss != claims.sub {
            return Err(Failure::new(Reason::Unauthenticated));
        }
        Ok(verified)
    }

    fn verify(&self, token: &str) -> Result<Verified, Failure> {
        let refused = || Failure::new(Reason::Unauthenticated);
        let now = self.0.env.wall_seconds();
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(verified) = self.0.verified.get(&digest) {
            return if verified.claims.exp > now { Ok(verified) } else { Err(refused()) };
        }
        let header = decode_header(token).map_err(|_| refused())?;
        let trusted = header.kid.and_then(|kid| self.0.trusted.get(&kid)).ok_or_else(refused)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.validate_aud = false;
        // Expiry is judged by our own wall clock, below.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        let claims = decode::<Claims>(token, &trusted.key, &validation).map_err(|_| refused())?.claims;
        // A key speaks for its own service only.
        if claims.iss != trusted.service || claims.exp <= now {
            return Err(refused());
        }
        let verified = Verified::new(claims);
        self.0.verified.insert(digest, verified.clone());
        Ok(verified)
    }
}

fn key_id(public: &[u8]) -> String {
    hex::encode(Sha256::digest(public).get(..8).unwrap_or_default())
}
