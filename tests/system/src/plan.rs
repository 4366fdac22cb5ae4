//! The steps that there are to be, by the sequencer's pure plan, and those that there were, by the gateway's feed.

use std::collections::{BTreeMap, BTreeSet};

use chassis::changes::decode;
use gateway::sequencer::{Gated, Planned, calendar_steps, plan, recognition_steps};
use proto::{
    common::v1::{Change, Gates},
    enrollment::v1::ClassResults,
    gateway::v1::{Calendar, Step},
};

/// Every step that a calendar makes, with a reminder the day before each close as the sample's policy has it, and those that
/// the confirmed and corrected results of the feeds bring.
///
/// # Errors
/// If a change cannot be read.
pub fn planned(calendar: &Calendar, changes: &[(String, Change)]) -> anyhow::Result<Vec<Planned>> {
    let term = calendar.term.as_str();
    let gates = Gates {
        term: term.to_owned(),
        version: calendar.version,
        zone: "Asia/Shanghai".to_owned(),
        windows: calendar.windows.clone(),
        ..Gates::default()
    };
    let mut planned = plan(&gates, &BTreeSet::from([1]), &Gated::by_contract());
    planned.extend(calendar_steps(term, calendar.version, 0));
    for (service, change) in changes {
        if let ("enrollment", Some(results)) = (service.as_str(), decode::<ClassResults>(change)?) {
            planned.extend(recognition_steps(term, &results.class, results.revision, 0));
        }
    }
    Ok(planned)
}

/// What the gateway's feed tells of steps with this verb, in order.
///
/// # Errors
/// If a change cannot be read.
pub fn told(verb: &str, changes: &[(String, Change)]) -> anyhow::Result<Vec<Step>> {
    let of_gateway = changes.iter().filter(|(service, change)| service == "gateway" && change.verb == verb);
    let mut steps = Vec::new();
    for (_, change) in of_gateway {
        steps.extend(decode::<Step>(change)?);
    }
    Ok(steps)
}

/// How often each step came to its end.
///
/// # Errors
/// If a change cannot be read.
pub fn done(changes: &[(String, Change)]) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut done = BTreeMap::new();
    for step in told("done", changes)? {
        *done.entry(step.name).or_default() += 1;
    }
    Ok(done)
}
