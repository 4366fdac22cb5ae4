//! A disk that fills, on either engine. It needs to mount a file system; where that is forbidden, `SHIXUN_NO_MOUNT=1` says that it is
//! known not to be tested.

use std::path::Path;

use faults::{
    disk::{self, Disk},
    stage::Stage,
};
use load::{database::Engine, program::Programs, world::World};

#[allow(clippy::print_stderr, reason = "a test that is left out says so")]
async fn fills(engine: Engine, mebibytes: u32) -> anyhow::Result<()> {
    if std::env::var_os("SHIXUN_NO_MOUNT").is_some() {
        eprintln!("a disk that fills: NOT TESTED on {}", engine.name());
        return Ok(());
    }
    chassis::install_crypto();
    let programs = Programs::of(Path::new(env!("CARGO_BIN_EXE_faults")))?;
    let folder = std::env::temp_dir().join(format!("shixun-disk-{}-{}", engine.name(), std::process::id()));
    let disk = Disk::mount(&folder, mebibytes)?;
    let world = tokio::task::block_in_place(|| World::on(disk.folder(), engine, &programs))?;
    let mut stage = Stage::of(world).await?;
    let faults = disk::play(&mut stage, &disk).await?;
    // Before its disk goes.
    drop(stage);
    assert_eq!(faults, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_on_sqlite() -> anyhow::Result<()> {
    fills(Engine::Sqlite, 96).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_on_postgres() -> anyhow::Result<()> {
    fills(Engine::Postgres, 640).await
}
