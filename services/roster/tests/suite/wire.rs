//! The roster as it is served: an empty system is set up by its first operator, over the wire.

use std::time::Duration;

use chassis::{
    CancellationToken, Env,
    identity::{Identity, ensure_key},
    peer::{Peer, channel, identified},
};
use proto::{
    common::v1::{
        Gates, Phase, PutGatesRequest, Reason, Role, RoleGrant, Window, gate_service_client::GateServiceClient,
    },
    roster::v1::{
        Account, AuthenticateRequest, CreateAccountRequest, CreateOrganizationRequest, Identity as Person,
        Organization, RoleHeld, Teacher, account_service_client::AccountServiceClient, organization::Kind,
        organization_service_client::OrganizationServiceClient, teacher_service_client::TeacherServiceClient,
    },
};
use tokio::net::TcpListener;
use tonic::{
    Request, Status,
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

use crate::{
    import::{frames, header},
    world::{AT, COUNTY, DAY, PASSWORD, SCHOOL, TERM, fields, reason, reply, teacher},
};

/// Puts a person's token on a call, as the gateway does.
#[derive(Clone)]
struct Bearer(String);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = format!("Bearer {}", self.0).parse().map_err(|_| Status::internal("token"))?;
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

struct Gateway {
    identity: Identity,
    channel: Channel,
}

impl Gateway {
    fn own(&self) -> Peer {
        identified(self.channel.clone(), self.identity.clone())
    }

    async fn login(&self, login: &str) -> Result<Person, Status> {
        let message = AuthenticateRequest { login: login.into(), password: PASSWORD.into() };
        let mut request = Request::new(message);
        request.set_timeout(Duration::from_secs(10));
        Ok(AccountServiceClient::new(self.own()).authenticate(request).await?.into_inner().identity.unwrap())
    }

    async fn as_person(&self, login: &str) -> InterceptedService<Channel, Bearer> {
        let person = self.login(login).await.unwrap();
        let roles = person.roles.into_iter().map(|grant| (grant.role, grant.organization)).collect();
        let (token, _) = self.identity.issue(&person.account, &person.teacher, roles, 600).unwrap();
        InterceptedService::new(self.channel.clone(), Bearer(token))
    }
}

async fn start(folder: &std::path::Path) -> (Gateway, CancellationToken, tokio::task::JoinHandle<anyhow::Result<()>>) {
    let keys = folder.join("keys");
    let own = ensure_key(&keys, "roster").unwrap();
    let gateway = ensure_key(&keys, "gateway").unwrap();
    let config: toml::Table = format!(
        "clock = 'rehearsal'
         database = {{ url = 'sqlite:{0}/roster.db', durable = false }}
         keys = {{ own = '{1}', trusted = '{0}/keys' }}
         identity = {{ current = 'k', keys = {{ k = '{2}' }}, index_key = '{3}' }}
         password = {{ profile = 'sample' }}
         bootstrap = {{ login = 'operator', password = '{PASSWORD}' }}",
        folder.display(),
        own.display(),
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
    )
    .parse()
    .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let env = Env::rehearsal(AT);
    let identity = Identity::load("gateway", &gateway, &keys, env.clone()).unwrap();
    let served = tokio::spawn(roster::serve(config.try_into().unwrap(), listener, env, stop.clone()));
    (Gateway { identity, channel: channel(&address).unwrap() }, stop, served)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_system_is_set_up_by_its_operator() {
    chassis::install_crypto();
    let folder = tempfile::tempdir().unwrap();
    let (gateway, stop, served) = start(folder.path()).await;
    let operator = gateway.as_person("operator").await;
    for (name, parent, kind, digits) in
        [(COUNTY, "", Kind::CountyBureau, ""), (SCHOOL, COUNTY, Kind::School, "2170000001")]
    {
        let organization = Organization {
            name: name.into(),
            display_name: "示例".into(),
            parent: parent.into(),
            kinds: vec![kind.into()],
            school_identifier: digits.into(),
            ..Organization::default()
        };
        let message = CreateOrganizationRequest { organization: Some(organization), request_id: name.into() };
        reply(OrganizationServiceClient::new(operator.clone()).create_organization(message).await);
    }
    let grant = RoleGrant { role: Role::BureauOfficer.into(), organization: COUNTY.into() };
    let account = Account {
        login: "officer".into(),
        display_name: "示例干部".into(),
        roles: vec![RoleHeld { grant: Some(grant), from: None, until: None }],
        ..Account::default()
    };
    let message = CreateAccountRequest { account: Some(account), password: PASSWORD.into(), request_id: "o".into() };
    reply(AccountServiceClient::new(operator.clone()).create_account(message).await);

    let rows: Vec<_> = (1..=30).map(|n| teacher(SCHOOL, n)).collect();
    let officer = gateway.as_person("officer").await;
    let mut teachers = TeacherServiceClient::new(officer);
    let send = |rows: &[Teacher], id: &str| {
        let frames = frames(header(id, rows), rows);
        Request::new(futures::stream::iter(frames))
    };
    let early = teachers.import_teachers(send(&rows, "a")).await;
    assert_eq!(reason(early), Reason::WindowClosed, "there is no term yet");
    let outcome = TeacherServiceClient::new(operator).import_teachers(send(&rows, "a")).await;
    assert_eq!(reason(outcome), Reason::RoleNotAllowed);

    let window = Window {
        id: "roster-update".into(),
        phase: Phase::RosterUpdate.into(),
        opens: Some(proto::timestamp(AT - DAY)),
        closes: Some(proto::timestamp(AT + DAY)),
        ..Window::default()
    };
    let (zone, windows) = ("Asia/Shanghai".into(), vec![window]);
    let gates = Gates { term: TERM.into(), version: 1, zone, windows, policy_version: 1, policy: String::new() };
    let mut request = Request::new(PutGatesRequest { gates: Some(gates), ..PutGatesRequest::default() });
    request.set_timeout(Duration::from_secs(10));
    reply(GateServiceClient::new(gateway.own()).put_gates(request).await);

    let faulty: Vec<_> =
        rows.iter().map(|row| Teacher { display_name: String::new(), sex: "x".into(), ..row.clone() }).collect();
    let outcome = teachers.import_teachers(send(&faulty, "a")).await.map(drop);
    assert_eq!(reason(outcome.clone()), Reason::ImportFaults);
    assert_eq!(fields(outcome).len(), 40, "what an error lists fits in a header");
    assert_eq!(reply(teachers.import_teachers(send(&rows, "a")).await).created, 30);
    // What a calendar and its policy name is held against the roster: all of it at once.
    let gates = Gates {
        term: TERM.into(),
        version: 2,
        zone: "Asia/Shanghai".into(),
        policy: "[codes]\nstages = ['junior']\n[retention]\ninbox_days = 0".into(),
        ..Gates::default()
    };
    let contacts = vec![COUNTY.into(), "organizations/nope".into()];
    let mut request = Request::new(PutGatesRequest { gates: Some(gates), validate_only: true, contacts });
    request.set_timeout(Duration::from_secs(10));
    let refused = GateServiceClient::new(gateway.own()).put_gates(request).await.map(drop);
    assert_eq!(fields(refused), ["policy.retention.inbox_days", "contact[1].organization", "policy.codes.stages"]);
    let me = gateway.login("school-a-T00001").await.unwrap();
    assert!(me.teacher.starts_with("teachers/"));
    stop.cancel();
    served.await.unwrap().unwrap();

    // Started again, nothing begins anew.
    let (gateway, stop, served) = start(folder.path()).await;
    assert_eq!(gateway.login("school-a-T00001").await.unwrap(), me);
    assert!(gateway.login("operator").await.is_ok());
    stop.cancel();
    served.await.unwrap().unwrap();
}
