//! What a case found, for people and as JSON.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use hdrhistogram::Histogram;
use serde_json::json;

use crate::{cpu::Seconds, database::Engine};

/// What the ratio has to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// More is better.
    AtLeast(f64),
    /// Less is better.
    AtMost(f64),
}

impl Goal {
    /// Whether a ratio meets it.
    #[must_use]
    pub fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(bound) => ratio >= bound,
            Self::AtMost(bound) => ratio <= bound,
        }
    }

    const fn bound(self) -> f64 {
        match self {
            Self::AtLeast(bound) | Self::AtMost(bound) => bound,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(bound) => format!("≥ {bound}"),
            Self::AtMost(bound) => format!("≤ {bound}"),
        }
    }
}

/// Latencies of ours.
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    /// Half of the answers came within.
    pub p50: Duration,
    /// 99 of 100.
    pub p99: Duration,
    /// 999 of 1000.
    pub p999: Duration,
}

impl From<&Histogram<u64>> for Latency {
    fn from(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| Duration::from_micros(histogram.value_at_quantile(quantile));
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999) }
    }
}

/// One pair of runs, the peer's and ours.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The peer's figure.
    pub peer: f64,
    /// Our figure.
    pub ours: f64,
    /// What each process of ours cost.
    pub cpu: Seconds,
    /// What the peer cost: pgbench and the server.
    pub peer_cpu: Seconds,
}

impl Pair {
    /// Figures whose CPU time tells nothing.
    #[must_use]
    pub fn of(peer: f64, ours: f64) -> Self {
        Self { peer, ours, cpu: Seconds::new(), peer_cpu: Seconds::new() }
    }
}

/// What a case found.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The case's name.
    pub case: String,
    /// The engine it ran on.
    pub engine: &'static str,
    /// What the figures count, e.g. "1/s".
    pub unit: &'static str,
    /// The runs, in turn.
    pub pairs: Vec<Pair>,
    /// Of all runs of ours.
    pub latency: Option<Latency>,
    /// What the ratio has to be.
    pub goal: Goal,
    /// What the independent reader counted, e.g. "36000 of 36000 kept".
    pub counted: String,
    /// What the independent reader found wrong.
    pub faults: Vec<String>,
    /// How the peer was set, and whatever else is to be known.
    pub notes: Vec<String>,
}

impl Outcome {
    /// Nothing found yet.
    #[must_use]
    pub fn of(case: impl Into<String>, engine: Engine, unit: &'static str, goal: Goal) -> Self {
        Self {
            case: case.into(),
            engine: engine.name(),
            unit,
            pairs: Vec::new(),
            latency: None,
            goal,
            counted: "—".to_owned(),
            faults: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Ours to the peer's, from the least to the greatest.
    #[must_use]
    pub fn ratios(&self) -> Vec<f64> {
        sorted(self.pairs.iter().map(|pair| pair.ours / pair.peer))
    }

    /// The middle ratio.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        median(&self.ratios())
    }

    /// Whether the goal is met, by correct work.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.is_correct() && self.goal.is_met(self.ratio())
    }

    /// Whether the independent reader found nothing wrong.
    #[must_use]
    pub const fn is_correct(&self) -> bool {
        self.faults.is_empty()
    }

    fn peer(&self) -> f64 {
        median(&sorted(self.pairs.iter().map(|pair| pair.peer)))
    }

    fn ours(&self) -> f64 {
        median(&sorted(self.pairs.iter().map(|pair| pair.ours)))
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "case": self.case,
            "engine": self.engine,
            "unit": self.unit,
            "peer": self.peer(),
            "ours": self.ours(),
            "ratios": self.ratios(),
            "ratio_median": self.ratio(),
            "goal": self.goal.bound(),
            "met": self.is_met(),
            "correct": self.is_correct(),
            "faults": self.faults,
        })
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The middle of sorted values; of an even number, the mean of the two.
fn median(sorted: &[f64]) -> f64 {
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { at(middle) } else { f64::midpoint(at(middle.wrapping_sub(1)), at(middle)) }
}

/// The columns of a table of outcomes.
pub const COLUMNS: [&str; 12] =
    ["case", "engine", "peer", "ours", "unit", "ratio (min – max)", "goal", "met", "p50", "p99", "p99.9", "correct"];

/// An outcome as a table's row.
#[must_use]
pub fn row(outcome: &Outcome) -> [String; COLUMNS.len()] {
    let ratios = outcome.ratios();
    let (least, most) = (ratios.first().copied().unwrap_or(f64::NAN), ratios.last().copied().unwrap_or(f64::NAN));
    let latency = |of: fn(&Latency) -> Duration| {
        outcome.latency.as_ref().map_or_else(|| "—".to_owned(), |latency| millis(of(latency)))
    };
    [
        outcome.case.clone(),
        outcome.engine.to_owned(),
        figure(outcome.peer()),
        figure(outcome.ours()),
        outcome.unit.to_owned(),
        format!("{} ({} – {})", figure(outcome.ratio()), figure(least), figure(most)),
        outcome.goal.text(),
        if outcome.is_met() { "yes" } else { "no" }.to_owned(),
        latency(|latency| latency.p50),
        latency(|latency| latency.p99),
        latency(|latency| latency.p999),
        if outcome.is_correct() { outcome.counted.clone() } else { format!("{} faults", outcome.faults.len()) },
    ]
}

/// The table of all outcomes.
#[must_use]
pub fn table(outcomes: &[Outcome]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(COLUMNS);
    for outcome in outcomes {
        table.add_row(row(outcome));
    }
    for column in [2, 3, 5, 8, 9, 10] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

/// What lies beside the table: CPU seconds of each run, and notes.
#[must_use]
pub fn details(outcome: &Outcome) -> String {
    let mut lines = Vec::new();
    for (n, pair) in (1..).zip(&outcome.pairs) {
        let cpu = |seconds: &Seconds| {
            seconds.iter().map(|(name, spent)| format!("{name} {spent:.2}")).collect::<Vec<_>>().join(", ")
        };
        lines.push(format!(
            "  run {n}: peer {} ({}), ours {} ({}), ratio {}",
            figure(pair.peer),
            cpu(&pair.peer_cpu),
            figure(pair.ours),
            cpu(&pair.cpu),
            figure(pair.ours / pair.peer),
        ));
    }
    lines.extend(outcome.faults.iter().map(|fault| format!("  FAULT: {fault}")));
    lines.extend(outcome.notes.iter().map(|note| format!("  {note}")));
    lines.join("\n")
}

fn millis(duration: Duration) -> String {
    format!("{} ms", figure(duration.as_secs_f64() * 1e3))
}

/// Three or four digits that count.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Writes the outcomes as JSON.
///
/// # Errors
/// If the file cannot be written.
pub fn write_json(path: &Path, outcomes: &[Outcome]) -> anyhow::Result<()> {
    let all: Vec<_> = outcomes.iter().map(Outcome::json).collect();
    let text = serde_json::to_string_pretty(&all)?;
    std::fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_goals() {
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
        assert!(Goal::AtLeast(10.0).is_met(10.0) && !Goal::AtLeast(10.0).is_met(9.99));
        assert!(Goal::AtMost(5.0).is_met(5.0) && !Goal::AtMost(5.0).is_met(5.01));
    }
}
