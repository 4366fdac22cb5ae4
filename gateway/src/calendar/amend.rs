//! A new version of a calendar beside the running one: an edge whose step has begun cannot move.

use std::collections::BTreeMap;

use super::Fault;
use crate::sequencer::Planned;

/// A step that has begun: its name and when it was due.
pub type Begun = (String, i64);

/// A fault for each edge that the new plan moves, or drops, though its step has begun.
#[must_use]
pub fn moved_edges(begun: &[Begun], plan: &[Planned]) -> Vec<Fault> {
    let planned: BTreeMap<&str, &Planned> = plan.iter().map(|step| (step.name.as_str(), step)).collect();
    let mut windows: BTreeMap<&str, Fault> = BTreeMap::new();
    for (name, due) in begun {
        let stays = planned.get(name.as_str()).is_some_and(|step| step.due == *due);
        if !stays {
            let edge = planned.get(name.as_str()).map_or(name.as_str(), |step| step.edge.as_str());
            let fault = Fault::new(
                edge,
                format!("步骤 {name} 已开始执行，不能移动；可增设补办窗口"),
                format!("step {name} has begun and cannot move; add a supplementary window"),
            );
            windows.entry(edge).or_insert(fault);
        }
    }
    windows.into_values().collect()
}
