//! Enrollment: who selects which project, who is admitted, who takes part.

pub mod api;
pub mod domain;
pub mod intake;
pub mod mirror;
pub mod store;

use chassis::{CancellationToken, Env, Host, Policy, PolicyFault, Program, db::Migrations};
use proto::enrollment::v1::{
    confirmation_service_server::ConfirmationServiceServer, inbox_service_server::InboxServiceServer,
    notice_service_server::NoticeServiceServer, person_service_server::PersonServiceServer,
    review_service_server::ReviewServiceServer, selection_service_server::SelectionServiceServer,
    training_service_server::TrainingServiceServer,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::{
    api::{Api, EnrollmentSteps, SeatBoard, SeatsConfig, observe_seats},
    intake::{Intake, IntakeConfig},
    mirror::{CatalogMirror, CreditMirror, RosterMirror},
};

/// Configuration of the service.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Config {
    /// What every service has.
    #[serde(flatten)]
    pub chassis: chassis::Config,
    /// The queue of the hot path.
    #[serde(default)]
    pub intake: IntakeConfig,
    /// The board of free places.
    #[serde(default)]
    pub seats: SeatsConfig,
}

impl AsRef<chassis::Config> for Config {
    fn as_ref(&self) -> &chassis::Config {
        &self.chassis
    }
}

/// The enrollment service.
#[derive(Debug, Clone, Copy)]
pub struct Enrollment;

impl Program for Enrollment {
    const NAME: &'static str = "enrollment";
    const PEERS: &'static [&'static str] = &["roster", "catalog", "credit"];
    type Config = Config;

    fn migrations() -> Migrations {
        Migrations { sqlite: sqlx::migrate!("./migrations/sqlite"), postgres: sqlx::migrate!("./migrations/postgres") }
    }

    async fn build(host: &mut Host, config: &Config) -> anyhow::Result<()> {
        let (intake, writer) = Intake::new(host.db(), config.intake)?;
        // It ends with the last handler that may still submit, within the drain's limit.
        host.spawn(writer);
        let board = SeatBoard::new(host.db(), config.seats, host.shutdown());
        let api = Api::new(host.db(), intake, board);
        host.add(SelectionServiceServer::new(api.clone()));
        host.add(ReviewServiceServer::new(api.clone()));
        host.add(ConfirmationServiceServer::new(api.clone()));
        host.add(NoticeServiceServer::new(api.clone()));
        host.add(InboxServiceServer::new(api.clone()));
        host.add(PersonServiceServer::new(api.clone()));
        host.add(TrainingServiceServer::new(api));
        host.standing(store::roster::STANDING);
        host.policy::<domain::Policy>();
        host.steps(EnrollmentSteps);
        host.observe(observe_seats);
        host.mirror(RosterMirror)?;
        host.mirror(CatalogMirror)?;
        host.mirror(CreditMirror)?;
        Ok(())
    }
}

impl Policy for domain::Policy {
    fn parse(document: &toml::Table) -> Result<Self, Vec<PolicyFault>> {
        Self::read(document)
    }
}

/// Serves until `shutdown`.
///
/// # Errors
/// As [`chassis::serve`].
pub async fn serve(config: Config, listener: TcpListener, env: Env, shutdown: CancellationToken) -> anyhow::Result<()> {
    chassis::serve::<Enrollment>(config, listener, env, shutdown).await
}
