//! `kill -9` at random instants of a running term: what was acknowledged is there, and the term ends as if nothing had
//! happened.
//!
//! By hand, for as long as it takes: `SHIXUN_KILLS=1000 SHIXUN_SEED=7 cargo test -p shixun --test process kill -- --nocapture`.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use shixun::{
    progress::Progress,
    rehearse::{EachChange, World, play},
    up::Reach,
};
use tokio::{sync::mpsc, time::Instant};

use crate::child::{Home, Process, number};
use crate::feed::{Changes, changes, differences, verified};

const TEACHERS: u32 = 60;
const COUNTY: u64 = 1;
/// Kills in one run of the term; more are spread over several runs.
const KILLS: usize = 5;

/// The system as the play sees it, its scenes counted: the setting up, then what lies between one move of the clocks and
/// the next.
struct Watched {
    reach: Reach,
    began: Mutex<Vec<Instant>>,
    tell: Option<mpsc::UnboundedSender<usize>>,
}

impl Watched {
    fn next_scene(&self) {
        let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tell) = &self.tell {
            // Once all kills are done nobody listens.
            let _ = tell.send(began.len());
        }
        began.push(Instant::now());
    }
}

#[tonic::async_trait]
impl World for Watched {
    fn gateway(&self) -> String {
        self.reach.gateway()
    }
    async fn now(&self) -> anyhow::Result<i64> {
        self.reach.now().await
    }
    async fn advance(&self, to: i64) -> anyhow::Result<()> {
        self.next_scene();
        World::advance(&self.reach, to).await
    }
    async fn caught_up(&self) -> anyhow::Result<()> {
        self.reach.caught_up().await
    }
    async fn changes(&self, each: &mut EachChange<'_>) -> anyhow::Result<()> {
        // A feed that breaks off is read again from its beginning.
        while self.reach.changes(each).await.is_err() {
            self.reach.status("gateway").await?;
        }
        Ok(())
    }
}

/// What a term came to.
#[derive(PartialEq)]
struct Outcome {
    report: serde_json::Map<String, serde_json::Value>,
    changes: Changes,
}

impl Outcome {
    /// What is not the same in the other one.
    fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        for (key, value) in &self.report {
            if other.report.get(key) != Some(value) {
                found.push(format!("report {key}:\n  {value}\n  {:?}", other.report.get(key)));
            }
        }
        found.extend(differences(&self.changes, &other.changes));
        found
    }
}

/// A kill: in which scene, and how long after its beginning or after the last kill in it.
type Kill = (usize, Duration);

/// Instants drawn evenly from an undisturbed run.
fn draw(scenes: &[Duration], kills: usize, seed: u64) -> Vec<Kill> {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let total: u64 = scenes.iter().map(|scene| scene.as_micros() as u64).sum();
    let mut instants: Vec<u64> = (0..kills).map(|_| rng.random_range(0..total)).collect();
    instants.sort_unstable();
    let (mut scene, mut begins, mut before) = (0, 0, 0);
    let mut drawn = Vec::new();
    for instant in instants {
        while instant >= begins + scenes[scene].as_micros() as u64 {
            begins += scenes[scene].as_micros() as u64;
            before = begins;
            scene += 1;
        }
        drawn.push((scene, Duration::from_micros(instant - before)));
        before = instant;
    }
    drawn
}

/// Kills the process as planned and starts it again at once; gives back the last one.
async fn killer(
    home: &Home,
    mut process: Process,
    plan: Vec<Kill>,
    mut scenes: mpsc::UnboundedReceiver<usize>,
) -> anyhow::Result<Process> {
    let mut now = 0;
    for (scene, after) in plan {
        while now < scene {
            now = scenes.recv().await.unwrap_or(usize::MAX);
        }
        tokio::time::sleep(after).await;
        process.kill()?;
        process = home.launch(&[])?;
    }
    Ok(process)
}

/// Plays the term in a process that is killed as planned. Returns what came of it, and how long each scene was.
async fn run(engine: &str, plan: Vec<Kill>) -> anyhow::Result<(Outcome, Vec<Duration>)> {
    let home = Home::new(engine, TEACHERS, COUNTY).await?;
    let mut process = home.launch(&[])?;
    let reach = home.reach(&mut process).await?;
    let (tell, scenes) = mpsc::unbounded_channel();
    let watched = Watched { reach, began: Mutex::default(), tell: Some(tell) };
    let tries = u32::try_from(plan.len())? + 1;
    let playing = async {
        watched.next_scene();
        home.set_up(&watched.reach, tries).await?;
        play(&watched, &home.county, &home.term, Progress::hidden()).await
    };
    let (report, process) = tokio::join!(playing, killer(&home, process, plan, scenes));
    // If it ended by itself, that is why the play did not go on.
    let mut process = process?;
    let report = report?;
    assert_eq!(report.surprises, Vec::<String>::new());
    let began = watched.began.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let durations = began.windows(2).map(|pair| pair[1] - pair[0]).collect();

    let changes = changes(&watched).await?;
    process.terminate()?;
    assert!(process.ended(Duration::from_secs(10)).await?.success());
    verified(&home.engine, home.folder.path()).await?;
    let serde_json::Value::Object(mut report) = serde_json::to_value(report)? else { anyhow::bail!("no report") };
    report.retain(|key, _| !key.starts_with("duration"));
    Ok((Outcome { report, changes }, durations))
}

#[allow(clippy::print_stdout, reason = "a run that fails can be repeated")]
async fn the_term_goes_on(engine: &str) -> anyhow::Result<()> {
    // The same on either engine; this one takes about half the time.
    let (undisturbed, mut scenes) = run("sqlite", Vec::new()).await?;
    if engine == "postgres" {
        scenes.iter_mut().for_each(|scene| *scene *= 2);
    }
    let mut left = usize::try_from(number("SHIXUN_KILLS")?.unwrap_or(KILLS as u64))?;
    let mut seed = number("SHIXUN_SEED")?.unwrap_or(1);
    while left > 0 {
        let plan = draw(&scenes, left.min(KILLS), seed);
        println!("{engine}, seed {seed}: {plan:?}");
        left -= plan.len();
        let (disturbed, _) = run(engine, plan).await?;
        let differences = undisturbed.differences(&disturbed);
        assert!(differences.is_empty(), "{engine}, seed {seed}:\n{}", differences.join("\n"));
        seed += 1;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_on_sqlite() -> anyhow::Result<()> {
    the_term_goes_on("sqlite").await
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_on_postgres() -> anyhow::Result<()> {
    the_term_goes_on("postgres").await
}
