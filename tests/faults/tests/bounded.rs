//! The bounded form: each service and each database is struck, and each fault strikes; the whole table by hand: `faults`.

use std::path::Path;

use faults::{
    case, edges, skew,
    stage::Stage,
    table::{COSTS, Fault, Target},
};
use load::{database::Engine, program::Programs};

async fn holds(engine: Engine, struck: impl Fn(Target, Fault) -> bool) -> anyhow::Result<()> {
    chassis::install_crypto();
    let programs = Programs::of(Path::new(env!("CARGO_BIN_EXE_faults")))?;
    let mut stage = Stage::set(engine, &programs).await?;
    let (mut wrong, mut played) = (Vec::new(), 0);
    for cost in &COSTS {
        for fault in Fault::ALL.into_iter().filter(|fault| struck(cost.target, *fault)) {
            let name = format!("{} {}", cost.target.name(), fault.word());
            let differing = case::play(&mut stage, cost, fault).await.map_err(|error| error.context(name.clone()))?;
            wrong.extend(differing.into_iter().map(|what| format!("{name}: {what}")));
            played += 1;
        }
    }
    // What the engine has nothing to do with is played once.
    wrong.extend(match engine {
        Engine::Sqlite => skew::play(&stage).await?,
        Engine::Postgres => edges::play(&mut stage).await?,
    });
    assert!(played > 0, "nothing was struck");
    assert!(wrong.is_empty(), "not as written:\n{}", wrong.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_on_postgres() -> anyhow::Result<()> {
    // What is frozen costs seconds until it is noticed: of the databases, those whose freezing costs most.
    let struck = |target, fault| match (target, fault) {
        (Target::Service(_), Fault::Stopped) => true,
        (Target::Service(service), Fault::CutOff) => service == "enrollment",
        (Target::Database("enrollment" | "gateway"), fault) => fault == Fault::Frozen,
        (Target::Database(_), fault) => fault == Fault::Stopped,
        _ => false,
    };
    holds(Engine::Postgres, struck).await
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_on_sqlite() -> anyhow::Result<()> {
    let struck = |target, fault| match (target, fault) {
        (Target::Service(_), Fault::Frozen) => true,
        (Target::Service(service), Fault::Stopped) => service == "enrollment",
        _ => false,
    };
    holds(Engine::Sqlite, struck).await
}
