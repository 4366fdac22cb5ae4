//! The term's policy, as one service reads it: each service parses and checks its own sections of the document.

mod section;

pub(crate) use section::nearest;
pub use section::{Section, section, unread};

/// A fault of a policy document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFault {
    /// "section.key"
    pub key: String,
    /// The remedy in Chinese.
    pub zh: String,
    /// The remedy in English.
    pub en: String,
}

/// A service's sections of the policy. Sections of other services are passed over.
pub trait Policy: Sized + Send + Sync + 'static {
    /// Reads and checks the service's sections.
    ///
    /// # Errors
    /// Every fault at once.
    fn parse(document: &toml::Table) -> Result<Self, Vec<PolicyFault>>;
}

/// The section `[retention]`: for how long what is held of persons is kept. The defaults are the deployment's, not regulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Years from a departure to the erasure of the person.
    pub departed_years: i16,
    /// Years from the retirement.
    pub retired_years: i16,
    /// Years from the death.
    pub deceased_years: i16,
    /// Days for which a message stays in an inbox.
    pub inbox_days: i32,
    /// Days for which the reply to a request is kept for its repetition, and to the end of its term in any case.
    pub reply_days: i32,
    /// Days for which it is kept who read data of others.
    pub reading_days: i32,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            departed_years: 5,
            retired_years: 5,
            deceased_years: 5,
            inbox_days: 365,
            reply_days: 30,
            reading_days: 1_095,
        }
    }
}

impl Retention {
    /// Reads and checks the section, noting what is wrong with it.
    pub fn read(document: &toml::Table, faults: &mut Vec<PolicyFault>) -> Self {
        let read: Self = section(document, Section::Retention, faults);
        let years = [
            ("departed_years", read.departed_years),
            ("retired_years", read.retired_years),
            ("deceased_years", read.deceased_years),
        ];
        let days =
            [("inbox_days", read.inbox_days), ("reply_days", read.reply_days), ("reading_days", read.reading_days)];
        let values = years.map(|(key, value)| (key, value.into(), 100));
        for (key, value, most) in values.into_iter().chain(days.map(|(key, value)| (key, value, 36_500))) {
            if !(1..=most).contains(&value) {
                faults.push(PolicyFault {
                    key: format!("retention.{key}"),
                    zh: format!("应为 1 至 {most}"),
                    en: format!("must be 1 to {most}"),
                });
            }
        }
        read
    }
}

impl Policy for Retention {
    fn parse(document: &toml::Table) -> Result<Self, Vec<PolicyFault>> {
        let mut faults = Vec::new();
        let read = Self::read(document, &mut faults);
        if faults.is_empty() { Ok(read) } else { Err(faults) }
    }
}
