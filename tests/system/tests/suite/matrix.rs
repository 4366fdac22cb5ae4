//! Every (method × role) and (method × phase) cell, generated from the descriptor: a method that is added has its cells.

use std::collections::BTreeMap;

use chassis::{
    contract::{self, Method},
    peer::{SERVICE_HEADER, within},
};
use futures::future::try_join_all;
use proto::common::v1::{Gates, Phase, PutGatesRequest, Role, Window, gate_service_client::GateServiceClient};
use system::{World, raw};
use tonic::transport::Channel;

const TERM: &str = "terms/matrix";
const PERSONS: [Role; 8] = [
    Role::Teacher,
    Role::SchoolAdmin,
    Role::Principal,
    Role::ProviderStaff,
    Role::BureauOfficer,
    Role::Expert,
    Role::DistrictOfficer,
    Role::Operator,
];
const PHASES: [Phase; 12] = [
    Phase::RosterUpdate,
    Phase::Declaration,
    Phase::ProjectReview,
    Phase::Publication,
    Phase::Browsing,
    Phase::Selection,
    Phase::SchoolReview,
    Phase::ExpansionRequest,
    Phase::ExpansionDecision,
    Phase::ProviderConfirmation,
    Phase::Training,
    Phase::Results,
];
const WINDOW_REASONS: [&str; 3] = ["REASON_WINDOW_CLOSED", "REASON_WINDOW_SETTLED", "REASON_WINDOW_NOT_READY"];

/// Who calls, whether the rule allows it, and the header that says who it is.
type Caller = (String, bool, Option<(&'static str, String)>);

/// The services that serve a method: its own, or each one for what all have.
fn servers(method: &Method) -> Vec<&'static str> {
    let all = shixun::up::SERVICES;
    match method.package.as_str() {
        "common" => all.to_vec(),
        package => all.into_iter().filter(|service| *service == package).collect(),
    }
}

fn channels(world: &World) -> anyhow::Result<BTreeMap<&'static str, Channel>> {
    let connect = |service: &'static str| Ok((service, chassis::peer::channel(&world.system.address(service))?));
    shixun::up::SERVICES.into_iter().map(connect).collect()
}

async fn put_window(world: &World, phase: Phase, version: i64) -> anyhow::Result<()> {
    let edge = |text: &str| anyhow::Ok(proto::timestamp(text.parse::<jiff::Timestamp>()?.as_microsecond()));
    let window = Window {
        id: "only".to_owned(),
        phase: phase.into(),
        round: 1,
        opens: Some(edge("2019-01-01T00:00:00Z")?),
        closes: Some(edge("2020-01-01T00:00:00Z")?),
        ..Window::default()
    };
    let gates = Gates {
        term: TERM.to_owned(),
        version,
        zone: "Asia/Shanghai".to_owned(),
        windows: vec![window],
        policy_version: 1,
        policy: String::new(),
    };
    for service in shixun::up::SERVICES {
        let request = PutGatesRequest { gates: Some(gates.clone()), ..PutGatesRequest::default() };
        let mut client = GateServiceClient::new(world.peer("gateway", service)?);
        client.put_gates(within(std::time::Duration::from_secs(10), request)).await?;
    }
    Ok(())
}

