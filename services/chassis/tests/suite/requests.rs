//! Request ids: a mutation may be repeated, and takes effect once.

use std::time::Duration;

use chassis::{
    Failure,
    call::Call,
    db::{Claim, Claimed, Db, Lane, Queries as _, Scope, args, forget, purge, recall},
    testing::{self, call, gate_service, person, put_gates, request},
};
use proto::{
    common::v1::{Phase, Reason, Role, SettleWindowRequest, Window, gate_service_server::GateService as _},
    enrollment::v1::{Selection, SubmitSelectionRequest, SubmitSelectionResponse},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::fixture::{AT, HOUR, TERM, count_up, counted, databases, gates, number, reason, window};

const SUBMIT: &str = "/shixun.enrollment.v1.SelectionService/SubmitSelection";

fn submit(project: &str, id: &str, at: i64) -> Result<Call<SubmitSelectionRequest>, Failure> {
    let message = SubmitSelectionRequest {
        parent: TERM.to_owned(),
        project: project.to_owned(),
        request_id: id.to_owned(),
        ..SubmitSelectionRequest::default()
    };
    call(SUBMIT, &person("accounts/a", "teachers/a", &[(Role::Teacher, "organizations/s")]), at, message)
}

/// Counts the project up; a project "bad" is refused after that.
async fn select(db: &Db, call: Call<SubmitSelectionRequest>) -> Result<SubmitSelectionResponse, Failure> {
    let mut tx = db.begin(&call, Scope::Term(&call.message.parent)).await?;
    count_up(&mut tx, &call.message.project).await?;
    if call.message.project == "bad" {
        return Err(Failure::new(Reason::ProjectNotOpen).with("project", "bad"));
    }
    let name = tx.id("selections");
    tx.commit(SubmitSelectionResponse { selection: Some(Selection { name, ..Selection::default() }) }).await
}

async fn answer(db: &Db, call: Call<SubmitSelectionRequest>) -> Result<SubmitSelectionResponse, Status> {
    chassis::answer(request(call), |call| select(db, call)).await.map(tonic::Response::into_inner)
}

fn open_hour() -> Vec<Window> {
    vec![window("selection-1", Phase::Selection, 1, 0, HOUR)]
}

async fn opened() -> anyhow::Result<Vec<testing::TestDatabase>> {
    let databases = databases().await?;
    for database in &databases {
        put_gates(&database.db, gates(1, open_hour())).await?;
    }
    Ok(databases)
}

#[tokio::test]
async fn the_same_request_gets_the_first_reply() -> anyhow::Result<()> {
    for database in opened().await? {
        let db = &database.db;
        let first = answer(db, submit("p", "1", AT)?).await?;
        // Later, by the clock: the reply is the first one all the same.
        assert_eq!(answer(db, submit("p", "1", AT + 1)?).await?, first);
        assert_ne!(answer(db, submit("p", "2", AT)?).await?, first);
        assert_eq!(counted(db, "p").await?, 2);
    }
    Ok(())
}

#[tokio::test]
async fn the_same_id_with_another_body_is_refused() -> anyhow::Result<()> {
    for database in opened().await? {
        let db = &database.db;
        answer(db, submit("p", "1", AT)?).await?;
        let refused = answer(db, submit("q", "1", AT)?).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::AlreadyExists, "REASON_REQUEST_ID_REUSED"));
        assert_eq!(counted(db, "q").await?, 0);
    }
    Ok(())
}

#[tokio::test]
async fn an_id_is_required_and_bounded() -> anyhow::Result<()> {
    for database in opened().await? {
        for id in [String::new(), "x".repeat(129)] {
            let refused = answer(&database.db, submit("p", &id, AT)?).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "REASON_INVALID_ARGUMENT"));
        }
        answer(&database.db, submit("p", &"x".repeat(128), AT)?).await?;
    }
    Ok(())
}

/// The fields that a refusal names.
fn fields(status: &Status) -> Vec<String> {
    let bad = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    bad.into_iter().map(|violation| violation.field).collect()
}

