//! Databases on servers of their own that came back to different instants (docs/runbooks/restore.md): the roster's to an earlier one than
//! those of the services that mirror it. What `verify` says, what goes on all the same, and the two ways out of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use anyhow::Context as _;
use chassis::peer::within;
use cluster::Cluster;
use proto::roster::v1::{
    CreateOrganizationRequest, Organization, organization::Kind, organization_service_client::OrganizationServiceClient,
};
use shixun::up::SERVICES;
use tokio::time::Instant;

use crate::{
    case::{AGAIN, all_acts, goes_on},
    failover::read,
    people::{PATIENCE, People},
    probes,
    stage::Stage,
    table::RECOVERED,
};

/// Those who mirror the roster.
const MIRRORING: [&str; 3] = ["catalog", "enrollment", "credit"];
/// The source that comes back to an earlier instant.
const SOURCE: &str = "roster";

/// In a server's home: its base backup, and its archived log.
const BASE: &str = "base";
const ARCHIVE: &str = "archive";
/// A minute of looks.
const POLLS: u32 = 600;

/// Plays it; what was not as it is written.
///
/// # Errors
/// If what has nothing to do with it fails.
pub async fn play(stage: &mut Stage) -> anyhow::Result<Vec<String>> {
    let people = People::of(stage)?;
    let (mut acknowledged, mut faults) = (Vec::new(), Vec::new());
    tokio::task::block_in_place(|| on_each(stage, SERVICES, archive))?;
    goes_on(stage, &people, &mut acknowledged, Instant::now()).await?;
    tokio::task::block_in_place(|| on_each(stage, SERVICES, |server| server.base_backup(BASE).map(drop)))?;

    // An instant at which nobody writes; then something that all hear of who mirror the roster, and more selections.
    stage.world.reach()?.catch_up().await?;
    let server = stage.world.databases().cluster(SOURCE).context("a service without a server of its own")?;
    let point = tokio::task::block_in_place(|| server.sql("SELECT clock_timestamp()"))?.trim().to_owned();
    let kept = acknowledged.clone();
    write(stage, "after").await?;
    faults.extend(all_acts(stage, &people, &mut acknowledged).await?);
    stage.world.reach()?.catch_up().await?;

    // The roster's server is lost, and brought back to the earlier instant.
    stop(stage).await?;
    tokio::task::block_in_place(|| on_each(stage, SERVICES, close_log))?;
    tokio::task::block_in_place(|| on_each(stage, [SOURCE], |server| bring_back(server, Some(&point))))?;
    let lacking = verified(stage)?;
    if lacking != BTreeSet::from([SOURCE.to_owned()]) {
        faults.push(format!("verify finds {lacking:?}, and not what {SOURCE} lacks"));
    }

    // Who starts all the same: whoever took what is not known any more halts, and goes on with it.
    start(stage).await?;
    until_halted(stage).await?;
    faults.extend(all_acts(stage, &people, &mut acknowledged).await?.into_iter().map(|what| format!("halted: {what}")));
    // Also when the source's feed has grown past it, and for whoever is started then.
    for n in 0..3 {
        write(stage, &format!("branch-{n}")).await?;
    }
    let reach = stage.world.reach()?;
    let mirrors = reach.status("enrollment").await?.mirrors;
    let held = mirrors.iter().find(|mirror| mirror.source == SOURCE).context("no mirror")?.position;
    anyhow::ensure!(reach.status(SOURCE).await?.position > held, "the source's feed is not past what is held of it");
    stage.world.crash("enrollment")?;
    stage.world.until_ready().await?;
    probes::after(stage, Instant::now()).await.context("halted")?;
    until_halted(stage).await?;
    faults.extend(all_acts(stage, &people, &mut acknowledged).await?.into_iter().map(|what| format!("again: {what}")));

    // The first way out: the source to a later instant, here the last of its log. Nothing of the others is lost.
    stop(stage).await?;
    tokio::task::block_in_place(|| on_each(stage, [SOURCE], |server| bring_back(server, None)))?;
    faults.extend(whole(stage, &people, &mut acknowledged).await.context("the source to a later instant")?);

    // The second: what came after is lost anyway, and all five go to the earlier one.
    stop(stage).await?;
    tokio::task::block_in_place(|| {
        let others = SERVICES.into_iter().filter(|service| *service != SOURCE);
        on_each(stage, others, close_log)?;
        on_each(stage, SERVICES, |server| bring_back(server, Some(&point)))
    })?;
    acknowledged = kept;
    faults.extend(whole(stage, &people, &mut acknowledged).await.context("all to one instant")?);
    Ok(faults)
}

/// `verify` passes everywhere; started, nobody halts, everything goes on, and what was acknowledged is there.
async fn whole(stage: &mut Stage, people: &People, acknowledged: &mut Vec<String>) -> anyhow::Result<Vec<String>> {
    let lacking = verified(stage)?;
    anyhow::ensure!(lacking.is_empty(), "verify: not whole are {lacking:?}");
    start(stage).await?;
    goes_on(stage, people, acknowledged, Instant::now()).await?;
    write(stage, "whole").await?;
    let faults = read(stage, acknowledged).await?.faults;
    let reach = stage.world.reach()?;
    for service in SERVICES {
        let halted = reach.status(service).await?.halted_mirrors;
        anyhow::ensure!(halted.is_empty(), "{service}: {halted:?} is halted");
    }
    Ok(faults)
}

