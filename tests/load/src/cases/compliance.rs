//! compliance: how a region of 600,000 teachers stands, and one school of it, beside the bare aggregate.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use cluster::Cluster;
use proto::credit::v1::{Compliance, GetComplianceRequest, GetComplianceResponse};

use crate::{
    bench::{Bench, say},
    cpu,
    database::{Databases, Engine},
    drive::{self, Client, Shot, Volley},
    peer,
    table::{Goal, Latency, Outcome, Pair},
    town::Town,
};

const GET: &str = "shixun.credit.v1.ComplianceService/GetCompliance";
const TEACHERS: u32 = 600_000;
/// Teachers of a school; entries of a teacher, two in each of the cycle's years.
const SCHOOL: u32 = 80;
const ENTRIES: u32 = 10;
const YEAR: i32 = 2019;
const REGION: &str = "organizations/load-region";
const ONE: &str = "organizations/load-000001";
const CREDIT: &str = "live_credit";
/// Milliseconds for one school.
const BOUND: f64 = 20.0;
/// What a tenth of the region may answer faster for one school.
const FLAT: f64 = 1.5;
/// Requests that are enough for one caller.
const MOST: usize = 100_000;

/// Peer and ours in turn.
///
/// # Errors
/// If something cannot be started, or fails other than in what is measured.
pub async fn run(bench: &mut Bench) -> anyhow::Result<Vec<Outcome>> {
    let engine = Engine::Postgres;
    let teachers = bench.options.teachers.unwrap_or(TEACHERS);
    let within = Duration::from_secs(bench.options.seconds);
    let folder = bench.programs().scratch()?;
    let (mut world, town) = bench.small_town().await?;
    world.start().await?;
    let Databases::Postgres(cluster) = world.databases() else { anyhow::bail!("not on PostgreSQL") };
    let client = Client::connect(world.gateway()?, 1).await?;
    let ask = |organization| {
        let request = GetComplianceRequest { organization, year: YEAR, ..GetComplianceRequest::default() };
        let shot = Shot::new(world.gateway()?, GET, &town.officer.token, &request)?;
        anyhow::Ok(Arc::new(vec![shot; MOST]))
    };
    let (region, school) = (ask(REGION.to_owned())?, ask(ONE.to_owned())?);

    let tenth = teachers / 10;
    tokio::task::block_in_place(|| fill(cluster, &town, 0, tenth))?;
    client.closed(&school, 1, within / 2).await?;
    let small = client.closed(&school, 1, within).await?.latency.mean() / 1e3;
    tokio::task::block_in_place(|| fill(cluster, &town, tenth, teachers))?;

    let mut of_region = Outcome::of("compliance-region", engine, "ms", Goal::AtMost(1.2));
    let mut of_school = Outcome::of("compliance-school", engine, "ms", Goal::AtMost(1.0));
    let mut flat = Outcome::of("compliance-flat", engine, "ms", Goal::AtMost(FLAT));
    let (mut by_region, mut by_school) = (drive::histogram()?, drive::histogram()?);
    // The caches are warm for both.
    client.closed(&region, 1, Duration::from_secs(1)).await?;
    for n in 1..=bench.options.runs {
        let mut meter = cpu::Meter::default();
        meter.add("postgres", world.server()?);
        let before = meter.read()?;
        let (run, _) = tokio::task::block_in_place(|| {
            peer::bare(cluster, &folder, CREDIT, &[bare(REGION)], 1, bench.options.seconds)
        })?;
        let peer_cpu = cpu::between(&before, &meter.read()?);
        let meter = world.meter()?;
        let before = meter.read()?;
        let volley = client.closed(&region, 1, within).await?;
        let cpu = cpu::between(&before, &meter.read()?);
        let (peer, ours) = (run.latency_ms, volley.latency.mean() / 1e3);
        say(&format!("compliance run {n}: region bare {peer:.0} ms, ours {ours:.0} ms"));
        check(cluster, &volley, REGION, &mut of_region)?;
        of_region.pairs.push(Pair { peer, ours, cpu, peer_cpu });
        by_region.add(&volley.latency)?;

        let volley = client.closed(&school, 1, within).await?;
        let p99 = Latency::from(&volley.latency).p99.as_secs_f64() * 1e3;
        let mean = volley.latency.mean() / 1e3;
        say(&format!("compliance run {n}: one school p99 {p99:.2} ms, mean {mean:.2} ms, in a tenth {small:.2} ms"));
        check(cluster, &volley, ONE, &mut of_school)?;
        of_school.pairs.push(Pair::of(BOUND, p99));
        flat.pairs.push(Pair::of(small, mean));
        by_school.add(&volley.latency)?;
    }
    of_region.latency = Some(Latency::from(&by_region));
    of_school.latency = Some(Latency::from(&by_school));
    for outcome in [&mut of_region, &mut of_school] {
        "as by the ledger".clone_into(&mut outcome.counted);
    }
    of_region.notes.push(format!(
        "{teachers} teachers, {} entries; peer: the two aggregates over the same standings, one pgbench client; ours: \
         GetCompliance through the gateway, one caller; means",
        u64::from(teachers) * u64::from(ENTRIES)
    ));
    of_school.notes.push("peer: the bound; ours: p99 of GetCompliance of one school of the region".to_owned());
    flat.notes.push(format!("one school, means; peer: while the region had {tenth} teachers; ours: with {teachers}"));
    Ok(vec![of_region, of_school, flat])
}

