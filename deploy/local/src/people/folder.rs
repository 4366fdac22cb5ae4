//! A term's folder: calendar, policy, and whom the rehearsal invents.

use std::path::Path;

use anyhow::Context as _;
use jiff::{civil::Date, tz::TimeZone};
use sha2::{Digest as _, Sha256};

use super::settings::{ProjectSettings, RosterSettings};

/// The four documents of a term.
#[derive(Debug, Clone)]
pub struct TermFolder {
    /// The term's id, the folder's name: "2019-autumn".
    pub id: String,
    /// SHA-256 of the four, in hex.
    pub digest: String,
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
    /// A fault of the documents.
    pub fn sample() -> anyhow::Result<Self> {
        Self::of(
            "2019-autumn",
            include_str!("../../terms/2019-autumn/calendar.toml"),
            include_str!("../../terms/2019-autumn/policy.toml"),
            include_str!("../../terms/2019-autumn/roster.toml"),
            include_str!("../../terms/2019-autumn/projects.toml"),
        )
    }

    /// A user's own term.
    ///
    /// # Errors
    /// A document that is missing or has a fault, with its name and place.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let document = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let folder = std::path::absolute(folder)?;
        let id = folder
            .file_name()
            .and_then(|name| name.to_str())
            .context("the term's folder has no name to take as its id")?;
        Self::of(
            id,
            &document("calendar.toml")?,
            &document("policy.toml")?,
            &document("roster.toml")?,
            &document("projects.toml")?,
        )
    }

    fn of(id: &str, calendar: &str, policy: &str, roster: &str, projects: &str) -> anyhow::Result<Self> {
        let head: toml::Table = calendar.parse().context("calendar.toml")?;
        let zone = head.get("zone").and_then(toml::Value::as_str).context("calendar.toml: `zone` is missing")?;
        let windows = head.get("window").and_then(toml::Value::as_array).context("calendar.toml: no [[window]]")?;
        let first_days =
            windows.iter().filter_map(|window| window.get("first_day")?.as_datetime()?.to_string().parse().ok());
        Ok(Self {
            first_day: first_days.min().context("calendar.toml: no window has a `first_day`")?,
            id: id.to_owned(),
            digest: digest(&[calendar, policy, roster, projects]),
            calendar: calendar.to_owned(),
            policy: policy.to_owned(),
            zone: TimeZone::get(zone).context("calendar.toml: `zone`")?,
            roster: toml::from_str::<RosterSettings>(roster)
                .context("roster.toml")?
                .checked()
                .context("roster.toml")?,
            projects: toml::from_str::<ProjectSettings>(projects)
                .context("projects.toml")?
                .checked()
                .context("projects.toml")?,
        })
    }

    /// The term's resource name: "terms/…".
    #[must_use]
    pub fn name(&self) -> String {
        format!("terms/{}", self.id)
    }
}

fn digest(documents: &[&str]) -> String {
    let mut hash = Sha256::new();
    for document in documents {
        hash.update(document.len().to_be_bytes());
        hash.update(document);
    }
    hex::encode(hash.finalize())
}
