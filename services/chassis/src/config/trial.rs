//! What of a configuration is found out only where it is used: its files, its addresses, and who may be called how.

use tokio::net::lookup_host;

use super::Config;
use crate::{
    env::Env,
    identity, replicas,
    server::{Program, WITHOUT_TLS},
    tls,
};

/// Tries a program's files and addresses, without connecting to anybody.
///
/// # Errors
/// All that will not do, a line each.
pub async fn try_out<P: Program>(config: &Config) -> anyhow::Result<()> {
    let mut faults = identity::file_faults(&config.keys.own, &config.keys.trusted);
    if let Some(tls) = &config.tls {
        faults.extend(tls::file_faults(P::NAME, P::FACES_PEOPLE, tls, Env::system().wall_seconds()));
    }
    let addresses = [
        ("listen", Some(&config.listen)),
        ("server.probes", config.server.probes.as_ref()),
        ("telemetry.prometheus", config.telemetry.prometheus.as_ref()),
    ];
    let in_the_clear = config.tls.is_none() && !config.server.plaintext;
    for (key, address) in addresses.into_iter().filter_map(|(key, address)| Some((key, address?))) {
        match lookup_host(address).await {
            Err(error) => faults.push(format!("{key}: {address} is no address here: {error}")),
            Ok(mut found) => {
                if key == "listen" && in_the_clear && found.any(|address| !address.ip().is_loopback()) {
                    faults.push(format!("{key}: {address} is open to a network: {WITHOUT_TLS}"));
                }
            }
        }
    }
    for (service, addresses) in &config.peers {
        if let Err(error) = replicas::may_be_called(addresses, config.tls.is_some(), config.server.plaintext) {
            faults.push(format!("peers.{service}: {error:#}"));
        }
    }
    anyhow::ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}
