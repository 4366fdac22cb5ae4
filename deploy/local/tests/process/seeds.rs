//! Whatever the county: its term ends without a surprise, and what it is too small for is told.

use std::{collections::BTreeSet, fs::File, process::Command, time::Duration};

use serde_json::Value;
use shixun::up::Engine;

use crate::{
    child::{Process, server},
    feed::difference,
};

/// On a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(180);

/// Seeds and sizes, each of which has surprised a rehearsal once: no third wish, nobody rejected or failed, a class
/// cancelled whose provider wants more places, a retired teacher with a second part, hardly anybody.
const COUNTIES: [(&str, &str); 4] = [("4", "60"), ("10", "100"), ("3", "30"), ("7", "18")];

async fn report(engine: &Engine, seed: &str, teachers: &str) -> anyhow::Result<Value> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_shixun"));
    command.args(["rehearse", "--seed", seed, "--teachers", teachers, "--report"]).arg(&file);
    if let Engine::Postgres { url } = engine {
        command.args(["--engine", "postgres"]).env("SHIXUN_DATABASE_URL", url);
    }
    let output = folder.path().join("output");
    let status = Process::start_into(command, File::create(&output)?)?.ended(PATIENCE).await?;
    let said = std::fs::read_to_string(output)?;
    anyhow::ensure!(status.success(), "seed {seed}, {teachers} teachers: {said}");
    let mut report: Value = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    assert_eq!(report["surprises"], Value::Array(Vec::new()), "seed {seed}, {teachers} teachers");
    for what in names(&report["not_played"]) {
        assert!(said.contains(&what), "{what:?} is not told at the terminal");
    }
    if let Some(keys) = report.as_object_mut() {
        keys.retain(|key, _| !key.contains("duration"));
    }
    Ok(report)
}

fn names(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The mistakes and mishaps that happened.
fn played(report: &Value) -> BTreeSet<String> {
    let mistakes = report["refusals"]["mistakes"].as_array().into_iter().flatten();
    let mishaps = report["mishaps"].as_object().into_iter().flatten().map(|(what, _)| what.clone());
    mistakes.filter_map(|mistake| mistake["what"].as_str()).map(str::to_owned).chain(mishaps).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_small_county_surprises() -> anyhow::Result<()> {
    for (seed, teachers) in COUNTIES {
        let report = report(&Engine::Sqlite, seed, teachers).await?;
        // What was played and what was not are together the programme, each once.
        let played = played(&report);
        let left = names(&report["not_played"]);
        assert!(played.is_disjoint(&left));
        assert!(played.len() + left.len() > 60 && played.len() > 40, "{} and {}", played.len(), left.len());
    }
    Ok(())
}

/// What every county of two hundred teachers or more has people for.
const NAMED: [&str; 21] = [
    "declare a project too late",
    "select while the menu can only be read",
    "select a second before the window opens",
    "select a second after the window closed",
    "a teacher declares a project",
    "a teacher reviews",
    "a provider selects for a teacher",
    "review someone else's school",
    "an administrator selects for someone else's teacher",
    "a fourth selection",
    "overlapping sessions",
    "round 2 after selecting nothing",
    "round 2 after the school's rejection",
    "another selection under a repeated request id",
    "review one's own selection, or what one submitted",
    "a transfer between submission and review",
    "a leave between submission and review",
    "a retirement between submission and review",
    "a class cancelled as too small",
    "an expansion granted in part",
    "a decision revoked: rejected, then approved",
];

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_teachers_play_all_that_is_named_on_both_engines() -> anyhow::Result<()> {
    let (engine, _cluster) = server("postgres").await?;
    // Nobody of this county wishes for three projects, and its only class that is too small belongs to the city.
    let (sqlite, postgres) = tokio::try_join!(report(&Engine::Sqlite, "7", "200"), report(&engine, "7", "200"))?;
    assert_eq!(difference("report", &sqlite, &postgres), None);
    let played = played(&sqlite);
    let missing: Vec<&str> = NAMED.into_iter().filter(|what| !played.contains(*what)).collect();
    assert_eq!(missing, Vec::<&str>::new());
    Ok(())
}
