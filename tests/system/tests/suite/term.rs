//! The whole term of autumn 2019, from the roster window to recognised credit, with its mistakes and mishaps: on both
//! engines, with the same report, and every feed unbroken at the end.

use anyhow::Context as _;
use chassis::db::{Db, Queries as _, args};
use serde_json::Value;
use shixun::{
    people::{County, TermFolder},
    progress::Progress,
    rehearse, up,
};
use system::World;

pub(crate) const SEED: u64 = 1;
pub(crate) const TEACHERS: u32 = 200;

/// Plays the term undisturbed.
pub(crate) async fn play(engine: &str, teachers: u32) -> anyhow::Result<Value> {
    let folder = TermFolder::sample()?;
    let county = County::generate(SEED, teachers, &folder);
    let begin = proto::jiff_instant(rehearse::before_the_term(&folder)?).to_string();
    let world = World::start_for(engine, &begin, &county.password).await?;
    let progress = Progress::hidden();
    up::setup::county(&world.system, &county, &folder, &progress).await?;
    let report = rehearse::play(world.system.reach(), &county, &folder, progress).await?;
    let report = reported(report, engine)?;
    world
        .verify_with(
            async |service, db| if service == "enrollment" { ranked_by_present_cycles(db).await } else { Ok(()) },
        )
        .await?;
    Ok(report)
}

/// Each round ranks by the cycle in which a teacher is when it opens, though nothing happened to him since his last one ended.
async fn ranked_by_present_cycles(db: &Db) -> anyhow::Result<()> {
    let (first, second) = ("2019-08-26", "2019-09-14");
    let ended = async |round: i64, before: &str| -> anyhow::Result<i64> {
        let sql = "SELECT COUNT(*) AS n FROM credit_position_fixed WHERE round = $1 AND cycle_ends_on <> '' AND cycle_ends_on < $2";
        Ok(db.reader().one(sql, args![round, before]).await?.context("a count")?.get("n")?)
    };
    anyhow::ensure!(ended(1, second).await? > 0, "nobody's cycle ends between the rounds: this proves nothing");
    anyhow::ensure!(ended(1, first).await? == 0 && ended(2, second).await? == 0, "ranked by a cycle that is over");
    Ok(())
}

/// The report of a term without surprises, and without its durations.
pub(crate) fn reported(report: rehearse::Report, engine: &str) -> anyhow::Result<Value> {
    anyhow::ensure!(report.surprises.is_empty(), "on {engine}: {}", report.surprises.join("; "));
    let mut report = serde_json::to_value(&report)?;
    if let Some(keys) = report.as_object_mut() {
        keys.retain(|key, _| !key.contains("duration"));
    }
    Ok(report)
}

/// The first place at which two reports differ.
pub(crate) fn difference(path: &str, one: &Value, other: &Value) -> Option<String> {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: std::collections::BTreeSet<_> = one.keys().chain(other.keys()).collect();
            keys.into_iter().find_map(|key| {
                let absent = Value::Null;
                let (a, b) = (one.get(key).unwrap_or(&absent), other.get(key).unwrap_or(&absent));
                difference(&format!("{path}.{key}"), a, b)
            })
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            one.iter().zip(other).enumerate().find_map(|(index, (a, b))| difference(&format!("{path}[{index}]"), a, b))
        }
        _ if one == other => None,
        _ => Some(format!("{path}: {one} and {other}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_on_both_engines() -> anyhow::Result<()> {
    let sqlite = play("sqlite", TEACHERS).await?;
    let postgres = play("postgres", TEACHERS).await?;
    assert_eq!(difference("report", &sqlite, &postgres), None);

    assert_eq!(sqlite["seats"]["oversold"], 0);
    for key in ["steps", "selections", "seats", "round2", "refusals", "notices", "credit", "compliance", "changes"] {
        assert!(sqlite.get(key).is_some_and(|value| !value.is_null()), "the report has no {key}");
    }
    let credited = sqlite["selections"]["round_1"]["credited"].as_i64().unwrap_or_default();
    assert!(credited > 50, "only {credited} selections of round 1 became credit");
    Ok(())
}
