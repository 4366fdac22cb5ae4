//! The image: built from this machine's files, and started as the manifests start it: read-only, as nobody, without rights. On what
//! runs then, the first term is set up by the guide. In the cluster's place are runc, the test's PostgreSQL and the host's network.

use std::{
    collections::BTreeMap,
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use chassis::server::health::{LIVENESS, READINESS};
use cluster::Cluster;
use futures::future::try_join_all;
use serde_json::{Value, json};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    Told,
    guide::first_term,
    rendered::{Manifests, folder, labels, list},
};

const VERSION: &str = "0.0.1-test";
/// Nobody, as the image and the manifests have it.
const USER: u64 = 65532;
const POLL: Duration = Duration::from_millis(50);
const POLLS: usize = 600;

/// As root, whom containers need here.
fn root(program: &str) -> anyhow::Result<Command> {
    let user = Command::new("id").arg("--user").output()?;
    if user.stdout.trim_ascii() == b"0" {
        return Ok(Command::new(program));
    }
    let mut command = Command::new("sudo");
    command.args(["--non-interactive", "--preserve-env", program]);
    Ok(command)
}

/// Where nothing waits for a disk: each layer of an image is written and flushed several times over.
fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let done = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?} (tests/run installs it)"))?;
    anyhow::ensure!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8(done.stdout)?)
}

/// The image, unpacked for a runtime.
struct Image {
    bundle: PathBuf,
    config: Value,
}

impl Image {
    fn build(folder: &Path) -> anyhow::Result<Self> {
        let builder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../images/build");
        let layout = folder.join("image");
        let mut build = root("bash")?;
        build.arg(builder).args([env!("CARGO_BIN_EXE_shixun"), VERSION]).arg(&layout).env("TMPDIR", memory());
        run(&mut build)?;
        let bundle = folder.join("bundle");
        run(root("umoci")?.args(["unpack", "--image"]).arg(format!("{}:{VERSION}", layout.display())).arg(&bundle))?;
        run(root("chmod")?.args(["--recursive", "a+rX"]).arg(&bundle))?;
        let config = serde_json::from_slice(&std::fs::read(bundle.join("config.json"))?)?;
        Ok(Self { bundle, config })
    }

    /// Starts a container as a pod's would be: `mounts` lead from a place inside to a folder of ours, which is not written to.
    fn start(
        &self,
        name: &str,
        arguments: &[&str],
        variables: &BTreeMap<String, String>,
        mounts: &BTreeMap<&str, PathBuf>,
    ) -> anyhow::Result<Container> {
        let mut config = self.config.clone();
        // What the image itself says of its user must do.
        assert_eq!(config["process"]["user"], json!({"uid": USER, "gid": USER}));
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(arguments);
        config["process"]["capabilities"] = json!({});
        config["root"] = json!({"path": self.bundle.join("rootfs"), "readonly": true});
        let mut environment = list(&self.config, "/process/env").to_vec();
        environment.extend(variables.iter().map(|(name, value)| json!(format!("{name}={value}"))));
        config["process"]["env"] = json!(environment);
        // The host's network, and no control groups.
        let apart = ["pid", "ipc", "uts", "mount"].map(|kind| json!({ "type": kind }));
        config["linux"] = json!({ "namespaces": apart });
        let mut mounted: Vec<_> = list(&config, "/mounts").iter().filter(|mount| of_a_pod(mount)).cloned().collect();
        mounted.extend(mounts.iter().map(|(inside, folder)| {
            json!({"destination": inside, "type": "bind", "source": folder, "options": ["rbind", "ro", "nosuid", "nodev"]})
        }));
        config["mounts"] = json!(mounted);
        let own = tempfile::Builder::new().prefix(name).tempdir()?;
        std::fs::write(own.path().join("config.json"), serde_json::to_vec(&config)?)?;
        let id = format!("shixun-{name}-{}-{}", std::process::id(), arguments.get(1).unwrap_or(&""));
        let log = own.path().join("log");
        let to = File::create(&log)?;
        let state = own.path().join("state");
        let mut command = runc(&state)?;
        command.args(["run", "--bundle"]).arg(own.path()).arg(&id);
        let child = command.stdin(Stdio::null()).stdout(to.try_clone()?).stderr(to).spawn().context("runc")?;
        Ok(Container { id, child, log, state, _own: own })
    }
}

/// What every pod has mounted.
fn of_a_pod(mount: &Value) -> bool {
    ["/proc", "/dev", "/dev/pts", "/dev/shm"].iter().any(|place| mount["destination"] == *place)
}

