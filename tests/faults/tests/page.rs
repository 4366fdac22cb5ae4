//! docs/faults.md is what is asserted.

use std::path::Path;

use anyhow::Context as _;
use faults::page;

#[test]
fn page_is_up_to_date() -> anyhow::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/faults.md");
    let generated = page::page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return std::fs::write(&path, generated).context("writing docs/faults.md");
    }
    let written = std::fs::read_to_string(&path).context("reading docs/faults.md")?;
    anyhow::ensure!(written == generated, "docs/faults.md is not what is asserted: run this with UPDATE_DOCS=1");
    Ok(())
}
