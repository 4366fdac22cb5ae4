//! Gates: who is admitted when.

use std::collections::{BTreeMap, BTreeSet};

use chassis::{
    Failure,
    gates::{Admitted, admit},
    testing::{person, term_gates},
};
use proptest::prelude::*;
use proto::{
    Actor,
    common::v1::{Gates, MirrorPosition, Phase, Precondition, Reason, Role, Window, precondition::Condition},
};

use crate::fixture::{AT, HOUR, gates, teacher, window, withdraw};

/// What `admit` says to a call at `AT + offset`.
fn decide(actor: &Actor, offset: i64, gates: Gates, settled: &[&str]) -> Result<Admitted, Failure> {
    let admission = withdraw(actor, AT + offset, "x")?.admission;
    admit(&admission, &[term_gates(gates, settled)?], &BTreeMap::new())
}

fn refused(decided: Result<Admitted, Failure>) -> Option<Reason> {
    decided.err().and_then(|failure| failure.reason())
}

#[test]
fn edges_are_exact_to_the_microsecond() {
    let windows = || gates(1, vec![window("selection-1", Phase::Selection, 1, 0, HOUR)]);
    for (offset, open) in [(-1, false), (0, true), (1, true), (HOUR - 1, true), (HOUR, false), (HOUR + 1, false)] {
        let decided = decide(&teacher(), offset, windows(), &[]);
        assert_eq!(decided.is_ok(), open, "at {offset}");
        if !open {
            assert_eq!(refused(decided), Some(Reason::WindowClosed));
        }
    }
}

#[test]
fn a_settled_window_refuses_though_its_hour_has_not_ended() {
    let windows = gates(1, vec![window("selection-1", Phase::Selection, 1, 0, HOUR)]);
    assert_eq!(refused(decide(&teacher(), 0, windows, &["selection-1"])), Some(Reason::WindowSettled));
}

#[test]
fn a_supplementary_window_is_for_those_it_names() {
    let ordinary = window("selection-1", Phase::Selection, 1, -HOUR, 0);
    let mut extra = window("selection-1-extra", Phase::Selection, 1, 0, HOUR);
    extra.organizations = vec!["organizations/s".to_owned()];
    let windows = gates(2, vec![ordinary, extra]);
    let admitted = decide(&teacher(), 1, windows.clone(), &["selection-1"]).expect("the school is named");
    let organizations = ["organizations/s".to_owned()];
    let found = admitted.window(Phase::Selection, 1, &organizations).map(|window| window.id.as_str());
    assert_eq!(found, Some("selection-1-extra"));
    assert!(admitted.window(Phase::Selection, 1, &["organizations/r".to_owned()]).is_none());
    assert!(admitted.window(Phase::Selection, 2, &organizations).is_none());

    let elsewhere = person("accounts/u", "", &[(Role::Teacher, "organizations/r")]);
    assert_eq!(refused(decide(&elsewhere, 1, windows, &["selection-1"])), Some(Reason::WindowClosed));
}

#[test]
fn only_the_roles_that_the_open_window_is_for_come_through() {
    let windows = gates(1, vec![window("review-1", Phase::SchoolReview, 1, 0, HOUR)]);
    let both = person("accounts/p", "", &[(Role::Teacher, "organizations/s"), (Role::Principal, "organizations/s")]);
    let admitted = decide(&both, 1, windows.clone(), &[]).expect("as principal");
    assert_eq!(admitted.actor.roles.iter().map(|held| held.role).collect::<Vec<_>>(), [Role::Principal]);
    assert_eq!(refused(decide(&teacher(), 1, windows.clone(), &[])), Some(Reason::WindowClosed));
    // The bureau is bound to no window.
    let bureau = person("accounts/b", "", &[(Role::BureauOfficer, "organizations/b")]);
    assert!(decide(&bureau, 2 * HOUR, windows, &[]).is_ok());
}

#[test]
fn a_window_waits_for_its_preconditions_and_says_for_which() {
    let mirrored = Condition::Mirrored(MirrorPosition { source: "catalog".to_owned(), position: 7 });
    let settled = Condition::SettledWindow("confirmation-1".to_owned());
    let mut waiting = window("selection-2", Phase::Selection, 2, 0, HOUR);
    waiting.preconditions = [settled, mirrored].map(|condition| Precondition { condition: Some(condition) }).to_vec();
    let admission = withdraw(&teacher(), AT, "x").expect("a call").admission;
    let decide = |settled: &[&str], position: i64| {
        let gates = term_gates(gates(1, vec![waiting.clone()]), settled).expect("gates");
        admit(&admission, &[gates], &BTreeMap::from([("catalog".to_owned(), position)]))
    };
    for (settled, position, waits_for) in
        [(&[][..], 7, "settled(confirmation-1)"), (&["confirmation-1"][..], 6, "mirrored(catalog, 7)")]
    {
        let failure = decide(settled, position).expect_err("it waits");
        assert_eq!(failure.reason(), Some(Reason::WindowNotReady));
        assert!(failure.to_string().contains(waits_for), "{failure}");
    }
    assert!(decide(&["confirmation-1"], 7).is_ok());
    // A precondition of a newer contract than this program's holds the window shut.
    let mut unknown = waiting.clone();
    unknown.preconditions = vec![Precondition { condition: None }];
    let shut = term_gates(gates(1, vec![unknown]), &[]).expect("gates");
    assert!(admit(&admission, &[shut], &BTreeMap::new()).is_err());
}

