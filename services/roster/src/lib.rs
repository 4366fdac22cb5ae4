//! The roster: who the teachers are, to which organisations they belong, and who may act in which role.
//!
//! It owns the organisation tree, the teachers with their coded fields and status events, and the accounts with their
//! roles. Other services mirror its facts; names and numbers never leave it but in masked replies.

pub mod api;
mod bootstrap;
pub mod config;
pub mod domain;
mod passwords;
pub mod policy;
pub mod store;
mod vault;

use std::sync::Arc;

use chassis::{CancellationToken, Env, Host, db::Migrations};
use proto::roster::v1::{
    account_service_server::AccountServiceServer, organization_service_server::OrganizationServiceServer,
    person_service_server::PersonServiceServer, teacher_service_server::TeacherServiceServer,
};
use tokio::net::TcpListener;

pub use config::Config;
pub use passwords::Passwords;
pub use vault::Vault;

/// The roster as a program of the house.
#[derive(Debug)]
pub struct Roster;

impl chassis::Program for Roster {
    const NAME: &'static str = "roster";
    type Config = Config;

    fn migrations() -> Migrations {
        migrations()
    }

    async fn build(host: &mut Host, config: &Config) -> anyhow::Result<()> {
        let env = host.db().env().clone();
        let service = api::Service {
            db: host.db(),
            vault: Arc::new(Vault::new(&config.identity, env.clone())?),
            passwords: Passwords::new(config.password, env)?,
            zone: config.zone.0.clone(),
        };
        // With other keys than before it would hand out empty numbers and take each person twice.
        service.vault.fits(&store::teachers::sealed_by_each_key(&mut service.db.reader()).await?)?;
        if let Some(bootstrap) = &config.bootstrap {
            bootstrap::run(&service, bootstrap).await?;
        }
        host.calendar(api::NamedInCalendar { db: host.db() });
        let coming = service.clone();
        host.add(OrganizationServiceServer::new(service.clone()));
        host.add(TeacherServiceServer::new(service.clone()));
        host.add(AccountServiceServer::new(service.clone()));
        host.add(PersonServiceServer::new(service.clone()));
        host.standing(store::organizations::STANDING);
        host.policy::<policy::Policy>();
        host.steps(api::RosterSteps(service));
        host.due(api::Coming(coming));
        Ok(())
    }
}

/// The roster's schema on both engines.
#[must_use]
pub fn migrations() -> Migrations {
    Migrations { sqlite: sqlx::migrate!("./migrations/sqlite"), postgres: sqlx::migrate!("./migrations/postgres") }
}

/// Serves the roster until `shutdown`.
///
/// # Errors
/// If the configuration cannot be carried out, or the server fails.
pub async fn serve(config: Config, listener: TcpListener, env: Env, shutdown: CancellationToken) -> anyhow::Result<()> {
    chassis::serve::<Roster>(config, listener, env, shutdown).await
}
