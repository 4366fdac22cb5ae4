//! A new version of a calendar beside the running one: an edge whose step has begun cannot move.

use std::collections::BTreeSet;

use proto::common::v1::{Phase, Window};

use super::{Fault, edges};

/// A fault for each edge that a new version moves though its step has begun, and for each that it moves into the past,
/// that of a new window too.
/// `begun` are the edges of the running version whose steps have begun, e.g. "selection-1/closes"; `now` is in
/// microseconds since the epoch. Windows may be prolonged, and added, while they run.
#[must_use]
pub fn moved_edges(begun: &BTreeSet<String>, running: &[Window], new: &[Window], now: i64) -> Vec<Fault> {
    let mut faults = Vec::new();
    for window in running.iter().filter(|window| window.phase() != Phase::Unspecified) {
        let successor = new.iter().find(|other| other.id == window.id);
        // Another phase, round or organisation makes it another window.
        let stays = successor.is_some_and(|other| {
            (other.phase, other.round, &other.organizations) == (window.phase, window.round, &window.organizations)
        });
        let (before, after) = (edges(window), successor.and_then(edges));
        let instants = [
            ("opens", before.map(|(opens, _)| opens), after.map(|(opens, _)| opens)),
            ("closes", before.map(|(_, closes)| closes), after.map(|(_, closes)| closes)),
        ];
        for (edge, before, after) in instants {
            let edge = format!("{}/{edge}", window.id);
            if begun.contains(&edge) && (!stays || before != after) {
                let zh = format!("{edge} 的步骤已开始执行，不能移动；可增设补办窗口");
                let en = format!("the steps of {edge} have begun: it cannot move; add a supplementary window");
                faults.push(Fault::new(edge, zh, en));
            } else if before != after && after.is_some_and(|after| after < now) {
                let en = format!("{edge} cannot move into the past");
                faults.push(Fault::new(edge.clone(), format!("{edge} 不能移到过去的时间"), en));
            }
        }
    }
    let added = new.iter().filter(|window| window.phase() != Phase::Unspecified);
    let added = added.filter(|window| running.iter().all(|known| known.id != window.id));
    for window in added.filter(|_| !running.is_empty()) {
        if edges(window).is_some_and(|(_, closes)| closes <= now) {
            let en = format!("{} would be over already: choose a day to come", window.id);
            faults.push(Fault::new(
                format!("{}/closes", window.id),
                format!("{} 已经结束，请选择今后的日期", window.id),
                en,
            ));
        }
    }
    faults
}
