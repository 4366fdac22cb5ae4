//! Ten rounds of `load crash` on each engine; more by hand: `cargo run --release -p load -- crash --rounds 1000`.

use std::path::Path;

use load::{cases::crash, database::Engine, program::Programs};

const ROUNDS: usize = 10;

async fn holds(engine: Engine) -> anyhow::Result<()> {
    chassis::install_crypto();
    let programs = Programs::of(Path::new(env!("CARGO_BIN_EXE_load")))?;
    let crashes = crash(&programs, engine, ROUNDS, 1).await?;
    assert_eq!(crashes.faults, Vec::<String>::new());
    assert!(crashes.kept > 0, "nothing was acknowledged");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_on_sqlite() -> anyhow::Result<()> {
    holds(Engine::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_on_postgres() -> anyhow::Result<()> {
    holds(Engine::Postgres).await
}
