//! Nothing secret, and nothing of a person, in what a service says: its output at the most verbose, what it exports, its
//! arguments.

use std::{
    collections::BTreeMap,
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chassis::{
    identity::{ensure_key, next_key},
    peer::within,
    testing::{Authority, Certified},
};
use cluster::Cluster;
use opentelemetry_proto::tonic::collector::{
    logs::v1::{
        ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use proto::{
    gateway::v1::{LoginRequest, RefreshRequest, Session, session_service_client::SessionServiceClient},
    roster::v1::{
        CreateTeacherRequest, ListOrganizationsRequest, Teacher,
        organization_service_client::OrganizationServiceClient, teacher_service_client::TeacherServiceClient,
    },
};
use tonic::{
    Request, Response, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Server, server::TcpIncoming},
};

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
const LOGIN: &str = "a-login-nobody-reads";
const PASSWORD: &str = "p-the-operators-password";
/// What a caller brings, rightly or wrongly.
const BROUGHT: [&str; 5] =
    ["p-a-wrong-password", "r-a-made-up-refresh-token", "王小明的名字", "11010519491231002X", "13800138000-phone"];

/// A collector that keeps all that it is sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<String>>);

impl Collector {
    fn keep(&self, request: &impl std::fmt::Debug) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_str(&format!("{request:?}"));
    }
}

#[tonic::async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.keep(request.get_ref());
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.keep(request.get_ref());
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.keep(request.get_ref());
        Ok(Response::new(Default::default()))
    }
}

/// A service as a process, which says all that it can.
struct Said {
    process: Child,
    output: std::path::PathBuf,
}

impl Drop for Said {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Said {
    fn start(folder: &Path, service: &str, variables: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let program = folder.join(service);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_shixun"), &program)?;
        let output = folder.join(format!("{service}.out"));
        let to = File::create(&output)?;
        let mut command = Command::new(program);
        command.arg("serve").env_clear().envs(variables).env("RUST_LOG", "trace");
        let process = command.stdin(Stdio::null()).stdout(to.try_clone()?).stderr(to).spawn()?;
        Ok(Self { process, output })
    }

