//! Watchers that are late, cut off in the middle, or away for a while: each gets every change, once and in order.

use std::time::Duration;

use anyhow::Context as _;
use chassis::peer::within;
use proto::{
    common::v1::{GetStatusRequest, Role, WaitMirrorRequest, gate_service_client::GateServiceClient},
    roster::v1::{
        CreateOrganizationRequest, Organization, organization::Kind,
        organization_service_client::OrganizationServiceClient,
    },
};
use shixun::{
    people::{County, TermFolder},
    progress::Progress,
    rehearse, up,
};
use system::{World, feed::Watcher, replica::Replica};

/// More than one message holds, so that the roster's import, one batch, comes in several.
const TEACHERS: u32 = 1_300;

async fn watchers(engine: &str) -> anyhow::Result<()> {
    let folder = TermFolder::sample()?;
    let county = County::generate(3, TEACHERS, &folder);
    let begin = proto::jiff_instant(rehearse::before_the_term(&folder)?).to_string();
    let world = World::start_for(engine, &begin, &county.password).await?;
    // One who is there from the beginning, beside what is written.
    let mut early = Watcher::default();
    let mut feed = early.open(world.system.peer("roster")?).await?;
    let watching = tokio::spawn(async move {
        while early.changes.len() < TEACHERS as usize {
            early.take(&mut feed).await?;
        }
        anyhow::Ok(early)
    });
    up::setup::county(&world.system, &county, &folder, &Progress::hidden()).await?;
    let head = world.system.status("roster").await?.position;
    let early = watching.await??;

    // Late: everything from the first change on.
    let mut late = Watcher::default();
    late.up_to(world.system.peer("roster")?, head).await?;
    let same = early.changes.len();
    assert_eq!(early.changes, late.changes[..same]);

    // Cut wherever a message ends, in the middle of the import too: each goes on from its cursor.
    let mut cut = Watcher::default();
    let mut in_the_middle = 0;
    while !cut.has(head) {
        let mut feed = cut.open(world.system.peer("roster")?).await?;
        // In strides between batches, message by message in the middle of one.
        for _ in 0..64 {
            cut.take(&mut feed).await?;
            if cut.is_in_a_batch() || cut.has(head) {
                break;
            }
        }
        in_the_middle += usize::from(cut.is_in_a_batch());
    }
    assert!(in_the_middle >= 2, "the import came in one message: nothing was cut in the middle");
    assert_eq!(cut.changes, late.changes);

    mirror(&world, engine, &county).await?;
    world.system.stop().await
}

/// A process that mirrors for the first time long after, ends, misses some, and comes again: its positions are the sources'.
async fn mirror(world: &World, engine: &str, county: &County) -> anyhow::Result<()> {
    let url = match engine {
        "sqlite" => format!("sqlite:{}", world.data().join("newcomer.db").display()),
        _ => tokio::task::spawn_blocking(|| cluster::Cluster::shared()?.fresh_url("newcomer")).await??,
    };
    let newcomer = Replica::start(world, &url).await?;
    caught_up(world, &newcomer).await?;
    newcomer.stop().await?;

    let before = world.system.status("roster").await?.position;
    let operator = county.staff_with(Role::Operator).context("no operator")?;
    let token = world.token(&operator.account, "", &[(Role::Operator, &operator.organization)])?;
    let mut client = OrganizationServiceClient::new(chassis::peer::channel(&world.system.gateway())?);
    for n in 0..20 {
        let organization = Organization {
            name: format!("organizations/newcomer-{n:02}"),
            display_name: format!("示例培训机构{n:02}"),
            kinds: vec![Kind::Provider.into()],
            ..Organization::default()
        };
        let request =
            CreateOrganizationRequest { organization: Some(organization), request_id: format!("newcomer-{n}") };
        let mut request = within(Duration::from_secs(10), request);
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
        client.create_organization(request).await?;
    }
    assert!(world.system.status("roster").await?.position >= before + 20);

    let again = Replica::start(world, &url).await?;
    caught_up(world, &again).await?;
    again.stop().await
}

/// Waits on the barrier for the head of every source, and sees that the database says the same.
async fn caught_up(world: &World, replica: &Replica) -> anyhow::Result<()> {
    let mut client = GateServiceClient::new(replica.peer(world, "local")?);
    for source in ["roster", "catalog", "credit"] {
        let position = world.system.status(source).await?.position;
        let request = WaitMirrorRequest { source: source.to_owned(), position };
        let reached = client.wait_mirror(within(Duration::from_secs(20), request)).await?.into_inner().position;
        assert_eq!(reached, position, "{source}");
    }
    let status = client.get_status(within(Duration::from_secs(5), GetStatusRequest {})).await?.into_inner();
    assert_eq!(status.mirrors.len(), 3, "{status:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn late_cut_and_away_on_sqlite() -> anyhow::Result<()> {
    watchers("sqlite").await
}

#[tokio::test(flavor = "multi_thread")]
async fn late_cut_and_away_on_postgres() -> anyhow::Result<()> {
    watchers("postgres").await
}
