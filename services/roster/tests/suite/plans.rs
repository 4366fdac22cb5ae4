//! On PostgreSQL whom a file means is found by indexes, also by a plan that was made while the roster was empty and known to be.

use chassis::{
    db::{Queries as _, args},
    testing,
};
use roster::store::{accounts, teachers};

use crate::world::AT;

#[tokio::test]
async fn whom_a_file_means_is_found_by_index_whenever_that_was_planned() {
    let database = testing::databases("roster", roster::migrations, AT).await.unwrap().pop().unwrap();
    let mut tx = database.db.begin_own(AT, "plans").await.unwrap();
    for sql in ["ANALYZE teacher", "ANALYZE account", "SET LOCAL plan_cache_mode = force_generic_plan"] {
        tx.execute(sql, args![]).await.unwrap();
    }
    for (sql, conditions) in [(teachers::KNOWN.postgres, 3), (accounts::TAKEN, 1)] {
        // Leaked, for statements are constants everywhere else.
        let prepare: &'static str = format!("PREPARE planned(TEXT) AS {sql}").leak();
        tx.execute(prepare, args![]).await.unwrap();
        let lines = tx.all("EXPLAIN EXECUTE planned('[]')", args![]).await.unwrap();
        tx.execute("DEALLOCATE planned", args![]).await.unwrap();
        let plan: Vec<String> = lines.iter().map(|line| line.get("QUERY PLAN").unwrap()).collect();
        let plan = plan.join("\n");
        assert!(plan.matches("Index Cond").count() >= conditions && !plan.contains("Join Filter"), "{sql}\n{plan}");
    }
    tx.abandon().await;
}
