#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proto::common::v1::{Action, Gates, Phase, Window};

use super::{Gated, Planned, Task, calendar_steps, plan, recognition_steps};
use crate::calendar::{edges, parse};

const SAMPLE: &str = include_str!("../../../deploy/local/terms/2019-autumn/calendar.toml");
const TERM: &str = "terms/2019-autumn";

fn gates(document: &str) -> Gates {
    let calendar = parse(document).unwrap();
    let zone = calendar.zone_name.clone();
    Gates { term: TERM.to_owned(), version: 1, zone, windows: calendar.windows().unwrap(), ..Gates::default() }
}

fn planned(gates: &Gates) -> Vec<Planned> {
    plan(gates, &BTreeSet::from([1]), &Gated::by_contract())
}

fn short(name: &str) -> &str {
    name.rsplit('/').next().unwrap()
}

fn find<'a>(steps: &'a [Planned], name: &str) -> &'a Planned {
    steps.iter().find(|step| short(&step.name) == name).unwrap_or_else(|| panic!("no step {name}"))
}

/// Whether `step` waits for `other`, directly or through others.
fn waits(steps: &[Planned], step: &str, other: &str) -> bool {
    let mut open = find(steps, step).after.clone();
    while let Some(name) = open.pop() {
        if short(&name) == other {
            return true;
        }
        open.extend(find(steps, short(&name)).after.clone());
    }
    false
}

#[test]
fn the_plan_of_2019() {
    let gates = gates(SAMPLE);
    let zone = jiff::tz::TimeZone::get(&gates.zone).unwrap();
    let mut text = String::new();
    for step in planned(&gates) {
        let due = proto::jiff_instant(step.due).to_zoned_datetime(zone.clone()).strftime("%F %R").to_string();
        let after: Vec<_> = step.after.iter().map(|name| short(name)).collect();
        text += &format!("{due} {}", short(&step.name));
        text += &if after.is_empty() { "\n".to_owned() } else { format!("  <- {}\n", after.join(", ")) };
    }
    insta::assert_snapshot!(text);
}

#[test]
fn the_design_s_barriers_stand_where_they_must() {
    let steps = planned(&gates(SAMPLE));
    let table = [
        // PUBLICATION opens: published, then mirrored.
        ("publication-opens-enrollment-mirrors-catalog", "publication-opens-publish-approved"),
        ("publication-opens-credit-mirrors-catalog", "publication-opens-publish-approved"),
        ("publication-opens-publish-approved", "project-review-closes-list-undecided-projects"),
        // SELECTION r opens: mirrors caught up, the round before settled, the credit position fixed.
        ("selection-1-opens-fix-credit-positions", "selection-1-opens-enrollment-mirrors-credit"),
        ("selection-1-opens-fix-credit-positions", "selection-1-opens-enrollment-mirrors-roster"),
        ("selection-1-opens-fix-credit-positions", "selection-1-opens-enrollment-mirrors-catalog"),
        ("selection-1-opens-fix-credit-positions", "publication-closes-done-enrollment"),
        ("selection-1-opens-enrollment-mirrors-credit", "selection-1-opens-renew-credit-positions"),
        ("selection-1-opens-renew-credit-positions", "selection-1-opens-credit-mirrors-roster"),
        ("selection-2-opens-enrollment-mirrors-credit", "selection-2-opens-renew-credit-positions"),
        ("selection-2-opens-fix-credit-positions", "provider-confirmation-1-closes-settle-confirmation"),
        // People are told once they are let in, and that is when it is fixed; the gateway says so after the service does.
        ("selection-2-opens-ready-enrollment", "selection-2-opens-fix-credit-positions"),
        ("selection-2-opens-ready-gateway", "selection-2-opens-ready-enrollment"),
        ("selection-2-opens-notify-opening", "selection-2-opens-ready-enrollment"),
        ("selection-1-closes-fix-non-selectors", "selection-1-opens-ready-enrollment"),
        // EXPANSION_DECISION closes: granted places are in enrollment before round 1 is confirmed.
        ("expansion-decision-closes-enrollment-mirrors-catalog", "expansion-decision-closes-deny-undecided-expansions"),
        ("provider-confirmation-1-opens-notify-opening", "expansion-decision-closes-enrollment-mirrors-catalog"),
        ("provider-confirmation-1-opens-notify-opening", "school-review-1-closes-expire-unreviewed"),
        // ROSTER_UPDATE closes.
        ("roster-update-closes-enrollment-mirrors-roster", "roster-update-closes-record-roster-position"),
        // The last confirmation closes.
        ("provider-confirmation-2-closes-issue-due-notices", "provider-confirmation-2-closes-settle-confirmation"),
        ("provider-confirmation-2-closes-freeze-waiting", "provider-confirmation-2-closes-issue-due-notices"),
        ("training-opens-start-published", "provider-confirmation-2-closes-freeze-waiting"),
        // Compliance comes after the results that were confirmed by then.
        ("training-closes-compliance-provisional", "training-closes-results-recognized"),
        ("results-closes-compliance-final", "results-closes-results-recognized"),
    ];
    for (step, other) in table {
        assert!(waits(&steps, step, other), "{step} does not wait for {other}");
    }
    assert!(!steps.iter().any(|step| short(&step.name).starts_with("provider-confirmation-1-closes-issue")));
    // What a review shows is no reason to hold it up.
    assert!(!waits(&steps, "school-review-1-opens-notify-opening", "school-review-1-opens-renew-credit-positions"));
}