#[tokio::test]
async fn a_bad_id_is_told_with_the_other_faults_and_before_any_rule() -> anyhow::Result<()> {
    for database in opened().await? {
        let db = &database.db;
        let faulty = async |before: bool, id: &str| -> anyhow::Result<Status> {
            let work = |call: Call<SubmitSelectionRequest>| async move {
                let mut faults = chassis::Faults::new();
                faults.required("teacher", &call.message.teacher);
                // Checked before the transaction begins, or in it.
                let tx = if before { None } else { Some(db.begin(&call, Scope::Term(TERM)).await?) };
                faults.check()?;
                drop(tx);
                Ok(SubmitSelectionResponse::default())
            };
            Ok(chassis::answer(request(submit("p", id, AT)?), work).await.unwrap_err())
        };
        for before in [true, false] {
            let refused = faulty(before, "").await?;
            assert_eq!(
                (refused.code(), fields(&refused)),
                (Code::InvalidArgument, vec!["request_id".into(), "teacher".into()])
            );
            let details = refused.get_error_details();
            let count = details.error_info().and_then(|info| info.metadata.get("count").cloned());
            assert_eq!(count.as_deref(), Some("2"));
            let refused = faulty(before, "good").await?;
            assert_eq!(fields(&refused), ["teacher"]);
        }
        // What a rule refuses, and what would have gone, is told the id alone; nothing of it is kept.
        for project in ["bad", "p"] {
            let refused = answer(db, submit(project, "", AT)?).await.unwrap_err();
            assert_eq!((refused.code(), fields(&refused)), (Code::InvalidArgument, vec!["request_id".into()]));
        }
        let refused = answer(db, submit("p", "", AT + 2 * HOUR)?).await.unwrap_err();
        assert_eq!(fields(&refused), ["request_id"], "the window has closed, too");
        assert_eq!((counted(db, "bad").await?, counted(db, "p").await?), (0, 0));
        assert_eq!(number(db, "SELECT COUNT(*) AS n FROM request").await?, 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_text_with_a_zero_is_refused_on_both_engines() -> anyhow::Result<()> {
    for database in opened().await? {
        let db = &database.db;
        let refused = answer(db, submit("p\0", "", AT)?).await.unwrap_err();
        assert_eq!(
            (refused.code(), fields(&refused)),
            (Code::InvalidArgument, vec!["request_id".into(), "project".into()])
        );
        let refused = answer(db, submit("p", "1\0", AT)?).await.unwrap_err();
        assert_eq!(fields(&refused), ["request_id"]);
        assert_eq!(number(db, "SELECT COUNT(*) AS n FROM request").await?, 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_refusal_leaves_no_row_and_frees_the_id() -> anyhow::Result<()> {
    for database in opened().await? {
        let db = &database.db;
        assert!(answer(db, submit("bad", "1", AT)?).await.is_err());
        assert_eq!(number(db, "SELECT COUNT(*) AS n FROM request").await?, 0);
        assert_eq!(counted(db, "bad").await?, 0);
        answer(db, submit("p", "1", AT)?).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_lost_answer_is_given_again_after_the_window_has_closed() -> anyhow::Result<()> {
    for database in opened().await? {
        let db = &database.db;
        let first = answer(db, submit("p", "1", AT + HOUR - 1)?).await?;
        let settle = SettleWindowRequest { term: TERM.to_owned(), window: "selection-1".to_owned(), gate_version: 1 };
        let path = "/shixun.common.v1.GateService/SettleWindow";
        let settle = request(call(path, &testing::service("gateway"), AT + HOUR, settle)?);
        gate_service(db).settle_window(settle).await?;

        assert_eq!(answer(db, submit("p", "1", AT + HOUR)?).await?, first);
        let other = answer(db, submit("q", "1", AT + HOUR)?).await.unwrap_err();
        assert_eq!(reason(&other), "REASON_WINDOW_CLOSED");
        let late = answer(db, submit("p", "2", AT + HOUR)?).await.unwrap_err();
        assert_eq!(reason(&late), "REASON_WINDOW_CLOSED");
        assert_eq!(counted(db, "p").await?, 1);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_at_once_have_one_effect() -> anyhow::Result<()> {
    for database in opened().await? {
        let db = &database.db;
        let calls: Vec<_> = (0..64)
            .map(|_| {
                let (db, call) = (db.clone(), submit("p", "1", AT));
                tokio::spawn(async move { answer(&db, call?).await })
            })
            .collect();
        let mut replies = Vec::new();
        for call in calls {
            replies.push(call.await??);
        }
        replies.dedup();
        assert_eq!(replies.len(), 1);
        assert_eq!(counted(db, "p").await?, 1);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_go_away_leave_nothing_half_done() -> anyhow::Result<()> {
    for database in opened().await? {
        let db = &database.db;
        for n in 0..60_u64 {
            let call = submit("p", &format!("gone-{n}"), AT)?;
            // Cut off at another point each time.
            let _ = tokio::time::timeout(Duration::from_micros(n * 60), answer(db, call)).await;
        }
        let last = tokio::time::timeout(Duration::from_secs(20), answer(db, submit("p", "last", AT)?)).await?;
        last?;
        // What was committed was counted, and can be asked for again.
        let committed = number(db, "SELECT COUNT(*) AS n FROM request WHERE reply IS NOT NULL").await?;
        assert_eq!(counted(db, "p").await?, committed);
        assert_eq!(number(db, "SELECT COUNT(*) AS n FROM request").await?, committed);
        for n in 0..60 {
            answer(db, submit("p", &format!("gone-{n}"), AT)?).await?;
        }
        assert_eq!(counted(db, "p").await?, 61);
    }
    Ok(())
}

fn claim(project: &str, id: &str) -> Result<Claim, Failure> {
    let call = submit(project, id, AT)?;
    Claim::of(call.actor(), &call.admission.method.path, &call.message)
}

fn reply(name: &str) -> SubmitSelectionResponse {
    SubmitSelectionResponse { selection: Some(Selection { name: name.to_owned(), ..Selection::default() }) }
}

#[tokio::test]
async fn a_batch_tells_fresh_twin_reused_and_replayed_apart() -> anyhow::Result<()> {
    for database in opened().await? {
        let db = &database.db;
        let mut tx = db.batch(TERM, Lane::Main).await?;
        assert_eq!(recall(&mut tx, &[&claim("p", "old")?]).await?, [Claimed::Fresh]);
        tx.reply(claim("p", "old")?, &reply("selections/old"));
        tx.finish().await?;

        // In no order of their keys, and with a body that sorts before the one that came first.
        let (z, y) = (claim("z", "2")?, claim("y", "2")?);
        let (first, other) = if z.body_digest > y.body_digest { (z, y) } else { (y, z) };
        let batch = [
            first.clone(),
            claim("p", "old")?,
            claim("q", "old")?,
            claim("p", "1")?,
            first.clone(),
            other.clone(),
            claim("p", "1")?,
        ];
        let mut tx = db.batch(TERM, Lane::Main).await?;
        let claimed = recall(&mut tx, &batch.each_ref()).await?;
        let replayed = Claimed::Replay(prost::Message::encode_to_vec(&reply("selections/old")));
        let expected = [
            Claimed::Fresh,
            replayed.clone(),
            Claimed::Reused,
            Claimed::Fresh,
            Claimed::Twin(0),
            Claimed::Reused,
            Claimed::Twin(3),
        ];
        assert_eq!(claimed, expected);
        // The first is answered; ("p", "1") is refused by the business, so it may come again.
        tx.reply(first.clone(), &reply("selections/first"));
        tx.finish().await?;

        let mut tx = db.batch(TERM, Lane::Main).await?;
        let again = recall(&mut tx, &[&other, &first, &claim("p", "1")?]).await?;
        let replayed = Claimed::Replay(prost::Message::encode_to_vec(&reply("selections/first")));
        assert_eq!(again, [Claimed::Reused, replayed, Claimed::Fresh]);
        tx.abandon().await;
    }
    Ok(())
}

/// Counts up once for each request that was not answered before.
async fn carry_out(db: &Db, claims: &[Claim]) -> Result<(), Failure> {
    let mut tx = db.batch(TERM, Lane::Main).await?;
    for (claim, claimed) in claims.iter().zip(recall(&mut tx, &claims.iter().collect::<Vec<_>>()).await?) {
        match claimed {
            Claimed::Fresh => {
                count_up(&mut tx, &claim.request_id).await?;
                tx.reply(claim.clone(), &reply(&claim.request_id));
            }
            Claimed::Replay(bytes) => {
                let first = prost::Message::encode_to_vec(&reply(&claim.request_id));
                assert_eq!(bytes, first, "another's reply");
            }
            other => return Err(Failure::internal(format!("{other:?}"))),
        }
    }
    tx.finish().await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_share_requests_have_each_once() -> anyhow::Result<()> {
    for database in opened().await? {
        let db = &database.db;
        let batches: Vec<_> = (0..16_usize)
            .map(|n| {
                let db = db.clone();
                tokio::spawn(async move {
                    // Each its own order of the same forty requests.
                    let ids = (0..40_usize).map(|k| ((k * 7 + n * 11) % 40).to_string());
                    let claims = ids.map(|id| claim("p", &id)).collect::<Result<Vec<_>, _>>()?;
                    loop {
                        match carry_out(&db, &claims).await {
                            Err(failure) if failure.is_conflict() => {}
                            ended => break ended.map_err(anyhow::Error::from),
                        }
                    }
                })
            })
            .collect();
        for batch in batches {
            batch.await??;
        }
        assert_eq!(number(db, "SELECT CAST(SUM(value) AS BIGINT) AS n FROM note").await?, 40);
        assert_eq!(number(db, "SELECT MAX(value) AS n FROM note").await?, 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_request_id_belongs_to_its_caller() -> anyhow::Result<()> {
    for database in opened().await? {
        let db = &database.db;
        let mine = answer(db, submit("p", "1", AT)?).await?;
        let mut theirs = submit("p", "1", AT)?;
        std::sync::Arc::make_mut(&mut theirs.admission.actor).account = "accounts/b".to_owned();
        assert_ne!(answer(db, theirs).await?, mine);
        let rows = db.begin_own(AT, "count").await?.execute("UPDATE request SET at = at", args![]).await?;
        assert_eq!(rows, 2);
    }
    Ok(())
}

/// Carries out a request of another person's whose reply tells of this teacher.
async fn tell_of(db: &Db, account: &str, id: &str, teacher: &str) -> Result<SubmitSelectionResponse, Status> {
    let message = SubmitSelectionRequest {
        parent: TERM.to_owned(),
        request_id: id.to_owned(),
        ..SubmitSelectionRequest::default()
    };
    let caller = person(account, "", &[(Role::SchoolAdmin, "organizations/s")]);
    let call = call(SUBMIT, &caller, AT, message).map_err(Status::from)?;
    let answered = chassis::answer(request(call), async |call| {
        let tx = db.begin(&call, Scope::Term(TERM)).await?;
        let selection = Selection { teacher: teacher.to_owned(), ..Selection::default() };
        tx.commit(SubmitSelectionResponse { selection: Some(selection) }).await
    });
    answered.await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn what_was_answered_to_or_about_the_erased_is_forgotten_and_not_done_again() -> anyhow::Result<()> {
    for database in opened().await? {
        let db = &database.db;
        // Names of which one begins with another are two persons.
        for (account, id, teacher) in [
            ("accounts/x", "about-1", "teachers/1"),
            ("accounts/x", "about-12", "teachers/12"),
            ("accounts/1", "by-1", "teachers/2"),
            ("accounts/12", "by-12", "teachers/2"),
        ] {
            tell_of(db, account, id, teacher).await?;
        }
        let mut tx = db.begin_own(AT, "erase").await?;
        assert_eq!(forget(&mut tx, &["teachers/1", "accounts/1", ""]).await?, 2);
        assert_eq!(forget(&mut tx, &["teachers/1", "accounts/1"]).await?, 0, "once");
        tx.finish().await?;
        for (account, id, teacher) in [("accounts/x", "about-1", "teachers/1"), ("accounts/1", "by-1", "teachers/2")] {
            let again = tell_of(db, account, id, teacher).await;
            assert_eq!(again.err().as_ref().map(reason).as_deref(), Some("REASON_REPLY_ERASED"), "{id}");
            // Another body under that id is not told from the first one.
            let other = tell_of(db, account, id, "teachers/other").await;
            assert_eq!(other.err().as_ref().map(reason).as_deref(), Some("REASON_REPLY_ERASED"), "{id}");
        }
        for (account, id, teacher) in
            [("accounts/x", "about-12", "teachers/12"), ("accounts/12", "by-12", "teachers/2")]
        {
            let again = tell_of(db, account, id, teacher).await?;
            assert_eq!(again.selection.map(|one| one.teacher).as_deref(), Some(teacher), "{id}");
        }
        let mut tx = db.begin_own(AT, "batch").await?;
        let claim = Claim {
            caller: "accounts/1".to_owned(),
            method: SUBMIT.to_owned(),
            request_id: "by-1".to_owned(),
            organization: String::new(),
            body_digest: "any".to_owned(),
        };
        assert_eq!(recall(&mut tx, &[&claim]).await?, [Claimed::Erased], "in a batch, too");
        tx.abandon().await;
    }
    Ok(())
}

#[tokio::test]
async fn replies_go_once_they_are_old_and_of_the_term_that_ends() -> anyhow::Result<()> {
    for database in opened().await? {
        let db = &database.db;
        for (n, at) in [("old", AT), ("young", AT + 10)] {
            answer(db, submit(n, n, at)?).await?;
        }
        let kept = async || -> anyhow::Result<Vec<String>> {
            let rows = db.reader().all("SELECT request_id FROM request ORDER BY request_id", args![]).await?;
            Ok(rows.iter().map(|row| row.get("request_id")).collect::<Result<_, _>>()?)
        };
        let mut tx = db.begin_own(AT, "purge").await?;
        assert_eq!(purge(&mut tx, "terms/other", AT + 10, 10).await?, 0, "another term's");
        assert_eq!(purge(&mut tx, TERM, AT, 10).await?, 0, "not old enough");
        assert_eq!(purge(&mut tx, TERM, AT + 10, 10).await?, 1);
        tx.finish().await?;
        assert_eq!(kept().await?, ["young"]);
        // What is kept is replayed as ever; what went is a new request.
        let counted_before = counted(db, "young").await?;
        answer(db, submit("young", "young", AT + 10)?).await?;
        assert_eq!(counted(db, "young").await?, counted_before);
        answer(db, submit("old", "old", AT)?).await?;
        assert_eq!(kept().await?, ["old", "young"]);
    }
    Ok(())
}
