//! Ten rounds of `load crash` on the embedded engine; more, and PostgreSQL, by hand:
//! `cargo run --release -p load -- crash --engine postgres --rounds 1000`.

use std::path::Path;

use load::{cases::crash, database::Engine, program::Programs};

const ROUNDS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn crash_on_sqlite() -> anyhow::Result<()> {
    chassis::install_crypto();
    let programs = Programs::of(Path::new(env!("CARGO_BIN_EXE_load")))?;
    let crashes = crash(&programs, Engine::Sqlite, ROUNDS, 1).await?;
    assert_eq!(crashes.faults, Vec::<String>::new());
    assert!(crashes.kept > 0, "nothing was acknowledged");
    Ok(())
}
