//! The calendar document: TOML, its days inclusive in the term's zone, so that a window closes at the next midnight.

use std::collections::BTreeSet;

use jiff::{civil::Date, tz::TimeZone};
use proto::common::v1::{Phase, Precondition, Role, Window, precondition::Condition};

use super::{Edge, Fault, contact, mark, marked, waits_for};

/// Keys of a `[[window]]`.
const KEYS: [&str; 7] = ["id", "phase", "round", "first_day", "last_day", "owners", "organizations"];
/// More windows are a mistake, and would make as many steps.
const MOST_WINDOWS: usize = 500;
/// As many rounds as any term may have.
const MOST_ROUNDS: i32 = 9;

/// A calendar as its document says it.
#[derive(Debug, Clone, PartialEq)]
pub struct Calendar {
    /// IANA zone.
    pub zone: TimeZone,
    /// Its name.
    pub zone_name: String,
    /// In the order of the document.
    pub days: Vec<Day>,
    /// Phase and round of the ordinary windows that are there, but could not be read: they are not missing.
    pub half_read: Vec<(Phase, i32)>,
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

/// Reads a document.
///
/// # Errors
/// Every fault of form at once.
pub fn parse(document: &str) -> Result<Calendar, Vec<Fault>> {
    let (calendar, faults) = survey(document);
    if faults.is_empty() { Ok(calendar) } else { Err(faults) }
}

/// What of a document can be read, and every fault of form.
#[must_use]
pub fn survey(document: &str) -> (Calendar, Vec<Fault>) {
    let mut faults = Vec::new();
    let table = document.parse::<toml::Table>().unwrap_or_else(|error| {
        let (zh, en) = (format!("不是 TOML：{}", error.message()), format!("is no TOML: {}", error.message()));
        faults.push(Fault::new("document", zh, en));
        toml::Table::new()
    });
    let mut calendar =
        Calendar { zone: TimeZone::UTC, zone_name: String::new(), days: Vec::new(), half_read: Vec::new() };
    if !faults.is_empty() {
        return (calendar, faults);
    }
    for key in table.keys().filter(|key| !["zone", "window", "contact"].contains(&key.as_str())) {
        let en = "unknown; there are zone, [[window]] and [[contact]]";
        faults.push(Fault::new(key, "未知的键；可用 zone、[[window]] 与 [[contact]]", en));
    }
    contact::read(&table, &mut faults);
    calendar.zone_name = table.get("zone").and_then(toml::Value::as_str).unwrap_or_default().to_owned();
    match TimeZone::get(&calendar.zone_name) {
        Ok(zone) => calendar.zone = zone,
        Err(_) => {
            let en = "must be an IANA zone, e.g. Asia/Shanghai";
            faults.push(Fault::new("zone", "须为 IANA 时区，如 Asia/Shanghai", en));
        }
    }
    let entries = table.get("window").and_then(toml::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if entries.is_empty() || entries.len() > MOST_WINDOWS {
        let en = format!("there must be 1 to {MOST_WINDOWS} [[window]]");
        faults.push(Fault::new("window", format!("须有 1–{MOST_WINDOWS} 个 [[window]]"), en));
    }
    for (index, entry) in entries.iter().take(MOST_WINDOWS).enumerate() {
        match entry.as_table() {
            Some(table) => match (Entry { index, table, faults: &mut faults }).day() {
                Ok(day) => calendar.days.push(day),
                Err(half_read) => calendar.half_read.extend(half_read),
            },
            None => {
                faults.push(Fault::new(format!("window[{index}]"), "须为 [[window]] 表", "must be a [[window]] table"))
            }
        }
    }
    (calendar, faults)
}

/// One `[[window]]` while it is read: every fault of it is noted, so that all are told at once.
struct Entry<'a> {
    index: usize,
    table: &'a toml::Table,
    faults: &'a mut Vec<Fault>,
}

impl Entry<'_> {
    fn fault(&mut self, key: &str, zh: impl Into<String>, en: impl Into<String>) {
        self.faults.push(Fault::new(format!("window[{}].{key}", self.index), zh, en));
    }

    /// # Errors
    /// Of a window with faults, the phase and round where it is an ordinary one that names its phase.
    fn day(mut self) -> Result<Day, Option<(Phase, i32)>> {
        let before = self.faults.len();
        let unknown: Vec<_> = self.table.keys().filter(|key| !KEYS.contains(&key.as_str())).cloned().collect();
        for key in unknown {
            self.fault(
                &key,
                format!("未知的键；可用 {}", KEYS.join("、")),
                format!("unknown; there are {}", KEYS.join(", ")),
            );
        }
        let (id, phase, round) = (self.id(), self.phase(), self.round());
        let (first, last) = (self.date("first_day"), self.date("last_day"));
        let (owners, organizations) = (self.owners(), self.organizations());
        let (true, Some(id), Some(phase), Some(first), Some(last)) =
            (self.faults.len() == before, id, phase, first, last)
        else {
            return Err(phase.filter(|_| !self.table.contains_key("organizations")).map(|phase| (phase, round)));
        };
        Ok(Day { index: self.index, id, phase, round, first, last, owners, organizations })
    }

    fn text(&mut self, key: &str) -> Option<String> {
        let text = self.table.get(key).and_then(toml::Value::as_str).map(str::to_owned);
        if text.is_none() {
            self.fault(key, "必填，须为文字", "required: a text");
        }
        text
    }

    fn texts(&mut self, key: &str) -> Vec<String> {
        let texts = match self.table.get(key) {
            None => return Vec::new(),
            Some(value) => value.clone().try_into::<Vec<String>>(),
        };
        texts.unwrap_or_else(|_| {
            self.fault(key, "须为文字列表", "must be a list of texts");
            Vec::new()
        })
    }

