//! The manifests agree with the binaries: commands, configuration, variables, ports, probes, the time to end, secrets; and each
//! pod keeps to the restricted standard.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use anyhow::Context as _;
use chassis::server::health::{LIVENESS, READINESS};
use serde_json::{Value, json};

use crate::{
    Told,
    rendered::{Manifests, OVERLAYS, labels, list, selects, text},
};

/// Secrets that operators in the cluster make: CloudNativePG's authority.
const MADE_THERE: [&str; 1] = ["postgres-ca"];
/// And those of which others have the keys: the object store's.
const MADE_ELSEWHERE: [&str; 1] = ["backup-store"];
/// What a process takes after its drain, in seconds: half a second for tasks, the rest for a mute collector.
const AFTER_DRAIN: u64 = 11;
/// How long callers may not have heard of a new replica, in seconds: what a cluster's DNS keeps (30), and what is between two looks (5).
const UNHEARD_OF: u64 = 35;

/// A container's variables as Kubernetes would set them: `secrets` are those of a new system.
fn variables(container: &Value, secrets: &Manifests) -> anyhow::Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for source in list(container, "/envFrom") {
        let secret = secrets.get("Secret", text(source, "/secretRef/name"))?;
        for key in labels(secret, "/data").into_keys() {
            let value = secrets.secret(text(source, "/secretRef/name"), &key)?;
            all.insert(key, String::from_utf8(value)?);
        }
    }
    for variable in list(container, "/env") {
        let value = match variable.pointer("/valueFrom/secretKeyRef") {
            Some(secret) => String::from_utf8(secrets.secret(text(secret, "/name"), text(secret, "/key"))?)?,
            // $(NAME) stands for what was set before.
            None => all.iter().fold(text(variable, "/value").to_owned(), |value, (name, known)| {
                value.replace(&format!("$({name})"), known)
            }),
        };
        anyhow::ensure!(!value.contains("$("), "{value} names a variable that is not there");
        all.insert(text(variable, "/name").to_owned(), value);
    }
    Ok(all)
}

/// The one container of a pod.
fn container(pod: &Value) -> anyhow::Result<&Value> {
    let [container] = list(pod, "/spec/containers") else { anyhow::bail!("one container") };
    Ok(container)
}

/// The text of a service's configuration file, as its pod mounts it.
fn configuration<'a>(manifests: &'a Manifests, pod: &Value) -> anyhow::Result<&'a str> {
    let mut volumes = list(pod, "/spec/volumes").iter();
    let volume = volumes.find(|volume| text(volume, "/name") == "config").context("a configuration")?;
    let map = manifests.get("ConfigMap", text(volume, "/configMap/name"))?;
    map.pointer("/data/service.toml").and_then(Value::as_str).context("service.toml")
}

#[test]
fn each_binary_takes_the_configuration_that_it_is_given() -> anyhow::Result<()> {
    let secrets = Manifests::of_secrets()?;
    let folder = tempfile::tempdir()?;
    for overlay in OVERLAYS {
        let manifests = Manifests::of_overlay(overlay)?;
        for service in Told::all() {
            let program = folder.path().join(service.name);
            if !program.exists() {
                std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_shixun"), &program)?;
            }
            for (kind, name, command) in [("Deployment", "server", "serve"), ("Job", "migrate", "migrate")] {
                let manifest = manifests.get(kind, &format!("{}-{name}", service.name))?;
                let pod = manifest.pointer("/spec/template").context("a pod")?;
                let container = container(pod)?;
                assert_eq!(container["command"], json!([format!("/bin/{}", service.name)]));
                assert_eq!(container["args"], json!([command, "--config", "/config/service.toml"]));
                let file = folder.path().join("service.toml");
                std::fs::write(&file, configuration(&manifests, pod)?)?;
                let variables = variables(container, &secrets)?;
                for name in variables.keys().filter(|name| name.starts_with("SHIXUN_")) {
                    let known = |key: &chassis::config::Key| match key.variable.strip_suffix("ID") {
                        Some(any) if key.variable.ends_with("__ID") => name.starts_with(any),
                        _ => key.variable == *name,
                    };
                    assert!(service.keys.iter().any(known), "{overlay}: {} knows no {name}", service.name);
                }
                check(&program, &file, &variables).with_context(|| format!("{overlay}: {kind} {}", service.name))?;
                // Nothing secret in what is not a secret.
                let public = serde_json::to_string(container)? + configuration(&manifests, pod)?;
                for secret in
                    variables.iter().filter(|(name, _)| !name.ends_with("CURRENT") && !name.ends_with("LOGIN"))
                {
                    let given = list(container, "/env").iter().any(|given| text(given, "/value") == secret.1);
                    assert!(given || !public.contains(secret.1.as_str()), "{} stands in a manifest", secret.0);
                }
            }
        }
    }
    Ok(())
}

