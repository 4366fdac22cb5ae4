//! Each step exactly once in effect, whatever fails.

use std::collections::{BTreeMap, BTreeSet};

use proto::{
    common::v1::Action,
    enrollment::v1::ClassResults,
    gateway::v1::{RetryStepRequest, SkipStepRequest, Step, step::State},
};

use crate::{
    fakes::Fails,
    world::{Person, SAMPLE, TERM, World, all_done, at, reason, worlds},
};

/// What a term came to: each step's state and outcome, and what the services did, in any order.
type Outcome = (BTreeMap<String, (State, Vec<(String, i64)>)>, BTreeSet<String>);

fn outcome(steps: &BTreeMap<String, Step>, log: &[String]) -> Outcome {
    let line = |step: &Step| {
        let counts = step.outcome.iter().map(|count| (count.key.clone(), count.value)).collect();
        (step.state(), counts)
    };
    (steps.iter().map(|(name, step)| (name.clone(), line(step))).collect(), log.iter().cloned().collect())
}

fn confirmed(world: &World, class: &str, revision: i32) {
    let results = ClassResults {
        class: format!("{TERM}/projects/p1/classes/{class}"),
        passed: 20,
        confirmed_at: Some(proto::timestamp(at("2019-12-01T10:00+08:00"))),
        revision,
        ..ClassResults::default()
    };
    world.fakes["enrollment"].tell(&results.class, at("2019-12-01T10:00+08:00"), &results);
}

