//! Alert rules, dashboards and what scaling goes by: every series that they name is there in a running system, and every alert has
//! its runbook. The system is the sample county's after a first selection, the reader a Prometheus of Debian's. Some alerts are
//! provoked there, too; how the others were is at the end of their runbooks.

use std::{
    collections::BTreeSet,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use serde_json::Value;

use crate::{
    guide::{System, listening},
    rendered::{Manifests, list, text},
};

const POLL: Duration = Duration::from_millis(100);
const POLLS: usize = 900;
/// Series are named like this.
const SERIES: [&str; 3] = ["rpc_server_", "shixun_", "db_client_"];
/// And these are labels that look like them.
const LABELS: [&str; 2] = ["db_client_connection_pool_name", "db_client_connection_state"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../telemetry")
}

fn yaml(path: &Path) -> anyhow::Result<Value> {
    Ok(serde_saphyr::from_str(&std::fs::read_to_string(path)?)?)
}

fn alerts() -> anyhow::Result<Vec<Value>> {
    let rules = yaml(&folder().join("alerts.yaml"))?;
    Ok(list(&rules, "/groups").iter().flat_map(|group| list(group, "/rules")).cloned().collect())
}

/// The same rules for who cannot wait: what holds for a second fires. They are told apart by a label.
fn impatient() -> anyhow::Result<String> {
    let rules = std::fs::read_to_string(folder().join("alerts.yaml"))?;
    let line = |line: &str| match line.trim_start() {
        "- name: shixun" => line.replace("shixun", "impatient"),
        hold if hold.starts_with("for: ") => line.replace(hold, "for: 1s"),
        labels if labels.starts_with("labels: {") => line.replace('{', "{impatient: \"yes\", "),
        _ => line.to_owned(),
    };
    Ok(rules.lines().map(line).collect::<Vec<_>>().join("\n"))
}

/// All expressions of the alerts and the dashboards.
fn expressions() -> anyhow::Result<Vec<String>> {
    let mut all: Vec<_> = alerts()?.iter().map(|alert| text(alert, "/expr").to_owned()).collect();
    for dashboard in std::fs::read_dir(folder().join("dashboards"))? {
        let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(dashboard?.path())?)?;
        let targets = list(&dashboard, "/panels").iter().flat_map(|panel| list(panel, "/targets"));
        all.extend(targets.map(|target| text(target, "/expr").to_owned()));
    }
    Ok(all)
}

/// The series that an expression names.
fn series(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| SERIES.iter().any(|begin| word.starts_with(begin)) && !LABELS.contains(word))
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let done = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?} (tests/run installs it)"))?;
    let told = String::from_utf8_lossy(&done.stderr).into_owned() + &String::from_utf8_lossy(&done.stdout);
    anyhow::ensure!(done.status.success(), "{command:?}: {told}");
    Ok(String::from_utf8(done.stdout)?)
}

#[test]
fn the_rules_hold_what_they_promise_and_each_has_a_runbook() -> anyhow::Result<()> {
    run(Command::new("promtool").args(["check", "rules", "alerts.yaml"]).current_dir(folder()))?;
    run(Command::new("promtool").args(["test", "rules", "alerts_test.yaml"]).current_dir(folder()))?;
    let tested = std::fs::read_to_string(folder().join("alerts_test.yaml"))?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut named = BTreeSet::new();
    for alert in alerts()? {
        let name = text(&alert, "/alert").to_owned();
        assert_eq!(text(&alert, "/annotations/runbook"), format!("docs/runbooks/{name}.md"));
        assert!(root.join(text(&alert, "/annotations/runbook")).exists(), "{name} has no runbook");
        let fires = format!("alertname: {name}\n        exp_alerts:\n          -");
        assert!(tested.contains(&fires), "no test has {name} fire");
        named.insert(format!("{name}.md"));
    }
    for page in std::fs::read_dir(root.join("docs/runbooks"))? {
        let page = page?.file_name().to_string_lossy().into_owned();
        // What no alert leads to, but another page does.
        let others = ["README.md", "restore.md"];
        assert!(others.contains(&page.as_str()) || named.contains(&page), "{page} is of no alert");
    }
    Ok(())
}

/// Calls a method by reflection, as whoever the token is of.
fn call(gateway: &str, method: &str, json: &str, token: &str) -> anyhow::Result<Value> {
    let mut command = Command::new("buf");
    command.args(["curl", "--protocol", "grpc", "--http2-prior-knowledge", "--data", json]);
    command.arg("--header").arg(format!("authorization: Bearer {token}")).arg(format!("http://{gateway}/{method}"));
    Ok(serde_json::from_str(&run(&mut command)?)?)
}