/// `NAME check-config`, in no other environment. Files and addresses are those of the cluster.
fn check(program: &Path, file: &Path, variables: &BTreeMap<String, String>) -> anyhow::Result<()> {
    let checked = Command::new(program)
        .args(["check-config", "--form-only", "--config"])
        .arg(file)
        .env_clear()
        .envs(variables)
        // That nothing is exported from a test.
        .env_remove("SHIXUN_TELEMETRY__OTLP_ENDPOINT")
        .output()?;
    anyhow::ensure!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    Ok(())
}

#[test]
fn ports_probes_and_the_time_to_end_are_those_of_the_binaries() -> anyhow::Result<()> {
    for overlay in OVERLAYS {
        let manifests = Manifests::of_overlay(overlay)?;
        for service in Told::all() {
            let name = format!("{}-server", service.name);
            let deployment = manifests.get("Deployment", &name)?;
            let pod = deployment.pointer("/spec/template").context("a pod")?;
            let container = container(pod)?;
            let configuration: toml::Table = configuration(&manifests, pod)?.parse()?;
            let port = |address: Option<&toml::Value>| {
                address
                    .and_then(toml::Value::as_str)
                    .and_then(|address| address.rsplit(':').next()?.parse::<u16>().ok())
            };
            let calls = port(configuration.get("listen")).context("listen")?;
            let metrics = port(configuration.get("telemetry").and_then(|section| section.get("prometheus")));
            let probes = port(configuration.get("server").and_then(|section| section.get("probes")));
            let probes = probes.context("server.probes: a kubelet speaks no TLS")?;
            let metrics_port = metrics.context("telemetry.prometheus")?;
            let ports = [("grpc", calls), ("probes", probes), ("metrics", metrics_port)];
            assert_eq!(
                container["ports"],
                json!(ports.map(|(name, port)| json!({"name": name, "containerPort": port})))
            );
            let annotations = labels(pod, "/metadata/annotations");
            assert_eq!(annotations.get("prometheus.io/port").cloned(), metrics.map(|port| port.to_string()));

            for (probe, asked) in [("startup", LIVENESS), ("liveness", LIVENESS), ("readiness", READINESS)] {
                let expected = json!({"port": probes, "service": asked});
                assert_eq!(container[format!("{probe}Probe")]["grpc"], expected, "{overlay}: {name}: {probe}");
            }
            let before = container.pointer("/lifecycle/preStop/sleep/seconds").and_then(Value::as_u64);
            let drain = service.keys.iter().find(|key| key.path == "server.drain_seconds");
            let drain = match configuration.get("server").and_then(|server| server.get("drain_seconds")) {
                Some(drain) => drain.as_integer().and_then(|drain| u64::try_from(drain).ok()),
                None => drain.and_then(|key| key.default.as_ref()?.as_u64()),
            };
            let needed = before.context("preStop")? + drain.context("a drain")? + AFTER_DRAIN;
            let grace = pod.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_u64).context("grace")?;
            assert!((needed..needed + 10).contains(&grace), "{overlay}: {name} gets {grace} s and needs {needed}");

            // The new one is found before the old one goes.
            let rolling = deployment.pointer("/spec/strategy/rollingUpdate").context("how it is replaced")?;
            assert_eq!(*rolling, json!({"maxUnavailable": 0, "maxSurge": 1}), "{overlay}: {name}");
            let heard_of = deployment.pointer("/spec/minReadySeconds").and_then(Value::as_u64);
            assert!(heard_of.is_some_and(|seconds| seconds > UNHEARD_OF), "{overlay}: {name}");

            // The certificate is that of the service's name, and where the configuration looks for it.
            let tls = configuration.get("tls").and_then(toml::Value::as_table).context("tls")?;
            let mounted = |volume: &&Value| text(volume, "/name") == "certificate";
            let volume = list(pod, "/spec/volumes").iter().find(mounted).context("a certificate")?;
            assert_eq!(text(volume, "/secret/secretName"), format!("{}-certificate", service.name));
            let mount = list(container, "/volumeMounts").iter().find(mounted).context("its place")?;
            for (key, file) in [("certificate", "tls.crt"), ("key", "tls.key"), ("authorities", "ca.crt")] {
                let place = format!("{}/{file}", text(mount, "/mountPath"));
                assert_eq!(tls.get(key).and_then(toml::Value::as_str), Some(place.as_str()), "{name}: tls.{key}");
            }
            if overlay == "production" {
                let certificate = manifests.get("Certificate", service.name)?;
                assert_eq!(certificate["spec"]["secretName"], volume["secret"]["secretName"]);
                assert_eq!(certificate["spec"]["dnsNames"], json!([service.name]));
                for usage in ["server auth", "client auth"] {
                    assert!(list(certificate, "/spec/usages").contains(&json!(usage)), "{name} is not for {usage}");
                }
            }

            for (peer, address) in configuration.get("peers").and_then(toml::Value::as_table).into_iter().flatten() {
                let address =
                    address.as_str().and_then(|address| address.strip_prefix("dns:///")).context("by name")?;
                let (host, port) = address.split_once(':').context("a port")?;
                let found = manifests.get("Service", host)?;
                let peers = manifests.get("Deployment", &format!("{peer}-server"))?;
                let pods = labels(peers, "/spec/template/metadata/labels");
                assert!(selects(&json!({ "matchLabels": found["spec"]["selector"] }), &pods), "{host} is no {peer}");
                let [served] = list(found, "/spec/ports") else { anyhow::bail!("one port") };
                assert_eq!((served["port"].to_string().as_str(), text(served, "/targetPort")), (port, "grpc"));
                // Two that mirror each other are filled before they are ready; calls go to who is.
                let early = found["spec"]["publishNotReadyAddresses"] == json!(true);
                assert_eq!(early, service.name != "gateway", "{overlay}: {} calls {host}", service.name);
            }
        }
    }
    Ok(())
}

