//! What a caller has given up leaves nothing behind for the next one.

use chassis::{
    config::DatabaseConfig,
    db::{Db, Queries as _, args},
};
use futures::FutureExt as _;

use crate::fixture::{AT, databases, number};

/// How often somebody gives up: wherever he is by then.
const TIMES: usize = 10;

/// An error would end the transaction that is open, and be everyone's who comes later.
#[tokio::test]
async fn a_transaction_that_is_given_up_while_it_begins_is_not_the_next_callers() -> anyhow::Result<()> {
    let database = databases().await?.pop().expect("PostgreSQL");
    let config = DatabaseConfig { connections: 1, ..DatabaseConfig::at(database.url.clone()) };
    let db = Db::open("chassis", &config, database.db.env().clone()).await?;
    for _ in 0..TIMES {
        drop(db.begin_own(AT, "given up").now_or_never());
        let fault = db.reader().one("SELECT 1 / 0 AS n", args![]).await;
        assert_eq!(fault.expect_err("a fault").reason(), None);
        assert_eq!(number(&db, "SELECT 1::BIGINT AS n").await?, 1);
    }
    Ok(())
}
