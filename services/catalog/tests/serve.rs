//! The catalog as it is served: started through `serve`, spoken to over the wire.

use std::time::Duration;

use catalog::Config;
use chassis::{CancellationToken, Env, identity, peer};
use proto::{
    catalog::v1::{ListProjectsRequest, project_service_client::ProjectServiceClient},
    common::v1::{
        Action, Gates, Phase, PutGatesRequest, RunStepRequest, Window, gate_service_client::GateServiceClient,
        step_service_client::StepServiceClient,
    },
};
use tokio::net::TcpListener;
use tonic::Code;
use tonic_types::StatusExt as _;

const TERM: &str = "terms/2019-autumn";
const SECOND: i64 = 1_000_000;

fn gates(policy: &str) -> PutGatesRequest {
    let window = Window {
        id: "declaration".into(),
        phase: Phase::Declaration.into(),
        opens: Some(proto::timestamp(0)),
        closes: Some(proto::timestamp(10 * SECOND)),
        ..Window::default()
    };
    let gates = Gates {
        term: TERM.into(),
        version: 1,
        zone: "Asia/Shanghai".into(),
        windows: vec![window],
        policy_version: 1,
        policy: policy.into(),
    };
    PutGatesRequest { gates: Some(gates), ..PutGatesRequest::default() }
}

#[tokio::test]
async fn it_takes_gates_runs_steps_and_refuses_who_has_no_role() {
    chassis::install_crypto();
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    let own = identity::ensure_key(&keys, "catalog").unwrap();
    let gateway = identity::ensure_key(&keys, "gateway").unwrap();
    let config: toml::Table = toml::toml! {
        [database]
        url = "later"
        [keys]
        own = "later"
        trusted = "later"
        [peers]
        roster = "http://127.0.0.1:1"
    };
    let mut config: Config = config.try_into().unwrap();
    config.chassis.database.url = format!("sqlite:{}/catalog.db", folder.path().display());
    (config.chassis.keys.own, config.chassis.keys.trusted) = (own, keys.clone());

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (env, shutdown) = (Env::rehearsal(SECOND), CancellationToken::new());
    let serving = tokio::spawn(catalog::serve(config, listener, env.clone(), shutdown.clone()));

    let identity = identity::Identity::load("gateway", &gateway, &keys, env).unwrap();
    let channel = peer::identified(peer::channel(&address).unwrap(), identity);
    let within = Duration::from_secs(10);
    let mut gate = GateServiceClient::new(channel.clone());
    let refused = gate.put_gates(peer::within(within, gates("[review]\nmin_mean = 200"))).await.unwrap_err();
    let faults = refused.get_error_details().bad_request().unwrap().field_violations.clone();
    assert!(faults.iter().any(|fault| fault.field.contains("review.min_mean")), "{faults:?}");
    gate.put_gates(peer::within(within, gates(""))).await.unwrap();

    let step = RunStepRequest {
        term: TERM.into(),
        action: Action::LapseDrafts.into(),
        due: Some(proto::timestamp(10 * SECOND)),
        request_id: "lapse-0".into(),
        ..RunStepRequest::default()
    };
    let reply = StepServiceClient::new(channel.clone()).run_step(peer::within(within, step)).await.unwrap();
    assert_eq!((reply.get_ref().changed, reply.get_ref().more), (0, false));

    let list = ListProjectsRequest { parent: TERM.into(), ..ListProjectsRequest::default() };
    let refused = ProjectServiceClient::new(channel).list_projects(peer::within(within, list)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");

    shutdown.cancel();
    serving.await.unwrap().unwrap();
}
