//! The primary's machine dies in the rush: nothing acknowledged is lost, and the service is back within half a minute. How the dead
//! node comes back takes as long again, and is played by hand: `faults --only failover`.

use std::path::Path;

use anyhow::Context as _;
use faults::failover;
use load::program::Programs;
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_dies_in_the_rush_loses_nothing() -> anyhow::Result<()> {
    chassis::install_crypto();
    let programs = Programs::of(Path::new(env!("CARGO_BIN_EXE_faults")))?;
    let mut stage = failover::set(&programs).await?;
    let failover = failover::play(&mut stage, 1).await?;
    println!("the first write {:.1?} after the blow; {} acknowledged", failover.back, failover.acknowledged.len());
    assert_eq!(failover.faults, Vec::<String>::new());
    let primary = failover::patroni(&stage)?.primary().context("no primary")?;
    drop(stage);
    assert!(TcpStream::connect(primary).await.is_err(), "a node outlives its test");
    Ok(())
}
