//! Backups of the production overlay and the way back: who backs up what into which store, by which secret, and that a restore neither
//! serves nor writes into the history that it comes from.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::rendered::{Manifests, folder, list, text};

const PLUGIN: &str = "barman-cloud.cloudnative-pg.io";

/// The parameters with which the cluster archives its log.
fn archiver(cluster: &Value) -> anyhow::Result<&Value> {
    let [plugin] = list(cluster, "/spec/plugins") else { anyhow::bail!("one plugin") };
    assert_eq!((text(plugin, "/name"), &plugin["isWALArchiver"]), (PLUGIN, &json!(true)));
    Ok(&plugin["parameters"])
}

#[test]
fn production_is_backed_up_into_a_store_whose_keys_come_from_outside() -> anyhow::Result<()> {
    let manifests = Manifests::of_overlay("production")?;
    let cluster = manifests.get("Cluster", "postgres")?;
    let store = manifests.get("ObjectStore", text(archiver(cluster)?, "/barmanObjectName"))?;
    assert!(text(store, "/spec/retentionPolicy").ends_with('d'), "kept for ever, erased data too");
    let [daily] = manifests.kind("ScheduledBackup").collect::<Vec<_>>()[..] else { anyhow::bail!("one backup") };
    assert_eq!(text(daily, "/spec/cluster/name"), text(cluster, "/metadata/name"));
    assert_eq!((text(daily, "/spec/method"), text(daily, "/spec/pluginConfiguration/name")), ("plugin", PLUGIN));
    // With seconds, unlike a CronJob's: five fields would be another time.
    assert_eq!(text(daily, "/spec/schedule").split(' ').count(), 6);
    for key in ["accessKeyId", "secretAccessKey"] {
        let asked = &store["spec"]["configuration"]["s3Credentials"][key];
        let outside = manifests.get("ExternalSecret", text(asked, "/name"))?;
        assert!(list(outside, "/spec/data").iter().any(|given| given["secretKey"] == asked["key"]), "{key}: {asked}");
    }
    Ok(())
}

#[test]
fn a_restore_comes_from_productions_history_begins_another_and_serves_nobody() -> anyhow::Result<()> {
    let (before, after) = (Manifests::of_overlay("production")?, Manifests::of_overlay("restore")?);
    let (lost, restored) = (before.get("Cluster", "postgres")?, after.get("Cluster", "postgres")?);
    let recovery = &restored["spec"]["bootstrap"]["recovery"];
    let [source] = list(restored, "/spec/externalClusters") else { anyhow::bail!("one source") };
    assert_eq!((&source["name"], text(source, "/plugin/name")), (&recovery["source"], PLUGIN));
    assert!(!text(recovery, "/recoveryTarget/targetTime").is_empty());
    assert_eq!(&source["plugin"]["parameters"], archiver(lost)?);
    assert_eq!(archiver(restored)?["barmanObjectName"], archiver(lost)?["barmanObjectName"]);
    assert_ne!(archiver(restored)?["serverName"], archiver(lost)?["serverName"]);
    for deployment in after.kind("Deployment") {
        assert_eq!(deployment["spec"]["replicas"], json!(0));
    }
    Ok(())
}

#[test]
fn a_verification_runs_as_its_server_would_and_may_reach_the_database_alone() -> anyhow::Result<()> {
    let manifests = Manifests::of_overlay("production")?;
    let deployment = manifests.get("Deployment", "catalog-server")?;
    let mut verify = Command::new(folder().join("verify"));
    verify.args(["--witness", "88:90ab"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut verify = verify.spawn()?;
    verify.stdin.take().context("its input")?.write_all(deployment.to_string().as_bytes())?;
    let made = verify.wait_with_output()?;
    anyhow::ensure!(made.status.success(), "{} (tests/run installs jq)", made.status);
    let job: Value = serde_json::from_slice(&made.stdout)?;
    let (pod, served) = (&job["spec"]["template"]["spec"], &deployment["spec"]["template"]["spec"]);
    let (container, server) = (&pod["containers"][0], &served["containers"][0]);
    assert_eq!(container["args"], json!(["verify", "--config", "/config/service.toml", "--witness", "88:90ab"]));
    for same in ["command", "image", "securityContext", "volumeMounts", "resources"] {
        assert_eq!(container[same], server[same], "{same}");
    }
    for same in ["securityContext", "volumes", "serviceAccountName", "enableServiceLinks"] {
        assert_eq!(pod[same], served[same], "{same}");
    }
    // arrows.rs holds what a migration may.
    let migration = manifests.get("Job", "catalog-migrate")?;
    let component = "/spec/template/metadata/labels/app.kubernetes.io~1component";
    assert_eq!(text(&job, component), text(migration, component));
    assert!(!container["env"].to_string().contains("collector"), "it would wait for whom it cannot reach");
    Ok(())
}
