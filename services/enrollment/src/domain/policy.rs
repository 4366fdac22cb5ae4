//! The sections of the term's policy that enrollment reads.

use std::collections::BTreeMap;

use chassis::{
    PolicyFault,
    policy::{Section, section},
};
use serde::Deserialize;

use super::{allocation::Allocation, audience::Dimension, structure::Structure};

/// Enrollment's share of the policy. A section or key that is absent has its default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// `[selection]`
    pub selection: Limits,
    /// `[round2]`
    pub round2: Round2,
    /// `[allocation]`
    pub allocation: Allocations,
    /// `[class]`
    pub class: ClassSize,
    /// `[match]`
    pub matching: Matching,
    /// `[structure]`
    pub structure: Structure,
    /// `[attendance]`
    pub attendance: Attendance,
    /// `[notice]`
    pub notice: Notice,
}

/// `[selection]`: limits of one teacher in one round.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// `selection.max_per_round`: live selections.
    pub max_per_round: i64,
    /// `selection.max_intensive_per_round`: of these, of intensive projects.
    pub max_intensive_per_round: i64,
    /// `selection.intensive_credits`: whole base credits from which a project is intensive.
    pub intensive_credits: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_per_round: 3, max_intensive_per_round: 1, intensive_credits: 90 }
    }
}

/// `[round2]`: who may select in a later round, beyond the two bars of the regulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Round2 {
    /// `round2.expired_may_select`: whose selections all expired unreviewed.
    pub expired_may_select: bool,
    /// `round2.confirmed_may_select`: who has a place already.
    pub confirmed_may_select: bool,
    /// `round2.cancelled_may_select`: whose selections were all cancelled with their project.
    pub cancelled_may_select: bool,
}

impl Default for Round2 {
    fn default() -> Self {
        Self { expired_may_select: true, confirmed_may_select: true, cancelled_may_select: true }
    }
}

/// `[allocation]`: how places are given, by round.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Allocations {
    /// `allocation.rounds`: round to policy; a round that is absent has its default.
    pub rounds: BTreeMap<String, Allocation>,
}

/// `[class]`: from when on a class is worth opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClassSize {
    /// `class.min_percent`: participants in percent of the places.
    pub min_percent: i64,
    /// `class.min_people`: participants.
    pub min_people: i64,
}

impl Default for ClassSize {
    fn default() -> Self {
        Self { min_percent: 60, min_people: 20 }
    }
}

/// `[match]`: whether a project fits a teacher.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Matching {
    /// `match.dimensions`: what must agree to match; in the other dimensions the audience admits or refuses.
    pub dimensions: Vec<Dimension>,
    /// `match.consequence`: of approving an intensive selection that does not match.
    pub consequence: Consequence,
}

impl Default for Matching {
    fn default() -> Self {
        Self { dimensions: vec![Dimension::Tier, Dimension::Category], consequence: Consequence::Reason }
    }
}

/// What follows where a selection is not as it should be: `match.consequence` of approving one, `structure.consequence`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consequence {
    /// It is shown.
    Warn,
    /// Approving it needs a reason; a mismatch is told to the bureau.
    Reason,
    /// It is refused: a mismatch by the reviewer, a deviating structure at submission.
    Block,
}

/// `[attendance]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Attendance {
    /// `attendance.min_percent`: sessions attended, without which nobody passes.
    pub min_percent: i64,
}

impl Default for Attendance {
    fn default() -> Self {
        Self { min_percent: 90 }
    }
}

/// `[notice]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Notice {
    /// `notice.min_days`: whole days between the notice and the first session.
    pub min_days: i64,
}

impl Default for Notice {
    fn default() -> Self {
        Self { min_days: 1 }
    }
}

impl Policy {
    /// Reads enrollment's sections of a policy document; other sections are others'.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn read(document: &toml::Table) -> Result<Self, Vec<PolicyFault>> {
        let mut faults = Vec::new();
        let policy = Self {
            selection: section(document, Section::Selection, &mut faults),
            round2: section(document, Section::Round2, &mut faults),
            allocation: section(document, Section::Allocation, &mut faults),
            class: section(document, Section::Class, &mut faults),
            matching: section(document, Section::Match, &mut faults),
            structure: section(document, Section::Structure, &mut faults),
            attendance: section(document, Section::Attendance, &mut faults),
            notice: section(document, Section::Notice, &mut faults),
        };
        for (key, value, low, high) in [
            ("selection.max_per_round", policy.selection.max_per_round, 1, 100),
            ("selection.max_intensive_per_round", policy.selection.max_intensive_per_round, 0, 100),
            ("selection.intensive_credits", policy.selection.intensive_credits, 1, 10_000),
            ("class.min_percent", policy.class.min_percent, 0, 100),
            ("class.min_people", policy.class.min_people, 0, 10_000),
            ("attendance.min_percent", policy.attendance.min_percent, 0, 100),
            ("notice.min_days", policy.notice.min_days, 0, 365),
            ("structure.from_selections", policy.structure.from_selections, 1, 100),
        ] {
            if value < low || value > high {
                let (zh, en) = (format!("须在 {low} 与 {high} 之间"), format!("must be between {low} and {high}"));
                faults.push(PolicyFault { key: key.to_owned(), zh, en });
            }
        }
        for round in policy.allocation.rounds.keys() {
            if round.parse::<i32>().is_ok_and(|round| round >= 1) {
                continue;
            }
            let (zh, en) = ("轮次须为 1、2、…".to_owned(), "a round is 1, 2, …".to_owned());
            faults.push(PolicyFault { key: format!("allocation.rounds.{round}"), zh, en });
        }
        share_faults(document, &policy.structure, &mut faults);
        if faults.is_empty() { Ok(policy) } else { Err(faults) }
    }
}