/// A call that the banner of `shixun up` shows: JSON and method.
fn shown<'a>(banner: &'a str, method: &str) -> anyhow::Result<(&'a str, &'a str)> {
    let line = banner.lines().find(|line| line.ends_with(method)).with_context(|| format!("no {method}: {banner}"))?;
    Ok((line.split('\'').nth(1).context("its JSON")?, line.rsplit(' ').next().context("its method")?))
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

#[tokio::test]
async fn every_series_that_is_named_is_there_and_alerts_fire() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (data, said) = (folder.path().join("data"), folder.path().join("said"));
    let (metrics, port) = (free_port()?, free_port()?);
    let mut up = Command::new(env!("CARGO_BIN_EXE_shixun"));
    up.args(["up", "--teachers", "60", "--listen", "127.0.0.1:0", "--prometheus", &format!("127.0.0.1:{metrics}")]);
    up.arg("--data").arg(&data).stdin(Stdio::null()).stdout(std::fs::File::create(&said)?).stderr(Stdio::null());
    let mut system = System(up.spawn()?);
    let configuration = format!(
        "rule_files: [{}, impatient.yaml]\nglobal: {{scrape_interval: 500ms, evaluation_interval: 500ms}}\nscrape_configs:\n  \
         - job_name: shixun\n    static_configs:\n      - targets: ['127.0.0.1:{metrics}']\n        \
         labels: {{app: gateway, pod: local}}\n",
        crate::telemetry::folder().join("alerts.yaml").canonicalize()?.display()
    );
    std::fs::write(folder.path().join("prometheus.yml"), configuration)?;
    std::fs::write(folder.path().join("impatient.yaml"), impatient()?)?;
    let _prometheus = System(
        Command::new("prometheus")
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("series").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("prometheus (tests/run installs it)")?,
    );
    let mut banner = String::new();
    for _ in 0..POLLS {
        let ended = system.0.try_wait()?;
        anyhow::ensure!(ended.is_none(), "the system ended: {ended:?}");
        banner = std::fs::read_to_string(&said)?;
        if banner.contains("Ctrl-C") {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    let gateway = listening(&mut system, &data).await?.to_string();
    let (json, method) = shown(&banner, "SessionService/Login")?;
    let session = call(&gateway, method, json, "")?;
    let (json, method) = shown(&banner, "SelectionService/SubmitSelection")?;
    call(&gateway, method, json, text(&session, "/session/accessToken"))?;

    let expressions = expressions()?;
    let mut named: BTreeSet<_> = expressions.iter().flat_map(|expression| series(expression)).collect();
    let production = Manifests::of_overlay("production")?;
    for scaler in production.kind("HorizontalPodAutoscaler") {
        named.extend(list(scaler, "/spec/metrics").iter().map(|metric| text(metric, "/pods/metric/name")));
    }
    named.remove("");
    // A system of one process speaks to itself in the clear; the image's test looks for this one.
    assert!(named.remove("shixun_tls_certificate_left_seconds"));
    // An embedded database has no archive of its log; chassis's test looks for these.
    for archive in ["waiting", "age_seconds"] {
        assert!(named.remove(format!("shixun_database_archive_{archive}").as_str()));
    }
    assert!(named.len() > 15, "{named:?}");
    let query = |expression: &str| {
        let server = format!("http://127.0.0.1:{port}");
        run(Command::new("promtool").args(["query", "instant", "--format", "json", &server, expression]))
    };
    let mut missing = named.clone();
    for _ in 0..POLLS {
        // Until the server answers at all, and has read the page after what was done.
        if let Ok(found) = query("count by (__name__) ({job=\"shixun\"})") {
            missing.retain(|name| !found.contains(&format!("\"__name__\":\"{name}\"")));
        }
        if missing.is_empty() {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    assert!(missing.is_empty(), "a running system has no {missing:?}");
    for expression in &expressions {
        query(expression)?;
    }
    // Nothing fires while all is well; but by a virtual clock, which leaps from act to act, steps are late.
    let firing = query("ALERTS{alertstate=\"firing\", alertname!=\"StepsLate\", impatient=\"\"}")?;
    assert_eq!(firing.trim(), "[]");

    let fires = async |alert: &str, wanted: bool| {
        let asked = format!("ALERTS{{alertstate=\"firing\", alertname=\"{alert}\", impatient=\"yes\"}}");
        for _ in 0..POLLS {
            if (query(&asked)?.trim() != "[]") == wanted {
                return anyhow::Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        anyhow::bail!("{alert}: {}", if wanted { "it does not fire" } else { "it does not end" })
    };
    let unreadable = data.join("keys/unreadable.pub");
    std::fs::write(&unreadable, "no key")?;
    fires("ReloadRefused", true).await?;
    std::fs::remove_file(&unreadable)?;
    fires("ReloadRefused", false).await?;
    drop(system);
    fires("ReplicaAway", true).await
}
