//! The sequencer over the wire: each step once in effect, whatever fails, and nothing before its time.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use proto::{
    common::v1::{Action, GetStatusRequest, Role, RunStepRequest, gate_service_client::GateServiceClient},
    enrollment::v1::ClassResults,
    gateway::v1::{RetryStepRequest, SkipStepRequest, Step, WatchStepsRequest, step::State},
};
use tonic::Code;

use crate::fixture::{BEFORE, CALENDAR, House, Mode, PATIENCE, Running, TERM, databases, due, midnight, over, reason};

/// After everything.
const AFTER: &str = "2020-02-01";
/// The steps that credit a class's results are planned when they are confirmed, in the middle of the term.
const CREDITED: &str = "terms/2019-autumn/steps/results-p-c-1-enrollment-mirrors-credit";

/// What must be equal however the steps came about.
type Outcome = (BTreeMap<String, (State, Vec<(String, i64)>)>, Vec<(String, i64)>);

async fn outcome(house: &House, steps: &BTreeMap<String, Step>) -> anyhow::Result<Outcome> {
    let of_step = |step: &Step| {
        let counts = step.outcome.iter().map(|count| (count.key.clone(), count.value)).collect();
        (step.state(), counts)
    };
    Ok((steps.iter().map(|(name, step)| (name.clone(), of_step(step))).collect(), house.did().await?))
}

fn all_over(steps: &BTreeMap<String, Step>) -> bool {
    steps.get(CREDITED).is_some_and(over) && steps.values().all(over)
}

/// The whole term in one leap; a failed step is tried again at once.
async fn leap(house: &House, gateway: &Running) -> anyhow::Result<BTreeMap<String, Step>> {
    house.advance(midnight(AFTER));
    let (failed, mut again) = tokio::sync::mpsc::unbounded_channel();
    let mut client = gateway.steps()?;
    let retrying = async {
        let mut number = 0;
        while let Some(name) = again.recv().await {
            number += 1;
            let request = RetryStepRequest { name, request_id: format!("again-{number}") };
            match client.retry_step(gateway.call(&[Role::Operator], request)?).await {
                // It is being tried already.
                Err(status) if reason(&status) == "REASON_STATE_CONFLICT" => {}
                answer => drop(answer?),
            }
        }
        anyhow::Ok(())
    };
    let playing = async move {
        let seen = |step: &Step| {
            if step.state() == State::Failed {
                let _ = failed.send(step.name.clone());
            }
        };
        gateway.until(seen, all_over).await
    };
    let (steps, retried) = tokio::join!(playing, retrying);
    retried?;
    steps
}

fn once(did: &[(String, i64)]) {
    let twice: Vec<_> = did.iter().filter(|(_, times)| *times != 1).collect();
    assert!(twice.is_empty() && !did.is_empty(), "more than once in effect: {twice:?}");
}

