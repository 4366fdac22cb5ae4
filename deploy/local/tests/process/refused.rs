//! What cannot be is said before anything is made: with every fault, and with what to do.

use std::{fs, path::Path};

use anyhow::Context as _;

use crate::up::{copy_sample, said};

/// Changes a document of a term.
fn change(term: &Path, document: &str, from: &str, to: &str) -> anyhow::Result<()> {
    let text = fs::read_to_string(term.join(document))?;
    anyhow::ensure!(text.contains(from), "{document} has no {from:?}");
    Ok(fs::write(term.join(document), text.replacen(from, to, 1))?)
}

#[tokio::test]
async fn every_fault_of_the_four_documents_at_once() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (term, data) = (folder.path().join("own-term"), folder.path().join("data"));
    copy_sample(&term)?;
    change(&term, "calendar.toml", "zone = \"Asia/Shanghai\"", "zone = \"Asia/Nowhere\"")?;
    change(&term, "calendar.toml", "first_day = 2019-06-17", "first_day = 2020-06-17")?;
    change(&term, "policy.toml", "[retention]", "[retention]\nmonths = 3\nweeks = 4")?;
    change(&term, "roster.toml", "[size]", "[size]\npupils = 1")?;
    change(&term, "roster.toml", "identity_region = \"", "identity_region = \"x")?;
    change(&term, "roster.toml", "experts = ", "experts = \"many\" # ")?;
    change(&term, "projects.toml", "ethics_percent = ", "ethical_percent = ")?;
    let arguments = ["up", "--data", data.to_str().context("a path")?, "--term", term.to_str().context("a path")?];
    let said = said(&arguments).await?;
    for fault in [
        "calendar.toml: zone: 须为 IANA 时区",
        "calendar.toml: window[0].",
        "policy.toml: retention.months: ",
        "policy.toml: retention.weeks: ",
        "roster.toml: size.pupils: unknown field `pupils`",
        "roster.toml: size.experts: invalid type",
        "projects.toml: common.ethical_percent: unknown field",
        "projects.toml: common: missing field `ethics_percent`",
    ] {
        assert!(said.contains(fault), "{fault:?} is not told: {said}");
    }
    assert!(!data.exists(), "a folder was made");

    // What types cannot say comes once the types are right, of both together.
    copy_sample(&term)?;
    change(&term, "roster.toml", "identity_region = \"", "identity_region = \"x")?;
    change(&term, "projects.toml", "teachers_per_project = ", "teachers_per_project = 0 # ")?;
    let said = crate::up::said(&arguments).await?;
    assert!(said.contains("roster.toml: marks.identity_region: six digits"), "{said}");
    assert!(said.contains("projects.toml: size.teachers_per_project: at least 1"), "{said}");
    fs::remove_file(term.join("policy.toml"))?;
    fs::remove_file(term.join("roster.toml"))?;
    let said = crate::up::said(&arguments).await?;
    assert!(said.contains("policy.toml") && said.contains("roster.toml") && !said.contains("projects.toml"), "{said}");
    Ok(())
}

#[tokio::test]
async fn options_that_do_not_go() -> anyhow::Result<()> {
    for (arguments, told) in [
        (
            &["rehearse", "--teachers", "18", "--report", "/nowhere/report.json"][..],
            "cannot write /nowhere/report.json",
        ),
        (&["rehearse", "--database-url", "postgres://127.0.0.1:1/postgres"], "add --engine postgres"),
        (&["rehearse", "--teachers", "0"], "use --teachers 18 or more"),
        (&["rehearse", "--teachers", "1"], "use --teachers 18 or more"),
        (&["up", "--data", "/nowhere", "--listen", "0.0.0.0:0"], "add --plaintext"),
        (
            &["system", "--data", "/nowhere", "--begin", "2019-06-10T00:00:00Z", "--listen", "0.0.0.0:0"],
            "add --plaintext",
        ),
    ] {
        let said = said(arguments).await?;
        assert!(said.contains(told), "{arguments:?}: {said}");
    }
    Ok(())
}
