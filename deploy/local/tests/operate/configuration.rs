//! docs/configuration.md, generated from the schemas; and that a service prints its schema.

use std::{fmt::Write as _, path::Path, process::Command};

use chassis::config::Key;

use crate::Told;

const BEGIN: &str = "# Configuration\n\n<!-- Generated from the configurations' types; do not edit. `UPDATE_DOCS=1 cargo nextest \
                     run -p shixun configuration` writes it anew. -->\n\n\
                     Keys are those of the TOML file; the variable overrides the file. `NAME schema` prints the same of the\n\
                     binary at hand, as JSON Schema. `ID` stands where you choose the name. A key of a section that may be\n\
                     absent is needed where the section is there.\n";

#[test]
fn the_reference_is_what_the_types_say() -> anyhow::Result<()> {
    let services = Told::all();
    let mut page = BEGIN.to_owned();
    let in_all = |key: &Key| services.iter().all(|service| service.keys.iter().any(|other| same(key, other)));
    page.push_str("\n## Every service\n");
    let Some(first) = services.first() else { anyhow::bail!("no service") };
    table(&mut page, first.keys.iter().filter(|key| in_all(key)));
    for service in &services {
        let own: Vec<_> = service.keys.iter().filter(|key| !in_all(key)).collect();
        let _ = write!(page, "\n## {}\n", service.name);
        if !service.peers.is_empty() {
            let peers: Vec<_> = service.peers.iter().map(|peer| format!("`peers.{peer}`")).collect();
            let _ = write!(page, "\nNeeds {}.\n", peers.join(", "));
        }
        if !own.is_empty() {
            table(&mut page, own.into_iter());
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page)?;
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/configuration.md is not what the types say: run this with UPDATE_DOCS=1");
    Ok(())
}

/// Whether two services have the key alike; which peers they need is told apart.
fn same(one: &Key, other: &Key) -> bool {
    let peer = one.path.starts_with("peers.");
    one.path == other.path && (peer || one == other)
}

fn table<'a>(page: &mut String, keys: impl Iterator<Item = &'a Key>) {
    page.push_str("\n| key | type | default | variable | what for |\n| --- | --- | --- | --- | --- |\n");
    for key in keys {
        let default = match &key.default {
            Some(default) => format!("`{default}`"),
            None if key.required && !key.path.starts_with("peers.") => "needed".to_owned(),
            None => "—".to_owned(),
        };
        let about = key.about.replace('\n', " ").replace('|', "\\|");
        let kind = key.kind.replace('|', "\\|");
        let _ = writeln!(page, "| `{}` | {kind} | {default} | `{}` | {about} |", key.path, key.variable);
    }
}

#[test]
fn every_key_is_described_and_can_be_set_by_a_variable() {
    for service in Told::all() {
        assert!(service.keys.len() > 15, "{} has {} keys", service.name, service.keys.len());
        for key in service.keys {
            assert!(!key.about.is_empty() && !key.kind.is_empty(), "{}: {key:?}", service.name);
            assert_eq!(key.variable, format!("SHIXUN_{}", key.path.to_uppercase().replace('.', "__")));
        }
    }
}

#[test]
fn a_service_prints_its_schema() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    for service in Told::all() {
        let program = folder.path().join(service.name);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_shixun"), &program)?;
        let printed = Command::new(&program).arg("schema").output()?;
        anyhow::ensure!(printed.status.success(), "{}: {}", service.name, String::from_utf8_lossy(&printed.stderr));
        let schema: serde_json::Value = serde_json::from_slice(&printed.stdout)?;
        assert_eq!(chassis::config::keys(&schema), service.keys);
        assert_eq!(schema.pointer("/properties/peers/required").is_some(), !service.peers.is_empty());
    }
    Ok(())
}

/// A service's command on this machine, with nothing in its environment but these variables.
fn run(service: &str, command: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<(bool, String)> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join(service);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_shixun"), &program)?;
    let ran = Command::new(&program).args(command).env_clear().envs(variables.iter().copied()).output()?;
    Ok((ran.status.success(), String::from_utf8_lossy(&ran.stderr).into_owned()))
}

