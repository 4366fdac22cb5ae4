//! Every window's edges to the second, in its zone: closed a second before, open from the first to the last second, closed
//! at the next midnight; every method that a window lets in is called at every edge, the sequencer running beside.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chassis::contract::{self, Method};
use futures::{StreamExt as _, stream};
use proto::{
    common::v1::{Phase, Role},
    roster::v1::{
        CreateOrganizationRequest, Organization, organization::Kind,
        organization_service_client::OrganizationServiceClient,
    },
};
use system::{World, engines, office::Office, raw};
use tonic::transport::Channel;

const SECOND: i64 = 1_000_000;
const CLOSED: [&str; 2] = ["REASON_WINDOW_CLOSED", "REASON_WINDOW_SETTLED"];
const NOT_READY: &str = "REASON_WINDOW_NOT_READY";
/// Two schools; a supplementary window is for the first.
const NEAR: &str = "organizations/near";
const FAR: &str = "organizations/far";

/// A window: id, phase, round, the instant it opens and the one it closes, in RFC 3339; and for whom, if not for all.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub id: &'static str,
    pub phase: Phase,
    pub round: i32,
    pub opens: i64,
    pub closes: i64,
    pub only: Option<&'static str>,
}

/// `opens` and `closes` are days with the zone's offset at their midnight: "2019-06-17+08:00".
pub(crate) fn span(id: &'static str, phase: Phase, round: i32, opens: &str, closes: &str) -> anyhow::Result<Span> {
    let midnight = |day: &str| {
        let (day, offset) = day.split_at_checked(10).ok_or_else(|| anyhow::anyhow!("{day} is no day"))?;
        anyhow::Ok(format!("{day}T00:00:00{offset}").parse::<jiff::Timestamp>()?.as_microsecond())
    };
    Ok(Span { id, phase, round, opens: midnight(opens)?, closes: midnight(closes)?, only: None })
}

/// The calendar of autumn 2019 as the annex has it: an account of its own, beside the sample's document.
fn autumn() -> anyhow::Result<Vec<Span>> {
    let at = |id, phase, round, opens: &str, closes: &str| {
        span(id, phase, round, &format!("{opens}+08:00"), &format!("{closes}+08:00"))
    };
    [
        at("roster-update", Phase::RosterUpdate, 0, "2019-06-17", "2019-09-06"),
        at("declaration", Phase::Declaration, 0, "2019-06-17", "2019-06-29"),
        at("project-review", Phase::ProjectReview, 0, "2019-07-01", "2019-07-12"),
        at("publication", Phase::Publication, 0, "2019-07-12", "2019-07-13"),
        at("browsing", Phase::Browsing, 0, "2019-07-15", "2019-08-26"),
        at("selection-1", Phase::Selection, 1, "2019-08-26", "2019-09-06"),
        at("school-review-1", Phase::SchoolReview, 1, "2019-09-01", "2019-09-10"),
        at("expansion-request", Phase::ExpansionRequest, 0, "2019-09-10", "2019-09-12"),
        at("expansion-decision", Phase::ExpansionDecision, 0, "2019-09-11", "2019-09-13"),
        at("provider-confirmation-1", Phase::ProviderConfirmation, 1, "2019-09-13", "2019-09-14"),
        at("selection-2", Phase::Selection, 2, "2019-09-14", "2019-09-18"),
        at("school-review-2", Phase::SchoolReview, 2, "2019-09-15", "2019-09-19"),
        at("provider-confirmation-2", Phase::ProviderConfirmation, 2, "2019-09-19", "2019-09-23"),
        at("training", Phase::Training, 0, "2019-09-23", "2020-01-01"),
        at("results", Phase::Results, 0, "2020-01-01", "2020-01-16"),
    ]
    .into_iter()
    .collect()
}

/// A method as one role may call it: only while one of these phases has a window.
struct Cell {
    method: &'static Method,
    role: Role,
    phases: BTreeSet<i32>,
}