/// The runtime, with its book of what runs in a folder of its own.
fn runc(state: &Path) -> anyhow::Result<Command> {
    let mut runc = root("runc")?;
    runc.arg("--root").arg(state);
    Ok(runc)
}

struct Container {
    id: String,
    child: Child,
    log: PathBuf,
    state: PathBuf,
    _own: tempfile::TempDir,
}

impl Container {
    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What it said, once it has ended well.
    async fn ended(mut self) -> anyhow::Result<String> {
        for _ in 0..POLLS {
            if let Some(status) = self.child.try_wait()? {
                anyhow::ensure!(status.success(), "{}: {status}: {}", self.id, self.said());
                return Ok(self.said());
            }
            tokio::time::sleep(POLL).await;
        }
        anyhow::bail!("{} does not end: {}", self.id, self.said())
    }

    /// As a kubelet ends a pod.
    async fn stop(self) -> anyhow::Result<String> {
        run(runc(&self.state)?.args(["kill", &self.id, "TERM"]))?;
        self.ended().await
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // It may end in between.
            let killed = runc(&self.state).map(|mut runc| runc.args(["delete", "--force", &self.id]).status());
            drop(killed);
            let _ = self.child.wait();
        }
    }
}

/// Waits until a probe gets this answer.
async fn probed(port: u16, service: &str, container: &mut Container) -> anyhow::Result<()> {
    let channel = chassis::peer::channel(&format!("http://127.0.0.1:{port}"))?;
    let mut health = HealthClient::new(channel);
    for _ in 0..POLLS {
        let asked = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(chassis::peer::within(Duration::from_secs(1), asked)).await;
        if answer.is_ok_and(|answer| answer.into_inner().status == tonic_health::ServingStatus::Serving as i32) {
            return Ok(());
        }
        let ended = container.child.try_wait()?;
        anyhow::ensure!(ended.is_none(), "{} ended: {}", container.id, container.said());
        tokio::time::sleep(POLL).await;
    }
    anyhow::bail!("{}: {service} is not given: {}", container.id, container.said())
}

/// Ports that are free now.
fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// Writes the secret's keys into a folder, as a volume shows them to the pod's group.
fn volume(secrets: &Manifests, name: &str, folder: PathBuf) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(&folder)?;
    for key in labels(secrets.get("Secret", name)?, "/data").into_keys() {
        std::fs::write(folder.join(&key), secrets.secret(name, &key)?)?;
    }
    run(root("chown")?.args(["--recursive", &format!("root:{USER}")]).arg(&folder))?;
    run(root("chmod")?.args(["--recursive", "u=rwX,g=rX,o="]).arg(&folder))?;
    Ok(folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_is_built_and_all_services_run_in_it() -> anyhow::Result<()> {
    chassis::install_crypto();
    let scratch = tempfile::tempdir_in(memory())?;
    run(root("chmod")?.arg("a+rx").arg(scratch.path()))?;
    let image = Image::build(scratch.path())?;
    let (secrets, cluster) = (Manifests::of_secrets()?, Cluster::shared()?);
    let services = Told::all();
    let ports = free_ports(services.len() * 3)?;
    let (calls, others) = ports.split_at(services.len());
    let (metrics, probes) = others.split_at(services.len());
    let none = BTreeMap::new();

    // What is inside tells what it is made of, and there is no more than it needs.
    let document: Value =
        serde_json::from_slice(&std::fs::read(image.bundle.join("rootfs/usr/share/shixun/sbom.cdx.json"))?)?;
    let component = |name: &str| list(&document, "/components").iter().any(|component| component["name"] == name);
    assert!(["tonic", "sqlx", "gateway", "libc6"].into_iter().all(component), "the list of what is inside lacks some");
    assert!(!component("proptest"), "what only tests need is listed");
    let programs: Vec<_> = std::fs::read_dir(image.bundle.join("rootfs/bin"))?.collect::<Result<_, _>>()?;
    assert_eq!(programs.len(), services.len() + 1, "{programs:?}");

    let place = Place { image: &image, secrets: &secrets, cluster: &cluster, folder: scratch.path(), calls };
    let own = calls.iter().zip(metrics).zip(probes).map(|((calls, page), probes)| Ports {
        calls: *calls,
        page: *page,
        probes: *probes,
    });
    let running = try_join_all(services.iter().zip(own).map(|(service, own)| place.run(service, own))).await?;
    let known = image.start("help", &["shixun", "--version"], &none, &BTreeMap::new())?.ended().await?;
    assert!(known.contains(env!("CARGO_PKG_VERSION")), "{known}");
    // As from outside: by the authority of the secret, and with the password that the first operator is given there.
    let gateway = services.iter().position(|service| service.name == "gateway").context("a gateway")?;
    let authority = scratch.path().join("ca.crt");
    std::fs::write(&authority, secrets.secret("gateway-certificate", "ca.crt")?)?;
    first_term(&[
        ("GATEWAY", &format!("https://127.0.0.1:{}", calls[gateway])),
        ("TRANSPORT", &format!("--cacert {} --servername gateway", authority.display())),
        ("PASSWORD", &String::from_utf8(secrets.secret("roster-bootstrap", "SHIXUN_BOOTSTRAP__PASSWORD")?)?),
    ])?;
    for server in running {
        let said = server.stop().await?;
        assert!(!said.contains("panicked"), "{said}");
    }
    Ok(())
}

/// Where a service listens.
#[derive(Clone, Copy)]
struct Ports {
    calls: u16,
    page: u16,
    probes: u16,
}

/// What the containers share.
struct Place<'a> {
    image: &'a Image,
    secrets: &'a Manifests,
    cluster: &'a Cluster,
    folder: &'a Path,
    /// Where each service listens, in their order.
    calls: &'a [u16],
}

