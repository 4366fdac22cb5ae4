//! `kill -9` at random instants of what takes long: `shixun up` setting its county up, `shixun rehearse --data` playing its
//! term. The same command again goes on with it, and it ends as if nothing had happened.
//!
//! By hand, for as long as it takes: `SHIXUN_KILLS=200 cargo nextest run -p shixun --test process resume`.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::Context as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use serde_json::Value;
use shixun::up::{Engine, Reach};
use tokio::time::Instant;

use crate::child::{Process, number, server};
use crate::feed::{Changes, changes, difference, differences, verified};

/// A run that is not killed ends within this, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(180);
/// Kills in one run; more are spread over several runs.
const KILLS: usize = 3;
/// Seconds into each life at which it ends, drawn evenly up to the length of a whole run: early in the run and late.
fn lives(whole: Duration, seed: u64) -> Vec<Duration> {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    (0..KILLS).map(|_| whole.mul_f64(rng.random_range(0.01..0.9))).collect()
}

/// How many runs with `KILLS` kills each.
fn runs() -> anyhow::Result<u64> {
    Ok(number("SHIXUN_KILLS")?.map_or(1, |kills| kills.div_ceil(KILLS as u64)))
}

fn up(data: &Path, output: &Path) -> anyhow::Result<Process> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shixun"));
    command.args(["up", "--teachers", "60", "--listen", "127.0.0.1:0", "--data"]).arg(data);
    Process::start_into(command, File::create(output)?)
}

/// What `up` prints, without what is each system's own: where it listens, and what time it has become.
fn banner(text: &str) -> Vec<String> {
    let address = text.lines().find_map(|line| line.split_once("listens on ")).map_or("", |(_, rest)| rest);
    let address = address.split(' ').next().unwrap_or_default().to_owned();
    let lasting = text.lines().filter(|line| !line.starts_with("It is "));
    lasting.map(|line| line.replace(&address, "ADDRESS")).collect()
}

/// What a system that is set up comes to; ends it.
async fn state(data: &Path, output: &Path, mut process: Process) -> anyhow::Result<(Vec<String>, Changes)> {
    let whole = async {
        while !fs::read_to_string(output)?.contains("Ctrl-C") {
            process.check()?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(banner(&fs::read_to_string(output)?))
    };
    let banner = tokio::time::timeout(PATIENCE, whole).await.context("no banner")??;
    let changes = changes(&Reach::of(data)?).await?;
    process.terminate()?;
    anyhow::ensure!(process.ended(Duration::from_secs(10)).await?.success(), "it ended badly");
    verified(&Engine::Sqlite, data).await?;
    Ok((banner, changes))
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stdout, reason = "a run that fails can be repeated")]
async fn up_goes_on_setting_up() -> anyhow::Result<()> {
    chassis::install_crypto();
    let folder = tempfile::tempdir()?;
    let (data, output) = (folder.path().join("undisturbed"), folder.path().join("output"));
    let begun = Instant::now();
    let process = up(&data, &output)?;
    let (undisturbed, undisturbed_changes) = state(&data, &output, process).await?;
    let whole = begun.elapsed();
    assert!(undisturbed_changes.len() > 500, "{} changes", undisturbed_changes.len());

    for seed in 0..runs()? {
        let data = folder.path().join(format!("run-{seed}"));
        let lives = lives(whole, seed);
        println!("seed {seed}: {lives:?}");
        for life in lives {
            let process = up(&data, &output)?;
            tokio::time::sleep(life).await;
            process.kill()?;
        }
        let process = up(&data, &output)?;
        let (resumed, resumed_changes) = state(&data, &output, process).await?;
        assert_eq!(resumed, undisturbed, "seed {seed}");
        let differences = differences(&undisturbed_changes, &resumed_changes);
        assert!(differences.is_empty(), "seed {seed}:\n{}", differences.join("\n"));
        // Nothing is left of the way there.
        assert!(!data.join("play.journal").exists());
        fs::remove_dir_all(data)?;
    }
    Ok(())
}

fn rehearse(data: &Path, engine: &Engine, seed: &str, errors: &Path) -> anyhow::Result<Process> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shixun"));
    command.args(["rehearse", "--teachers", "60", "--seed", seed, "--data"]).arg(data);
    if let Engine::Postgres { url } = engine {
        command.args(["--engine", "postgres"]).env("SHIXUN_DATABASE_URL", url);
    }
    command.stderr(File::create(errors)?);
    Process::start_into(command, File::create(errors.with_extension("out"))?)
}

/// What a rehearsal said last: how it ended, and why it complains.
fn said(errors: &Path) -> anyhow::Result<String> {
    let output = fs::read_to_string(errors.with_extension("out"))?;
    let end = output.rsplit("\n\n").next().unwrap_or_default();
    Ok(format!("{end}\n{}", fs::read_to_string(errors)?))
}

fn report(data: &Path) -> anyhow::Result<Value> {
    let mut report: Value = serde_json::from_str(&fs::read_to_string(data.join("report.json"))?)?;
    report.as_object_mut().context("no object")?.retain(|key, _| !key.contains("duration"));
    Ok(report)
}

