//! docs/state-machines.md says what the code does: the tables are made from the functions that decide.

use std::{fmt::Write as _, path::Path};

use anyhow::Context as _;
use enrollment::domain::policy::Round2;

fn page() -> anyhow::Result<String> {
    let mut text = String::from(
        "# State machines\n\nGenerated from the code by the system tests; `UPDATE_DOCS=1 cargo nextest run -p system docs` \
         writes this page anew. A row is\na state, a column an event; an empty cell is refused with `STATE_CONFLICT`.\n",
    );
    write!(text, "\n## Project (项目)\n\n{}", catalog::domain::lifecycle::markdown())?;
    write!(text, "\n## Selection (选课)\n\n{}", enrollment::domain::state::markdown())?;
    write!(
        text,
        "\n## Who may select in round 2 (补选资格)\n\nUnder the default policy. The two bars of the regulation are \
         `ROUND2_NOT_SELECTED` and `ROUND2_REJECTED`; everything else\nis policy (`[round2]`).\n\n{}",
        enrollment::domain::round2::markdown(&Round2::default())
    )?;
    Ok(text)
}

#[test]
fn state_machines_are_up_to_date() -> anyhow::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/state-machines.md");
    let generated = page()?;
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return std::fs::write(&path, generated).context("writing docs/state-machines.md");
    }
    let written = std::fs::read_to_string(&path).context("reading docs/state-machines.md")?;
    anyhow::ensure!(
        written == generated,
        "docs/state-machines.md is not what the code does: run this with UPDATE_DOCS=1"
    );
    Ok(())
}
