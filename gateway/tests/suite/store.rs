//! The store on both engines.

use std::{collections::BTreeSet, time::Duration};

use chassis::{
    CancellationToken, Failure,
    db::{Db, Queries as _, Tx, args},
};
use gateway::{
    sequencer::{Planned, Task},
    store::{
        sessions::{self, Digests, Session},
        steps::{self, Claimant},
        terms::{self, Calendar, Term},
    },
};
use proto::gateway::v1::step::State;

use crate::fixture::{BEFORE, PATIENCE, TERM, databases};

async fn write<R>(db: &Db, work: impl AsyncFnOnce(&mut Tx) -> Result<R, Failure>) -> Result<R, Failure> {
    let mut tx = db.begin_own(BEFORE, "test").await?;
    let result = work(&mut tx).await?;
    tx.finish().await?;
    Ok(result)
}

fn term(name: &str) -> Term {
    Term {
        name: name.to_owned(),
        display_name: "二〇一九年秋".to_owned(),
        zone: "Asia/Shanghai".to_owned(),
        calendar_version: 0,
        policy_version: 0,
        gate_version: 0,
        organization: "organizations/county".to_owned(),
    }
}

fn planned(id: &str, due: i64, ordinal: i64, after: &[&str]) -> Planned {
    let name = |id: &str| format!("{TERM}/steps/{id}");
    Planned {
        name: name(id),
        title: id.to_owned(),
        edge: String::new(),
        due,
        ordinal,
        task: Task::barrier("enrollment", id),
        after: after.iter().map(|id| name(id)).collect(),
    }
}

fn who(owner: &str, wall: i64) -> Claimant {
    Claimant { owner: owner.to_owned(), wall, until: wall + 6 }
}

async fn ready(db: &Db, now: i64, who: &Claimant) -> Result<Vec<String>, Failure> {
    Ok(steps::ready(&mut db.reader(), now, who, 10).await?.into_iter().map(|step| step.planned.title).collect())
}

async fn claim(db: &Db, id: &str, now: i64, who: &Claimant) -> Result<Option<steps::Step>, Failure> {
    write(db, async |tx| steps::claim(tx, &format!("{TERM}/steps/{id}"), now, who).await).await
}

async fn end(db: &Db, mut step: steps::Step, state: State, retry_at: i64, who: &Claimant) -> Result<bool, Failure> {
    step.state = state;
    step.outcome.insert("did 学校".to_owned(), 3);
    if state == State::Failed {
        step.error = "Unavailable".to_owned();
    }
    write(db, async |tx| steps::save(tx, &step, retry_at, who).await).await
}

#[tokio::test]
async fn terms_and_the_versions_of_their_calendars() -> anyhow::Result<()> {
    for database in databases().await? {
        let db = &database.db;
        assert!(write(db, async |tx| terms::insert(tx, &term(TERM)).await).await?);
        assert!(!write(db, async |tx| terms::insert(tx, &term(TERM)).await).await?, "there is one of that name");
        write(db, async |tx| terms::insert(tx, &term("terms/2019-Z")).await).await?;
        // By bytes, on either engine.
        let listed = terms::list(&mut db.reader(), "", 10).await?;
        assert_eq!(listed.iter().map(|term| term.name.as_str()).collect::<Vec<_>>(), ["terms/2019-Z", TERM]);
        assert_eq!(terms::list(&mut db.reader(), TERM, 10).await?, []);

        let version = |version: i64| Calendar {
            term: TERM.to_owned(),
            version,
            document: format!("# {version}"),
            gates: vec![0, 255, u8::try_from(version).unwrap_or_default()],
            policy_version: 1,
            policy: "[a]".to_owned(),
            reason: "台风".to_owned(),
            put_by: "accounts/any".to_owned(),
            put_at: BEFORE,
        };
        assert!(!write(db, async |tx| terms::put(tx, &version(2)).await).await?, "it follows nothing");
        for number in 1..=3 {
            assert!(write(db, async |tx| terms::put(tx, &version(number)).await).await?);
        }
        assert!(!write(db, async |tx| terms::put(tx, &version(3)).await).await?, "there is a third");
        assert_eq!(terms::calendar_of(&mut db.reader(), TERM, 0).await?, Some(version(3)));
        assert_eq!(terms::calendar_of(&mut db.reader(), TERM, 2).await?, Some(version(2)));
        assert_eq!(terms::calendar_of(&mut db.reader(), TERM, 4).await?, None);
        assert_eq!(terms::versions(&mut db.reader(), TERM, 1, 1).await?, [version(2)]);
        let known = terms::find(&mut db.reader(), TERM).await?;
        assert_eq!(known.map(|term| (term.calendar_version, term.gate_version)), Some((3, 3)));
    }
    Ok(())
}