/// RESULTS is a deployment's own: a term without it ends with its training.
#[test]
fn a_term_ends_with_its_last_window() {
    let (without, _) = SAMPLE.split_once("[[window]]\nid = \"results\"").unwrap();
    let ends = [
        "complete-running",
        "compliance-final",
        "purge-replies-roster",
        "purge-replies-catalog",
        "purge-replies-enrollment",
        "purge-replies-credit",
        "purge-replies-gateway",
        "erase-due",
        "purge-inboxes",
    ];
    let steps = planned(&gates(without));
    for end in ends {
        assert!(waits(&steps, &format!("training-closes-{end}"), "training-closes-results-recognized"), "{end}");
    }
    let steps = planned(&gates(SAMPLE));
    for end in ends {
        find(&steps, &format!("results-closes-{end}"));
        assert!(!steps.iter().any(|step| short(&step.name) == format!("training-closes-{end}")), "{end}");
    }
}

/// What a window allows is settled before its business, in each service whose methods it gates, and in no chain with others.
#[test]
fn each_close_settles_where_the_contract_says() {
    let gates = gates(SAMPLE);
    let (steps, gated) = (planned(&gates), Gated::by_contract());
    assert_eq!(gated.services(Phase::Selection).collect::<Vec<_>>(), ["enrollment"]);
    assert_eq!(gated.services(Phase::Declaration).collect::<Vec<_>>(), ["catalog"]);
    assert_eq!(gated.services(Phase::RosterUpdate).collect::<Vec<_>>(), ["roster"]);
    for window in gates.windows.iter().filter(|window| window.phase() != Phase::Unspecified) {
        for service in gated.services(window.phase()).chain(["gateway"]) {
            let settle = find(&steps, &format!("{}-closes-settle-{service}", window.id));
            assert_eq!((settle.due, settle.after.len()), (edges(window).unwrap().1, 0));
        }
        let business = steps
            .iter()
            .filter(|step| matches!(step.task, Task::Run { .. }) && step.edge == format!("{}/closes", window.id));
        for step in business {
            for service in gated.services(window.phase()) {
                let settle = format!("{}-closes-settle-{service}", window.id);
                assert!(waits(&steps, short(&step.name), &settle), "{} does not wait for {settle}", step.name);
            }
        }
    }
}