async fn every_role(engine: &str) -> anyhow::Result<()> {
    let world = World::start(engine, "2019-06-01T00:00:00Z").await?;
    let channels = channels(&world)?;
    put_window(&world, Phase::RosterUpdate, 1).await?;
    let (mut cells, mut wrong) = (0, Vec::new());
    for method in contract::methods() {
        let Some(rule) = &method.rule else { anyhow::bail!("{} has no rule", method.path) };
        for server in servers(method) {
            let channel = channels.get(server).cloned().ok_or_else(|| anyhow::anyhow!("no channel to {server}"))?;
            let mut callers: Vec<Caller> = Vec::new();
            for role in PERSONS {
                let token = world.token("accounts/matrix", "", &[(role, "organizations/none")])?;
                let allowed = rule.public || rule.grants.iter().any(|grant| grant.roles.contains(&role));
                callers.push((
                    role.as_str_name().to_owned(),
                    allowed,
                    Some(("authorization", format!("Bearer {token}"))),
                ));
            }
            for service in ["roster", "catalog", "enrollment", "credit", "gateway", "local"] {
                let actor = proto::Actor { service: service.to_owned(), ..proto::Actor::default() };
                let allowed = rule.public || rule.grants.iter().any(|grant| chassis::gates::serves(grant, &actor));
                let token = world.identity(service)?.own_token()?;
                callers.push((service.to_owned(), allowed, Some((SERVICE_HEADER, token))));
            }
            callers.push(("nobody".to_owned(), rule.public, None));
            // At once: a stream that stays open is waited for.
            let asked = callers.into_iter().enumerate().map(async |(n, (caller, allowed, header))| {
                let message = raw::request(method, TERM, &format!("role-{n}"))?;
                anyhow::Ok((caller, allowed, raw::call(channel.clone(), method, header, message).await?))
            });
            for (caller, allowed, outcome) in try_join_all(asked).await? {
                let refused = ["REASON_ROLE_NOT_ALLOWED", "REASON_UNAUTHENTICATED"].contains(&outcome.reason.as_str());
                let unserved = outcome.code == tonic::Code::Unimplemented;
                cells += 1;
                let told = !outcome.shows_a_name();
                if refused == allowed || unserved || !told || outcome.code == tonic::Code::Internal {
                    wrong.push(format!("{} at {server} as {caller}: {outcome:?}", method.path));
                }
            }
        }
    }
    world.system.stop().await?;
    assert!(cells > 1000, "only {cells} cells");
    assert!(wrong.is_empty(), "{} of {cells} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

async fn every_phase(engine: &str) -> anyhow::Result<()> {
    let world = World::start(engine, "2019-06-01T00:00:00Z").await?;
    let channels = channels(&world)?;
    let (mut cells, mut wrong) = (0, Vec::new());
    for (version, phase) in (1_i64..).zip(PHASES) {
        put_window(&world, phase, version).await?;
        for method in contract::methods() {
            let Some(rule) = &method.rule else { anyhow::bail!("{} has no rule", method.path) };
            for role in PERSONS {
                let grants: Vec<_> = rule.grants.iter().filter(|grant| grant.roles.contains(&role)).collect();
                if grants.is_empty() {
                    continue;
                }
                let allowed =
                    grants.iter().any(|grant| grant.phases.contains(&Phase::Any) || grant.phases.contains(&phase));
                for server in servers(method) {
                    let channel = channels.get(server).cloned().ok_or_else(|| anyhow::anyhow!("no channel"))?;
                    let token = world.token("accounts/matrix", "teachers/none", &[(role, "organizations/none")])?;
                    let header = Some(("authorization", format!("Bearer {token}")));
                    let message = raw::request(method, TERM, &format!("phase-{version}-{}", role.as_str_name()))?;
                    let outcome = raw::call(channel, method, header, message).await?;
                    let refused = WINDOW_REASONS.contains(&outcome.reason.as_str());
                    cells += 1;
                    let told = !outcome.shows_a_name();
                    if refused == allowed || !told || outcome.code == tonic::Code::Internal {
                        let phase = phase.as_str_name();
                        wrong.push(format!("{} as {} in {phase}: {outcome:?}", method.path, role.as_str_name()));
                    }
                }
            }
        }
    }
    world.system.stop().await?;
    assert!(cells > 1000, "only {cells} cells");
    assert!(wrong.is_empty(), "{} of {cells} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_and_role_on_sqlite() -> anyhow::Result<()> {
    every_role("sqlite").await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_and_role_on_postgres() -> anyhow::Result<()> {
    every_role("postgres").await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_and_phase_on_sqlite() -> anyhow::Result<()> {
    every_phase("sqlite").await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_and_phase_on_postgres() -> anyhow::Result<()> {
    every_phase("postgres").await
}
