//! Who does not migrate serves no other schema than its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use chassis::{Env, db::args};

use crate::fixture::{AT, Keys, Settings, Source, databases, migrations, start};

#[tokio::test(flavor = "multi_thread")]
async fn another_schema_is_refused_by_name() -> anyhow::Result<()> {
    let keys = Keys::new()?;
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    for (tampering, expected) in [
        (
            "DELETE FROM _chassis_migrations WHERE version = 2",
            "it lacks 0002_batches of chassis; run `roster migrate` with this configuration",
        ),
        (
            "UPDATE _sqlx_migrations SET version = 9000 WHERE version = 1",
            "it has migration 9000 of roster, which this version does not know; run the version of roster",
        ),
        (
            "UPDATE _chassis_migrations SET checksum = unhex('00') WHERE version = 1",
            "it has 0001_chassis of chassis in",
        ),
        ("DROP TABLE _sqlx_migrations", "it lacks 0001_"),
    ] {
        for database in databases().await? {
            let db = &database.db;
            db.check_schema(&migrations()).await?;
            let mut tx = db.begin_own(AT, "tampering").await?;
            tx.execute(tampering, args![]).await?;
            tx.finish().await?;
            db.close().await;
            let mut settings = Settings::new(&keys, "roster", &database.url)?;
            settings.chassis.database.migrate = false;
            let refused = start::<Source>(settings, any, Env::rehearsal(AT)).await?.ended().await;
            let told = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
            assert!(told.contains(expected), "{tampering} gave: {told}");
        }
    }
    Ok(())
}
