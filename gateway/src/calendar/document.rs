//! The calendar document: TOML, its days inclusive in the term's zone, so that a window closes at the next midnight.

use jiff::{civil::Date, tz::TimeZone};
use proto::common::v1::{Phase, Precondition, Role, Window, precondition::Condition};
use serde::Deserialize;

use super::{Fault, done_mark};

/// A calendar as its document says it.
#[derive(Debug, Clone, PartialEq)]
pub struct Calendar {
    /// IANA zone.
    pub zone: TimeZone,
    /// Its name.
    pub zone_name: String,
    /// In the order of the document.
    pub days: Vec<Day>,
}

/// A window in days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// Place in the document, from 0.
    pub index: usize,
    /// Unique in the term.
    pub id: String,
    /// What it allows.
    pub phase: Phase,
    /// 1, 2, …; 0 for a phase without rounds.
    pub round: i32,
    /// It opens at midnight before this day.
    pub first: Date,
    /// Inclusive: it closes at midnight after this day.
    pub last: Date,
    /// Who must see it done.
    pub owners: Vec<Role>,
    /// Not empty: supplementary, for these organisations only.
    pub organizations: Vec<String>,
}

impl Day {
    /// Whether it is for named organisations only.
    #[must_use]
    pub fn is_supplementary(&self) -> bool {
        !self.organizations.is_empty()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    phase: String,
    #[serde(default)]
    round: i32,
    first_day: toml::Value,
    last_day: toml::Value,
    #[serde(default)]
    owners: Vec<String>,
    #[serde(default)]
    organizations: Vec<String>,
}

/// Reads a document.
///
/// # Errors
/// Every fault of form at once.
pub fn parse(document: &str) -> Result<Calendar, Vec<Fault>> {
    let table: toml::Table = document.parse().map_err(|error: toml::de::Error| {
        vec![Fault::new("document", format!("不是 TOML：{}", error.message()), error.message())]
    })?;
    let mut faults = Vec::new();
    for key in table.keys().filter(|key| !["zone", "window"].contains(&key.as_str())) {
        faults.push(Fault::new(key, "未知的键；可用 zone 与 [[window]]", "unknown; there are zone and [[window]]"));
    }
    let zone_name = table.get("zone").and_then(toml::Value::as_str).unwrap_or_default().to_owned();
    let zone = TimeZone::get(&zone_name).ok();
    if zone.is_none() {
        faults.push(Fault::new("zone", "须为 IANA 时区，如 Asia/Shanghai", "must be an IANA zone, e.g. Asia/Shanghai"));
    }
    let entries = table.get("window").and_then(toml::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if entries.is_empty() {
        faults.push(Fault::new("window", "至少一个 [[window]]", "at least one [[window]]"));
    }
    let mut days = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        match entry.clone().try_into::<Entry>() {
            Ok(entry) => days.extend(day(index, entry, &mut faults)),
            Err(error) => {
                faults.push(Fault::new(
                    format!("window[{index}]"),
                    format!("无法读取：{}", error.message()),
                    error.message(),
                ));
            }
        }
    }
    match zone {
        Some(zone) if faults.is_empty() => Ok(Calendar { zone, zone_name, days }),
        _ => Err(faults),
    }
}

fn day(index: usize, entry: Entry, faults: &mut Vec<Fault>) -> Option<Day> {
    let at = |key: &str| format!("window[{index}].{key}");
    let before = faults.len();
    let phase = Phase::from_str_name(&format!("PHASE_{}", entry.phase))
        .filter(|phase| !matches!(phase, Phase::Unspecified | Phase::Any));
    if phase.is_none() {
        let en = format!("{} is no phase of a calendar", entry.phase);
        faults.push(Fault::new(at("phase"), format!("没有阶段 {}", entry.phase), en));
    }
    let named = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if entry.id.is_empty() || entry.id.len() > 48 || !entry.id.bytes().all(named) {
        faults.push(Fault::new(at("id"), "须为 1–48 个小写字母、数字或 -", "must be 1 to 48 of a–z, 0–9 and -"));
    }
    let mut owners = Vec::new();
    for owner in &entry.owners {
        match Role::from_str_name(&format!("ROLE_{owner}")) {
            Some(role) if !matches!(role, Role::Unspecified | Role::Service) => owners.push(role),
            _ => faults.push(Fault::new(at("owners"), format!("没有角色 {owner}"), format!("{owner} is no role"))),
        }
    }
    for organization in &entry.organizations {
        if !organization.starts_with("organizations/") {
            faults.push(Fault::new(at("organizations"), "须为 organizations/…", "must be organizations/…"));
        }
    }
    let mut date = |key: &str, value: &toml::Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let parsed = text.parse::<Date>().ok();
        if parsed.is_none() {
            faults.push(Fault::new(at(key), "须为日期，如 2019-08-26", "must be a day, e.g. 2019-08-26"));
        }
        parsed
    };
    let (first, last) = (date("first_day", &entry.first_day), date("last_day", &entry.last_day));
    if faults.len() > before {
        return None;
    }
    Some(Day {
        index,
        id: entry.id,
        phase: phase?,
        round: entry.round,
        first: first?,
        last: last?,
        owners,
        organizations: entry.organizations,
    })
}

