//! The primary's machine dies in the rush, or etcd is lost: nothing acknowledged is lost, and the service is back within half a minute. How
//! a dead node comes back takes as long again, and is played by hand: `faults --only failover`.

use std::path::Path;

use anyhow::Context as _;
use faults::{
    failover::{self, Blow},
    quorum,
    stage::Stage,
};
use load::program::Programs;
use tokio::net::TcpStream;

async fn set() -> anyhow::Result<Stage> {
    chassis::install_crypto();
    failover::set(&Programs::of(Path::new(env!("CARGO_BIN_EXE_faults")))?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_dies_in_the_rush_loses_nothing() -> anyhow::Result<()> {
    let mut stage = set().await?;
    let failover = failover::play(&mut stage, Blow::Dies, 1).await?;
    println!("the first write {:.1?} after the blow; {} acknowledged", failover.back, failover.acknowledged.len());
    assert_eq!(failover.faults, Vec::<String>::new());
    let primary = failover::patroni(&stage)?.primary().context("no primary")?;
    drop(stage);
    assert!(TcpStream::connect(primary).await.is_err(), "a node outlives its test");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_etcd_everything_goes_on_until_a_node_is_away_as_well() -> anyhow::Result<()> {
    let mut stage = set().await?;
    let quorum = quorum::play(&mut stage, 3).await?;
    println!("{} rounds without etcd; the first write {:.1?} after its return", quorum.rounds, quorum.back);
    assert_eq!(quorum.faults, Vec::<String>::new());
    Ok(())
}
