//! Who calls: Ed25519-signed tokens of persons (issued by the gateway) and of services (each by its own key), checked
//! offline against a folder of trusted public keys. Key and folder are read again while the process runs, so that keys are
//! changed without a restart: a service may have several that are trusted, and signs with one.

mod keys;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use http::HeaderValue;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, encode};
use proto::{
    Actor, Held,
    common::v1::{Reason, Role},
};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::{
    env::Env,
    failure::Failure,
    reload::{self, Reloaded},
    telemetry::{KeyValue, meter},
};

pub use keys::{ensure_key, next_key};

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
    own: PathBuf,
    trusted: PathBuf,
    signer: ArcSwap<Signer>,
    trust: ArcSwap<Trust>,
}

/// What this process signs with.
struct Signer {
    key: keys::Private,
    /// Its own token by this key, and until when it is used.
    token: Mutex<Option<(i64, HeaderValue)>>,
}

impl Signer {
    fn new(key: keys::Private) -> Arc<Self> {
        Arc::new(Self { key, token: Mutex::new(None) })
    }
}

/// Whose tokens this process believes.
struct Trust {
    keys: BTreeMap<String, keys::Public>,
    /// Tokens that were verified by these keys, or by fewer.
    verified: Arc<Cache<[u8; 32], Verified>>,
}

/// A public key, for whoever checks tokens of persons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// As tokens name it (`kid`).
    pub id: String,
    /// Ed25519, 32 bytes.
    pub public: Vec<u8>,
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

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("service", &self.0.name)
            .field("key_id", &self.0.signer.load().key.id)
            .finish_non_exhaustive()
    }
}

/// Shows the keys that are trusted and the tokens that are kept, for as long as the identity is used.
fn observe(inner: &Arc<Inner>) {
    let gauge = |name: &'static str, unit: &'static str, description: &'static str, shown: fn(&Inner) -> usize| {
        let weak = Arc::downgrade(inner);
        meter()
            .u64_observable_gauge(name)
            .with_unit(unit)
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
    gauge("shixun.identity.keys", "{key}", "Keys whose tokens are believed", |inner| inner.trust.load().keys.len());
    let kept = |inner: &Inner| inner.trust.load().verified.len();
    gauge("shixun.identity.tokens", "{token}", "Verified tokens kept in memory", kept);
    gauge("shixun.identity.tokens.limit", "{token}", "Verified tokens that are kept at most", |_| VERIFIED);
}

impl Reloaded for Inner {
    const WHAT: &'static str = "keys";

    fn reload(&self) -> anyhow::Result<bool> {
        let (found, before) = (keys::trusted(&self.trusted)?, self.trust.load_full());
        let same = |(id, key): (&String, &keys::Public), others: &BTreeMap<String, keys::Public>| {
            others.get(id).is_some_and(|other| other.service == key.service)
        };
        let lost = before.keys.iter().any(|key| !same(key, &found));
        let mut changed = lost || found.iter().any(|key| !same(key, &before.keys));
        if changed {
            // What a key that is gone had signed is believed no longer, verified before or not.
            let verified = if lost { Arc::new(Cache::new(VERIFIED)) } else { Arc::clone(&before.verified) };
            self.trust.store(Arc::new(Trust { keys: found, verified }));
        }
        let own = keys::Private::read(&self.own)?;
        let trust = self.trust.load();
        // Others have the same folder: what is not there yet, they would not believe either.
        let believed = trust.keys.get(&own.id).is_some_and(|key| key.service == self.name);
        anyhow::ensure!(believed, "no *.pub in {} is that of {}", self.trusted.display(), self.own.display());
        if own.id != self.signer.load().key.id {
            self.signer.store(Signer::new(own));
            changed = true;
        }
        Ok(changed)
    }
}

/// What will not do of a process's key and of the folder of those that it trusts, each by its key of the configuration.
pub(crate) fn file_faults(key: &Path, trusted: &Path) -> Vec<String> {
    let own = keys::Private::read(key).err().map(|error| format!("keys.own: {error:#}"));
    let trusted = keys::trusted(trusted).err().map(|error| format!("keys.trusted: {error:#}"));
    own.into_iter().chain(trusted).collect()
}

impl Identity {
    /// Reads the process's key and every `*.pub` of the trusted folder.
    ///
    /// # Errors
    /// If a file is missing or is no key.
    pub fn load(name: &'static str, key: &Path, trusted: &Path, env: Env) -> anyhow::Result<Self> {
        let signer = Signer::new(keys::Private::read(key)?);
        let trust = Trust { keys: keys::trusted(trusted)?, verified: Arc::new(Cache::new(VERIFIED)) };
        let inner = Arc::new(Inner {
            name,
            env,
            own: key.to_owned(),
            trusted: trusted.to_owned(),
            signer: ArcSwap::new(signer),
            trust: ArcSwap::from_pointee(trust),
        });
        observe(&inner);
        Ok(Self(inner))
    }

    /// Reads key and folder again and again, until the process ends.
    pub(crate) async fn follow(self, every: Duration, ending: CancellationToken) {
        reload::follow(self.0.name, self.0, every, ending).await;
    }

    /// The keys that sign tokens of persons, in the order of their ids.
    #[must_use]
    pub fn published(&self) -> Vec<Published> {
        let trust = self.0.trust.load();
        let issuing = trust.keys.iter().filter(|(_, key)| key.service == ISSUER);
        issuing.map(|(id, key)| Published { id: id.clone(), public: key.bytes.clone() }).collect()
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
        Ok((sign(&self.0.signer.load(), &claims)?, claims.exp))
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
        let signer = self.0.signer.load();
        let mut own = signer.token.lock().unwrap_or_else(PoisonError::into_inner);
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
        let token = HeaderValue::try_from(sign(&signer, &claims)?).map_err(Failure::internal)?;
        *own = Some((now + SERVICE_TOKEN_SECONDS / 2, token.clone()));
        Ok(token)
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
        let trust = self.0.trust.load();
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(verified) = trust.verified.get(&digest) {
            return if verified.claims.exp > now { Ok(verified) } else { Err(refused()) };
        }
        let header = decode_header(token).map_err(|_| refused())?;
        let trusted = header.kid.and_then(|kid| trust.keys.get(&kid)).ok_or_else(refused)?;
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
        trust.verified.insert(digest, verified.clone());
        Ok(verified)
    }
}

fn sign(signer: &Signer, claims: &Claims) -> Result<String, Failure> {
    let header = Header { kid: Some(signer.key.id.clone()), ..Header::new(Algorithm::EdDSA) };
    encode(&header, claims, &signer.key.key).map_err(Failure::internal)
}
