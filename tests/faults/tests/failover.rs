//! etcd is lost in the rush, the primary's machine dies, or falls silent and is ended before it wakes: nothing acknowledged is lost, the
//! service is back within half a minute, and who was away comes back as a standby. All on one stage, since setting it up takes as long
//! as either; what else is played by hand is in `faults --only silent`.

use std::path::Path;

use anyhow::Context as _;
use faults::{
    failover::{self, Blow},
    quorum,
};
use load::program::Programs;
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn without_etcd_or_its_primary_the_rush_loses_nothing() -> anyhow::Result<()> {
    chassis::install_crypto();
    let mut stage = failover::set(&Programs::of(Path::new(env!("CARGO_BIN_EXE_faults")))?).await?;

    let quorum = quorum::play(&mut stage, 3).await?;
    println!("{} rounds without etcd; the first write {:.1?} after its return", quorum.rounds, quorum.back);
    assert_eq!(quorum.faults, Vec::<String>::new());

    for blow in [Blow::Dies, Blow::IsFenced] {
        let failover = failover::play(&mut stage, blow, 1).await.with_context(|| format!("{blow:?}"))?;
        let (back, acknowledged) = (failover.back, failover.acknowledged.len());
        println!("it {blow:?}: the first write {back:.1?} after the blow; {acknowledged} acknowledged");
        assert_eq!(failover.faults, Vec::<String>::new(), "{blow:?}");
        let faults = failover::come_back(&mut stage, &failover).await.with_context(|| format!("{blow:?}: back"))?;
        assert_eq!(faults, Vec::<String>::new(), "{blow:?}: back");
    }

    let primary = failover::patroni(&stage)?.primary().context("no primary")?;
    drop(stage);
    assert!(TcpStream::connect(primary).await.is_err(), "a node outlives its test");
    Ok(())
}
