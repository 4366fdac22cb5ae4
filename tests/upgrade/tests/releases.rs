//! The migrations as they are, held against what was released.

use std::collections::BTreeMap;

use upgrade::release::{self, Version, faults};

#[test]
fn migrations_keep_what_releases_promised() -> anyhow::Result<()> {
    let (present, releases) = (release::present()?, release::releases()?);
    assert!(!releases.is_empty(), "no release");
    assert_eq!(faults(&present, &releases), Vec::<String>::new());
    Ok(())
}

/// The workspace is the newest release, or on its way to the next one.
#[test]
fn the_workspace_is_not_older_than_its_releases() -> anyhow::Result<()> {
    let newest = release::releases()?.into_keys().next_back();
    assert!(Version::read(env!("CARGO_PKG_VERSION")) >= newest, "{newest:?} was released");
    Ok(())
}

#[test]
fn tampering_and_narrowing_are_found() -> anyhow::Result<()> {
    let (present, releases) = (release::present()?, release::releases()?);
    let at = |engine: &str, name: &str| format!("services/roster/migrations/{engine}/{name}");
    let both = |name: &'static str, sql: &'static str| {
        move |present: &mut BTreeMap<String, String>| {
            for engine in ["sqlite", "postgres"] {
                present.insert(at(engine, name), sql.to_owned());
            }
        }
    };
    let first = || at("sqlite", "0001_roster.sql");
    type Tampering<'a> = &'a dyn Fn(&mut BTreeMap<String, String>);
    let cases: [(Tampering, &str); 8] = [
        (&|present| present.entry(first()).or_default().push(' '), "is altered"),
        (&|present| drop(present.remove(&first())), "is gone"),
        (&both("0001_again.sql", "SELECT 1"), "comes before"),
        (&both("9000_less.sql", "DROP TABLE teacher"), "takes something away"),
        (&both("9000_contract_since_9_0_0_less.sql", "DROP TABLE teacher"), "was not released"),
        (&both("9000_contract_since_0_1_0_less.sql", "DROP TABLE teacher"), ""),
        (&both("9000_more.sql", "ALTER TABLE teacher ADD COLUMN more TEXT"), ""),
        (&|present| drop(present.insert(at("sqlite", "9000_more.sql"), "SELECT 1".to_owned())), "there is no"),
    ];
    for (tamper, expected) in cases {
        let mut tampered = present.clone();
        tamper(&mut tampered);
        let found = faults(&tampered, &releases);
        assert_eq!(found.is_empty(), expected.is_empty(), "{expected}: {found:?}");
        assert!(found.iter().all(|fault| fault.contains(expected) || fault.contains("there is no")), "{found:?}");
    }
    Ok(())
}