/// What a hand-written report would ask.
fn bare(organization: &str) -> String {
    let schools = format!("(SELECT organization FROM ancestor WHERE ancestor = '{organization}')");
    let sum = |what: &str| format!("SUM({what})");
    let year = [
        sum("member"),
        sum("months"),
        sum("awarded"),
        "COUNT(*) FILTER (WHERE member = 1 AND year_awarded >= 2400)".to_owned(),
        sum("cycle_ended"),
        "COUNT(*) FILTER (WHERE cycle_ended = 1 AND cycle_awarded >= 36000)".to_owned(),
        "COUNT(*) FILTER (WHERE cycle_ended = 1 AND intensive > 0)".to_owned(),
        "COUNT(*) FILTER (WHERE electives > 0)".to_owned(),
        sum("participations"),
        sum("matched"),
    ];
    format!(
        "SELECT school, {} FROM standing WHERE year = {YEAR} AND school IN {schools} GROUP BY school;\n\
         SELECT past.school, COUNT(*), COUNT(*) FILTER (WHERE past.electives > 0) FROM standing past \
         JOIN standing now ON now.teacher = past.teacher AND now.year = {YEAR} AND now.member = 1 \
         WHERE past.member = 1 AND past.year BETWEEN now.cycle_from_year AND {YEAR} AND past.school IN {schools} \
         GROUP BY past.school;\n",
        year.join(", ")
    )
}

/// The last answer is what the ledger itself adds up to.
fn check(cluster: &Cluster, volley: &Volley, organization: &str, outcome: &mut Outcome) -> anyhow::Result<()> {
    let (_, last) = volley.answers.last().context("nobody was answered")?;
    let reply: GetComplianceResponse = last.decode()?;
    let Compliance { teachers, requirements, .. } = reply.compliance.unwrap_or_default();
    let told = |key: &str| requirements.iter().find(|requirement| requirement.key == key);
    let met = told("year_24").map(|requirement| requirement.numerator).unwrap_or_default();
    let counted = cluster.sql_in(
        CREDIT,
        &format!(
            "SELECT COUNT(*), COUNT(*) FILTER (WHERE awarded >= 2400) FROM (
                SELECT SUM(awarded) AS awarded FROM entry
                WHERE effective_on LIKE '{YEAR}-%'
                  AND school IN (SELECT organization FROM ancestor WHERE ancestor = '{organization}')
                GROUP BY teacher) AS of_teacher"
        ),
    )?;
    if counted != format!("{teachers}|{met}") {
        outcome
            .faults
            .push(format!("{organization}: {teachers} teachers, {met} with 24 credits; by the ledger {counted}"));
    }
    Ok(())
}

/// Puts teachers with their schools, entries and standings straight into the credit database.
fn fill(cluster: &Cluster, town: &Town, first: u32, last: u32) -> anyhow::Result<()> {
    say(&format!("entering {} entries of {} teachers", (last - first) * ENTRIES, last - first));
    let school = format!("'organizations/load-' || lpad((n / {SCHOOL} + 1)::text, 6, '0')");
    let teacher = "'teachers/load-' || lpad(n::text, 7, '0')";
    cluster.sql_in(
        CREDIT,
        &format!(
            "SET work_mem = '256MB';
             CREATE TEMP TABLE person AS SELECT n, {teacher} AS name, {school} AS school
                FROM generate_series({first}, {last} - 1) AS n;
             CREATE TEMP TABLE above AS SELECT path::jsonb || '[\"{REGION}\"]' AS path FROM organization
                WHERE name = '{bureau}';
             INSERT INTO organization SELECT '{REGION}', 0, path::text FROM above ON CONFLICT DO NOTHING;
             INSERT INTO organization SELECT DISTINCT school, 1, (path || jsonb_build_array(school))::text
                FROM person, above ON CONFLICT DO NOTHING;
             INSERT INTO ancestor SELECT p.ancestor, o.name FROM organization o,
                LATERAL jsonb_array_elements_text(o.path::jsonb) AS p (ancestor)
                WHERE o.name LIKE 'organizations/load-%' ON CONFLICT DO NOTHING;
             INSERT INTO teacher SELECT p.name, p.school, m.tier, m.category, m.stages, m.subjects, m.employment, '2015-01-01',
                '2000-01-01', '2015-01-01', m.leaves, m.basis, m.standing_through, m.position_ends_on,
                m.position_awarded, m.position_intensive, m.principal_appointed_on
                FROM person p, (SELECT * FROM teacher WHERE name NOT LIKE 'teachers/load-%' ORDER BY name LIMIT 1) AS m;
             INSERT INTO entry SELECT
                'entries/load-' || lpad(n::text, 7, '0') || '-' || e, name, 2, 1000, 700 + (n * 7 + e * 131) % 1400,
                (2015 + e / 2) || '-06-15', 1566781200000000, '', 'load-' || e, 1, 0, ((n + e) % 5 = 0)::int, 1, '', '',
                'accounts/load', 0, '{bureau}', '', '', '', 1, school
                FROM person, generate_series(0, {ENTRIES} - 1) AS e;
             INSERT INTO standing SELECT teacher, year, MIN(school), 12, SUM(awarded), SUM(intensive), 0, 1, SUM(awarded),
                SUM(restricted_elective), 2015, (year = 2019)::int, SUM(SUM(awarded)) OVER (PARTITION BY teacher), 0,
                (1 << (2020 - year)::int) - 1
                FROM (SELECT e.*, left(effective_on, 4)::bigint AS year FROM entry e, person p WHERE e.teacher = p.name) AS of
                GROUP BY teacher, year",
            bureau = town.officer.bureau
        ),
    )?;
    for table in ["organization", "ancestor", "teacher", "entry", "standing"] {
        cluster.sql_in(CREDIT, &format!("VACUUM ANALYZE {table}"))?;
    }
    cluster.sql("CHECKPOINT")?;
    Ok(())
}
