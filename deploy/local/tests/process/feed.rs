//! All changes of a system, to be compared with another's.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use chassis::{Env, changes::verify, config::DatabaseConfig, db::Db};
use prost::Message as _;
use proto::gateway::v1::Step;
use serde_json::{Map, Value};
use shixun::{
    rehearse::World,
    up::{Engine, SERVICES},
};

/// Every change: service, resource, verb and instant, and the state after it. At one instant the last one counts: what is
/// derived is drawn up anew batch by batch, and a step that was cut off is begun again.
pub type Changes = BTreeMap<(String, String, String, i64), Vec<u8>>;

/// Those of a running system.
pub async fn changes(world: &dyn World) -> anyhow::Result<Changes> {
    let mut all = Vec::new();
    world.changes(&mut |service, change| all.push((service.to_owned(), change))).await?;
    let mut changes = BTreeMap::new();
    for (service, change) in all {
        let at = change.at.as_ref().map_or(0, proto::instant);
        let step = chassis::changes::decode::<Step>(&change).map_err(|failure| anyhow::anyhow!("{failure}"))?;
        let after = match step {
            // How often it was begun is what the kills did, and how far it had come by then.
            Some(step) if change.verb == "begun" => Step { attempts: 0, outcome: Vec::new(), ..step }.encode_to_vec(),
            Some(step) => Step { attempts: 0, ..step }.encode_to_vec(),
            None => change.after.map(|after| after.value).unwrap_or_default(),
        };
        changes.insert((service, change.resource, change.verb, at), after);
    }
    Ok(changes)
}

/// The first of what is not the same.
pub fn differences(one: &Changes, other: &Changes) -> Vec<String> {
    let mut found = Vec::new();
    for (mark, one, another) in [("missing", one, other), ("added", other, one)] {
        let unlike = one.iter().filter(|(key, after)| another.get(*key) != Some(*after));
        found.extend(unlike.take(20).map(|(change, _)| format!("{mark}: {change:?}")));
    }
    found
}

/// The first place at which two reports differ.
pub fn difference(path: &str, one: &Value, other: &Value) -> Option<String> {
    let lengths = |one: usize, other: usize| (one != other).then(|| format!("{path}: {one} and {other} items"));
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            let at = |map: &Map<String, Value>, key: &str| map.get(key).cloned().unwrap_or_default();
            keys.into_iter().find_map(|key| difference(&format!("{path}.{key}"), &at(one, key), &at(other, key)))
        }
        (Value::Array(one), Value::Array(other)) => {
            let mut pairs = one.iter().zip(other).enumerate();
            let found = pairs.find_map(|(index, (one, other))| difference(&format!("{path}[{index}]"), one, other));
            found.or_else(|| lengths(one.len(), other.len()))
        }
        _ => (one != other).then(|| format!("{path}: {one} and {other}")),
    }
}

/// Checks every chain of a system that has ended.
pub async fn verified(engine: &Engine, data: &Path) -> anyhow::Result<()> {
    for service in SERVICES {
        let url = engine.database(service, data).await?;
        let db = Db::open(service, &DatabaseConfig::at(url), Env::system()).await?;
        let found = verify(&db, &[]).await.map_err(|failure| anyhow::anyhow!("{failure}"))?;
        assert_eq!((found.fault, found.changes > 0), (None, true), "{service}");
        db.close().await;
    }
    Ok(())
}