#[tokio::test]
async fn a_step_is_claimed_by_one_and_waits_for_what_it_needs() -> anyhow::Result<()> {
    for database in databases().await? {
        let db = &database.db;
        write(db, async |tx| terms::insert(tx, &term(TERM)).await).await?;
        let plan = [planned("b", 10, 1, &["a"]), planned("a", 10, 0, &[]), planned("c", 20, 2, &[])];
        write(db, async |tx| steps::adopt(tx, TERM, &plan).await).await?;
        let (one, other) = (who("one", 100), who("other", 100));
        assert_eq!(ready(db, 9, &one).await?, [""; 0], "before its time");
        assert_eq!(ready(db, 10, &one).await?, ["a"]);
        assert!(claim(db, "c", 10, &one).await?.is_none(), "before its time");

        let a = claim(db, "a", 10, &one).await?.expect("it is free");
        assert_eq!((a.state, a.attempts), (State::Running, 1));
        assert!(claim(db, "a", 10, &other).await?.is_none(), "it is taken");
        assert_eq!(ready(db, 10, &other).await?, [""; 0]);
        // No sign of life for too long: another takes it, and the first can no longer say how it went.
        let later = who("other", 107);
        assert_eq!(ready(db, 10, &later).await?, ["a"]);
        let again = claim(db, "a", 10, &later).await?.expect("it was left");
        assert_eq!(again.attempts, 2);
        assert!(!end(db, a, State::Done, 0, &one).await?);

        // Failed: not before its pause is over, or somebody says so.
        assert!(end(db, again, State::Failed, 200, &later).await?);
        assert_eq!((ready(db, 20, &later).await?, claim(db, "a", 20, &later).await?), (vec!["c".to_owned()], None));
        assert!(write(db, async |tx| steps::retry(tx, &format!("{TERM}/steps/a")).await).await?);
        let a = claim(db, "a", 20, &later).await?.expect("at once");
        assert!(end(db, a, State::Done, 0, &later).await?);
        assert_eq!(ready(db, 20, &later).await?, ["b", "c"]);
        let a = steps::find(&mut db.reader(), &format!("{TERM}/steps/a")).await?.expect("it is there");
        assert_eq!((a.state, a.outcome), (State::Done, [("did 学校".to_owned(), 3)].into()));
        assert!(!write(db, async |tx| steps::retry(tx, &format!("{TERM}/steps/a")).await).await?, "it has not failed");

        // What is given up lets go on what waits for it.
        let b = claim(db, "b", 20, &later).await?.expect("free");
        assert!(end(db, b, State::Failed, 999, &later).await?);
        assert!(write(db, async |tx| steps::skip(tx, &format!("{TERM}/steps/b"), "因故", 20).await).await?);
        assert!(!write(db, async |tx| steps::skip(tx, &format!("{TERM}/steps/c"), "因故", 20).await).await?);
    }
    Ok(())
}

#[tokio::test]
async fn a_new_plan_moves_adds_and_drops_what_has_not_begun() -> anyhow::Result<()> {
    for database in databases().await? {
        let db = &database.db;
        write(db, async |tx| terms::insert(tx, &term(TERM)).await).await?;
        let first = [planned("begun", 10, 0, &[]), planned("moves", 20, 1, &[]), planned("goes", 30, 2, &[])];
        let changed = write(db, async |tx| steps::adopt(tx, TERM, &first).await).await?;
        assert_eq!(changed.len(), 3);
        assert_eq!(write(db, async |tx| steps::adopt(tx, TERM, &first).await).await?, [], "nothing is new");
        claim(db, "begun", 10, &who("one", 1)).await?.expect("free");
        assert_eq!(steps::begun(&mut db.reader(), TERM).await?, BTreeSet::from([format!("{TERM}/steps/begun")]));

        let second = [planned("moves", 25, 1, &["begun"]), planned("new", 26, 2, &[])];
        let changed = write(db, async |tx| steps::adopt(tx, TERM, &second).await).await?;
        let changed: BTreeSet<_> = changed.iter().map(|step| (step.planned.title.as_str(), step.state)).collect();
        let pending = State::Pending;
        assert_eq!(changed, BTreeSet::from([("goes", State::Dropped), ("moves", pending), ("new", pending)]));
        let all = steps::list(&mut db.reader(), TERM, State::Unspecified, (i64::MIN, i64::MIN, ""), 10).await?;
        let listed: Vec<_> = all.iter().map(|step| (step.planned.title.as_str(), step.planned.due)).collect();
        assert_eq!(listed, [("begun", 10), ("moves", 25), ("new", 26), ("goes", 30)]);
        let after = steps::list(&mut db.reader(), TERM, pending, (25, 1, &format!("{TERM}/steps/moves")), 10).await?;
        assert_eq!(after.iter().map(|step| step.planned.title.as_str()).collect::<Vec<_>>(), ["new"]);

        // What was dropped comes back with the plan that has it again.
        write(db, async |tx| steps::adopt(tx, TERM, &first).await).await?;
        let goes = steps::find(&mut db.reader(), &format!("{TERM}/steps/goes")).await?.expect("it is there");
        assert_eq!(goes.state, State::Pending);
    }
    Ok(())
}

