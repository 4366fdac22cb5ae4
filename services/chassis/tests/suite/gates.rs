//! Gates and the fence: who is admitted when, and that nothing of a window commits after it was settled.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chassis::{
    Failure,
    call::Call,
    config::DatabaseConfig,
    db::{Db, Engine, Scope, args},
    gates::{Admitted, admit},
    testing::{self, call, gate_service, person, put_gates, request, term_gates},
};
use proptest::prelude::*;
use proto::{
    Actor,
    common::v1::{
        Gates, MirrorPosition, Phase, Precondition, PutGatesRequest, Reason, Role, SettleWindowRequest, Window,
        gate_service_server::GateService as _, precondition::Condition,
    },
    enrollment::v1::{WithdrawSelectionRequest, WithdrawSelectionResponse},
};
use tonic::{Code, Status};

use crate::fixture::{AT, TERM, change, count_up, counted, databases, gates, reason, window};

/// Teachers in SELECTION; administrators and principals in SELECTION, SCHOOL_REVIEW and PROVIDER_CONFIRMATION; the bureau
/// at any time.
const WITHDRAW: &str = "/shixun.enrollment.v1.SelectionService/WithdrawSelection";
const HOUR: i64 = 3_600_000_000;

fn withdraw(actor: &Actor, at: i64, id: &str) -> Result<Call<WithdrawSelectionRequest>, Failure> {
    let message = WithdrawSelectionRequest {
        name: format!("{TERM}/selections/{id}"),
        request_id: id.to_owned(),
        ..WithdrawSelectionRequest::default()
    };
    call(WITHDRAW, actor, at, message)
}

fn teacher() -> Actor {
    person("accounts/t", "teachers/t", &[(Role::Teacher, "organizations/s")])
}

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
            Ok(admitted) => prop_assert_eq!(admitted.actor.roles.into_iter().collect::<BTreeSet<_>>(), roles),
            Err(failure) => {
                prop_assert!(roles.is_empty());
                let known = [Reason::WindowClosed, Reason::WindowSettled, Reason::WindowNotReady];
                prop_assert!(failure.reason().is_some_and(|reason| known.contains(&reason)));
            }
        }
    }
}

async fn put(db: &Db, gates: Gates) -> Result<i64, Status> {
    let message = PutGatesRequest { gates: Some(gates), validate_only: false };
    let call = call("/shixun.common.v1.GateService/PutGates", &testing::service("gateway"), AT, message)?;
    Ok(gate_service(db).put_gates(request(call)).await?.into_inner().version)
}

async fn settle(db: &Db, window: &str, gate_version: i64) -> Result<(), Status> {
    let message = SettleWindowRequest { term: TERM.to_owned(), window: window.to_owned(), gate_version };
    let call = call("/shixun.common.v1.GateService/SettleWindow", &testing::service("gateway"), AT, message)?;
    gate_service(db).settle_window(request(call)).await.map(drop)
}

#[tokio::test]
async fn gates_only_rise_and_the_same_again_is_acknowledged() -> anyhow::Result<()> {
    for database in databases().await? {
        let db = &database.db;
        let first = vec![window("b", Phase::Selection, 1, 0, HOUR), window("a", Phase::SchoolReview, 1, 0, HOUR)];
        assert_eq!(put(db, gates(3, first.clone())).await?, 3);
        // The order of windows says nothing.
        assert_eq!(put(db, gates(3, first.iter().rev().cloned().collect())).await?, 3);
        for (version, windows) in [(2, first.clone()), (3, Vec::new()), (0, Vec::new()), (-5, Vec::new())] {
            let refused = put(db, gates(version, windows)).await.unwrap_err();
            let expected = (Code::FailedPrecondition, "REASON_VERSION_OUTDATED");
            assert_eq!((refused.code(), reason(&refused).as_str()), expected, "{version}");
        }
        assert_eq!(put(db, gates(4, Vec::new())).await?, 4);
    }
    Ok(())
}