/// What `serve` would stumble over one by one, or not survive, `check-config` tells at once; and `serve` refuses the same.
#[test]
fn check_config_and_serve_refuse_the_same_and_tell_all_of_it() -> anyhow::Result<()> {
    let faulty = [
        ("SHIXUN_LISTEN", "foo"),
        ("SHIXUN_DATABASE__URL", "mysql://u:74656667@db/x"),
        ("SHIXUN_DATABASE__READERS", "0"),
        ("SHIXUN_DATABASE__CONNECTIONS", "0"),
        ("SHIXUN_SERVER__MAX_CONNECTIONS", "0"),
        ("SHIXUN_SERVER__MAX_MESSAGE_BYTES", "0"),
        ("SHIXUN_IDENTITY__INDEX_KEY", "74656667"),
        ("SHIXUN_ZONE", "Asia/Nowhere"),
    ];
    let missing = ["keys.own", "keys.trusted", "identity.current", "identity.keys.ID"];
    for command in [&["check-config"][..], &["check-config", "--form-only"], &["serve"]] {
        let (succeeded, told) = run("roster", command, &faulty)?;
        assert!(!succeeded, "{command:?}: {told}");
        for (variable, _) in faulty {
            assert!(told.contains(&format!("({variable}): must be ")), "{command:?} is silent on {variable}: {told}");
        }
        for key in missing {
            assert!(told.contains(&format!("missing key {key} (")), "{command:?} is silent on {key}: {told}");
        }
        assert!(!told.contains("74656667") && !told.contains(".rs:") && !told.contains("panicked"), "{told}");
    }
    // The addresses of peers, beside what else is missing.
    let (_, told) = run("catalog", &["check-config"], &[])?;
    assert!(told.contains("missing key peers.roster (SHIXUN_PEERS__ROSTER)"), "{told}");
    assert!(told.contains("missing key database.url (SHIXUN_DATABASE__URL)"), "{told}");
    Ok(())
}

/// Files that are not there, and addresses that lead nowhere or into the open, are found before anything is begun.
#[test]
fn files_and_addresses_are_tried() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (database, key, certificate) = (format!("sqlite:{}", place("a.db")), place("none.key"), place("none.crt"));
    let sound = [
        ("SHIXUN_DATABASE__URL", database.as_str()),
        ("SHIXUN_KEYS__OWN", key.as_str()),
        ("SHIXUN_KEYS__TRUSTED", key.as_str()),
        ("SHIXUN_PEERS__ROSTER", "http://192.0.2.1:7701"),
        ("SHIXUN_LISTEN", "0.0.0.0:0"),
    ];
    for command in [&["check-config"][..], &["serve"]] {
        let (succeeded, told) = run("catalog", command, &sound)?;
        assert!(!succeeded && !folder.path().join("a.db").exists(), "{command:?}: {told}");
        for expected in ["keys.own: ", "keys.trusted: ", "listen: 0.0.0.0:0 is open", "peers.roster: http://192.0.2.1"]
        {
            assert!(told.contains(expected), "{command:?} is silent on {expected}: {told}");
        }
    }
    let sealed = [
        ("SHIXUN_TLS__CERTIFICATE", certificate.as_str()),
        ("SHIXUN_TLS__KEY", &key),
        ("SHIXUN_TLS__AUTHORITIES", &key),
    ];
    let (_, told) = run("catalog", &["check-config"], &[&sound[..], &sealed].concat())?;
    for expected in
        ["tls.certificate: ", "tls.key: ", "tls.authorities: ", "peers.roster: http://192.0.2.1:7701 must begin"]
    {
        assert!(told.contains(expected), "{expected} is not in {told}");
    }
    let (succeeded, told) = run("catalog", &["check-config", "--form-only"], &sound)?;
    assert!(succeeded, "{told}");
    Ok(())
}