    /// Ends it; all that it said.
    async fn end(mut self) -> anyhow::Result<String> {
        let arguments = std::fs::read_to_string(format!("/proc/{}/cmdline", self.process.id()))?;
        let ended = Command::new("kill").arg(self.process.id().to_string()).status()?;
        anyhow::ensure!(ended.success(), "it had ended before");
        let ending = async {
            while self.process.try_wait()?.is_none() {
                tokio::time::sleep(POLL).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, ending).await??;
        Ok(arguments + &String::from_utf8_lossy(&std::fs::read(&self.output)?))
    }
}

/// An address that is free now.
fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The forms in which the key of a file would be told: as bytes and as text.
fn forms(key: &Path) -> anyhow::Result<Vec<String>> {
    let bytes = std::fs::read(key)?;
    // The secret of an Ed25519 key in PKCS #8 follows its head of 16 bytes.
    let seed = bytes.get(16..48).context("a key")?;
    let listed = format!("{seed:?}");
    Ok(vec![hex::encode(seed), STANDARD.encode(seed), listed.trim_matches(['[', ']']).to_owned()])
}

async fn calls(at: SocketAddr, authority: &Authority) -> anyhow::Result<Session> {
    let trusted = Certificate::from_pem(authority.pem());
    let tls = ClientTlsConfig::new().domain_name("gateway").ca_certificate(trusted);
    let gateway: Channel = Endpoint::from_shared(format!("https://{at}"))?.tls_config(tls)?.connect_lazy();
    let mut sessions = SessionServiceClient::new(gateway.clone());
    let mut login = async |password: &str| {
        sessions.login(within(PATIENCE, LoginRequest { login: LOGIN.to_owned(), password: password.to_owned() })).await
    };
    // Until all are there, and what goes wrong until then is a part of it.
    let session = async {
        loop {
            match login(PASSWORD).await {
                Ok(session) => return session.into_inner().session.unwrap_or_default(),
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    };
    let session = tokio::time::timeout(PATIENCE, session).await.context("nobody can log in")?;
    let [wrong, made_up, name, number, phone] = BROUGHT;
    assert!(login(wrong).await.is_err());
    let mut sessions = SessionServiceClient::new(gateway.clone());
    let unknown = sessions.refresh(within(PATIENCE, RefreshRequest { refresh_token: made_up.to_owned() })).await;
    assert!(unknown.is_err());
    let renewed = sessions.refresh(within(PATIENCE, RefreshRequest { refresh_token: session.refresh_token })).await?;
    let session = renewed.into_inner().session.context("a session")?;

    let bearer = format!("Bearer {}", session.access_token);
    let mut list = within(PATIENCE, ListOrganizationsRequest::default());
    list.metadata_mut().insert("authorization", bearer.parse()?);
    OrganizationServiceClient::new(gateway.clone()).list_organizations(list).await?;
    // Not the operator's to do, and with faults in it.
    let teacher = Teacher {
        display_name: name.to_owned(),
        identity_number: number.to_owned(),
        phone: phone.to_owned(),
        ..Teacher::default()
    };
    for token in [bearer.as_str(), "Bearer t-forged-access-token"] {
        let create = CreateTeacherRequest { teacher: Some(teacher.clone()), request_id: "t".to_owned() };
        let mut create = within(PATIENCE, create);
        create.metadata_mut().insert("authorization", token.parse()?);
        assert!(TeacherServiceClient::new(gateway.clone()).create_teacher(create).await.is_err());
    }
    Ok(session)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_said_however_much_is() -> anyhow::Result<()> {
    chassis::install_crypto();
    let folder = tempfile::tempdir()?;
    let (cluster, database) = tokio::task::spawn_blocking(|| {
        let cluster = Cluster::shared()?;
        let url = cluster.fresh_url("secrets")?;
        anyhow::Ok((cluster, url))
    })
    .await??;
    let database_password = database.split(':').nth(2).and_then(|rest| rest.split('@').next()).context("a password")?;
    let collector = Collector::default();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let collecting = Server::builder()
        .add_service(LogsServiceServer::new(collector.clone()).max_decoding_message_size(64 << 20))
        .add_service(TraceServiceServer::new(collector.clone()))
        .add_service(MetricsServiceServer::new(collector.clone()))
        .serve_with_incoming(TcpIncoming::from(listener));
    let collecting = tokio::spawn(collecting);

    let authority = Authority::new()?;
    let keys = folder.path().join("keys");
    let places = BTreeMap::from([("roster", free()?), ("gateway", free()?), ("nobody", free()?)]);
    let (sealing, index) = (STANDARD.encode([0x5a; 32]), STANDARD.encode([0xa5; 32]));
    let mut secrets = vec![database_password.to_owned(), PASSWORD.to_owned(), sealing.clone(), index.clone()];
    secrets.extend(BROUGHT.map(str::to_owned));
    secrets.extend([LOGIN.to_owned(), "t-forged-access-token".to_owned()]);
    let mut running = Vec::new();
    for service in ["roster", "gateway"] {
        let own = ensure_key(&keys, service)?;
        secrets.extend(forms(&own)?);
        let Certified { certificate, key, authorities } =
            authority.certify(service, &folder.path().join("tls").join(service))?;
        let pem = std::fs::read_to_string(&key)?;
        secrets.extend(pem.lines().filter(|line| !line.starts_with('-')).map(str::to_owned));
        let text = |path: &Path| path.display().to_string();
        let mut variables = BTreeMap::from([
            ("LISTEN", places[service].to_string()),
            ("DATABASE__URL", format!("sqlite:{}/{service}.db", folder.path().display())),
            ("KEYS__OWN", text(&own)),
            ("KEYS__TRUSTED", text(&keys)),
            ("KEYS__RELOAD_SECONDS", "1".to_owned()),
            ("TLS__CERTIFICATE", text(&certificate)),
            ("TLS__KEY", text(&key)),
            ("TLS__AUTHORITIES", text(&authorities)),
            ("TLS__RELOAD_SECONDS", "1".to_owned()),
            ("TELEMETRY__OTLP_ENDPOINT", endpoint.clone()),
        ]);
        if service == "roster" {
            variables.extend([
                ("DATABASE__URL", database.clone()),
                ("BOOTSTRAP__LOGIN", LOGIN.to_owned()),
                ("BOOTSTRAP__PASSWORD", PASSWORD.to_owned()),
                ("PASSWORD__PROFILE", "sample".to_owned()),
                ("IDENTITY__CURRENT", "k1".to_owned()),
                ("IDENTITY__KEYS__K1", sealing.clone()),
                ("IDENTITY__INDEX_KEY", index.clone()),
            ]);
        } else {
            // The others are away, and that is complained about.
            for (peer, variable) in PEERS {
                let at = places.get(peer).unwrap_or(&places["nobody"]);
                variables.insert(variable, format!("https://{at}"));
            }
        }
        let variables = variables.into_iter().map(|(key, value)| (format!("SHIXUN_{key}"), value)).collect();
        running.push(Said::start(folder.path(), service, &variables)?);
    }
    let session = calls(places["gateway"], &authority).await?;
    secrets.extend([session.access_token, session.refresh_token]);
    // A key that comes, and one that will not do.
    secrets.extend(forms(&next_key(&keys, "roster")?)?);
    std::fs::write(folder.path().join("tls/roster/tls.key"), "no key of anybody")?;
    let refused = async {
        while !std::fs::read_to_string(folder.path().join("roster.out"))?.contains("what was read before is used") {
            tokio::time::sleep(POLL).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, refused).await.context("the bad key is not told")??;

    let mut said = String::new();
    for process in running {
        said += &process.end().await?;
    }
    collecting.abort();
    let exported = collector.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    // That they spoke at all, and of these very calls.
    assert!(said.contains(r#""level":"TRACE""#) && said.contains("SessionService/Login"), "they were quiet");
    for method in ["gateway.v1.SessionService/Login", "roster.v1.AccountService/Authenticate"] {
        assert!(exported.contains(method), "no span of {method} was exported");
    }
    for secret in secrets {
        for (what, text) in [("said", &said), ("exported", &exported)] {
            let found = text.find(&secret).map(|at| text.get(at.saturating_sub(300)..at + 100).unwrap_or_default());
            assert!(found.is_none(), "{secret} was {what}: {found:?}");
        }
    }
    drop(cluster);
    Ok(())
}

/// The variables of a gateway's neighbours.
const PEERS: [(&str, &str); 5] = [
    ("roster", "PEERS__ROSTER"),
    ("catalog", "PEERS__CATALOG"),
    ("enrollment", "PEERS__ENROLLMENT"),
    ("credit", "PEERS__CREDIT"),
    ("gateway", "PEERS__GATEWAY"),
];