#[tokio::test]
async fn faulty_gates_are_refused_with_every_fault() -> anyhow::Result<()> {
    use tonic_types::StatusExt as _;
    for database in databases().await? {
        let same = window("same", Phase::Selection, 1, 0, HOUR);
        let edgeless = Window { closes: None, ..window("edgeless", Phase::Selection, 2, 0, HOUR) };
        let faulty = Gates {
            zone: "Asia/Nowhere".to_owned(),
            policy: "= no TOML".to_owned(),
            ..gates(1, vec![same.clone(), same, edgeless])
        };
        let refused = put(&database.db, faulty).await.unwrap_err();
        let details = refused.get_error_details();
        let fields: Vec<_> = details
            .bad_request()
            .map(|bad| bad.field_violations.iter().map(|violation| violation.field.as_str()).collect())
            .unwrap_or_default();
        assert_eq!(fields, ["gates.zone", "gates.windows[1].id", "gates.windows[2]", "policy"]);
    }
    Ok(())
}

#[tokio::test]
async fn settling_needs_a_known_window_and_the_gates_it_was_decided_on() -> anyhow::Result<()> {
    for database in databases().await? {
        let db = &database.db;
        let outcome = settle(db, "a", 1).await.unwrap_err();
        assert_eq!(reason(&outcome), "REASON_TERM_UNKNOWN");
        put(db, gates(2, vec![window("a", Phase::Selection, 1, 0, HOUR)])).await?;
        assert_eq!(reason(&settle(db, "a", 1).await.unwrap_err()), "REASON_VERSION_OUTDATED");
        assert_eq!(reason(&settle(db, "b", 2).await.unwrap_err()), "REASON_NOT_FOUND");
        settle(db, "a", 2).await?;
        settle(db, "a", 2).await?;
        // New gates keep what is settled.
        put(db, gates(3, vec![window("a", Phase::Selection, 1, 0, 2 * HOUR)])).await?;
        let refused = db.begin(&withdraw(&teacher(), AT, "x")?, Scope::Term(TERM)).await.map(drop);
        assert_eq!(refused.err().and_then(|failure| failure.reason()), Some(Reason::WindowSettled));
    }
    Ok(())
}

