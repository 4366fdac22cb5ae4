//! How often somebody may call: by his account, and by the address that he calls from. Who is over it is told when to come again.

use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use anyhow::Context as _;
use chassis::{
    CancellationToken, Failure, Guard,
    contract::Method,
    telemetry::{Counter, KeyValue, meter},
};
use governor::{
    DefaultKeyedRateLimiter, Quota,
    clock::{Clock as _, DefaultClock},
};
use http::HeaderMap;
use ipnet::IpNet;
use proto::{Actor, common::v1::Reason};
use schemars::JsonSchema;
use serde::Deserialize;

/// How often those are forgotten who have not called for long enough to have all of their rate again.
const FORGET: Duration = Duration::from_secs(60);
/// Where whoever passes a call on says for whom.
const FORWARDED: &str = "x-forwarded-for";

/// A rate that may be exceeded for a moment.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Calls a second in the long run.
    pub per_second: NonZeroU32,
    /// Calls at once.
    pub burst: NonZeroU32,
}

/// `[limits]` of the configuration. Without a rate there is no limit.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitConfig {
    /// Calls of an account.
    pub account: Option<Rate>,
    /// Calls from an address; a school's teachers may share one.
    pub address: Option<Rate>,
    /// Logins from an address.
    pub login: Option<Rate>,
    /// Networks (e.g. "10.0.0.0/8") whose word is taken for whom they pass a call on (`x-forwarded-for`): the ingress.
    pub trusted_proxies: Vec<String>,
}

/// See the module.
pub struct Limits {
    account: Option<Limit<String>>,
    address: Option<Limit<IpAddr>>,
    login: Option<Limit<IpAddr>>,
    proxies: Vec<IpNet>,
}

impl Limits {
    /// As configured.
    ///
    /// # Errors
    /// If a network is none.
    pub fn new(config: &LimitConfig) -> anyhow::Result<Self> {
        let network = |text: &String| {
            text.parse().with_context(|| format!("limits.trusted_proxies: {text:?} is no network, e.g. \"10.0.0.0/8\""))
        };
        Ok(Self {
            account: Limit::new("account", config.account),
            address: Limit::new("address", config.address),
            login: Limit::new("login", config.login),
            proxies: config.trusted_proxies.iter().map(network).collect::<anyhow::Result<_>>()?,
        })
    }

    /// Forgets, now and then, whoever has all of his rate again.
    pub async fn forget(self: Arc<Self>, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(FORGET);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            self.account.iter().for_each(Limit::forget);
            self.address.iter().chain(&self.login).for_each(Limit::forget);
        }
    }

    /// The address that a call comes from: the last one in the chain that is none of our proxies.
    fn origin(&self, from: IpAddr, headers: &HeaderMap) -> IpAddr {
        let trusted = |address: &IpAddr| self.proxies.iter().any(|network| network.contains(address));
        if !trusted(&from) {
            return from;
        }
        let chain: Vec<&str> = headers
            .get_all(FORWARDED)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .collect();
        let mut origin = from;
        for address in chain.into_iter().rev() {
            // What is no address was written by whoever is behind the last one that is.
            let Ok(address) = address.parse() else { return origin };
            origin = address;
            if !trusted(&origin) {
                return origin;
            }
        }
        origin
    }
}

impl Guard for Limits {
    fn address(&self, method: &Method, from: Option<IpAddr>, headers: &HeaderMap) -> Result<(), Failure> {
        let Some(from) = from.filter(|_| self.address.is_some() || self.login.is_some()) else { return Ok(()) };
        let origin = self.origin(from, headers);
        if let Some(limit) = &self.address {
            limit.take(&origin)?;
        }
        match &self.login {
            Some(limit) if method.service.ends_with(".SessionService") && method.name == "Login" => limit.take(&origin),
            _ => Ok(()),
        }
    }

    fn caller(&self, actor: &Actor) -> Result<(), Failure> {
        match &self.account {
            Some(limit) if !actor.account.is_empty() => limit.take(&actor.account),
            _ => Ok(()),
        }
    }
}

/// One limit, for each key.
struct Limit<K: std::hash::Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<K>,
    clock: DefaultClock,
    refused: Counter<u64>,
    label: [KeyValue; 1],
}

impl<K: std::hash::Hash + Eq + Clone> Limit<K> {
    fn new(by: &'static str, rate: Option<Rate>) -> Option<Self> {
        let Rate { per_second, burst } = rate?;
        let refused = meter()
            .u64_counter("shixun.edge.limited")
            .with_unit("{call}")
            .with_description("Calls of those who called too often")
            .build();
        let label = [KeyValue::new("by", by)];
        refused.add(0, &label);
        let limiter = DefaultKeyedRateLimiter::keyed(Quota::per_second(per_second).allow_burst(burst));
        Some(Self { limiter, clock: DefaultClock::default(), refused, label })
    }

    fn take(&self, key: &K) -> Result<(), Failure> {
        self.limiter.check_key(key).map_err(|until| {
            self.refused.add(1, &self.label);
            Failure::new(Reason::RateLimited).retry_after(until.wait_time_from(self.clock.now()))
        })
    }

    fn forget(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(proxies: &[&str]) -> Limits {
        let trusted_proxies = proxies.iter().map(|network| (*network).to_owned()).collect();
        Limits::new(&LimitConfig { trusted_proxies, ..LimitConfig::default() }).unwrap()
    }

    #[test]
    fn only_our_proxies_are_believed() {
        let mut headers = HeaderMap::new();
        headers.append(FORWARDED, "198.51.100.9, 203.0.113.7".parse().unwrap());
        headers.append(FORWARDED, "10.1.2.3".parse().unwrap());
        let origin = |limits: Limits, from: &str| limits.origin(from.parse().unwrap(), &headers).to_string();
        assert_eq!(origin(limits(&[]), "10.0.0.1"), "10.0.0.1");
        assert_eq!(origin(limits(&["10.0.0.0/8"]), "192.0.2.1"), "192.0.2.1", "anybody can write the header");
        assert_eq!(
            origin(limits(&["10.0.0.0/8"]), "10.0.0.1"),
            "203.0.113.7",
            "what he claims to pass on is his own word"
        );
        assert_eq!(origin(limits(&["10.0.0.0/8", "203.0.113.0/24"]), "10.0.0.1"), "198.51.100.9");
        assert!(
            Limits::new(&LimitConfig { trusted_proxies: vec!["ten".to_owned()], ..LimitConfig::default() }).is_err()
        );
    }

    proptest::proptest! {
        #[test]
        fn no_header_panics(text in "[ -~]*") {
            let mut headers = HeaderMap::new();
            if let Ok(value) = text.parse() {
                headers.append(FORWARDED, value);
            }
            limits(&["10.0.0.0/8"]).origin(IpAddr::from([10, 0, 0, 1]), &headers);
        }
    }
}