/// Every method whose grants to some role are all bound to windows.
fn cells() -> Vec<Cell> {
    let mut cells: BTreeMap<(String, BTreeSet<i32>), Cell> = BTreeMap::new();
    for method in contract::methods().filter(|method| method.package != "common" && method.package != "gateway") {
        let Some(rule) = &method.rule else { continue };
        for role in [
            Role::Teacher,
            Role::SchoolAdmin,
            Role::Principal,
            Role::ProviderStaff,
            Role::BureauOfficer,
            Role::Expert,
            Role::DistrictOfficer,
        ] {
            let grants = rule.grants.iter().filter(|grant| grant.roles.contains(&role));
            let phases: BTreeSet<i32> = grants.flat_map(|grant| &grant.phases).map(|phase| *phase as i32).collect();
            if !phases.is_empty() && !phases.contains(&(Phase::Any as i32)) {
                let key = (method.path.clone(), phases.clone());
                cells.entry(key).or_insert(Cell { method, role, phases });
            }
        }
    }
    cells.into_values().collect()
}

/// Walks the clocks from edge to edge, a second before each and at it, and calls every cell there. Beside the walk,
/// `amendments` are put: when, and the document.
pub(crate) async fn walk(
    world: &World,
    office: &mut Office<'_>,
    spans: &[Span],
    amendments: &[(i64, String)],
    policy: &str,
) -> anyhow::Result<()> {
    let cells = cells();
    let covered: BTreeSet<i32> = cells.iter().flat_map(|cell| cell.phases.iter().copied()).collect();
    for span in spans {
        // Nothing is bound to BROWSING: the menu stays readable for everyone.
        anyhow::ensure!(
            covered.contains(&span.phase.into()) || matches!(span.phase, Phase::Browsing | Phase::Publication),
            "no method for {:?}",
            span.phase
        );
    }
    let connect = |service: &'static str| Ok((service, chassis::peer::channel(&world.system.address(service))?));
    let channels: BTreeMap<&str, Channel> =
        shixun::up::SERVICES.into_iter().map(connect).collect::<anyhow::Result<_>>()?;
    let edges = spans.iter().flat_map(|span| [span.opens, span.closes]);
    let instants: BTreeSet<i64> = edges.flat_map(|edge| [edge - SECOND, edge]).collect();
    let mut amendments = amendments.iter().peekable();
    let (mut calls, mut wrong) = (0, Vec::new());
    for at in instants {
        while let Some((put_at, document)) = amendments.next_if(|(put_at, _)| *put_at < at) {
            world.system.advance(*put_at, false).await?;
            office.put(document, policy).await?;
        }
        world.system.advance(at, false).await?;
        let here = cells.iter().flat_map(|cell| [NEAR, FAR].map(|organization| (cell, organization)));
        let outcomes = here.map(|(cell, organization)| {
            let open = spans.iter().any(|span| {
                cell.phases.contains(&span.phase.into())
                    && span.opens <= at
                    && at < span.closes
                    && span.only.is_none_or(|only| only == organization || is_over(cell.role, span))
            });
            try_cell(world, &channels, &office.term, cell, organization, open, at)
        });
        let outcomes: Vec<_> = stream::iter(outcomes.collect::<Vec<_>>()).buffer_unordered(16).collect().await;
        for outcome in outcomes {
            calls += 1;
            wrong.extend(outcome?);
        }
    }
    assert!(calls > 1000, "only {calls} calls");
    assert!(wrong.is_empty(), "{} of {calls} calls at an edge went wrong:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

/// Who is over schools gets into every window of a round: which school's a thing is, the service asks on the row.
fn is_over(role: Role, span: &Span) -> bool {
    span.round > 0 && matches!(role, Role::BureauOfficer | Role::DistrictOfficer)
}

/// Two schools, that a window can be for.
async fn schools(world: &World) -> anyhow::Result<()> {
    let token = world.token("accounts/operator", "", &[(Role::Operator, "")])?;
    let mut client = OrganizationServiceClient::new(chassis::peer::channel(&world.system.gateway())?);
    for (name, parent, kind, school_identifier) in [
        ("organizations/county", "", Kind::CountyBureau, ""),
        (NEAR, "organizations/county", Kind::School, "3300000001"),
        (FAR, "organizations/county", Kind::School, "3300000002"),
    ] {
        let organization = Organization {
            name: name.to_owned(),
            parent: parent.to_owned(),
            display_name: name.to_owned(),
            kinds: vec![kind.into()],
            school_identifier: school_identifier.to_owned(),
            ..Organization::default()
        };
        let request =
            CreateOrganizationRequest { organization: Some(organization), request_id: format!("create-{name}") };
        let mut request = chassis::peer::within(Duration::from_secs(10), request);
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
        client.create_organization(request).await?;
    }
    Ok(())
}

/// Calls a cell; what was wrong about the answer, if anything.
async fn try_cell(
    world: &World,
    channels: &BTreeMap<&str, Channel>,
    term: &str,
    cell: &Cell,
    organization: &str,
    open: bool,
    at: i64,
) -> anyhow::Result<Option<String>> {
    let Cell { method, role, .. } = cell;
    let channel = channels.get(method.package.as_str()).ok_or_else(|| anyhow::anyhow!("no {}", method.package))?;
    let token = world.token("accounts/edge", "teachers/none", &[(*role, organization)])?;
    let mut tries = 0;
    loop {
        let id = format!("edge-{at}-{}-{organization}", role.as_str_name());
        let message = raw::request(method, term, &id)?;
        let header = Some(("authorization", format!("Bearer {token}")));
        let outcome = raw::call(channel.clone(), method, header, message).await?;
        // A round may open late, never wrong: the sequencer is at work. Half a minute is more than it needs.
        if open && outcome.reason == NOT_READY && tries < 600 {
            tries += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        let closed = CLOSED.contains(&outcome.reason.as_str());
        let fine = closed != open && outcome.reason != NOT_READY && outcome.code != tonic::Code::Internal;
        return Ok((!fine).then(|| {
            let when = proto::jiff_instant(at);
            let meant = if open { "open" } else { "closed" };
            format!("{when} {} as {} of {organization}, {meant}: {outcome:?}", method.path, role.as_str_name())
        }));
    }
}

async fn to_the_second(engine: &str) -> anyhow::Result<()> {
    anyhow::ensure!(engines().contains(&engine), "{engine} is no engine");
    let folder = shixun::people::TermFolder::sample()?;
    let world = World::start(engine, "2019-06-16T12:00:00Z").await?;
    schools(&world).await?;
    let mut office = Office::open(&world, &folder.id, "Asia/Shanghai").await?;
    office.put(&folder.calendar, &folder.policy).await?;
    let mut spans = autumn()?;
    // A typhoon: after round 1 was settled one school gets two days more to select, and one more to review.
    let mut document = folder.calendar.clone();
    for (id, phase, closes, last_day) in [
        ("selection-1-near", Phase::Selection, "2019-09-12+08:00", "2019-09-11"),
        ("school-review-1-near", Phase::SchoolReview, "2019-09-13+08:00", "2019-09-12"),
    ] {
        spans.push(Span { only: Some(NEAR), ..span(id, phase, 1, "2019-09-10+08:00", closes)? });
        let phase = phase.as_str_name().trim_start_matches("PHASE_");
        document += &format!(
            "\n[[window]]\nid = \"{id}\"\nphase = \"{phase}\"\nround = 1\nfirst_day = 2019-09-10\nlast_day = {last_day}\n\
             owners = [\"BUREAU_OFFICER\"]\norganizations = [\"{NEAR}\"]\n"
        );
    }
    let put_at = "2019-09-08T10:00:00+08:00".parse::<jiff::Timestamp>()?.as_microsecond();
    walk(&world, &mut office, &spans, &[(put_at, document)], &folder.policy).await?;

    // The sequencer kept pace: every edge's steps are done, each settled once.
    let end = spans.iter().map(|span| span.closes).max().unwrap_or_default();
    let steps = office.steps_done(end).await?;
    for span in &spans {
        let settled = steps.iter().filter(|step| step.name.contains(&format!("/{}-closes-settle-", span.id))).count();
        assert!(settled > 0, "{} was never settled", span.id);
    }
    world.system.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_window_to_the_second_on_sqlite() -> anyhow::Result<()> {
    to_the_second("sqlite").await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_window_to_the_second_on_postgres() -> anyhow::Result<()> {
    to_the_second("postgres").await
}