/// Withdraws, with a change.
async fn carry_out(db: &Db, call: Call<WithdrawSelectionRequest>) -> Result<WithdrawSelectionResponse, Failure> {
    let mut tx = db.begin(&call, Scope::Term(TERM)).await?;
    tx.window(Phase::Selection, 1, &[])?;
    if db.engine() == Engine::Postgres {
        // Transactions overlap, as they do under a rush.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    count_up(&mut tx, "withdrawn").await?;
    tx.record(change(&call.message.name));
    tx.commit(WithdrawSelectionResponse::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn settling_waits_for_what_was_admitted_and_lets_nothing_follow() -> anyhow::Result<()> {
    for database in databases().await? {
        let db = &database.db;
        put_gates(db, gates(1, vec![window("selection-1", Phase::Selection, 1, 0, HOUR)])).await?;
        let (go, held) = tokio::sync::oneshot::channel();
        let (entered, inside) = tokio::sync::oneshot::channel();
        let in_flight = tokio::spawn({
            let (db, call) = (db.clone(), withdraw(&teacher(), AT + HOUR - 1, "in-flight")?);
            async move {
                let mut tx = db.begin(&call, Scope::Term(TERM)).await?;
                let _ = entered.send(());
                held.await.map_err(Failure::internal)?;
                count_up(&mut tx, "withdrawn").await?;
                tx.commit(WithdrawSelectionResponse::default()).await
            }
        });
        inside.await?;
        let settling = tokio::spawn({
            let db = db.clone();
            async move { settle(&db, "selection-1", 1).await }
        });
        // It cannot have ended: the transaction is still open. (Were the fence not held, this would be seen here.)
        let mut settling = settling;
        assert!(tokio::time::timeout(Duration::from_millis(200), &mut settling).await.is_err(), "settled too early");
        assert!(go.send(()).is_ok());
        in_flight.await??;
        settling.await??;
        assert_eq!(counted(db, "withdrawn").await?, 1);
        let late = carry_out(db, withdraw(&teacher(), AT + HOUR - 1, "late")?).await;
        assert_eq!(late.err().and_then(|failure| failure.reason()), Some(Reason::WindowSettled));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_rush_settling_comes_through_and_nothing_commits_after() -> anyhow::Result<()> {
    for database in databases().await? {
        // As many connections as in production, so that some transaction always holds the fence.
        let many = match database.db.engine() {
            Engine::Sqlite => database.db.clone(),
            Engine::Postgres => {
                Db::open("chassis", &DatabaseConfig::at(&database.url), database.db.env().clone()).await?
            }
        };
        let db = &many;
        put_gates(db, gates(1, vec![window("selection-1", Phase::Selection, 1, 0, HOUR)])).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let callers: Vec<_> = (0..32)
            .map(|caller| {
                let (db, stop) = (db.clone(), Arc::clone(&stop));
                tokio::spawn(async move {
                    let mut refused = 0;
                    for n in 0.. {
                        if stop.load(Ordering::SeqCst) {
                            break;
                        }
                        let call = withdraw(&teacher(), AT, &format!("{caller}-{n}"))?;
                        match carry_out(&db, call).await {
                            Ok(_) => {}
                            Err(failure) if failure.reason() == Some(Reason::WindowSettled) => refused += 1,
                            Err(failure) => return Err(failure),
                        }
                    }
                    Ok(refused)
                })
            })
            .collect();
        while counted(db, "withdrawn").await? < 20 {
            tokio::task::yield_now().await;
        }
        // Fair: the stream of those that share the fence does not keep it from whoever wants it alone.
        tokio::time::timeout(Duration::from_secs(20), settle(db, "selection-1", 1)).await??;
        let settled_at = counted(db, "withdrawn").await?;
        let mut tx = db.begin_own(AT, "position").await?;
        let changes = tx.execute("UPDATE change SET idx = idx", args![]).await?;
        tx.abandon().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        stop.store(true, Ordering::SeqCst);
        let mut refused = 0;
        for caller in callers {
            refused += caller.await??;
        }
        assert!(refused > 0, "the callers went on after the settlement");
        assert_eq!(counted(db, "withdrawn").await?, settled_at, "something committed after the settlement");
        assert_eq!(i64::try_from(changes)?, settled_at);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_obeys_new_gates_at_once() -> anyhow::Result<()> {
    let Some(database) = databases().await?.pop() else { anyhow::bail!("no PostgreSQL") };
    let config = DatabaseConfig::at(&database.url);
    let other = Db::open("chassis", &config, database.db.env().clone()).await?;
    put(&database.db, gates(1, vec![window("selection-1", Phase::Selection, 1, 0, HOUR)])).await?;
    carry_out(&other, withdraw(&teacher(), AT, "1")?).await?;
    // Closed by the first replica; the second one had the old gates in its memory.
    put(&database.db, gates(2, vec![window("selection-1", Phase::Selection, 1, -HOUR, 0)])).await?;
    let refused = carry_out(&other, withdraw(&teacher(), AT, "2")?).await;
    assert_eq!(refused.err().and_then(|failure| failure.reason()), Some(Reason::WindowClosed));
    put(&other, gates(3, vec![window("selection-1", Phase::Selection, 1, 0, HOUR)])).await?;
    carry_out(&database.db, withdraw(&teacher(), AT, "3")?).await?;
    settle(&other, "selection-1", 3).await?;
    let refused = carry_out(&database.db, withdraw(&teacher(), AT, "4")?).await;
    assert_eq!(refused.err().and_then(|failure| failure.reason()), Some(Reason::WindowSettled));
    Ok(())
}