#[test]
fn a_met_precondition_is_not_what_a_stranger_is_told() {
    let mirrored = Condition::Mirrored(MirrorPosition { source: "catalog".to_owned(), position: 7 });
    let mut extra = window("extra", Phase::Selection, 1, 0, HOUR);
    extra.organizations = vec!["organizations/r".to_owned()];
    extra.preconditions = vec![Precondition { condition: Some(mirrored) }];
    let admission = withdraw(&teacher(), AT, "x").expect("a call").admission;
    let gates = term_gates(gates(1, vec![extra]), &[]).expect("gates");
    let decided = admit(&admission, &[gates], &BTreeMap::from([("catalog".to_owned(), 7)]));
    assert_eq!(refused(decided), Some(Reason::WindowClosed));
}

fn any_window() -> impl Strategy<Value = Window> {
    let phases = prop::sample::select(vec![Phase::Selection, Phase::SchoolReview, Phase::Training, Phase::Unspecified]);
    let organizations = prop::collection::vec(prop::sample::select(vec!["organizations/s", "organizations/r"]), 0..2);
    let edge = prop::option::weighted(0.9, -5_i64..5);
    (0..6_u8, phases, 0..3_i32, edge.clone(), edge, organizations, prop::option::weighted(0.2, 0..6_u8)).prop_map(
        |(id, phase, round, opens, closes, organizations, after)| Window {
            id: id.to_string(),
            phase: phase.into(),
            round,
            opens: opens.map(|offset| proto::timestamp(AT + offset)),
            closes: closes.map(|offset| proto::timestamp(AT + offset)),
            organizations: organizations.into_iter().map(str::to_owned).collect(),
            preconditions: after
                .map(|id| Precondition { condition: Some(Condition::SettledWindow(id.to_string())) })
                .into_iter()
                .collect(),
            ..Window::default()
        },
    )
}

fn any_actor() -> impl Strategy<Value = Actor> {
    let role = prop::sample::select(vec![Role::Teacher, Role::Principal, Role::BureauOfficer, Role::Expert]);
    let organization = prop::sample::select(vec!["organizations/s", "organizations/r", "organizations/q"]);
    prop::collection::vec((role, organization), 0..3).prop_map(|roles| person("accounts/x", "", &roles))
}

proptest! {
    /// The rule again, said otherwise: by each role, each window, each condition of its own.
    #[test]
    fn admission_is_total_and_follows_the_rule(
        windows in prop::collection::vec(any_window(), 0..6),
        settled in prop::collection::btree_set(0..6_u8, 0..3),
        actor in any_actor(),
        offset in -6_i64..6,
    ) {
        let settled: BTreeSet<String> = settled.iter().map(u8::to_string).collect();
        let named: Vec<_> = settled.iter().map(String::as_str).collect();
        let decided = decide(&actor, offset, gates(1, windows.clone()), &named);

        let at = AT + offset;
        let mut roles = BTreeSet::new();
        for held in &actor.roles {
            let phases: &[Phase] = match held.role {
                Role::BureauOfficer => { roles.insert(held.clone()); continue }
                Role::Teacher => &[Phase::Selection],
                Role::Principal => &[Phase::Selection, Phase::SchoolReview, Phase::ProviderConfirmation],
                _ => &[],
            };
            let lets_in = |window: &Window| {
                let edges = window.opens.as_ref().zip(window.closes.as_ref());
                let open = edges.is_some_and(|(o, c)| (proto::instant(o)..proto::instant(c)).contains(&at));
                let waits = window.preconditions.iter().any(|waits| match &waits.condition {
                    Some(Condition::SettledWindow(id)) => !settled.contains(id),
                    _ => true,
                });
                let mine = window.organizations.is_empty() || window.organizations.contains(&held.organization);
                phases.contains(&window.phase()) && open && !waits && mine && !settled.contains(&window.id)
            };
            if windows.iter().any(lets_in) {
                roles.insert(held.clone());
            }
        }
        match decided {
            Ok(admitted) => prop_assert_eq!(admitted.actor.roles.iter().cloned().collect::<BTreeSet<_>>(), roles),
            Err(failure) => {
                prop_assert!(roles.is_empty());
                let known = [Reason::WindowClosed, Reason::WindowSettled, Reason::WindowNotReady];
                prop_assert!(failure.reason().is_some_and(|reason| known.contains(&reason)));
            }
        }
    }
}
