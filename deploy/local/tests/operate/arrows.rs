//! Who may speak to whom: the network policies let pass exactly what the binaries say that they need.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    Told,
    rendered::{Labels, Manifests, OVERLAYS, labels, list, selects, text},
};

const CALLS: u16 = 7700;
const METRICS: u16 = 9464;
const DATABASE: u16 = 5432;
const OTLP: u16 = 4317;

/// Who speaks or is spoken to: a pod of ours, or one of another namespace.
#[derive(Debug, Clone)]
struct End {
    namespace: &'static str,
    labels: Labels,
}

impl End {
    fn ours(labels: Labels) -> Self {
        Self { namespace: "shixun", labels }
    }

    fn elsewhere(namespace: &'static str) -> Self {
        Self { namespace, labels: Labels::from([("app".to_owned(), "any".to_owned())]) }
    }

    /// Whether a peer of a policy's rule means it.
    fn is_meant(&self, peer: &Value) -> bool {
        let namespace = match peer.get("namespaceSelector") {
            Some(selector) => {
                let name = ("kubernetes.io/metadata.name".to_owned(), self.namespace.to_owned());
                selects(selector, &Labels::from([name]))
            }
            None => self.namespace == "shixun",
        };
        namespace && peer.get("podSelector").is_none_or(|selector| selects(selector, &self.labels))
    }
}

struct Policies<'a>(Vec<&'a Value>);

impl Policies<'_> {
    /// Whether the policies of both ends let a connection pass.
    fn pass(&self, from: &End, to: &End, port: u16) -> bool {
        self.lets_out(from, to, port) && self.lets_in(from, to, port)
    }

    /// Whether those of the beginning do.
    fn lets_out(&self, from: &End, to: &End, port: u16) -> bool {
        self.let_through("Egress", from, to, port)
    }

    /// Whether those of the end do.
    fn lets_in(&self, from: &End, to: &End, port: u16) -> bool {
        self.let_through("Ingress", to, from, port)
    }

    fn let_through(&self, direction: &str, whose: &End, other: &End, port: u16) -> bool {
        if whose.namespace != "shixun" {
            return true;
        }
        let (rules, peers) = if direction == "Egress" { ("/spec/egress", "/to") } else { ("/spec/ingress", "/from") };
        let concerned = |policy: &&&Value| {
            list(policy, "/spec/policyTypes").contains(&json!(direction))
                && policy.pointer("/spec/podSelector").is_some_and(|selector| selects(selector, &whose.labels))
        };
        let mut closed = false;
        for policy in self.0.iter().filter(concerned) {
            closed = true;
            for rule in list(policy, rules) {
                let (peers, ports) = (list(rule, peers), list(rule, "/ports"));
                let peer = peers.is_empty() || peers.iter().any(|peer| other.is_meant(peer));
                if peer && (ports.is_empty() || ports.iter().any(|of| of.get("port") == Some(&json!(port)))) {
                    return true;
                }
            }
        }
        !closed
    }
}

/// The pods' ends by the name of what makes them; those of CloudNativePG are made by its operator.
fn ends(manifests: &Manifests) -> BTreeMap<String, End> {
    let pods = manifests.pods().into_iter();
    let mut ends: BTreeMap<_, _> = pods.map(|(name, pod)| (name, End::ours(labels(pod, "/metadata/labels")))).collect();
    for cluster in manifests.kind("Cluster") {
        let name = format!("StatefulSet {}", text(cluster, "/metadata/name"));
        ends.insert(name, End::ours(labels(cluster, "/spec/inheritedMetadata/labels")));
    }
    ends
}

#[test]
fn the_policies_let_pass_what_the_binaries_need_and_nothing_else() -> anyhow::Result<()> {
    for overlay in OVERLAYS {
        let manifests = Manifests::of_overlay(overlay)?;
        let policies = Policies(manifests.kind("NetworkPolicy").collect());
        let ends = ends(&manifests);
        let server = |name: &str| format!("Deployment {name}-server");
        let database = "StatefulSet postgres".to_owned();
        let mut allowed = 0;
        for service in Told::all() {
            let observability = End::elsewhere("observability");
            let Some(own) = ends.get(&server(service.name)) else { anyhow::bail!("no {}", service.name) };
            for (name, end) in &ends {
                let needed = service.peers.iter().any(|peer| *name == server(peer));
                // Each side by itself: what the other side keeps out may be let in there tomorrow.
                let (out, into) = (policies.lets_out(own, end, CALLS), policies.lets_in(own, end, CALLS));
                assert_eq!(out, needed, "{overlay}: {} to {name}", service.name);
                let from_anywhere = overlay == "trial" && *name == server("gateway");
                assert!(into == needed || from_anywhere, "{overlay}: into {name} from {}", service.name);
                assert_eq!(
                    policies.pass(own, end, DATABASE),
                    *name == database,
                    "{overlay}: {} to {name}",
                    service.name
                );
                assert!(!policies.pass(own, end, METRICS) && !policies.pass(end, own, METRICS), "{overlay}: {name}");
                allowed += usize::from(needed);
            }
            assert!(policies.pass(&observability, own, METRICS) && policies.pass(own, &observability, OTLP));
            for stranger in ["default", "kube-system", "observability", "ingress"].map(End::elsewhere) {
                assert!(!policies.pass(own, &stranger, 443) && !policies.pass(own, &stranger, CALLS));
                let outside = service.name == "gateway" && (stranger.namespace == "ingress" || overlay == "trial");
                assert_eq!(
                    policies.pass(&stranger, own, CALLS),
                    outside,
                    "{overlay}: {stranger:?} to {}",
                    service.name
                );
            }
            // A migration reaches the database, and nobody else; nobody reaches it.
            let Some(job) = ends.get(&format!("Job {}-migrate", service.name)) else { anyhow::bail!("no migration") };
            for (name, end) in &ends {
                assert_eq!(policies.pass(job, end, DATABASE), *name == database, "{overlay}: migration to {name}");
                assert!(!policies.pass(job, end, CALLS) && !policies.pass(end, job, CALLS), "{overlay}: {name}");
            }
        }
        let arrows: usize = Told::all().iter().map(|service| service.peers.len()).sum();
        assert_eq!(allowed, arrows, "{overlay}: a peer is nobody's pod");
    }
    Ok(())
}
