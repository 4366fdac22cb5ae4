//! An entry of the ledger (学分台账): added, never altered.

use jiff::civil::Date;
use proto::{Credit, common::v1::Actor};

/// Where an entry comes from. The numbers are those of the contract and of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// 期初学分: credit from before the platform.
    OpeningBalance = 1,
    /// 培训项目
    Project = 2,
    /// 校本研修
    SchoolBased = 3,
    /// 冲销: undoes another entry.
    Reversal = 4,
}

impl Kind {
    /// The kind of a stored number.
    #[must_use]
    pub const fn of(number: i64) -> Option<Self> {
        Some(match number {
            1 => Self::OpeningBalance,
            2 => Self::Project,
            3 => Self::SchoolBased,
            4 => Self::Reversal,
            _ => return None,
        })
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// "teachers/…/entries/…"
    pub name: String,
    /// "teachers/…"
    pub teacher: String,
    /// Where it comes from.
    pub kind: Kind,
    /// Decides the 90 rule.
    pub base: Credit,
    /// Counts toward the totals; negative on a reversal.
    pub awarded: Credit,
    /// What of it was earned by practice (实践培训).
    pub practice: Credit,
    /// Decides year and cycle.
    pub effective_on: Date,
    /// When the ledger learned of it, in microseconds since the epoch.
    pub recorded_at: i64,
    /// A selection, a plan, a document.
    pub source: String,
    /// From 1: how often this source was entered anew; for a selection the revision of its result.
    pub revision: i64,
    /// Intensive training (集中培训): held as such, of the regulation's base credits or more.
    pub intensive: bool,
    /// 限定选修
    pub restricted_elective: bool,
    /// Tier and category matched.
    pub matched: bool,
    /// "terms/…/projects/…"
    pub project: String,
    /// On a reversal: what it undoes.
    pub reverses: String,
    /// On an undone entry: its reversal. Known from the reversal, never written.
    pub reversed_by: String,
    /// Who entered it.
    pub actor: Actor,
    /// Coded.
    pub reason: String,
    /// What the person wrote. Not part of changes.
    pub reason_text: String,
    /// Version of the policy under which it was entered; 0: none was in force.
    pub policy_version: i64,
    /// The teacher's school on `effective_on`, as known when it was entered.
    pub school: String,
}

impl Entry {
    /// Whether it counts: no reversal, and not reversed.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.kind != Kind::Reversal && self.reversed_by.is_empty()
    }

    /// The entry that undoes this one: the same day, school and facts, the amounts negative.
    #[must_use]
    pub fn reversal(&self, name: String, recorded_at: i64, actor: Actor, reason: &str, policy_version: i64) -> Self {
        Self {
            name,
            kind: Kind::Reversal,
            base: -self.base,
            awarded: -self.awarded,
            practice: -self.practice,
            recorded_at,
            reverses: self.name.clone(),
            reversed_by: String::new(),
            actor,
            reason: reason.to_owned(),
            reason_text: String::new(),
            policy_version,
            ..self.clone()
        }
    }

    /// What the entry is once of: no two entries of a kind and teacher share it and their revision.
    #[must_use]
    pub fn once(&self) -> String {
        match self.kind {
            // One document may prove several years.
            Kind::OpeningBalance => format!("{} {}", self.effective_on, self.source),
            Kind::Project | Kind::SchoolBased => self.source.clone(),
            Kind::Reversal => self.reverses.clone(),
        }
    }
}