/// What the rest is measured by: nothing fails.
async fn undisturbed() -> anyhow::Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let house = House::new(&format!("sqlite:{}/gateway.db", folder.path().display())).await?;
    let gateway = house.gateway().await?;
    gateway.begin_term(CALENDAR).await?;
    let steps = leap(&house, &gateway).await?;
    assert!(steps.values().all(|step| step.state() == State::Done), "{steps:#?}");
    let outcome = outcome(&house, &steps).await?;
    gateway.end().await?;
    Ok(outcome)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_term_edge_by_edge() -> anyhow::Result<()> {
    for database in databases().await? {
        database.db.close().await;
        let house = House::new(&database.url).await?;
        let gateway = house.gateway().await?;
        gateway.begin_term(CALENDAR).await?;
        let planned = gateway.list().await?;
        let edges: BTreeSet<i64> = planned.iter().map(due).filter(|due| *due > BEFORE).collect();
        let mut steps = BTreeMap::new();
        for edge in &edges {
            // A microsecond before its time nothing of it begins.
            house.advance(edge - 1);
            steps = gateway.settled(edge - 1).await?;
            let early: Vec<_> = steps.values().filter(|step| due(step) >= *edge && over(step)).collect();
            assert!(early.is_empty(), "{early:#?}");
            let mut begun = BTreeSet::new();
            let mut done: BTreeSet<_> =
                steps.values().filter(|step| over(step)).map(|step| step.name.clone()).collect();
            let seen = |step: &Step| {
                if step.state() == State::Running && begun.insert(step.name.clone()) {
                    let missing: Vec<_> = step.after.iter().filter(|name| !done.contains(*name)).collect();
                    assert!(missing.is_empty(), "{} begins before {missing:?}", step.name);
                }
                if over(step) {
                    done.insert(step.name.clone());
                }
            };
            let reached = |steps: &BTreeMap<String, Step>| steps.values().all(|step| due(step) > *edge || over(step));
            steps = gateway.until_after(|| house.advance(*edge), seen, reached).await?;
        }
        let steps = if all_over(&steps) { steps } else { gateway.until(|_| {}, all_over).await? };
        assert!(steps.len() > planned.len(), "a class's results were confirmed, and nobody credited them");
        let tried: Vec<_> = steps.values().filter(|step| step.state() != State::Done || step.attempts != 1).collect();
        assert!(tried.is_empty(), "{tried:#?}");
        once(&house.did().await?);
        assert_eq!(outcome(&house, &steps).await?, undisturbed().await?, "a leap comes to the same");

        // Whoever has methods of a window's phase has settled it.
        let asked = chassis::peer::within(std::time::Duration::from_secs(5), GetStatusRequest {});
        let door = house.door("enrollment").address;
        let peer = chassis::peer::identified(chassis::peer::channel(&format!("http://{door}"))?, gateway.identity()?);
        let status = GateServiceClient::new(peer).get_status(asked).await?.into_inner();
        let settled = &status.terms.first().expect("the term").settled_windows;
        for window in ["selection-1", "selection-2", "school-review-1", "provider-confirmation-2", "training"] {
            assert!(settled.iter().any(|known| known == window), "{window} is not among {settled:?}");
        }
        gateway.end().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_lost_once_on_the_way_or_on_the_way_back() -> anyhow::Result<()> {
    let expected = undisturbed().await?;
    for mode in [Mode::FirstCallLost, Mode::FirstAnswerLost] {
        for database in databases().await? {
            database.db.close().await;
            let house = House::new(&database.url).await?;
            let gateway = house.gateway().await?;
            gateway.begin_term(CALENDAR).await?;
            house.every_door(mode);
            let steps = leap(&house, &gateway).await?;
            once(&house.did().await?);
            assert_eq!(outcome(&house, &steps).await?, expected, "{mode:?}");
            let failed = steps.values().filter(|step| step.attempts > 1).count();
            assert!(failed > 50, "only {failed} steps were ever tried twice");
            gateway.end().await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn torn_away_in_the_middle_of_steps_and_started_again() -> anyhow::Result<()> {
    let expected = undisturbed().await?;
    for database in databases().await? {
        database.db.close().await;
        let house = House::new(&database.url).await?;
        let mut gateway = house.gateway().await?;
        gateway.begin_term(CALENDAR).await?;
        // Whenever it is torn away the call has arrived, and nobody knows it. The second waits for the first.
        let door = house.door("enrollment");
        door.set(Mode::Hold(Action::ExpireUnreviewed, 1));
        house.advance(midnight(AFTER));
        for next in [Mode::Hold(Action::SettleConfirmation, 0), Mode::Open] {
            tokio::time::timeout(PATIENCE, door.held()).await??;
            gateway.crash().await?;
            door.set(next);
            gateway = house.gateway().await?;
        }
        let steps = gateway.until(|_| {}, all_over).await?;
        once(&house.did().await?);
        assert_eq!(outcome(&house, &steps).await?, expected);
        gateway.end().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_on_one_database_share_the_work() -> anyhow::Result<()> {
    let expected = undisturbed().await?;
    let databases = databases().await?;
    let database = databases.last().expect("PostgreSQL");
    let house = House::new(&database.url).await?;
    let one = house.gateway().await?;
    one.begin_term(CALENDAR).await?;
    let other = house.gateway().await?;
    // It serves before there is work.
    other.list().await?;
    let steps = leap(&house, &one).await?;
    assert_eq!(outcome(&house, &steps).await?, expected);
    once(&house.did().await?);
    let mut pages = BTreeMap::<_, usize>::new();
    for door in house.doors.values() {
        for body in door.calls("RunStep") {
            *pages.entry(RunStepRequest::decode(body.as_slice())?.request_id).or_default() += 1;
        }
    }
    let twice: Vec<_> = pages.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty() && pages.len() > 50, "asked for twice: {twice:?}");
    // Both tell the same.
    assert_eq!(one.list().await?, other.list().await?);
    other.end().await?;
    one.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_step_holds_up_what_depends_on_it_until_it_is_tried_again_or_given_up() -> anyhow::Result<()> {
    for database in databases().await? {
        database.db.close().await;
        let house = House::new(&database.url).await?;
        let gateway = house.gateway().await?;
        gateway.begin_term(CALENDAR).await?;
        house.hooks["catalog"].fail(Action::LapseDrafts, true);
        house.hooks["catalog"].fail(Action::ListUndecidedProjects, true);
        house.advance(midnight("2019-07-15"));
        let lapse = format!("{TERM}/steps/declaration-closes-lapse-drafts");
        let undecided = format!("{TERM}/steps/project-review-closes-list-undecided-projects");
        let publish = format!("{TERM}/steps/publication-opens-publish-approved");
        let browsing = format!("{TERM}/steps/browsing-opens-notify-opening");
        let failed = |steps: &BTreeMap<String, Step>, name: &str| !steps[name].error.is_empty();
        let steps = gateway
            .until(|_| {}, |steps| failed(steps, &lapse) && failed(steps, &undecided) && over(&steps[&browsing]))
            .await?;
        assert_eq!(steps[&publish].state(), State::Pending, "it waits for the list of what is undecided");
        assert!(steps[&lapse].error.contains("Internal"), "{}", steps[&lapse].error);

        let mut client = gateway.steps()?;
        let skip = |name: &str, because: &str, id: &str| SkipStepRequest {
            name: name.to_owned(),
            reason: because.to_owned(),
            request_id: id.to_owned(),
        };
        let officer = [Role::BureauOfficer];
        let unexplained = client.skip_step(gateway.call(&officer, skip(&undecided, "", "s1"))?).await.unwrap_err();
        assert_eq!(unexplained.code(), Code::InvalidArgument);
        let operator = client.skip_step(gateway.call(&[Role::Operator], skip(&undecided, "x", "s2"))?).await;
        assert_eq!(reason(&operator.unwrap_err()), "REASON_ROLE_NOT_ALLOWED");
        let done = client.skip_step(gateway.call(&officer, skip(&browsing, "x", "s3"))?).await.unwrap_err();
        assert_eq!(reason(&done), "REASON_STATE_CONFLICT");
        let early = client.skip_step(gateway.call(&officer, skip(&publish, "x", "s4"))?).await.unwrap_err();
        assert_eq!(reason(&early), "REASON_STATE_CONFLICT", "only what has failed is given up");
        let nothing = client.skip_step(gateway.call(&officer, skip("terms/x/steps/y", "x", "s5"))?).await.unwrap_err();
        assert_eq!(nothing.code(), Code::NotFound);

        let skipped = client.skip_step(gateway.call(&officer, skip(&undecided, "listed by hand", "s6"))?).await?;
        let skipped = skipped.into_inner().step.expect("a step");
        assert_eq!((skipped.state(), skipped.skip_reason.as_str()), (State::Skipped, "listed by hand"));
        gateway.until(|_| {}, |steps| over(&steps[&publish])).await?;

        house.hooks["catalog"].fail(Action::LapseDrafts, false);
        let retry = RetryStepRequest { name: lapse.clone(), request_id: "r1".to_owned() };
        match client.retry_step(gateway.call(&[Role::Operator], retry)?).await {
            // It is being tried just now.
            Err(status) => assert_eq!(reason(&status), "REASON_STATE_CONFLICT"),
            Ok(reply) => assert_eq!(reply.into_inner().step.map(|step| step.name), Some(lapse.clone())),
        }
        let steps = gateway.settled(midnight("2019-07-15")).await?;
        assert_eq!((steps[&lapse].state(), steps[&undecided].state()), (State::Done, State::Skipped));
        once(&house.did().await?);
        gateway.end().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn results_become_credit_once_for_each_revision_and_compliance_waits_for_them() -> anyhow::Result<()> {
    for database in databases().await? {
        database.db.close().await;
        let house = House::new(&database.url).await?;
        let gateway = house.gateway().await?;
        gateway.begin_term(CALENDAR).await?;
        let before = midnight("2019-12-02");
        house.advance(before);
        gateway.settled(before).await?;
        house.hooks["credit"].fail(Action::RecognizeResults, true);
        let class = format!("{TERM}/projects/p2/classes/c1");
        for revision in [1, 1, 2] {
            let confirmed_at = Some(proto::timestamp(before));
            let results = ClassResults { class: class.clone(), confirmed_at, revision, ..ClassResults::default() };
            // A correction is due when it was made.
            house.hooks["enrollment"].tell(&class, &results, before + i64::from(revision)).await?;
        }
        let credited = [1, 2].map(|revision| format!("{TERM}/steps/results-p2-c1-{revision}-recognize-results"));
        let compliance = format!("{TERM}/steps/training-closes-compliance-provisional");
        let due_results = format!("{TERM}/steps/training-closes-list-due-results");
        let after = midnight("2020-01-02");
        house.advance(after);
        let steps = gateway
            .until(
                |_| {},
                |steps| {
                    let failed = |name| steps.get(name).is_some_and(|step: &Step| !step.error.is_empty());
                    credited.iter().all(failed) && over(&steps[&due_results])
                },
            )
            .await?;
        assert_eq!(steps[&compliance].state(), State::Pending);
        house.hooks["credit"].fail(Action::RecognizeResults, false);
        let steps = gateway.settled(after).await?;
        assert_eq!(steps[&compliance].state(), State::Done);
        let did = house.did().await?;
        once(&did);
        let recognized = did.iter().filter(|(what, _)| what.contains(&format!("RECOGNIZE_RESULTS {class}"))).count();
        assert_eq!((recognized, credited.iter().all(|name| steps[name].state() == State::Done)), (2, true));
        gateway.end().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn everyone_who_watches_sees_every_step_end() -> anyhow::Result<()> {
    for database in databases().await? {
        database.db.close().await;
        let house = House::new(&database.url).await?;
        let gateway = house.gateway().await?;
        gateway.begin_term(CALENDAR).await?;
        gateway.settled(house.env.clock.now()).await?;
        let watch = async |term: &str| -> anyhow::Result<_> {
            let watch = gateway.call(&[Role::Operator], WatchStepsRequest { parent: term.to_owned() })?;
            Ok(gateway.steps()?.watch_steps(watch).await?.into_inner())
        };
        let watchers = [watch(TERM).await?, watch(TERM).await?, watch("").await?];
        assert_eq!(
            gateway
                .steps()?
                .watch_steps(gateway.call(&[Role::Operator], WatchStepsRequest { parent: "terms/none".to_owned() })?)
                .await
                .map(|_| ())
                .map_err(|status| reason(&status)),
            Err("REASON_TERM_UNKNOWN".to_owned())
        );
        gateway.create("terms/other").await?;
        let mut elsewhere = watch("terms/other").await?;
        let until = midnight("2019-07-01");
        house.advance(until);
        let steps = gateway.settled(until).await?;
        let expected: Vec<_> = steps.values().filter(|step| over(step) && due(step) > midnight("2019-06-02")).collect();
        for mut watcher in watchers {
            let mut ended = BTreeMap::new();
            while ended.len() < expected.len() {
                let step = watcher.message().await?.and_then(|event| event.step).expect("a step");
                if over(&step) {
                    assert!(ended.insert(step.name.clone(), step).is_none(), "a step ends once");
                }
            }
            assert_eq!(ended.values().collect::<Vec<_>>(), expected);
        }
        gateway.end().await?;
        // The end of the gateway ends the stream, and nothing of this term came by it.
        assert!(!matches!(elsewhere.message().await, Ok(Some(_))));
    }
    Ok(())
}
