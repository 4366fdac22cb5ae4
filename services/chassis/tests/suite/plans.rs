//! The statements of the hot paths, and those that look for a little in a whole feed, walk indexes: on PostgreSQL also where the planner
//! knows nothing of the tables yet, and under the generic plan that it may take after some executions.

use std::collections::BTreeSet;

use anyhow::Context as _;
use chassis::{
    Failure,
    db::{Queries, Tx, args},
    testing::planned,
};

use crate::fixture::{AT, databases};

/// A hundred thousand changes, and as many requests.
const FILL: [&str; 3] = [
    "INSERT INTO change_batch (position, batch, count, digest, chain, at)
     SELECT n, md5(n::text), 2, '\\x00', '\\x00', n::bigint * 1000000 FROM generate_series(1, 50000) n",
    "INSERT INTO change SELECT md5(n::text), k, 'organizations/' || n, repeat('x', 300)::bytea
     FROM generate_series(1, 50000) n, generate_series(0, 1) k",
    "INSERT INTO request SELECT 'accounts/' || n % 5000, '/a/method', n::text, '', md5(n::text), NULL, '', 0
     FROM generate_series(1, 100000) n",
];

/// Arguments of each statement, in the middle and at the head of what is filled in.
const ARGUMENTS: [[&str; 3]; 2] = [
    ["25000, 1", "25000000000, 0, 26000000000, 0", "ARRAY['accounts/7'], ARRAY['/a/method'], ARRAY['7']"],
    ["50000, 2", "50000000000, 50000, 9000000000000, 2", "'{}', '{}', '{}'"],
];

async fn plan(tx: &mut Tx, types: &str, text: &str, arguments: &str) -> Result<String, Failure> {
    // Leaked, for statements are constants everywhere else.
    let prepare: &'static str = format!("PREPARE planned({types}) AS {text}").leak();
    let explain: &'static str = format!("EXPLAIN EXECUTE planned({arguments})").leak();
    tx.execute(prepare, args![]).await?;
    let lines = tx.all(explain, args![]).await?;
    tx.execute("DEALLOCATE planned", args![]).await?;
    let lines = lines.iter().map(|line| line.get::<String>("QUERY PLAN")).collect::<Result<Vec<_>, _>>()?;
    Ok(lines.join("\n"))
}

#[tokio::test]
async fn no_hot_statement_scans() -> anyhow::Result<()> {
    let Some(database) = databases().await?.pop() else { anyhow::bail!("no PostgreSQL") };
    let mut tx = database.db.begin_own(AT, "fill").await?;
    for sql in FILL {
        tx.execute(sql, args![]).await?;
    }
    for analyzed in [false, true] {
        if analyzed {
            tx.execute("ANALYZE change", args![]).await?;
            tx.execute("ANALYZE change_batch", args![]).await?;
            tx.execute("ANALYZE request", args![]).await?;
        }
        for mode in ["SET plan_cache_mode = force_generic_plan", "SET plan_cache_mode = force_custom_plan"] {
            tx.execute(mode, args![]).await?;
            for arguments in ARGUMENTS {
                for ((types, sql), arguments) in planned().into_iter().zip(arguments) {
                    let plan = plan(&mut tx, types, sql.postgres, arguments).await?;
                    assert!(!plan.contains("Seq Scan"), "analyzed: {analyzed}; {mode}\n{}\n{plan}", sql.postgres);
                    // By instants, not by another index and a filter.
                    let by_instant = types.matches("BIGINT").count() < 4 || plan.contains("using change_batch_at ");
                    assert!(by_instant, "analyzed: {analyzed}; {mode}\n{plan}");
                }
            }
        }
    }
    tx.abandon().await;
    Ok(())
}

#[tokio::test]
async fn no_hot_statement_scans_on_sqlite() -> anyhow::Result<()> {
    let databases = databases().await?;
    let mut reader = databases.first().context("no SQLite")?.db.reader();
    let mut used = BTreeSet::new();
    for (types, sql) in planned() {
        let explain: &'static str = format!("EXPLAIN QUERY PLAN {}", sql.sqlite).leak();
        // What is not bound is NULL, and plans the same.
        for line in reader.all(explain, args![]).await? {
            let line: String = line.get("detail")?;
            assert!(!line.starts_with("SCAN") || line.contains("VIRTUAL TABLE"), "{types}: {line}");
            used.extend(line.split(' ').skip_while(|word| *word != "INDEX").nth(1).map(str::to_owned));
        }
    }
    assert!(used.contains("change_batch_at"), "{used:?}");
    Ok(())
}