#[test]
fn every_service_survives_a_node_and_one_pod_at_a_time() -> anyhow::Result<()> {
    let manifests = Manifests::of_overlay("production")?;
    for service in Told::all() {
        let name = format!("{}-server", service.name);
        let deployment = manifests.get("Deployment", &name)?;
        let pods = labels(deployment, "/spec/template/metadata/labels");
        let mut budgets = manifests.kind("PodDisruptionBudget");
        let budget = budgets.find(|budget| selects(&budget["spec"]["selector"], &pods)).context("a budget")?;
        assert_eq!(budget["spec"]["maxUnavailable"], json!(1));
        let spread = list(deployment, "/spec/template/spec/topologySpreadConstraints");
        for topology in ["kubernetes.io/hostname", "topology.kubernetes.io/zone"] {
            let spreads = |rule: &&Value| rule["topologyKey"] == topology && selects(&rule["labelSelector"], &pods);
            assert_eq!(spread.iter().filter(spreads).count(), 1, "{name}");
        }
        let mut scalers = manifests.kind("HorizontalPodAutoscaler");
        let least = match scalers.find(|scaler| text(scaler, "/spec/scaleTargetRef/name") == name) {
            // One hand only on the number.
            Some(scaler) => {
                assert!(deployment.pointer("/spec/replicas").is_none(), "{name} has two who say how many there are");
                scaler.pointer("/spec/minReplicas")
            }
            None => deployment.pointer("/spec/replicas"),
        };
        assert!(least.and_then(Value::as_u64).is_some_and(|least| least >= 2), "{name}: {least:?}");
    }
    Ok(())
}

