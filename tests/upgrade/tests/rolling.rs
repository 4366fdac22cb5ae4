//! A rolling upgrade fails no request. The services see names of a cluster, for which file systems must be mounted; where that is
//! forbidden, `SHIXUN_NO_MOUNT=1` says that it is known not to be tested.

use std::path::Path;

use upgrade::{crowd::Act, roll};

#[allow(clippy::print_stderr, reason = "a test that is left out says so")]
#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_upgrade_fails_no_request() -> anyhow::Result<()> {
    if std::env::var_os("SHIXUN_NO_MOUNT").is_some() {
        eprintln!("a rolling upgrade: NOT TESTED");
        return Ok(());
    }
    chassis::install_crypto();
    let own = Path::new(env!("CARGO_BIN_EXE_upgrade"));
    let outcome = roll::play(&roll::previous(own)?, &roll::next(own)?).await?;
    assert_eq!(outcome.faults, Vec::<String>::new());
    for act in
        [Act::Login, Act::Teacher, Act::Menu, Act::Check, Act::Selections, Act::Submit, Act::Statement, Act::Today]
    {
        assert!(outcome.tally.done.get(&act).is_some_and(|count| *count > 20), "{act:?}: {:?}", outcome.tally.done);
    }
    assert!(outcome.tally.full > 0, "no project was filled, so that none could be given away twice");
    Ok(())
}
