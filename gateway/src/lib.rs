//! The gateway: one address for everyone. It logs people in and passes their calls on by path; it owns terms and their
//! calendars, and has the services do what is due when a window opens or closes. It knows no service's business.

pub mod calendar;
pub mod edge;
pub mod sequencer;
pub mod store;

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context as _;
use proto::gateway::v1::{
    calendar_service_server::CalendarServiceServer, key_service_server::KeyServiceServer,
    person_service_server::PersonServiceServer, session_service_server::SessionServiceServer,
    step_service_server::StepServiceServer,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// What `gateway` is configured with.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Config {
    /// What every service is configured with.
    #[serde(flatten)]
    pub chassis: chassis::Config,
    /// How long sessions last.
    #[serde(default)]
    pub session: SessionConfig,
    /// How often somebody may call.
    #[serde(default)]
    pub limits: edge::LimitConfig,
    /// How calls are passed on.
    #[serde(default)]
    pub edge: edge::EdgeConfig,
}

/// How long sessions last, in seconds by the wall clock.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SessionConfig {
    /// Access tokens.
    #[schemars(range(min = 1, max = 31536000))]
    pub access_seconds: i64,
    /// Refresh tokens.
    #[schemars(range(min = 1, max = 31536000))]
    pub refresh_seconds: i64,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self { access_seconds: 15 * 60, refresh_seconds: 12 * 3600 }
    }
}

impl AsRef<chassis::Config> for Config {
    fn as_ref(&self) -> &chassis::Config {
        &self.chassis
    }
}

/// The gateway as a program of the house.
#[derive(Debug, Clone, Copy)]
pub struct Gateway;

impl chassis::Program for Gateway {
    const NAME: &'static str = "gateway";
    const PEERS: &'static [&'static str] = &["roster", "catalog", "enrollment", "credit", "gateway"];
    const FACES_PEOPLE: bool = true;
    type Config = Config;

    fn migrations() -> chassis::db::Migrations {
        chassis::db::Migrations {
            sqlite: sqlx::migrate!("./migrations/sqlite"),
            postgres: sqlx::migrate!("./migrations/postgres"),
        }
    }

    async fn build(host: &mut chassis::Host, config: &Config) -> anyhow::Result<()> {
        let ways = edge::Way::all(host, config.edge)?;
        let roster = ways.get("roster").map(|way| way.pulse.clone());
        host.add(SessionServiceServer::new(edge::Sessions {
            db: host.db(),
            identity: host.identity(),
            env: host.env(),
            roster: host.peer("roster")?,
            roster_pulse: roster.context("no way to the roster")?,
            access_seconds: config.session.access_seconds,
            refresh_seconds: config.session.refresh_seconds,
        }));
        host.add(KeyServiceServer::new(edge::Keys { identity: host.identity() }));
        let limits = Arc::new(edge::Limits::new(&config.limits)?);
        host.spawn(Arc::clone(&limits).forget(host.shutdown()));
        host.guard(limits);
        host.add(PersonServiceServer::new(edge::Persons { db: host.db(), roster: host.peer("roster")? }));
        host.spawn(edge::purge_expired(host.db(), edge::EVERY, host.shutdown()));
        let mut peers = BTreeMap::new();
        for service in ["roster", "catalog", "enrollment", "credit"] {
            peers.insert(service.to_owned(), host.peer(service)?);
        }
        host.audited(peers.clone());
        let contacts = calendar::ContactBook::new(host.db());
        let calendar = calendar::CalendarApi { db: host.db(), peers, contacts: contacts.clone() };
        host.add(CalendarServiceServer::new(calendar));
        let steps = sequencer::StepApi { db: host.db(), shutdown: host.shutdown() };
        host.add(StepServiceServer::new(steps));
        host.mirror(sequencer::ClassResultsMirror)?;
        host.observe(sequencer::observe);
        let sequencer = sequencer::Sequencer::new(host)?;
        host.spawn(sequencer.work());
        host.fallback(edge::router(host, ways, contacts));
        Ok(())
    }
}