#[test]
fn every_action_of_the_contract_is_planned() {
    let mut actions: BTreeSet<String> = BTreeSet::new();
    let steps =
        planned(&gates(SAMPLE)).into_iter().chain(recognition_steps(TERM, "terms/t/projects/p/classes/c", 1, 0));
    for step in steps {
        if let Task::Run { action, .. } = step.task {
            actions.insert(action);
        }
    }
    let all = (1..200).filter_map(|number| Action::try_from(number).ok()).map(|action| action.as_str_name().to_owned());
    assert_eq!(actions, all.collect());
}

#[test]
fn the_class_s_steps_follow_each_other() {
    let steps = recognition_steps(TERM, &format!("{TERM}/projects/p1/classes/c2"), 3, 42);
    let names: Vec<_> = steps.iter().map(|step| short(&step.name)).collect();
    let expected = [
        "results-p1-c2-3-credit-mirrors-enrollment",
        "results-p1-c2-3-recognize-results",
        "results-p1-c2-3-enrollment-mirrors-credit",
    ];
    assert_eq!(names, expected);
    assert!(steps.windows(2).all(|pair| pair[1].after == [pair[0].name.clone()]));
    assert_eq!(calendar_steps(TERM, 1, 0).len(), 5);
}

#[test]
fn a_window_prolonged_after_its_reminder_is_reminded_of_again() {
    let before = planned(&gates(SAMPLE));
    let prolonged = SAMPLE.replacen("last_day = 2019-08-25", "last_day = 2019-08-26", 1);
    let after = planned(&gates(&prolonged));
    let reminder = |steps: &[Planned]| -> Vec<String> {
        steps.iter().filter(|step| step.name.contains("/browsing-closes-2019")).map(|step| step.name.clone()).collect()
    };
    assert_eq!((reminder(&before).len(), reminder(&after).len()), (1, 1));
    assert_ne!(reminder(&before), reminder(&after));
}

/// Any windows at all, valid as a calendar or not.
fn any_windows() -> impl Strategy<Value = Vec<Window>> {
    let window = (2_i32..=13, 0_i32..4, 0_i64..60, 0_i64..30, any::<bool>());
    proptest::collection::vec(window, 0..25).prop_map(|windows| {
        let day = |days: i64| Some(proto::timestamp(days * 86_400_000_000));
        let window = |(index, (phase, round, first, length, named)): (usize, (i32, i32, i64, i64, bool))| Window {
            id: format!("w{index}"),
            phase,
            round,
            opens: day(first),
            closes: day(first + length + 1),
            organizations: if named { vec!["organizations/1".to_owned()] } else { Vec::new() },
            ..Window::default()
        };
        windows.into_iter().enumerate().map(window).collect()
    })
}

proptest! {
    #[test]
    fn a_plan_is_in_order_acyclic_deterministic_and_covers_each_edge(
        windows in any_windows(),
        days in proptest::collection::btree_set(1_i64..20, 0..3),
    ) {
        let gates = Gates { term: TERM.to_owned(), zone: "Asia/Shanghai".to_owned(), windows, ..Gates::default() };
        let steps = plan(&gates, &days, &Gated::by_contract());
        prop_assert_eq!(&steps, &plan(&gates, &days, &Gated::by_contract()));
        let mut seen: BTreeMap<&str, i64> = BTreeMap::new();
        for pair in steps.windows(2) {
            prop_assert!(pair[0].order() < pair[1].order());
        }
        for step in &steps {
            for name in &step.after {
                // What it waits for stands before it and is due no later: no circle, and no wait for the future.
                prop_assert!(seen.get(name.as_str()).is_some_and(|due| *due <= step.due), "{} before {name}", step.name);
            }
            prop_assert!(seen.insert(&step.name, step.due).is_none(), "{} twice", step.name);
        }
        for window in &gates.windows {
            let (opens, closes) = edges(window).unwrap();
            let at = |edge: &str| steps.iter().filter(|step| step.edge == format!("{}/{edge}", window.id)).collect::<Vec<_>>();
            prop_assert!(!at("opens").is_empty() && at("opens").iter().all(|step| step.due == opens));
            prop_assert!(!at("closes").is_empty() && at("closes").iter().all(|step| step.due == closes));
        }
    }
}