impl Place<'_> {
    /// Runs a service as its pods do: not on another's schema, migrated, then until it is ready.
    async fn run(&self, service: &Told, ports: Ports) -> anyhow::Result<Container> {
        let name = service.name;
        let variables = self.variables(name, ports)?;
        // Configuration and keys as the manifests mount them.
        let at = self.folder.join(name);
        let configuration = at.join("config");
        std::fs::create_dir_all(&configuration)?;
        std::fs::copy(folder().join("base").join(name).join("service.toml"), configuration.join("service.toml"))?;
        run(root("chmod")?.args(["--recursive", "a+rX"]).arg(&at))?;
        let mounts = BTreeMap::from([
            ("/config", configuration),
            ("/keys/own", volume(self.secrets, &format!("{name}-key"), at.join("own"))?),
            ("/keys/trusted", volume(self.secrets, "trusted-keys", at.join("trusted"))?),
            ("/certificate", volume(self.secrets, &format!("{name}-certificate"), at.join("certificate"))?),
        ]);
        let program = format!("/bin/{name}");
        let start = |command: &str| {
            let arguments = [program.as_str(), command, "--config", "/config/service.toml"];
            self.image.start(name, &arguments, &variables, &mounts)
        };
        let refused = start("serve")?.ended().await.err().map(|refused| refused.to_string()).unwrap_or_default();
        assert!(refused.contains("migrate"), "{name} serves on no schema, or says no remedy: {refused}");
        start("migrate")?.ended().await?;
        let mut server = start("serve")?;
        probed(ports.probes, LIVENESS, &mut server).await?;
        probed(ports.probes, READINESS, &mut server).await?;
        let shown = run(Command::new("bash").args(["-c", SCRAPE, "scrape", &ports.page.to_string()]))?;
        assert!(shown.contains("shixun_tls_certificate_left_seconds"), "{name} shows no metrics: {shown}");
        Ok(server)
    }

    /// What its pods have in their environment, but here.
    fn variables(&self, name: &str, ports: Ports) -> anyhow::Result<BTreeMap<String, String>> {
        let mut variables = BTreeMap::from([
            ("SHIXUN_LISTEN".to_owned(), format!("127.0.0.1:{}", ports.calls)),
            ("SHIXUN_SERVER__PROBES".to_owned(), format!("127.0.0.1:{}", ports.probes)),
            ("SHIXUN_DATABASE__URL".to_owned(), self.cluster.fresh_url(&format!("image_{name}"))?),
            ("SHIXUN_TELEMETRY__PROMETHEUS".to_owned(), format!("127.0.0.1:{}", ports.page)),
        ]);
        for (peer, port) in Told::all().iter().zip(self.calls) {
            variables.insert(format!("SHIXUN_PEERS__{}", peer.name.to_uppercase()), format!("dns:///127.0.0.1:{port}"));
        }
        if name == "roster" {
            for secret in ["roster-identity", "roster-bootstrap"] {
                for key in labels(self.secrets.get("Secret", secret)?, "/data").into_keys() {
                    let value = String::from_utf8(self.secrets.secret(secret, &key)?)?;
                    variables.insert(key, value);
                }
            }
        }
        Ok(variables)
    }
}

/// `GET /metrics` of a port, without a program that may not be there.
const SCRAPE: &str = r#"exec 3<>"/dev/tcp/127.0.0.1/$1" && printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3 && cat <&3"#;