impl Calendar {
    /// The windows as services obey them, with what each waits for, and the marks that closings leave.
    ///
    /// # Errors
    /// A fault for each day whose midnight lies outside the range of instants.
    pub fn windows(&self) -> Result<Vec<Window>, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut windows = Vec::new();
        for day in &self.days {
            let midnight = |date: Date| {
                let zoned = date.to_zoned_datetime(self.zone.clone()).ok()?;
                Some(proto::timestamp(zoned.timestamp().as_microsecond()))
            };
            let (opens, closes) = (midnight(day.first), day.last.tomorrow().ok().and_then(midnight));
            if opens.is_none() || closes.is_none() {
                faults.push(Fault::new(format!("window[{}]", day.index), "日期超出范围", "a day is out of range"));
            }
            windows.push(Window {
                id: day.id.clone(),
                phase: day.phase.into(),
                round: day.round,
                opens,
                closes,
                owners: day.owners.iter().map(|role| (*role).into()).collect(),
                organizations: day.organizations.clone(),
                preconditions: self.preconditions(day),
            });
            // Allows nothing; it is there to be settled.
            windows.push(Window { id: done_mark(&day.id), opens: closes, closes, ..Window::default() });
        }
        if faults.is_empty() { Ok(windows) } else { Err(faults) }
    }

    /// What a window waits for, whatever the hour: a round may open late, never wrong.
    fn preconditions(&self, day: &Day) -> Vec<Precondition> {
        if day.is_supplementary() {
            return Vec::new();
        }
        let waits_for: Vec<(Phase, i32)> = match (day.phase, day.round) {
            (Phase::Selection, 1) => vec![(Phase::Publication, 0)],
            (Phase::Selection, round) => vec![(Phase::ProviderConfirmation, round - 1)],
            (Phase::ProviderConfirmation, 1) => vec![(Phase::SchoolReview, 1), (Phase::ExpansionDecision, 0)],
            (Phase::ProviderConfirmation, round) => vec![(Phase::SchoolReview, round)],
            _ => Vec::new(),
        };
        waits_for
            .into_iter()
            .filter_map(|(phase, round)| self.ordinary(phase, round))
            .map(|earlier| Precondition { condition: Some(Condition::SettledWindow(done_mark(&earlier.id))) })
            .collect()
    }

    /// The ordinary window of a phase and round.
    #[must_use]
    pub fn ordinary(&self, phase: Phase, round: i32) -> Option<&Day> {
        self.days.iter().find(|day| day.phase == phase && day.round == round && !day.is_supplementary())
    }

    /// The rounds that it has, from 1.
    #[must_use]
    pub fn rounds(&self) -> i32 {
        self.days.iter().map(|day| day.round).max().unwrap_or_default()
    }
}