#[test]
fn every_pod_keeps_to_the_restricted_standard() -> anyhow::Result<()> {
    for overlay in OVERLAYS {
        let manifests = Manifests::of_overlay(overlay)?;
        let namespace = manifests.get("Namespace", "shixun")?;
        assert_eq!(
            labels(namespace, "/metadata/labels").get("pod-security.kubernetes.io/enforce").unwrap(),
            "restricted"
        );
        for (name, pod) in manifests.pods() {
            let told = format!("{overlay}: {name}");
            let container = container(pod)?;
            for (pointer, expected) in [
                ("/spec/enableServiceLinks", json!(false)),
                ("/spec/automountServiceAccountToken", json!(false)),
                ("/spec/securityContext/runAsNonRoot", json!(true)),
                ("/spec/securityContext/seccompProfile/type", json!("RuntimeDefault")),
            ] {
                assert_eq!(pod.pointer(pointer), Some(&expected), "{told}: {pointer}");
            }
            for (pointer, expected) in [
                ("/securityContext/allowPrivilegeEscalation", json!(false)),
                ("/securityContext/readOnlyRootFilesystem", json!(true)),
                ("/securityContext/capabilities/drop", json!(["ALL"])),
            ] {
                assert_eq!(container.pointer(pointer), Some(&expected), "{told}: {pointer}");
            }
            for bound in ["requests/cpu", "requests/memory", "limits/memory"] {
                assert!(container.pointer(&format!("/resources/{bound}")).is_some(), "{told}: {bound}");
            }
        }
    }
    Ok(())
}

/// The names and keys of secrets that pods ask for; an empty key means all of it.
fn asked(pod: &Value) -> BTreeSet<(String, String)> {
    let mut asked = BTreeSet::new();
    let mut ask = |name: &str, key: &str| asked.insert((name.to_owned(), key.to_owned()));
    for volume in list(pod, "/spec/volumes") {
        let name = text(volume, "/secret/secretName");
        let items = list(volume, "/secret/items");
        items.iter().for_each(|item| _ = ask(name, text(item, "/key")));
        if items.is_empty() && !name.is_empty() {
            ask(name, "");
        }
    }
    for container in list(pod, "/spec/containers") {
        for variable in list(container, "/env") {
            if let Some(secret) = variable.pointer("/valueFrom/secretKeyRef") {
                ask(text(secret, "/name"), text(secret, "/key"));
            }
        }
        list(container, "/envFrom").iter().for_each(|source| _ = ask(text(source, "/secretRef/name"), ""));
    }
    asked
}

#[test]
fn every_secret_that_a_pod_asks_for_is_made() -> anyhow::Result<()> {
    let made = Manifests::of_secrets()?;
    for overlay in OVERLAYS {
        let manifests = Manifests::of_overlay(overlay)?;
        assert_eq!(manifests.kind("Secret").count(), 0, "{overlay} has a secret in it");
        for (pod, template) in manifests.pods() {
            for (name, key) in asked(template).into_iter().filter(|(name, _)| !MADE_THERE.contains(&name.as_str())) {
                let secret = made.get("Secret", &name).with_context(|| format!("{overlay}: {pod}"))?;
                anyhow::ensure!(key.is_empty() || secret["data"].get(&key).is_some(), "{overlay}: {name} has no {key}");
                let certified = |certificate: &Value| text(certificate, "/spec/secretName") == name;
                if overlay == "production" && !manifests.kind("Certificate").any(certified) {
                    manifests.get("ExternalSecret", &name)?;
                }
            }
        }
        // From outside come the same keys.
        let ours = |outside: &&Value| !MADE_ELSEWHERE.contains(&text(outside, "/metadata/name"));
        for outside in manifests.kind("ExternalSecret").filter(ours) {
            let secret = made.get("Secret", text(outside, "/metadata/name"))?;
            let templated = labels(outside, "/spec/target/template/data");
            let keys: BTreeSet<_> = match list(outside, "/spec/data") {
                // All of the entry's.
                [] => continue,
                _ if !templated.is_empty() => templated.into_keys().collect(),
                keys => keys.iter().map(|key| text(key, "/secretKey").to_owned()).collect(),
            };
            assert_eq!(keys, labels(secret, "/data").into_keys().collect(), "{}", text(outside, "/metadata/name"));
        }
    }
    Ok(())
}
