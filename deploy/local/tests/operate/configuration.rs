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
