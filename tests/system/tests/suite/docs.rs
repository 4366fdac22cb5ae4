//! docs/state-machines.md says what the code does: the tables are made from the functions that decide.

use std::{fmt::Write as _, path::Path};

use anyhow::Context as _;
use catalog::domain::lifecycle as project;
use enrollment::domain::{policy::Round2, state as selection};

/// A state machine as a table: a row a state, a column an event.
fn machine<S: Copy, E: Copy>(
    (states, state_word): (&[S], fn(S) -> &'static str),
    (events, event_word): (&[E], fn(E) -> &'static str),
    next: fn(S, E) -> Option<S>,
) -> String {
    let head: String = events.iter().map(|event| format!(" {} |", event_word(*event))).collect();
    let row = |state: &S| {
        let cell =
            |event: &E| next(*state, *event).map_or(" |".to_owned(), |after| format!(" {} |", state_word(after)));
        format!("| {} |{}\n", state_word(*state), events.iter().map(cell).collect::<String>())
    };
    let rows: String = states.iter().map(row).collect();
    format!("| state |{head}\n| --- |{}\n{rows}", " --- |".repeat(events.len()))
}

fn page() -> anyhow::Result<String> {
    let mut text = String::from(
        "# State machines\n\nGenerated from the code by the system tests; `UPDATE_DOCS=1 cargo nextest run -p system docs` \
         writes this page anew. A row is\na state, a column an event; an empty cell is refused with `STATE_CONFLICT`.\n",
    );
    let projects = machine(
        (project::State::ALL, project::State::word),
        (project::Event::ALL, project::Event::word),
        project::next,
    );
    let selections = machine(
        (selection::State::ALL, selection::State::word),
        (selection::Event::ALL, selection::Event::word),
        selection::next,
    );
    write!(text, "\n## Project (项目)\n\n{projects}")?;
    write!(text, "\n## Selection (选课)\n\n{selections}")?;
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
