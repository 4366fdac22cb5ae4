//! Credit (学分): the ledger, cycles and requirements of every teacher, recognition of results, and compliance of schools,
//! districts and bureaus.

pub mod api;
pub mod books;
pub mod domain;
pub mod mirror;
pub mod rules;
pub mod store;
#[cfg(test)]
mod tests;
pub mod wire;

use chassis::{CancellationToken, Env, Host, Program, db::Migrations};
use proto::credit::v1::{
    compliance_service_server::ComplianceServiceServer, ledger_service_server::LedgerServiceServer,
    person_service_server::PersonServiceServer,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::{
    api::{Api, CreditSteps},
    domain::policy::Policy,
    mirror::{CatalogMirror, EnrollmentMirror, RosterMirror},
};

/// The credit service.
#[derive(Debug)]
pub struct Credit;

/// Its configuration: chassis's, and nothing of its own yet.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Config {
    /// What every service is configured with.
    #[serde(flatten)]
    pub chassis: chassis::Config,
}

impl AsRef<chassis::Config> for Config {
    fn as_ref(&self) -> &chassis::Config {
        &self.chassis
    }
}

/// The schema of both engines.
#[must_use]
pub fn migrations() -> Migrations {
    Migrations { sqlite: sqlx::migrate!("./migrations/sqlite"), postgres: sqlx::migrate!("./migrations/postgres") }
}

impl Program for Credit {
    const NAME: &'static str = "credit";
    const PEERS: &'static [&'static str] = &["roster", "catalog", "enrollment"];
    type Config = Config;

    fn migrations() -> Migrations {
        migrations()
    }

    async fn build(host: &mut Host, _config: &Config) -> anyhow::Result<()> {
        let api = Api { db: host.db() };
        host.add(LedgerServiceServer::new(api.clone()));
        host.add(ComplianceServiceServer::new(api.clone()));
        host.add(PersonServiceServer::new(api));
        host.standing(store::organizations::STANDING);
        host.policy::<Policy>();
        host.steps(CreditSteps);
        host.mirror(RosterMirror)?;
        host.mirror(CatalogMirror)?;
        host.mirror(EnrollmentMirror)?;
        Ok(())
    }
}

/// Serves until `shutdown`.
///
/// # Errors
/// If the server cannot start, or fails.
pub async fn serve(config: Config, listener: TcpListener, env: Env, shutdown: CancellationToken) -> anyhow::Result<()> {
    chassis::serve::<Credit>(config, listener, env, shutdown).await
}