/// A line of the table whose codes nobody has would never be heard of; nor would a share that is none.
fn share_faults(document: &toml::Table, structure: &Structure, faults: &mut Vec<PolicyFault>) {
    let codes = |list: &str| document.get("codes")?.get(list)?.as_array().cloned();
    for (index, share) in structure.shares.iter().enumerate() {
        let mut fault = |key: &str, zh: String, en: String| {
            faults.push(PolicyFault { key: format!("structure.shares[{index}].{key}"), zh, en });
        };
        for (key, given) in [
            ("tiers", &share.tiers),
            ("categories", &share.categories),
            ("subjects", &share.subjects),
            ("stages", &share.stages),
        ] {
            let Some(known) = codes(key) else { continue };
            for code in given.iter().filter(|code| !known.iter().any(|known| known.as_str() == Some(code))) {
                fault(key, format!("“{code}”不在 codes.{key} 中"), format!("{code:?} is not in codes.{key}"));
            }
        }
        for (key, value) in [("percent", share.percent), ("deviation", share.deviation)] {
            if !(0..=100).contains(&value) {
                fault(key, "须在 0 与 100 之间".to_owned(), "must be between 0 and 100".to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::structure::Kind;

    fn read(text: &str) -> Result<Policy, Vec<PolicyFault>> {
        Policy::read(&text.parse().expect("TOML"))
    }

    #[test]
    fn an_empty_document_is_the_defaults() {
        assert_eq!(read(""), Ok(Policy::default()));
    }

    #[test]
    fn what_is_said_is_taken() {
        let policy = read(
            "[allocation]\nrounds = { 1 = \"FIRST_COME\" }\n[match]\ndimensions = [\"stage\"]\nconsequence = \"block\"\n[cycle]\nyears = 5",
        )
        .expect("a policy");
        assert_eq!(policy.allocation.rounds.get("1"), Some(&Allocation::FirstCome));
        assert_eq!(policy.matching.dimensions, [Dimension::Stage]);
        assert_eq!(policy.matching.consequence, Consequence::Block);
    }

    #[test]
    fn the_table_of_shares_is_checked_against_the_codes() {
        let table = "[codes]\ntiers = [\"novice\"]\n[structure]\nconsequence = \"block\"\n[[structure.shares]]\n";
        let policy = read(&format!("{table}tiers = [\"novice\"]\nkind = \"online\"\npercent = 20\ndeviation = 30"))
            .expect("a table");
        assert_eq!((policy.structure.consequence, policy.structure.from_selections), (Consequence::Block, 2));
        assert_eq!(policy.structure.shares[0].kind, Kind::Online);
        let faults = read(&format!("{table}tiers = [\"novise\"]\nkind = \"online\"\npercent = 101\ndeviation = -1"));
        let keys: Vec<_> = faults.expect_err("faults").into_iter().map(|fault| fault.key).collect();
        assert_eq!(keys, ["tiers", "percent", "deviation"].map(|key| format!("structure.shares[0].{key}")));
        let unknown =
            read(&format!("{table}kind = \"weekend\"\npercent = 1\ndeviation = 1")).expect_err("no such kind");
        assert_eq!(unknown[0].key, "structure.shares[0].kind");
    }

    #[test]
    fn two_keys_of_one_section_tell_their_faults_apart() {
        let faults = read("[selection]\nmax_per_round = \"x\"\nmax_intensive_per_round = \"y\"").expect_err("faults");
        let told: Vec<_> =
            faults.iter().map(|fault| (fault.key.as_str(), fault.zh.as_str(), fault.en.as_str())).collect();
        let whole = |key| (key, "须为整数", "must be a whole number");
        assert_eq!(told, [whole("selection.max_intensive_per_round"), whole("selection.max_per_round")]);
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let faults = read(
            "[selection]\nmax_per_round = 0\n[attendance]\nmin_percent = 101\n[round2]\nmay = true\n[allocation]\nrounds = { x = \"FIRST_COME\" }",
        )
        .expect_err("faults");
        let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, ["round2.may", "selection.max_per_round", "attendance.min_percent", "allocation.rounds.x"]);
    }
}
