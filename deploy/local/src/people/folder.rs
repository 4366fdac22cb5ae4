//! A term's folder: calendar, policy, and whom the rehearsal invents.

use std::path::Path;

use anyhow::{Context as _, bail};
use jiff::{civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::check;
use super::settings::{ProjectSettings, RosterSettings};

/// The four documents of a term, as they stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Documents {
    /// `calendar.toml`
    pub calendar: String,
    /// `policy.toml`
    pub policy: String,
    /// `roster.toml`
    pub roster: String,
    /// `projects.toml`
    pub projects: String,
}

impl Documents {
    /// Those of the sample term, built into the program.
    fn sample() -> Self {
        Self {
            calendar: include_str!("../../terms/2019-autumn/calendar.toml").to_owned(),
            policy: include_str!("../../terms/2019-autumn/policy.toml").to_owned(),
            roster: include_str!("../../terms/2019-autumn/roster.toml").to_owned(),
            projects: include_str!("../../terms/2019-autumn/projects.toml").to_owned(),
        }
    }

    /// SHA-256 of the four, in hex.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for document in [&self.calendar, &self.policy, &self.roster, &self.projects] {
            hash.update(document.len().to_be_bytes());
            hash.update(document);
        }
        hex::encode(hash.finalize())
    }
}

/// A term, as its documents have it.
#[derive(Debug, Clone)]
pub struct TermFolder {
    /// The term's id, the folder's name: "2019-autumn".
    pub id: String,
    /// What all of this was read from.
    pub documents: Documents,
    /// `calendar.toml` as it stands: the gateway reads it.
    pub calendar: String,
    /// `policy.toml` as it stands: the services read it.
    pub policy: String,
    /// The calendar's zone.
    pub zone: TimeZone,
    /// The first day of the earliest window: the roster of the sample is as of this day.
    pub first_day: Date,
    /// `roster.toml`
    pub roster: RosterSettings,
    /// `projects.toml`
    pub projects: ProjectSettings,
}

impl TermFolder {
    /// The sample term, built into the program.
    ///
    /// # Errors
    /// The faults of the documents.
    pub fn sample() -> anyhow::Result<Self> {
        Self::of("2019-autumn", Documents::sample())
    }

    /// A user's own term.
    ///
    /// # Errors
    /// The documents that are missing; every fault of the four, with its place and remedy.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let folder = std::path::absolute(folder)?;
        let id = folder
            .file_name()
            .and_then(|name| name.to_str())
            .context("the term's folder has no name to take as its id")?;
        let mut missing = Vec::new();
        let mut document = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).unwrap_or_else(|error| {
                missing.push(format!("{}: {error}", path.display()));
                String::new()
            })
        };
        let documents = Documents {
            calendar: document("calendar.toml"),
            policy: document("policy.toml"),
            roster: document("roster.toml"),
            projects: document("projects.toml"),
        };
        if !missing.is_empty() {
            bail!("缺少学期文件 / documents of the term cannot be read:\n  {}", missing.join("\n  "));
        }
        Self::of(id, documents)
    }

    /// A term of these documents.
    ///
    /// # Errors
    /// Every fault of the four, with its place and remedy.
    pub fn of(id: &str, documents: Documents) -> anyhow::Result<Self> {
        let mut faults = Vec::new();
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if id.is_empty() || id.len() > 40 || !id.bytes().all(plain) {
            faults.push(format!(
                "{id}: 文件夹名即学期编号，须为 1–40 个小写字母、数字或 - / the folder's name is the term's id: 1 to 40 of a–z, \
                 0–9 and -"
            ));
        }
        let calendar = check::calendar(&documents.calendar, &mut faults);
        check::policy(&documents.policy, &mut faults);
        let sample = Documents::sample();
        let roster: Option<RosterSettings> =
            check::settings("roster.toml", &documents.roster, &sample.roster, &mut faults);
        let projects: Option<ProjectSettings> =
            check::settings("projects.toml", &documents.projects, &sample.projects, &mut faults);
        let told =
            |name: &'static str, found: Vec<String>| found.into_iter().map(move |fault| format!("{name}: {fault}"));
        faults.extend(told("roster.toml", roster.as_ref().map(RosterSettings::faults).unwrap_or_default()));
        faults.extend(told("projects.toml", projects.as_ref().map(ProjectSettings::faults).unwrap_or_default()));
        let (Some(read), Some(roster), Some(projects), true) = (calendar, roster, projects, faults.is_empty()) else {
            bail!(
                "学期文件有 {0} 处错误，请改正 / the documents of the term have {0} faults; put them right:\n  {1}",
                faults.len(),
                faults.join("\n  ")
            );
        };
        Ok(Self {
            id: id.to_owned(),
            calendar: documents.calendar.clone(),
            policy: documents.policy.clone(),
            first_day: read.days.iter().map(|day| day.first).min().context("calendar.toml: no [[window]]")?,
            zone: read.zone,
            documents,
            roster,
            projects,
        })
    }

    /// The term's resource name: "terms/…".
    #[must_use]
    pub fn name(&self) -> String {
        format!("terms/{}", self.id)
    }
}
