//! What a caller can do today, and until when: the open windows, and the methods that his roles may call in them.

use std::sync::Arc;

use chassis::{
    contract,
    gates::{TermGates, is_for, is_open},
};
use proto::{Actor, common::v1::Phase, gateway::v1::OpenWindow};

use super::marks_of;

/// The windows of `gates` that are open to `actor` at `at`, by closing time.
#[must_use]
pub fn open_windows(gates: &[Arc<TermGates>], actor: &Actor, at: i64) -> Vec<OpenWindow> {
    let mut open = Vec::new();
    for term in gates {
        for window in term.windows() {
            let phase = window.phase();
            let named = actor.roles.iter().any(|held| is_for(window, held));
            // A round may open late: it is not open before what it waits for is settled.
            let ready = marks_of(window).all(|mark| term.is_settled(mark));
            let settled = term.is_settled(&window.id);
            if phase == Phase::Unspecified || !is_open(window, at) || settled || !ready || !named {
                continue;
            }
            open.push(OpenWindow {
                term: term.term().to_owned(),
                window: window.id.clone(),
                phase: window.phase,
                round: window.round,
                opens: window.opens,
                closes: window.closes,
                methods: methods(phase, actor),
            });
        }
    }
    open.sort_by_key(|window| (window.closes.as_ref().map(proto::instant), window.window.clone()));
    open
}

/// Full names of the methods that `phase` opens to the actor's roles.
fn methods(phase: Phase, actor: &Actor) -> Vec<String> {
    let allows = |method: &&contract::Method| {
        method.rule.iter().flat_map(|rule| &rule.grants).any(|grant| {
            grant.phases.contains(&phase) && actor.roles.iter().any(|held| grant.roles.contains(&held.role))
        })
    };
    contract::methods().filter(allows).map(|method| format!("{}.{}", method.service, method.name)).collect()
}
