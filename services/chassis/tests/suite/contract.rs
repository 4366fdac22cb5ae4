//! The reference pages in docs/ say what the contracts say.

use std::path::Path;

use anyhow::Context as _;
use chassis::contract::{errors_markdown, methods, methods_markdown};

/// Compares a page with what is generated; with UPDATE_DOCS set, writes it.
fn check(page: &str, generated: &str) -> anyhow::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return std::fs::write(&path, generated).with_context(|| format!("writing {}", path.display()));
    }
    let written = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    anyhow::ensure!(
        written == generated,
        "docs/{page} is not what the contracts say: run this test with UPDATE_DOCS=1"
    );
    Ok(())
}

#[test]
fn docs_errors_is_up_to_date() -> anyhow::Result<()> {
    check("errors.md", &errors_markdown())
}

#[test]
fn docs_methods_is_up_to_date() -> anyhow::Result<()> {
    check("methods.md", &methods_markdown())
}

#[test]
fn every_method_and_every_reason_is_on_its_page() {
    let (errors, by_method) = (errors_markdown(), methods_markdown());
    for method in methods() {
        assert!(by_method.contains(&format!("| `{}`", method.name)), "{}", method.path);
    }
    let rows = errors.lines().filter(|line| line.starts_with("| `REASON_"));
    for row in rows.clone() {
        assert!(!row.ends_with("|  |"), "no remedy: {row}");
        assert!(!row.contains("| Unknown |"), "no code: {row}");
    }
    let reasons = (1..10_000).filter(|number| proto::common::v1::Reason::try_from(*number).is_ok());
    assert_eq!(rows.count(), reasons.count());
}