/// Plays a term in which every call to a service fails once.
async fn play(world: &World, fails: Fails) -> Outcome {
    let running = world.start().await;
    let officer = Person::log_in(&running, "officer").await;
    officer.create_term().await;
    officer.put(SAMPLE, 0).await.unwrap();
    world.fakes.values().for_each(|fake| fake.fails(fails));
    for class in ["c1", "c2"] {
        confirmed(world, class, 1);
    }
    let planned = officer.wait(|steps| steps.contains_key("results-p1-c2-1-recognize-results")).await;
    world.advance("2020-02-01T00:00+08:00");
    let steps = officer.wait(all_done).await;
    assert_eq!(steps.len(), planned.len());
    running.stop().await;
    let log = world.log();
    let place = |what: &str| log.iter().position(|line| line.starts_with(what)).unwrap_or_else(|| panic!("no {what}"));
    let order = [
        ("catalog settles declaration", "catalog ACTION_LAPSE_DRAFTS declaration 0"),
        ("catalog ACTION_LAPSE_DRAFTS declaration 0", "catalog ACTION_LAPSE_DRAFTS declaration 2"),
        ("catalog ACTION_PUBLISH_APPROVED publication 0", "enrollment ACTION_FIX_CREDIT_POSITIONS selection-1 0"),
        ("enrollment settles school-review-1", "enrollment ACTION_EXPIRE_UNREVIEWED school-review-1 0"),
        ("enrollment ACTION_EXPIRE_UNREVIEWED school-review-1 0", "enrollment settles school-review-1-done"),
        (
            "enrollment ACTION_SETTLE_CONFIRMATION provider-confirmation-1 0",
            "enrollment ACTION_FIX_CREDIT_POSITIONS selection-2 0",
        ),
        ("credit ACTION_RECOGNIZE_RESULTS terms", "credit ACTION_COMPLIANCE_PROVISIONAL training 0"),
    ];
    for (first, then) in order {
        assert!(place(first) < place(then), "{first} comes after {then}");
    }
    let pages: Vec<_> = log.iter().filter(|line| line.contains("ACTION")).collect();
    assert_eq!(pages.len(), pages.iter().collect::<BTreeSet<_>>().len(), "a page had its effect twice");
    let lapsed = steps["declaration-closes-lapse-drafts"].outcome.first().unwrap();
    assert_eq!((lapsed.key.as_str(), lapsed.value), ("done", 30), "counts are summed over pages, once each");
    outcome(&steps, &log)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_term_in_which_every_call_fails_once_ends_as_if_none_had() {
    let mut outcomes = Vec::new();
    for fails in [Fails::Never, Fails::Before, Fails::After] {
        let worlds = worlds().await;
        let played = futures::future::join_all(worlds.iter().map(|world| play(world, fails))).await;
        outcomes.extend(played);
    }
    let first = outcomes.first().unwrap().clone();
    assert!(outcomes.iter().all(|outcome| *outcome == first));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_on_one_database_share_the_work() {
    let worlds = worlds().await;
    let world = worlds.iter().find(|world| !world.is_sqlite()).unwrap();
    let (one, two) = (world.start().await, world.start().await);
    let officer = Person::log_in(&one, "officer").await;
    officer.create_term().await;
    officer.put(SAMPLE, 0).await.unwrap();
    let elsewhere = Person::log_in(&two, "officer").await;
    assert_eq!(elsewhere.wait(|steps| !steps.is_empty()).await.len(), officer.list().await.len());
    world.advance("2019-09-01T12:00+08:00");
    let settled = |steps: &BTreeMap<String, Step>| steps["declaration-closes-settle-catalog"].state() == State::Done;
    elsewhere.wait(settled).await;
    // One goes in the middle of it.
    one.stop().await;
    world.advance("2020-02-01T00:00+08:00");
    elsewhere.wait(all_done).await;
    two.stop().await;
    let log = world.log();
    let pages: Vec<_> = log.iter().filter(|line| line.contains("ACTION")).collect();
    assert_eq!(pages.len(), pages.iter().collect::<BTreeSet<_>>().len(), "a page had its effect twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_is_resumed_at_the_page_where_it_was_left() {
    let action = Action::LapseDrafts.into();
    for world in worlds().await {
        let running = world.start().await;
        let officer = Person::log_in(&running, "officer").await;
        officer.create_term().await;
        officer.put(SAMPLE, 0).await.unwrap();
        let catalog = &world.fakes["catalog"];
        catalog.hangs(Some(action));
        world.advance("2019-06-29T00:00+08:00");
        // The first page is kept; the second is under way.
        let paged = |steps: &BTreeMap<String, Step>| !steps["declaration-closes-lapse-drafts"].outcome.is_empty();
        officer.wait(paged).await;
        running.stop().await;
        catalog.hangs(None);
        let running = world.start().await;
        let officer = Person::log_in(&running, "officer").await;
        let steps = officer.wait(|steps| steps["declaration-closes-lapse-drafts"].state() == State::Done).await;
        assert_eq!(steps["declaration-closes-lapse-drafts"].outcome.first().unwrap().value, 30);
        assert_eq!((catalog.asked(action, 0), catalog.asked(action, 2)), (1, 1));
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_step_holds_up_what_depends_on_it_and_nothing_else() {
    for world in worlds().await {
        let running = world.start().await;
        let officer = Person::log_in(&running, "officer").await;
        officer.create_term().await;
        officer.put(SAMPLE, 0).await.unwrap();
        officer.wait(|steps| steps.values().filter(|step| step.state() == State::Done).count() == 5).await;
        world.fakes["credit"].away(true);
        world.advance("2019-09-01T00:00+08:00");
        let barrier = "publication-opens-credit-mirrors-catalog";
        let others = [
            "publication-opens-enrollment-mirrors-catalog",
            "school-review-1-opens-notify-opening",
            "publication-closes-settle-catalog",
            "browsing-opens-notify-opening",
        ];
        let steps = officer
            .wait(|steps| {
                let done = |name: &&str| steps[*name].state() == State::Done;
                steps[barrier].state() == State::Failed && others.iter().all(done)
            })
            .await;
        assert!(steps[barrier].error.contains("Unavailable"), "{}", steps[barrier].error);
        for waiting in ["publication-closes-lapse-undecided-projects", "selection-1-opens-fix-credit-positions"] {
            assert_eq!(steps[waiting].state(), State::Pending, "{waiting}");
        }

        // What has not failed is neither tried again nor given up; giving up needs a reason.
        let name = |short: &str| format!("{TERM}/steps/{short}");
        let skip = |short: &str, reason: &str, request_id: &str| SkipStepRequest {
            name: name(short),
            reason: reason.to_owned(),
            request_id: request_id.to_owned(),
        };
        let refused = officer.steps().skip_step(officer.ask(skip(others[0], "because", "s1"))).await.unwrap_err();
        assert_eq!(reason(&refused), "REASON_STATE_CONFLICT");
        let pending = skip("selection-1-opens-fix-credit-positions", "because", "s2");
        let refused = officer.steps().skip_step(officer.ask(pending)).await.unwrap_err();
        assert_eq!(reason(&refused), "REASON_STATE_CONFLICT");
        let refused = officer.steps().skip_step(officer.ask(skip(barrier, "", "s3"))).await.unwrap_err();
        assert_eq!(reason(&refused), "REASON_INVALID_ARGUMENT");
        let refused = officer.steps().skip_step(officer.ask(skip("none", "because", "s4"))).await.unwrap_err();
        assert_eq!(reason(&refused), "REASON_NOT_FOUND");
        let retry = RetryStepRequest { name: name(others[0]), request_id: "r1".to_owned() };
        let refused = officer.steps().retry_step(officer.ask(retry)).await.unwrap_err();
        assert_eq!(reason(&refused), "REASON_STATE_CONFLICT");

        // Given up, what depends on it goes on.
        let given_up = officer.steps().skip_step(officer.ask(skip(barrier, "credit is away", "s5"))).await;
        let given_up = given_up.unwrap().into_inner().step.unwrap();
        assert_eq!((given_up.state(), given_up.skip_reason.as_str()), (State::Skipped, "credit is away"));
        officer.wait(|steps| steps["publication-closes-done-enrollment"].state() == State::Done).await;
        let held = "selection-1-opens-credit-mirrors-roster";
        officer.wait(|steps| steps[held].state() == State::Failed && steps[held].attempts >= 3).await;
        // Back again and tried at once.
        world.fakes["credit"].away(false);
        loop {
            let retry = RetryStepRequest { name: name(held), request_id: "r2".to_owned() };
            match officer.steps().retry_step(officer.ask(retry)).await {
                Ok(_) => break,
                // It is being tried as we ask.
                Err(refused) => assert_eq!(reason(&refused), "REASON_STATE_CONFLICT"),
            }
            if officer.list().await[held].state() == State::Done {
                break;
            }
        }
        officer.wait(|steps| steps["selection-1-opens-notify-opening"].state() == State::Done).await;
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_become_credit_once_for_each_revision() {
    for world in worlds().await {
        let running = world.start().await;
        let officer = Person::log_in(&running, "officer").await;
        officer.create_term().await;
        officer.put(SAMPLE, 0).await.unwrap();
        world.advance("2019-12-02T00:00+08:00");
        confirmed(&world, "c1", 1);
        confirmed(&world, "c1", 1);
        confirmed(&world, "c1", 2);
        officer
            .wait(|steps| {
                let done = |name: &str| steps.get(name).is_some_and(|step| step.state() == State::Done);
                done("results-p1-c1-1-enrollment-mirrors-credit") && done("results-p1-c1-2-enrollment-mirrors-credit")
            })
            .await;
        running.stop().await;
        let recognized = world.log().iter().filter(|line| line.contains("RECOGNIZE")).count();
        assert_eq!(recognized, 2);
    }
}
