//! The roster's configuration.

use std::{collections::BTreeMap, fmt};

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What `roster` is configured with.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Config {
    /// What every service is configured with.
    #[serde(flatten)]
    pub chassis: chassis::Config,
    /// Keys of the identity numbers.
    pub identity: IdentityConfig,
    /// Cost of passwords.
    #[serde(default)]
    pub password: PasswordConfig,
    /// The first operator of an empty database.
    #[serde(default)]
    pub bootstrap: Option<Bootstrap>,
    /// IANA zone in which a day counts while there is no term; a term's own zone decides as soon as there is one.
    #[serde(default = "default_zone")]
    pub zone: Zone,
}

impl AsRef<chassis::Config> for Config {
    fn as_ref(&self) -> &chassis::Config {
        &self.chassis
    }
}

/// 32 bytes, in base64: `openssl rand -base64 32`. Never shown.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("format" = "32 bytes in base64"))]
pub struct Key(pub [u8; 32]);

impl TryFrom<String> for Key {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        use base64::Engine as _;
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(text.trim()).map_err(|_| "a key is 32 bytes in base64")?;
        bytes.try_into().map(Self).map_err(|_| "a key is 32 bytes in base64")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// Keys of the identity numbers: `[identity]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "RawIdentityConfig")]
pub struct IdentityConfig {
    /// Id of the key that seals what is written from now on.
    pub current: String,
    /// All keys by id: those that something is still sealed with stay here.
    pub keys: BTreeMap<String, Key>,
    /// Key of the blind index; it cannot be changed without writing all indexes anew.
    pub index_key: Key,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawIdentityConfig {
    /// Id of the key that seals what is written from now on.
    current: String,
    /// All keys by id: those that something is still sealed with stay here.
    keys: BTreeMap<String, Key>,
    /// Key of the blind index, which finds duplicates; it cannot be changed without writing all indexes anew.
    index_key: Key,
}

impl TryFrom<RawIdentityConfig> for IdentityConfig {
    type Error = String;
    fn try_from(raw: RawIdentityConfig) -> Result<Self, String> {
        if !raw.keys.contains_key(&raw.current) {
            return Err(format!("identity.current names {:?}, which identity.keys does not have", raw.current));
        }
        if raw.keys.values().any(|key| *key == raw.index_key) {
            return Err("identity.index_key must differ from every key of identity.keys".to_owned());
        }
        Ok(Self { current: raw.current, keys: raw.keys, index_key: raw.index_key })
    }
}

/// Cost of argon2id: `[password]`. Each hash keeps its own, so that a change holds for new passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "RawPasswordConfig")]
pub struct PasswordConfig {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

/// What a deployment is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Profile {
    /// A sample term with invented people: the least cost, so that thousands of accounts are there at once.
    Sample,
    /// Real people: less than OWASP's least is refused.
    #[default]
    Production,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct RawPasswordConfig {
    /// What the deployment is for: "production" refuses less than OWASP's least, "sample" is for invented people.
    profile: Profile,
    /// Memory, in KiB; absent: the profile's least (production: 19456).
    memory_kib: Option<u32>,
    /// Passes over the memory; absent: the profile's least (production: 2).
    passes: Option<u32>,
    /// Lanes; absent: 1.
    lanes: Option<u32>,
}

/// The least that production takes: OWASP's password storage cheat sheet, argon2id with m = 19 MiB, t = 2, p = 1. With
/// more passes less memory would do; one floor is simpler.
const PRODUCTION: PasswordConfig = PasswordConfig { memory_kib: 19_456, passes: 2, lanes: 1 };
/// The least that argon2 takes.
const SAMPLE: PasswordConfig = PasswordConfig { memory_kib: 8, passes: 1, lanes: 1 };

impl Default for PasswordConfig {
    fn default() -> Self {
        PRODUCTION
    }
}

impl TryFrom<RawPasswordConfig> for PasswordConfig {
    type Error = String;
    fn try_from(raw: RawPasswordConfig) -> Result<Self, String> {
        let least = match raw.profile {
            Profile::Sample => SAMPLE,
            Profile::Production => PRODUCTION,
        };
        let cost = Self {
            memory_kib: raw.memory_kib.unwrap_or(least.memory_kib),
            passes: raw.passes.unwrap_or(least.passes),
            lanes: raw.lanes.unwrap_or(least.lanes),
        };
        if cost.memory_kib < least.memory_kib || cost.passes < least.passes || cost.lanes < least.lanes {
            return Err(format!(
                "password: at least memory_kib = {}, passes = {}, lanes = {}; only profile = \"sample\", for invented \
                 people, takes less",
                least.memory_kib, least.passes, least.lanes
            ));
        }
        argon2::Params::new(cost.memory_kib, cost.passes, cost.lanes, None)
            .map_err(|error| format!("password: {error}"))?;
        Ok(cost)
    }
}

/// The first operator: `[bootstrap]`. Looked at only while there is no account at all.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// Login.
    pub login: String,
    /// Password; change it after the first login.
    pub password: String,
}

impl fmt::Debug for Bootstrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bootstrap")
    }
}

/// An IANA zone by name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("format" = "IANA zone"))]
pub struct Zone(pub TimeZone);

impl TryFrom<String> for Zone {
    type Error = jiff::Error;
    fn try_from(name: String) -> Result<Self, jiff::Error> {
        TimeZone::get(&name).map(Self)
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.0.iana_name().unwrap_or("UTC").to_owned()
    }
}

fn default_zone() -> Zone {
    Zone(TimeZone::get("Asia/Shanghai").unwrap_or(TimeZone::UTC))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Result<PasswordConfig, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn production_refuses_the_minimum_and_the_sample_takes_it() {
        assert_eq!(password(""), Ok(PRODUCTION));
        assert_eq!(password("profile = 'sample'"), Ok(SAMPLE));
        assert!(password("memory_kib = 8\npasses = 1").is_err_and(|error| error.contains("sample")));
        assert!(password("profile = 'production'\nmemory_kib = 19455").is_err());
        assert_eq!(password("memory_kib = 65536\npasses = 3").map(|cost| cost.memory_kib), Ok(65_536));
        assert!(password("profile = 'sample'\nmemory_kib = 4").is_err());
    }

    #[test]
    fn keys_are_checked_and_never_shown() {
        let zeros = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let ones = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
        let read = |text: String| toml::from_str::<IdentityConfig>(&text);
        let good = read(format!("current = 'a'\nindex_key = '{ones}'\nkeys.a = '{zeros}'")).unwrap();
        assert!(!format!("{good:?}").contains("AAAA") && !format!("{good:?}").contains('0'));
        assert!(read(format!("current = 'b'\nindex_key = '{ones}'\nkeys.a = '{zeros}'")).is_err());
        assert!(read(format!("current = 'a'\nindex_key = '{zeros}'\nkeys.a = '{zeros}'")).is_err());
        assert!(read(format!("current = 'a'\nindex_key = 'short'\nkeys.a = '{zeros}'")).is_err());
    }
}
