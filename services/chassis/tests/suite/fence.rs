//! The fence: gates only rise, and nothing of a window commits after it was settled.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use chassis::{
    Failure,
    call::Call,
    config::DatabaseConfig,
    db::{Db, Engine, Scope, args},
    testing::{self, call, gate_service, put_gates, request},
};
use proto::{
    common::v1::{
        Gates, Phase, PutGatesRequest, Reason, SettleWindowRequest, Window, gate_service_server::GateService as _,
    },
    enrollment::v1::{WithdrawSelectionRequest, WithdrawSelectionResponse},
};
use tokio::sync::watch;
use tonic::{Code, Status};

use crate::fixture::{AT, HOUR, TERM, change, count_up, counted, databases, gates, reason, teacher, window, withdraw};

async fn put(db: &Db, gates: Gates) -> Result<i64, Status> {
    let message = PutGatesRequest { gates: Some(gates), ..PutGatesRequest::default() };
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
        // The work of a transaction, not a wait: so they overlap, as they do under a rush.
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
        let refused = watch::Sender::new(0);
        let callers: Vec<_> = (0..32)
            .map(|caller| {
                let (db, stop, refused) = (db.clone(), Arc::clone(&stop), refused.clone());
                tokio::spawn(async move {
                    for n in 0.. {
                        if stop.load(Ordering::SeqCst) {
                            break;
                        }
                        let call = withdraw(&teacher(), AT, &format!("{caller}-{n}"))?;
                        match carry_out(&db, call).await {
                            Ok(_) => {}
                            Err(failure) if failure.reason() == Some(Reason::WindowSettled) => {
                                refused.send_modify(|count| *count += 1);
                            }
                            Err(failure) => return Err(failure),
                        }
                    }
                    Ok(())
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
        // Each caller goes on for a while.
        let mut refused = refused.subscribe();
        let several = refused.wait_for(|count| *count >= 64);
        tokio::time::timeout(Duration::from_secs(20), several).await.context("the callers went on")??;
        stop.store(true, Ordering::SeqCst);
        for caller in callers {
            caller.await??;
        }
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
