//! The catalog: training projects, declared by providers, reviewed by bureaus and experts, published, expanded,
//! cancelled.
//!
//! Of the roster it mirrors where organisations stand and who is an expert, so that it decides on scopes and conflicts
//! of interest by itself.

mod api;
pub mod domain;
mod mirror;
mod store;
#[cfg(test)]
mod tests;

use chassis::{CancellationToken, Env, Host, db::Migrations};
use proto::catalog::v1::{
    expansion_service_server::ExpansionServiceServer, person_service_server::PersonServiceServer,
    project_service_server::ProjectServiceServer, review_service_server::ReviewServiceServer,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::net::TcpListener;

/// What `catalog` is configured with.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Config {
    /// What every service is configured with; `peers.roster` is needed.
    #[serde(flatten)]
    pub chassis: chassis::Config,
}

impl AsRef<chassis::Config> for Config {
    fn as_ref(&self) -> &chassis::Config {
        &self.chassis
    }
}

/// The catalog as a program of the house.
#[derive(Debug)]
pub struct Catalog;

impl chassis::Program for Catalog {
    const NAME: &'static str = "catalog";
    const PEERS: &'static [&'static str] = &["roster"];
    type Config = Config;

    fn migrations() -> Migrations {
        migrations()
    }

    async fn build(host: &mut Host, _: &Config) -> anyhow::Result<()> {
        let service = api::Service { db: host.db() };
        host.add(ProjectServiceServer::new(service.clone()));
        host.add(ReviewServiceServer::new(service.clone()));
        host.add(ExpansionServiceServer::new(service.clone()));
        host.add(PersonServiceServer::new(service));
        host.standing(store::roster::STANDING);
        host.policy::<domain::Policy>();
        host.steps(api::CatalogSteps);
        host.mirror(mirror::RosterMirror)
    }
}

/// The catalog's schema on both engines.
#[must_use]
pub fn migrations() -> Migrations {
    Migrations { sqlite: sqlx::migrate!("./migrations/sqlite"), postgres: sqlx::migrate!("./migrations/postgres") }
}

/// Serves the catalog until `shutdown`.
///
/// # Errors
/// If the configuration cannot be carried out, or the server fails.
pub async fn serve(config: Config, listener: TcpListener, env: Env, shutdown: CancellationToken) -> anyhow::Result<()> {
    chassis::serve::<Catalog>(config, listener, env, shutdown).await
}