#[allow(clippy::print_stdout, reason = "a run that fails can be repeated")]
async fn a_rehearsal_goes_on(engine: &str) -> anyhow::Result<()> {
    chassis::install_crypto();
    let (engine, _cluster) = server(engine).await?;
    let folder = tempfile::tempdir()?;
    let errors = folder.path().join("errors");
    let data = folder.path().join("undisturbed");
    let begun = Instant::now();
    // The engines agree, as other tests show.
    let status = rehearse(&data, &Engine::Sqlite, "3", &errors)?.ended(PATIENCE).await?;
    anyhow::ensure!(status.success(), "{}", said(&errors)?);
    let whole = begun.elapsed();
    let undisturbed = report(&data)?;

    for seed in 0..runs()? {
        let data = folder.path().join(format!("run-{seed}"));
        let lives = lives(whole, seed);
        println!("seed {seed}: {lives:?}");
        let mut ended = None;
        for life in lives {
            let mut process = rehearse(&data, &engine, "3", &errors)?;
            // What went on may come to its end before.
            ended = process.ended(life).await.ok();
            if ended.is_some() {
                break;
            }
            process.kill()?;
        }
        let status = match ended {
            Some(status) => status,
            None => rehearse(&data, &engine, "3", &errors)?.ended(PATIENCE).await?,
        };
        anyhow::ensure!(status.success(), "seed {seed}: {}", said(&errors)?);
        assert_eq!(difference("report", &report(&data)?, &undisturbed), None, "seed {seed}");

        // A rehearsal that has ended is not begun again, and is left as it is; nor is it another county's.
        for seed in ["3", "4"] {
            let status = rehearse(&data, &engine, seed, &errors)?.ended(Duration::from_secs(10)).await?;
            assert_eq!(status.code(), Some(1));
            assert!(fs::read_to_string(&errors)?.contains("holds a rehearsal that has ended"));
        }
        assert_eq!(difference("report", &report(&data)?, &undisturbed), None);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_goes_on_on_sqlite() -> anyhow::Result<()> {
    a_rehearsal_goes_on("sqlite").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_goes_on_on_postgres() -> anyhow::Result<()> {
    a_rehearsal_goes_on("postgres").await
}

/// SIGTERM in the middle: it ends in time, says how to go on, and takes its databases with it where it has no folder.
#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_that_is_told_to_end() -> anyhow::Result<()> {
    chassis::install_crypto();
    let folder = tempfile::tempdir()?;
    let (data, errors) = (folder.path().join("data"), folder.path().join("errors"));
    let mut process = rehearse(&data, &Engine::Sqlite, "3", &errors)?;
    // Some of the play is behind it.
    while fs::metadata(data.join("play.journal")).map_or(0, |file| file.len()) < 10_000 {
        process.check()?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    process.terminate()?;
    assert_eq!(process.ended(Duration::from_secs(10)).await?.code(), Some(1));
    assert!(fs::read_to_string(&errors)?.contains("the same command goes on"));
    // `up` does not take what is half a rehearsal for a system.
    let mut process = up(&data, &folder.path().join("output"))?;
    assert_eq!(process.ended(Duration::from_secs(10)).await?.code(), Some(1));

    let status = rehearse(&data, &Engine::Sqlite, "3", &errors)?.ended(PATIENCE).await?;
    anyhow::ensure!(status.success(), "{}", said(&errors)?);
    // The system at the end of the term can be looked at.
    let output = folder.path().join("output");
    let process = up(&data, &output)?;
    let (banner, _) = state(&data, &output, process).await?;
    assert!(banner.iter().any(|line| line.contains("bureau-1")), "{banner:?}");

    let (engine, cluster) = server("postgres").await?;
    let (Engine::Postgres { url }, Some(_cluster)) = (&engine, cluster) else { anyhow::bail!("no server") };
    let before = databases(url).await?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_shixun"));
    command.args(["rehearse", "--teachers", "60", "--engine", "postgres"]).env("SHIXUN_DATABASE_URL", url);
    let mut process = Process::start_into(command, File::create(&output)?)?;
    let own = loop {
        let own: Vec<String> = databases(url).await?.into_iter().filter(|name| !before.contains(name)).collect();
        if let Some(gateway) = own.iter().find(|name| name.starts_with("rehearsal_") && name.ends_with("_gateway")) {
            break gateway.trim_end_matches("gateway").trim_end_matches('_').to_owned();
        }
        process.check()?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    process.terminate()?;
    assert_eq!(process.ended(Duration::from_secs(20)).await?.code(), Some(1));
    let left: Vec<String> = databases(url).await?.into_iter().filter(|name| name.starts_with(&own)).collect();
    assert_eq!(left, Vec::<String>::new());
    Ok(())
}

async fn databases(url: &str) -> anyhow::Result<Vec<String>> {
    use sqlx::{Connection as _, Row as _};
    let mut connection = sqlx::postgres::PgConnection::connect(url).await?;
    let rows = sqlx::query("SELECT datname FROM pg_database").fetch_all(&mut connection).await?;
    connection.close().await?;
    Ok(rows.iter().map(|row| row.try_get("datname")).collect::<Result<_, _>>()?)
}