/// The runbook's fourth step: each service with what the others saw of it. Those whose feed is not whole.
fn verified(stage: &Stage) -> anyhow::Result<BTreeSet<String>> {
    let verify = |service: &str, witnesses: &[String]| {
        let mut command = Command::new(stage.world.folder().join("bin").join(service));
        command.arg("verify").arg("--config").arg(stage.world.config(service)).args(witnesses);
        command.output().with_context(|| format!("{service} verify"))
    };
    let mut seen = BTreeMap::<String, Vec<String>>::new();
    for service in SERVICES {
        let told = verify(service, &[])?;
        anyhow::ensure!(told.status.success(), "{service}: {}", String::from_utf8_lossy(&told.stderr));
        // "roster --witness 88:90ab…", below what was found.
        for (source, witness) in
            String::from_utf8(told.stdout)?.lines().filter_map(|line| line.split_once(" --witness "))
        {
            seen.entry(source.to_owned()).or_default().push(format!("--witness={witness}"));
        }
    }
    let mut lacking = BTreeSet::new();
    for service in SERVICES {
        let witnesses = seen.get(service).with_context(|| format!("nobody saw {service}"))?;
        if !verify(service, witnesses)?.status.success() {
            lacking.insert(service.to_owned());
        }
    }
    Ok(lacking)
}

/// A business fact of the roster, which all who mirror it take.
async fn write(stage: &Stage, name: &str) -> anyhow::Result<()> {
    let organization = Organization {
        name: format!("organizations/{name}"),
        display_name: name.to_owned(),
        parent: stage.town.officer.bureau.clone(),
        kinds: vec![Kind::SchoolDistrict.into()],
        ..Organization::default()
    };
    let request = CreateOrganizationRequest { organization: Some(organization), request_id: format!("create-{name}") };
    let mut request = within(PATIENCE, request);
    request.metadata_mut().insert("authorization", format!("Bearer {}", stage.town.officer.token).parse()?);
    let gateway = chassis::peer::channel(&format!("http://{}", stage.entrance()))?;
    OrganizationServiceClient::new(gateway).create_organization(request).await?;
    Ok(())
}

async fn until_halted(stage: &Stage) -> anyhow::Result<()> {
    let began = Instant::now();
    let reach = stage.world.reach()?;
    for service in MIRRORING {
        while reach.status(service).await?.halted_mirrors != [SOURCE] {
            anyhow::ensure!(began.elapsed() < RECOVERED, "{service} does not halt");
            tokio::time::sleep(AGAIN).await;
        }
    }
    Ok(())
}

async fn stop(stage: &mut Stage) -> anyhow::Result<()> {
    stage.world.stop().await
}

async fn start(stage: &mut Stage) -> anyhow::Result<()> {
    stage.world.start().await.map(drop)
}

/// Does something on the server of each of these services' databases, on all at once.
fn on_each(
    stage: &Stage,
    services: impl IntoIterator<Item = &'static str>,
    act: impl Fn(&Cluster) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<()> {
    let act = &act;
    std::thread::scope(|scope| {
        let begin = |service| {
            let server = stage.world.databases().cluster(service).context("a service without a server of its own")?;
            Ok((service, scope.spawn(move || act(server))))
        };
        let acting = services.into_iter().map(begin).collect::<anyhow::Result<Vec<_>>>()?;
        acting.into_iter().try_for_each(|(service, one)| {
            one.join().map_err(|_| anyhow::anyhow!("it panicked"))?.with_context(|| service.to_owned())
        })
    })
}

fn archive(server: &Cluster) -> anyhow::Result<()> {
    let archive = server.folder(ARCHIVE)?;
    server.sql("ALTER SYSTEM SET archive_mode = on")?;
    let keep = format!("test ! -f {0}/%f && cp %p {0}/%f", archive.display());
    server.sql(&format!("ALTER SYSTEM SET archive_command = '{keep}'"))?;
    // The mode takes a new start.
    server.crash()
}

/// What was written last is in the log's open segment: closed, it is archived.
fn close_log(server: &Cluster) -> anyhow::Result<()> {
    let segment = server.sql("SELECT pg_walfile_name(pg_switch_wal())")?;
    let archived = server.home().join(ARCHIVE).join(segment.trim());
    let mut polls = 0;
    while !archived.exists() {
        anyhow::ensure!(polls < POLLS, "{segment} is not archived");
        polls += 1;
        pause();
    }
    Ok(())
}

/// The runbook's third step: the base backup in the place of the data, and the log up to an instant, or to its end.
fn bring_back(server: &Cluster, point: Option<&str>) -> anyhow::Result<()> {
    let data = server.home().join("brought-back");
    let copied = Command::new("cp").arg("-a").arg(server.home().join(BASE)).arg(&data).status()?;
    anyhow::ensure!(copied.success(), "cp: {copied}");
    let settings = data.join("postgresql.auto.conf");
    let mut text = std::fs::read_to_string(&settings)?;
    text += &format!("restore_command = 'cp {}/%f %p'\n", server.home().join(ARCHIVE).display());
    if let Some(point) = point {
        text += &format!("recovery_target_time = '{point}'\nrecovery_target_action = 'promote'\n");
    }
    text += "archive_mode = off\n";
    std::fs::write(&settings, text)?;
    std::fs::write(data.join("recovery.signal"), "")?;
    server.restore(&data)
}

#[expect(clippy::disallowed_methods, reason = "polls a server in another process, which can wake nobody here")]
fn pause() {
    std::thread::sleep(AGAIN);
}
