//! What processes cost: CPU time and memory, as the kernel counts them in /proc.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context as _;

/// Clock ticks of /proc a second: the kernel's USER_HZ, the same on every Linux.
const TICKS: f64 = 100.0;

/// Processes whose CPU time is told apart.
#[derive(Debug, Clone, Default)]
pub struct Meter(Vec<(String, u32)>);

/// CPU seconds by name.
pub type Seconds = BTreeMap<String, f64>;

impl Meter {
    /// Counts this process as the client.
    #[must_use]
    pub fn new() -> Self {
        Self(vec![("client".to_owned(), std::process::id())])
    }

    /// Counts another one as well, with its children.
    pub fn add(&mut self, name: &str, process: u32) {
        self.0.push((name.to_owned(), process));
    }

    /// CPU seconds of each so far. The client's children are not its own: they are named themselves.
    ///
    /// # Errors
    /// If a process has gone.
    pub fn read(&self) -> anyhow::Result<Seconds> {
        let mut seconds = Seconds::new();
        for (name, process) in &self.0 {
            let own = Stat::of(*process).with_context(|| format!("{name} has gone"))?;
            let spent = if *process == std::process::id() { own.spent } else { own.with_ended + family(*process)? };
            *seconds.entry(name.clone()).or_default() += spent / TICKS;
        }
        Ok(seconds)
    }
}

/// What was spent between two readings.
#[must_use]
pub fn between(before: &Seconds, after: &Seconds) -> Seconds {
    after.iter().map(|(name, spent)| (name.clone(), spent - before.get(name).unwrap_or(&0.0))).collect()
}

/// CPU seconds of this process's children that have ended: what a pgbench cost.
///
/// # Errors
/// If /proc cannot be read.
pub fn of_ended_children() -> anyhow::Result<f64> {
    let own = Stat::of(std::process::id())?;
    Ok((own.with_ended - own.spent) / TICKS)
}

/// Resident memory of a process, in bytes.
///
/// # Errors
/// If it has gone.
pub fn memory(process: u32) -> anyhow::Result<u64> {
    status(process, "VmRSS:")
}

/// The most resident memory that a process has had, in bytes.
///
/// # Errors
/// If it has gone.
pub fn peak_memory(process: u32) -> anyhow::Result<u64> {
    status(process, "VmHWM:")
}

fn status(process: u32, key: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)).with_context(|| format!("no {key}"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

struct Stat {
    parent: u32,
    /// Ticks of the process alone.
    spent: f64,
    /// And of those of its children that have ended and were waited for.
    with_ended: f64,
}

impl Stat {
    fn of(process: u32) -> anyhow::Result<Self> {
        Self::read(&Path::new("/proc").join(process.to_string()).join("stat"))
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path)?;
        // The name, in parentheses, may hold anything; fields are counted from behind it: 3 is the first.
        let (_, fields) = text.rsplit_once(") ").context("no name in stat")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let number =
            |field: usize| -> anyhow::Result<f64> { Ok(fields.get(field - 3).context("a short stat")?.parse()?) };
        let spent = number(14)? + number(15)?;
        Ok(Self { parent: number(4)? as u32, spent, with_ended: spent + number(16)? + number(17)? })
    }
}

/// Ticks of the living children.
fn family(parent: u32) -> anyhow::Result<f64> {
    let mut ticks = 0.0;
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let is_process =
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.parse::<u32>().is_ok());
        if !is_process {
            continue;
        }
        // One may end while the others are read.
        if let Ok(stat) = Stat::read(&path.join("stat"))
            && stat.parent == parent
        {
            ticks += stat.with_ended;
        }
    }
    Ok(ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted() {
        let meter = Meter::new();
        let before = meter.read().unwrap();
        let began = std::time::Instant::now();
        let mut sum = 0_u64;
        while began.elapsed().as_millis() < 200 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        let spent = between(&before, &meter.read().unwrap())["client"];
        assert!((0.02..2.0).contains(&spent), "{spent} s for 0.2 s of work");
        assert!(memory(std::process::id()).unwrap() > 1 << 20);
    }
}
