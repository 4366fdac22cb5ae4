//! A disk that fills: what cannot be stored is refused with that reason and not stored by halves. What is read goes on, but for what
//! must be kept of it (who reads data of others). When there is room again everything goes on.

use std::{
    fs::File,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use load::verify;
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    case::{errand, insist},
    people::{PATIENCE, People},
    stage::Stage,
    table::Act,
};

/// Submissions that may still find room in pages and logs that were there.
const LEFT: usize = 1_000;
/// Refusals that are enough.
const REFUSED: usize = 5;

/// A disk of a test's own: a file system in memory with a bound.
#[derive(Debug)]
pub struct Disk(PathBuf);

impl Disk {
    /// Mounts one with so many MiB at a folder, which is made.
    ///
    /// # Errors
    /// If this machine lets nobody mount.
    pub fn mount(folder: &Path, mebibytes: u32) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m,mode=0777"), "tmpfs"]).arg(folder);
        let done = mount.output().context("run mount")?;
        anyhow::ensure!(done.status.success(), "mount: {}", String::from_utf8_lossy(&done.stderr));
        Ok(Self(folder.to_owned()))
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Leaves no byte free.
    ///
    /// # Errors
    /// If it cannot be written for another reason.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut ballast = File::options().create(true).append(true).open(self.ballast())?;
        // Pages at last, so that nothing is left.
        for size in [1 << 20, 1 << 12] {
            loop {
                match ballast.write(&vec![0; size]) {
                    Ok(1..) => {}
                    Ok(0) => break,
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Makes room again.
    ///
    /// # Errors
    /// If there was nothing to remove.
    pub fn free(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_file(self.ballast())?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that is on its way out may still hold a file.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// What is wrong with a refusal on a full disk.
fn not_as_full(refusal: &Status) -> Option<String> {
    let reason = refusal.get_details_error_info().map(|info| info.reason);
    let full = reason.as_deref() == Some("REASON_STORAGE_FULL");
    let told = refusal.get_details_retry_info().and_then(|info| info.retry_delay).is_some();
    let as_full = full && told && refusal.code() == Code::ResourceExhausted;
    (!as_full).then(|| format!("refused with {reason:?}, {:?} {}", refusal.code(), refusal.message()))
}

/// Fills the disk under the stage's databases, and makes room again; what was not as it should be.
///
/// # Errors
/// If what has nothing to do with the disk fails.
pub async fn play(stage: &mut Stage, disk: &Disk) -> anyhow::Result<Vec<String>> {
    let people = People::of(stage)?;
    let mut acknowledged = Vec::new();
    let mut taken = errand(stage)?;
    taken.name = people.submit(&taken, PATIENCE).await.context("selecting before")?;
    acknowledged.push(taken.name.clone());
    let ready = people.ready(errand(stage)?, taken, false).await?;
    if let Some(cluster) = stage.world.databases().cluster("enrollment") {
        // A log whose file has room for what comes: one that finds none for the next ends the server.
        let log = ["SELECT pg_switch_wal()", "SELECT pg_logical_emit_message(true, 'faults', '')", "CHECKPOINT"];
        tokio::task::block_in_place(|| log.into_iter().try_for_each(|sql| cluster.sql(sql).map(drop)))?;
    }

    tokio::task::block_in_place(|| disk.fill())?;
    let (mut faults, mut owed) = (Vec::new(), Vec::new());
    for _ in 0..LEFT {
        let errand = errand(stage)?;
        match people.submit(&errand, PATIENCE).await {
            Ok(name) => acknowledged.push(name),
            Err(refusal) => {
                faults.extend(not_as_full(&refusal));
                owed.push(errand);
            }
        }
        if owed.len() >= REFUSED {
            break;
        }
    }
    if owed.is_empty() {
        faults.push("the disk is full, and nothing was refused".to_owned());
    }
    match people.act(Act::Review, &ready, PATIENCE).await.0.refusal {
        Some(refusal) => faults.extend(not_as_full(&refusal)),
        None => faults.push("a school reads of its teachers, and it is kept nowhere".to_owned()),
    }
    for act in [Act::Menu, Act::Statement, Act::Today] {
        if let Some(refusal) = people.act(act, &ready, PATIENCE).await.0.refusal {
            faults.push(format!("{act:?} on a full disk: {:?} {}", refusal.code(), refusal.message()));
        }
    }

    disk.free()?;
    let began = Instant::now();
    for errand in &owed {
        acknowledged.push(insist(|| people.submit(errand, PATIENCE), began).await.context("selecting at last")?);
    }
    stage.world.reach()?.catch_up().await?;
    let found = verify::verify(&stage.world, &acknowledged).await?;
    // What was refused left nothing behind.
    if found.selections != acknowledged.len() {
        faults.push(format!("{} selections, and {} acknowledged", found.selections, acknowledged.len()));
    }
    faults.extend(found.faults);
    Ok(faults)
}