#[tokio::test]
async fn a_sessions_token_is_good_for_one_refresh() -> anyhow::Result<()> {
    for database in databases().await? {
        let db = &database.db;
        let session = Session { id: "s".to_owned(), account: "accounts/any".to_owned(), expires_at: 100, ended: false };
        let put = async |token: &str, replaces: Option<&str>| {
            let digests = Digests { family: "family", token };
            write(db, async |tx| sessions::put(tx, &session, digests, replaces, 1).await).await
        };
        let keep = async |now: i64| write(db, async |tx| sessions::keep_reuse(tx, "accounts/any", now).await).await;
        let told = async |account: &str| write(db, async |tx| sessions::tell_reuse(tx, account).await).await;
        assert!(put("one", None).await?);
        assert_eq!(sessions::by_token(&mut db.reader(), "one").await?, Some(session.clone()));
        assert!(put("two", Some("one")).await?);
        assert_eq!(sessions::by_token(&mut db.reader(), "one").await?, None);
        assert!(!put("three", Some("one")).await?);
        // Who has an old token had it once; who has none, or one of a session that is over, has nothing.
        for (family, now, whose) in
            [("family", 99, true), ("family", 100, false), ("other", 99, false), ("", 99, false)]
        {
            let found = sessions::of_family(&mut db.reader(), family, now).await?;
            assert_eq!(found.is_some_and(|account| account == "accounts/any"), whose, "{family:?} at {now}");
        }
        keep(5).await?;
        keep(7).await?;
        assert_eq!((told("accounts/other").await?, told("accounts/any").await?), (None, Some((7, 2))));
        assert_eq!(told("accounts/any").await?, None, "it is told once");
        write(db, async |tx| sessions::end(tx, "two").await).await?;
        assert!(sessions::by_token(&mut db.reader(), "two").await?.is_some_and(|session| session.ended));
        assert!(!put("three", Some("two")).await?, "it has ended");
    }
    Ok(())
}

/// So many sessions that expire at `expires_at`, by the wall clock in seconds.
async fn sessions_of(db: &Db, name: &str, count: usize, expires_at: i64) -> Result<(), Failure> {
    write(db, async |tx| {
        for n in 0..count {
            let id = format!("{name}-{n}");
            let session = Session { id: id.clone(), account: "accounts/any".to_owned(), expires_at, ended: false };
            sessions::put(tx, &session, Digests { family: "", token: &format!("digest of {id}") }, None, 1).await?;
        }
        Ok(())
    })
    .await
}

async fn kept(db: &Db) -> Result<Vec<String>, Failure> {
    db.reader().all("SELECT id FROM session ORDER BY id", args![]).await?.iter().map(|row| row.get("id")).collect()
}

#[tokio::test]
async fn sessions_are_purged_from_the_second_in_which_they_expire_and_so_many_at_once() -> anyhow::Result<()> {
    for database in databases().await? {
        let db = &database.db;
        for (name, expires_at) in [("a", 99), ("b", 100), ("c", 101)] {
            sessions_of(db, name, 2, expires_at).await?;
        }
        let purge = async |wall: i64, limit: usize| write(db, async |tx| sessions::purge(tx, wall, limit).await).await;
        assert_eq!(purge(98, 10).await?, 0);
        assert_eq!((purge(100, 3).await?, kept(db).await?), (3, vec!["b-1".into(), "c-0".into(), "c-1".into()]));
        assert_eq!((purge(100, 3).await?, purge(100, 3).await?), (1, 0));
        assert_eq!(kept(db).await?, ["c-0", "c-1"]);
    }
    Ok(())
}

#[tokio::test]
async fn expired_sessions_go_in_the_background_again_and_again() -> anyhow::Result<()> {
    for database in databases().await? {
        let db = &database.db;
        let stop = CancellationToken::new();
        // More than one transaction takes.
        sessions_of(db, "old", 1200, 1).await?;
        sessions_of(db, "good", 3, db.env().wall_seconds() + 3600).await?;
        let every = Duration::from_millis(5);
        let purging = tokio::spawn(gateway::edge::purge_expired(db.clone(), every, stop.clone()));
        for name in ["", "later"] {
            if !name.is_empty() {
                sessions_of(db, name, 2, 1).await?;
            }
            let gone = async {
                while kept(db).await?.len() > 3 {
                    tokio::task::yield_now().await;
                }
                Ok::<_, Failure>(())
            };
            tokio::time::timeout(PATIENCE, gone).await??;
            assert_eq!(kept(db).await?, ["good-0", "good-1", "good-2"]);
        }
        stop.cancel();
        purging.await?;
    }
    Ok(())
}
