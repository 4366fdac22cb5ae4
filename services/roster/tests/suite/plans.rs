//! On PostgreSQL whom a file means is found by indexes, also by connections that planned it while the roster was empty; on both engines
//! who begins reads a few teachers, however many there are.

use chassis::{
    db::{Engine, Queries as _, Tx, args},
    testing,
};
use roster::store::teachers;

use crate::world::AT;

/// The indexes by which a teacher is found: name, school and number, identity.
const INDEXES: [&str; 3] = ["teacher_pkey", "teacher_of_school", "teacher_identity_index_key"];

async fn is_by_index(tx: &mut Tx) -> bool {
    let lines = tx.all("EXPLAIN EXECUTE planned('{}', '{}', '{}', '{}')", args![]).await.unwrap();
    let plan: Vec<String> = lines.iter().map(|line| line.get("QUERY PLAN").unwrap()).collect();
    let plan = plan.join("\n");
    INDEXES.iter().all(|index| plan.contains(&format!("using {index} "))) && !plan.contains("Join Filter")
}

#[tokio::test]
async fn whom_a_file_means_is_found_by_index_after_the_first_file() {
    let database = testing::databases("roster", roster::migrations, AT).await.unwrap().pop().unwrap();
    let mut tx = database.db.begin_own(AT, "plans").await.unwrap();
    // Leaked, for statements are constants everywhere else.
    let prepare: &'static str =
        format!("PREPARE planned(TEXT[], TEXT[], TEXT[], TEXT[]) AS {}", teachers::KNOWN.postgres).leak();
    let session = "SET LOCAL plan_cache_mode = force_generic_plan";
    for sql in ["ANALYZE teacher", session, prepare] {
        tx.execute(sql, args![]).await.unwrap();
    }
    assert!(!is_by_index(&mut tx).await, "it was planned well from the start: this test tells nothing");
    let many = i64::try_from(teachers::MANY).unwrap();
    for sql in [
        "INSERT INTO organization SELECT 'organizations/s', '', '', '', 's>', '', '', '', '', 1",
        "INSERT INTO teacher (name, display_name, sex, identity_key, identity_sealed, identity_index, birth_year, phone, school,
                teacher_number, employment, tier, category, stages, subjects, title, education, post, employed_on,
                platform_entered_on, joined_on, standing, pending, account, version, principal_appointed_on)
         SELECT 'teachers/' || n, '', '', '', '', md5(n::text), 1980, '', 'organizations/s', n::text, '', '', '', '', '',
                '', '', '', '', '', '', 'STATUS_ACTIVE', '{}', '', 1, '' FROM generate_series(1, $1) AS n",
    ] {
        let arguments = if sql.contains("$1") { args![many] } else { args![] };
        tx.execute(sql, arguments).await.unwrap();
    }
    teachers::look_anew(&mut tx).await.unwrap();
    assert!(is_by_index(&mut tx).await);
    tx.abandon().await;
}

#[tokio::test]
async fn keys_in_use_are_found_by_their_index() {
    for database in testing::databases("roster", roster::migrations, AT).await.unwrap() {
        let mut tx = database.db.begin_own(AT, "plans").await.unwrap();
        let (explain, column) = match database.db.engine() {
            Engine::Sqlite => ("EXPLAIN QUERY PLAN", "detail"),
            Engine::Postgres => {
                // Of a few teachers it would rather read all.
                tx.execute("SET LOCAL enable_seqscan = off", args![]).await.unwrap();
                ("EXPLAIN", "QUERY PLAN")
            }
        };
        let sql: &'static str = format!("{explain} {}", teachers::SEALED_BY_EACH_KEY).leak();
        let lines = tx.all(sql, args![]).await.unwrap();
        let plan: Vec<String> = lines.iter().map(|line| line.get(column).unwrap()).collect();
        let by_key = plan.iter().filter(|line| line.contains("teacher_by_identity_key")).count();
        let whole = plan.iter().any(|line| line.contains("Seq Scan on teacher") || line.starts_with("SCAN teacher"));
        // What PostgreSQL looks up from one key to the next it does not tell.
        assert!(by_key >= 3 && !whole, "{plan:#?}");
        tx.abandon().await;
    }
}
