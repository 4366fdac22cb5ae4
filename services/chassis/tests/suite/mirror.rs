//! Mirrors: each change once, the cursor with the rows, caught up after any outage, stopped by a broken chain.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::Ordering,
    time::Duration,
};

use chassis::{
    Env,
    config::DatabaseConfig,
    db::{Db, args},
    peer::within,
    testing::TestDatabase,
};
use proto::{
    common::v1::{GetStatusRequest, Role, WaitMirrorRequest, gate_service_client::GateServiceClient},
    roster::v1::{CreateOrganizationRequest, Organization, organization_service_client::OrganizationServiceClient},
};
use tonic::{Code, Status};

use crate::fixture::{AT, Consumer, Keys, Running, Settings, Source, databases, number, reason, start};

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A source and a consumer on databases of their own, of one engine.
struct Pair {
    keys: Keys,
    of_source: TestDatabase,
    of_consumer: TestDatabase,
}

impl Pair {
    async fn of_each_engine() -> anyhow::Result<Vec<Self>> {
        let pairs = databases().await?.into_iter().zip(databases().await?);
        let mut all = Vec::new();
        for (of_source, of_consumer) in pairs {
            of_source.db.close().await;
            of_consumer.db.close().await;
            all.push(Self { keys: Keys::new()?, of_source, of_consumer });
        }
        Ok(all)
    }

    async fn source(&self, at: SocketAddr) -> anyhow::Result<Running> {
        start::<Source>(Settings::new(&self.keys, "roster", &self.of_source.url)?, at, Env::rehearsal(AT)).await
    }

    fn consuming(&self, source: SocketAddr) -> anyhow::Result<Settings> {
        Ok(Settings::new(&self.keys, "catalog", &self.of_consumer.url)?.peer("roster", source))
    }

    /// The source writes a batch of `changes`.
    async fn create(&self, at: SocketAddr, name: &str, changes: usize) -> anyhow::Result<()> {
        let organization =
            Organization { name: name.to_owned(), display_name: changes.to_string(), ..Organization::default() };
        let message = CreateOrganizationRequest { organization: Some(organization), request_id: name.to_owned() };
        let mut request = within(Duration::from_secs(20), message);
        let bearer = format!("Bearer {}", self.keys.person(&[Role::BureauOfficer])?);
        request.metadata_mut().insert("authorization", bearer.parse()?);
        let mut client = OrganizationServiceClient::new(chassis::peer::channel(&format!("http://{at}"))?);
        client.create_organization(request).await?;
        Ok(())
    }

    async fn wait(&self, consumer: &Running, position: i64, patience: Duration) -> anyhow::Result<Result<i64, Status>> {
        let mut client = GateServiceClient::new(self.keys.peer("gateway", consumer.address)?);
        let message = WaitMirrorRequest { source: "roster".to_owned(), position };
        let answer = client.wait_mirror(within(patience, message)).await;
        Ok(answer.map(|answer| answer.into_inner().position))
    }

    async fn halted(&self, consumer: &Running) -> anyhow::Result<Vec<String>> {
        let mut client = GateServiceClient::new(self.keys.peer("gateway", consumer.address)?);
        Ok(client.get_status(within(SOON, GetStatusRequest {})).await?.into_inner().halted_mirrors)
    }

    async fn db(database: &TestDatabase) -> anyhow::Result<Db> {
        Db::open("chassis", &DatabaseConfig::at(&database.url), Env::rehearsal(AT)).await
    }

    /// Every change of `expected` was taken, and none twice.
    async fn taken(&self, expected: i64) -> anyhow::Result<()> {
        let db = Self::db(&self.of_consumer).await?;
        assert_eq!(number(&db, "SELECT COUNT(*) AS n FROM note").await?, expected);
        assert_eq!(number(&db, "SELECT MAX(value) AS n FROM note").await?, 1, "some change was taken twice");
        db.close().await;
        Ok(())
    }
}

/// The server gives up a hop before its caller does; where the machine is slow, the caller's own timer comes first, and tonic
/// calls that cancelled.
fn gave_up(status: &Status) -> bool {
    matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled)
}

