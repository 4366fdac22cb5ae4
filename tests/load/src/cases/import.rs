//! import: a roster over the public API (checked, identity numbers sealed, a change for each teacher), beside `\\copy` of the same
//! rows into a table with the same columns and keys.

use std::{collections::BTreeMap, fmt::Write as _, path::Path, time::Instant};

use anyhow::Context as _;
use chassis::peer::channel;
use cluster::Cluster;
use proto::{common::v1::Role, roster::v1::Teacher};
use shixun::{
    client::Person,
    people::{County, TermFolder},
    progress::Progress,
    rehearse,
    up::setup,
};

use crate::{
    bench::{Bench, say},
    cpu,
    database::{Databases, Engine},
    table::{Goal, Outcome, Pair},
    verify,
    world::World,
};

const TEACHERS: u32 = 600_000;
const DATABASE: &str = "peer_import";

/// Peer and ours in turn.
///
/// # Errors
/// If something cannot be started, or fails other than in what is measured.
pub async fn run(bench: &mut Bench) -> anyhow::Result<Outcome> {
    bench.quiet()?;
    let count = bench.options.teachers.unwrap_or(TEACHERS);
    let folder = TermFolder::sample()?;
    let county = County::generate(1, count, &folder);
    let teachers: Vec<&Teacher> = county.teachers.iter().map(|person| &person.teacher).collect();
    let file = bench.programs().scratch()?.join("roster.csv");
    std::fs::write(&file, csv(&teachers)?)?;

    say(&format!("setting up the offices and schools of {count} teachers"));
    let mut world = World::new(Engine::Postgres, bench.programs())?;
    world.configure(&county.password)?;
    let reach = world.start().await?;
    reach.advance(rehearse::before_the_term(&folder)?, false).await?;
    setup::offices(&reach, &county, &folder, &Progress::hidden()).await?;
    reach.catch_up().await?;
    world.stop().await?;
    world.databases().tidy()?;
    world.keep()?;

    let mut outcome = Outcome::of("import", Engine::Postgres, "s", Goal::AtMost(3.0));
    for n in 1..=bench.options.runs {
        let reach = world.fresh().await?;
        let Databases::Postgres(cluster) = world.databases() else { anyhow::bail!("not on PostgreSQL") };
        let mut meter = cpu::Meter::default();
        meter.add("postgres", cluster.process()?);
        cluster.sql("CHECKPOINT")?;
        let before = meter.read()?;
        let peer = copy(cluster, &file, teachers.len())?;
        let peer_cpu = cpu::between(&before, &meter.read()?);

        let officer = county.staff_with(Role::BureauOfficer).context("a county without a bureau officer")?;
        let officer = Person::login(&channel(&reach.gateway())?, &officer.login, &county.password).await?;
        cluster.sql("CHECKPOINT")?;
        let meter = world.meter()?;
        let before = meter.read()?;
        let began = Instant::now();
        setup::import(&officer, &teachers, None, &Progress::hidden()).await?;
        let ours = began.elapsed().as_secs_f64();
        let cpu = cpu::between(&before, &meter.read()?);
        let sizes = world.processes().map(|(name, process)| Ok((name, cpu::peak_memory(process)? / 1_000_000)));
        let sizes = sizes.collect::<anyhow::Result<BTreeMap<_, _>>>()?;
        reach.catch_up().await?;
        let mirrored = began.elapsed().as_secs_f64();
        say(&format!(
            "import run {n}: \\copy {peer:.1} s, ours {ours:.1} s, mirrored everywhere after {mirrored:.1} s"
        ));
        outcome.notes.push(format!(
            "run {n}: enrollment and credit had mirrored all of it after {mirrored:.1} s; most memory in MB: {sizes:?}"
        ));
        let found = verify::roster(&world, &teachers).await?;
        outcome.counted = format!("{} of {count} kept", found.kept);
        outcome.faults.extend(found.faults);
        outcome.pairs.push(Pair { peer, ours, cpu, peer_cpu });
    }
    std::fs::remove_file(&file)?;
    outcome.notes.push(format!(
        "peer: \\copy of {count} rows into a table with the roster's columns and keys; ours: ImportTeachers, a file of 50,000 \
         rows after the other"
    ));
    Ok(outcome)
}

/// Seconds that `\copy` takes into an empty table.
fn copy(cluster: &Cluster, file: &Path, count: usize) -> anyhow::Result<f64> {
    cluster.sql(&format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"))?;
    cluster.sql(&format!("CREATE DATABASE {DATABASE} TEMPLATE template0"))?;
    cluster.sql_in(DATABASE, SCHEMA)?;
    let began = Instant::now();
    cluster.sql_in(DATABASE, &format!("\\copy teacher FROM '{}' CSV", file.display()))?;
    let took = began.elapsed().as_secs_f64();
    let copied = cluster.sql_in(DATABASE, "SELECT COUNT(*) FROM teacher")?;
    anyhow::ensure!(copied == count.to_string(), "\\copy left {copied} rows");
    Ok(took)
}

/// What a hand-written roster would have.
const SCHEMA: &str = "
    CREATE TABLE teacher (
        name TEXT COLLATE \"C\" NOT NULL PRIMARY KEY,
        display_name TEXT COLLATE \"C\" NOT NULL,
        sex TEXT COLLATE \"C\" NOT NULL,
        identity_number TEXT COLLATE \"C\" NOT NULL UNIQUE,
        phone TEXT COLLATE \"C\" NOT NULL,
        school TEXT COLLATE \"C\" NOT NULL,
        teacher_number TEXT COLLATE \"C\" NOT NULL,
        employment TEXT COLLATE \"C\" NOT NULL,
        tier TEXT COLLATE \"C\" NOT NULL,
        category TEXT COLLATE \"C\" NOT NULL,
        stages TEXT COLLATE \"C\" NOT NULL,
        subjects TEXT COLLATE \"C\" NOT NULL,
        title TEXT COLLATE \"C\" NOT NULL,
        education TEXT COLLATE \"C\" NOT NULL,
        post TEXT COLLATE \"C\" NOT NULL,
        employed_on TEXT COLLATE \"C\" NOT NULL,
        platform_entered_on TEXT COLLATE \"C\" NOT NULL
    );
    CREATE UNIQUE INDEX teacher_of_school ON teacher (school, teacher_number);
    CREATE INDEX teacher_by_school ON teacher (school, name);";

fn csv(teachers: &[&Teacher]) -> anyhow::Result<String> {
    let mut text = String::new();
    for teacher in teachers {
        let day = |day: &Option<proto::google::r#type::Date>| {
            day.as_ref().map(|day| format!("{:04}-{:02}-{:02}", day.year, day.month, day.day)).unwrap_or_default()
        };
        let fields = [
            &teacher.name,
            &teacher.display_name,
            &teacher.sex,
            &teacher.identity_number,
            &teacher.phone,
            &teacher.school,
            &teacher.teacher_number,
            &teacher.employment,
            &teacher.tier,
            &teacher.category,
            &teacher.stages.join(";"),
            &teacher.subjects.join(";"),
            &teacher.title,
            &teacher.education,
            &teacher.post,
            &day(&teacher.employed_on),
            &day(&teacher.platform_entered_on),
        ];
        // No field of the sample has a comma or a quote in it: `\copy` would refuse the row.
        let fields: Vec<&str> = fields.into_iter().map(String::as_str).collect();
        writeln!(text, "{}", fields.join(","))?;
    }
    Ok(text)
}