    fn id(&mut self) -> Option<String> {
        let id = self.text("id")?;
        let named = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if id.is_empty() || id.len() > 48 || !id.bytes().all(named) {
            self.fault("id", "须为 1–48 个小写字母、数字或 -", "must be 1 to 48 of a–z, 0–9 and -");
        } else if marked(&id).is_some() {
            self.fault("id", "不得以 -done 或 -ready 结尾", "must not end in -done or -ready");
        }
        Some(id)
    }

    fn phase(&mut self) -> Option<Phase> {
        let text = self.text("phase")?;
        let phase = Phase::from_str_name(&format!("PHASE_{text}"));
        let phase = phase.filter(|phase| !matches!(phase, Phase::Unspecified | Phase::Any));
        if phase.is_none() {
            self.fault("phase", format!("没有阶段 {text}"), format!("{text} is no phase of a calendar"));
        }
        phase
    }

    fn round(&mut self) -> i32 {
        let Some(value) = self.table.get("round") else { return 0 };
        let round = value.as_integer().and_then(|round| i32::try_from(round).ok()).unwrap_or(-1);
        if (1..=MOST_ROUNDS).contains(&round) {
            return round;
        }
        let en = format!("must be a number from 1 to {MOST_ROUNDS}; leave it out where the phase has no rounds");
        self.fault("round", format!("须为 1–{MOST_ROUNDS}；没有轮次的阶段不写"), en);
        0
    }

    fn date(&mut self, key: &str) -> Option<Date> {
        let text = self.table.get(key).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        // A day and nothing more: what has an hour is no day.
        let date = text.as_deref().and_then(|text| text.parse::<Date>().ok().filter(|date| date.to_string() == text));
        if date.is_none() {
            self.fault(key, "必填，须为日期，如 2019-08-26", "required: a day, e.g. 2019-08-26");
        }
        date
    }

    fn owners(&mut self) -> Vec<Role> {
        let mut owners = Vec::new();
        for owner in self.texts("owners") {
            match Role::from_str_name(&format!("ROLE_{owner}")) {
                Some(role) if !matches!(role, Role::Unspecified | Role::Service) => owners.push(role),
                _ => self.fault("owners", format!("没有角色 {owner}"), format!("{owner} is no role of a person")),
            }
        }
        owners
    }

    fn organizations(&mut self) -> Vec<String> {
        let organizations = self.texts("organizations");
        for organization in &organizations {
            if organization.strip_prefix("organizations/").is_none_or(str::is_empty) {
                let en = format!("{organization}: must be organizations/…");
                self.fault("organizations", format!("{organization}：须为 organizations/…"), en);
            }
        }
        organizations
    }
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
        }
        // A mark allows nothing; it is there to be settled. Only what is waited for leaves one.
        let waited_for: BTreeSet<(&str, Edge)> = windows.iter().flat_map(waits_for).collect();
        let marks: Vec<Window> = windows
            .iter()
            .flat_map(|window| [(window, Edge::Opens, window.opens), (window, Edge::Closes, window.closes)])
            .filter(|(window, edge, _)| waited_for.contains(&(window.id.as_str(), *edge)))
            .map(|(window, edge, at)| Window { id: mark(&window.id, edge), opens: at, closes: at, ..Window::default() })
            .collect();
        windows.extend(marks);
        if faults.is_empty() { Ok(windows) } else { Err(faults) }
    }

    /// What a window waits for, whatever the hour: a round may open late, never wrong. A selection, also a supplementary one,
    /// waits until its round's opening has fixed what it is ranked by.
    fn preconditions(&self, day: &Day) -> Vec<Precondition> {
        use Edge::{Closes, Opens};
        let edges: Vec<(Phase, i32, Edge)> = match (day.phase, day.round) {
            (Phase::Selection, round) if day.is_supplementary() => vec![(Phase::Selection, round, Opens)],
            _ if day.is_supplementary() => Vec::new(),
            (Phase::Selection, 1) => vec![(Phase::Publication, 0, Closes), (Phase::Selection, 1, Opens)],
            (Phase::Selection, round) => {
                vec![(Phase::ProviderConfirmation, round - 1, Closes), (Phase::Selection, round, Opens)]
            }
            (Phase::ProviderConfirmation, 1) => {
                vec![(Phase::SchoolReview, 1, Closes), (Phase::ExpansionDecision, 0, Closes)]
            }
            (Phase::ProviderConfirmation, round) => vec![(Phase::SchoolReview, round, Closes)],
            _ => Vec::new(),
        };
        edges
            .into_iter()
            .filter_map(|(phase, round, edge)| Some(mark(&self.ordinary(phase, round)?.id, edge)))
            .map(|mark| Precondition { condition: Some(Condition::SettledWindow(mark)) })
            .collect()
    }

    /// The ordinary window of a phase and round.
    #[must_use]
    pub fn ordinary(&self, phase: Phase, round: i32) -> Option<&Day> {
        self.days.iter().find(|day| day.phase == phase && day.round == round && !day.is_supplementary())
    }

    /// Whether there is an ordinary window of a phase and round, readable or not.
    #[must_use]
    pub fn has(&self, phase: Phase, round: i32) -> bool {
        self.ordinary(phase, round).is_some() || self.half_read.contains(&(phase, round))
    }

    /// The rounds that it has, from 1.
    #[must_use]
    pub fn rounds(&self) -> i32 {
        let half_read = self.half_read.iter().map(|(_, round)| *round);
        self.days.iter().map(|day| day.round).chain(half_read).max().unwrap_or_default()
    }
}
