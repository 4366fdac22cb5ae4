//! Databases that came back to different instants: docs/runbooks/restore.md is followed to a healthy system, both ways.

use std::path::Path;

use faults::{restore, stage::Stage};
use load::{database::Engine, program::Programs};

#[tokio::test(flavor = "multi_thread")]
async fn databases_that_came_back_to_different_instants_are_brought_together() -> anyhow::Result<()> {
    chassis::install_crypto();
    let programs = Programs::of(Path::new(env!("CARGO_BIN_EXE_faults")))?;
    let mut stage = Stage::set(Engine::Postgres, &programs).await?;
    assert_eq!(restore::play(&mut stage).await?, Vec::<String>::new());
    Ok(())
}