const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_catches_up_and_follows() -> anyhow::Result<()> {
    for pair in Pair::of_each_engine().await? {
        let source = pair.source(ANY).await?;
        pair.create(source.address, "a", 1).await?;
        pair.create(source.address, "b", 2600).await?;
        let consumer = start::<Consumer>(pair.consuming(source.address)?, ANY, Env::rehearsal(AT)).await?;
        assert_eq!(pair.wait(&consumer, 2, SOON).await??, 2);
        for n in 0..5 {
            pair.create(source.address, &format!("c{n}"), 1).await?;
            assert_eq!(pair.wait(&consumer, 3 + n, SOON).await??, 3 + n);
        }
        let mut client = GateServiceClient::new(pair.keys.peer("gateway", consumer.address)?);
        let status = client.get_status(within(SOON, GetStatusRequest {})).await?.into_inner();
        assert_eq!(status.mirrors.iter().map(|mirror| mirror.position).collect::<Vec<_>>(), [7]);
        let beyond = pair.wait(&consumer, 8, Duration::from_millis(300)).await?.unwrap_err();
        assert!(gave_up(&beyond), "{beyond:?}");
        consumer.end().await?;
        source.end().await?;
        pair.taken(2606).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_source_is_caught_up() -> anyhow::Result<()> {
    for pair in Pair::of_each_engine().await? {
        let source = pair.source(ANY).await?;
        let address = source.address;
        let consumer = start::<Consumer>(pair.consuming(address)?, ANY, Env::rehearsal(AT)).await?;
        pair.create(address, "a", 3).await?;
        assert_eq!(pair.wait(&consumer, 1, SOON).await??, 1);
        source.end().await?;
        let source = pair.source(address).await?;
        pair.create(address, "b", 4).await?;
        assert_eq!(pair.wait(&consumer, 2, SOON).await??, 2);
        consumer.end().await?;
        source.end().await?;
        pair.taken(7).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_fails_or_ends_within_a_batch_goes_on_there() -> anyhow::Result<()> {
    for pair in Pair::of_each_engine().await? {
        let source = pair.source(ANY).await?;
        pair.create(source.address, "a", 2600).await?;
        // It fails in the batch's third message, again and again; what it took before is kept, with its cursor.
        let settings = pair.consuming(source.address)?;
        settings.hooks.fail_at.store(1100, Ordering::SeqCst);
        let consumer = start::<Consumer>(settings.clone(), ANY, Env::rehearsal(AT)).await?;
        let mut given = settings.hooks.given.subscribe();
        tokio::time::timeout(SOON, given.wait_for(|given| *given >= 1102)).await??;
        let stuck = pair.wait(&consumer, 1, Duration::from_millis(200)).await?.unwrap_err();
        assert!(gave_up(&stuck), "{stuck:?}");
        consumer.end().await?;
        let db = Pair::db(&pair.of_consumer).await?;
        let rows = number(&db, "SELECT COUNT(*) AS n FROM note").await?;
        assert_eq!(rows, number(&db, "SELECT idx AS n FROM mirror_cursor").await?, "cursor and rows move together");
        assert!(rows < 1100);
        db.close().await;

        settings.hooks.fail_at.store(0, Ordering::SeqCst);
        let consumer = start::<Consumer>(settings, ANY, Env::rehearsal(AT)).await?;
        assert_eq!(pair.wait(&consumer, 1, SOON).await??, 1);
        consumer.end().await?;
        source.end().await?;
        pair.taken(2600).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_of_a_consumer_take_each_change_once() -> anyhow::Result<()> {
    let Some(pair) = Pair::of_each_engine().await?.pop() else { anyhow::bail!("no PostgreSQL") };
    let source = pair.source(ANY).await?;
    let first = start::<Consumer>(pair.consuming(source.address)?, ANY, Env::rehearsal(AT)).await?;
    let second = start::<Consumer>(pair.consuming(source.address)?, ANY, Env::rehearsal(AT)).await?;
    for n in 1..=30 {
        pair.create(source.address, &n.to_string(), 20).await?;
    }
    // Whichever of them mirrored: both know.
    for replica in [&first, &second] {
        assert_eq!(pair.wait(replica, 30, SOON).await??, 30);
    }
    first.end().await?;
    second.end().await?;
    source.end().await?;
    pair.taken(600).await
}

/// The source was set back behind its consumer's back (an old copy restored): it writes other changes at known positions.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_changed_its_past_is_not_followed() -> anyhow::Result<()> {
    for tampering in [
        // Consistent in itself, so that `verify` at the source finds nothing: the consumer's own chain does.
        &["DELETE FROM change", "DELETE FROM change_batch", "UPDATE feed SET position = 0, chain = unhex($1)"][..],
        &["UPDATE change SET body = unhex('0a0178') WHERE resource = 'late-00001'"][..],
    ] {
        for pair in Pair::of_each_engine().await? {
            let source = pair.source(ANY).await?;
            let consumer = start::<Consumer>(pair.consuming(source.address)?, ANY, Env::rehearsal(AT)).await?;
            pair.create(source.address, "seen", 1).await?;
            assert_eq!(pair.wait(&consumer, 1, SOON).await??, 1);
            let address = source.address;
            consumer.end().await?;
            pair.create(address, "late", 3).await?;
            source.end().await?;
            let db = Pair::db(&pair.of_source).await?;
            let mut tx = db.begin_own(AT, "tampering").await?;
            for sql in tampering {
                let zero = if sql.contains("$1") { args!["00".repeat(32)] } else { args![] };
                tx.execute(*sql, zero).await?;
            }
            tx.finish().await?;
            db.close().await;

            let source = pair.source(address).await?;
            for n in 1..=3 {
                pair.create(address, &format!("after-{n}"), 1).await?;
            }
            let consumer = start::<Consumer>(pair.consuming(address)?, ANY, Env::rehearsal(AT)).await?;
            let stopped = pair.wait(&consumer, 2, SOON).await?.unwrap_err();
            assert_eq!(reason(&stopped), "REASON_FEED_DIFFERS", "{stopped}");
            assert_eq!(pair.halted(&consumer).await?, ["roster"]);
            consumer.end().await?;
            source.end().await?;
            pair.taken(1).await?;
        }
    }
    Ok(())
}

/// An old copy of the source was restored: it has nothing to tell yet, and must not be taken for one that is idle.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_behind_its_consumer_is_told_at_once() -> anyhow::Result<()> {
    for pair in Pair::of_each_engine().await? {
        let source = pair.source(ANY).await?;
        let address = source.address;
        let consumer = start::<Consumer>(pair.consuming(address)?, ANY, Env::rehearsal(AT)).await?;
        for name in ["a", "b"] {
            pair.create(address, name, 1).await?;
        }
        assert_eq!(pair.wait(&consumer, 2, SOON).await??, 2);
        assert!(pair.halted(&consumer).await?.is_empty());
        source.end().await?;
        let db = Pair::db(&pair.of_source).await?;
        let mut tx = db.begin_own(AT, "tampering").await?;
        for sql in [
            "DELETE FROM change WHERE batch = (SELECT batch FROM change_batch WHERE position = 2)",
            "DELETE FROM change_batch WHERE position = 2",
            "UPDATE feed SET position = 1, chain = (SELECT chain FROM change_batch WHERE position = 1)",
        ] {
            assert_eq!(tx.execute(sql, args![]).await?, 1, "{sql}");
        }
        tx.finish().await?;
        db.close().await;

        let source = pair.source(address).await?;
        let stopped = pair.wait(&consumer, 3, SOON).await?.unwrap_err();
        assert_eq!((stopped.code(), reason(&stopped).as_str()), (Code::DataLoss, "REASON_FEED_DIFFERS"));
        assert_eq!(pair.halted(&consumer).await?, ["roster"]);
        consumer.end().await?;
        source.end().await?;
        pair.taken(2).await?;
    }
    Ok(())
}
