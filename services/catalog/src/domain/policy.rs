//! The sections of the term's policy that the catalog reads.

use std::collections::BTreeMap;

use chassis::{
    PolicyFault,
    policy::{Section, section},
};
use serde::Deserialize;

/// The catalog's share of the policy. A section or key that is absent has its default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// `[review]`
    pub review: Review,
    /// `[expansion]`
    pub expansion: Expansion,
    /// `[codes]`
    pub codes: Codes,
}

/// `[codes]`: the closed lists an audience is told in. The roster checks the section as a whole; a list that it does
/// not give is not checked here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Codes {
    /// 学段
    pub stages: Vec<String>,
    /// 学科
    pub subjects: Vec<String>,
    /// 层次
    pub tiers: Vec<String>,
    /// 类别
    pub categories: Vec<String>,
}

/// `[review]`: expert scores.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Review {
    /// `review.rubric`: criterion to weight in percent; together 100.
    pub rubric: BTreeMap<String, i64>,
    /// `review.min_scores`: scores it takes to approve.
    pub min_scores: i64,
    /// `review.min_mean`: their least mean, in points of 100.
    pub min_mean: i64,
}

impl Default for Review {
    fn default() -> Self {
        let rubric = [("need", 30), ("content", 30), ("team", 20), ("conditions", 20)];
        Self {
            rubric: rubric.into_iter().map(|(key, weight)| (key.to_owned(), weight)).collect(),
            min_scores: 2,
            min_mean: 60,
        }
    }
}

/// `[expansion]`: how far a project may grow.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expansion {
    /// `expansion.requests_per_project`: requests of one project in a term, whatever became of them.
    pub requests_per_project: i64,
    /// `expansion.max_percent`: most places, in percent of those first approved.
    pub max_percent: i64,
}

impl Default for Expansion {
    fn default() -> Self {
        Self { requests_per_project: 1, max_percent: 50 }
    }
}

impl chassis::Policy for Policy {
    fn parse(document: &toml::Table) -> Result<Self, Vec<PolicyFault>> {
        let mut faults = Vec::new();
        let policy = Self {
            review: section(document, Section::Review, &mut faults),
            expansion: section(document, Section::Expansion, &mut faults),
            codes: section(document, Section::Codes, &mut faults),
        };
        let weights = &policy.review.rubric;
        let sum = weights.values().fold(0_i64, |sum, weight| sum.saturating_add(*weight));
        if sum != 100 || weights.iter().any(|(key, weight)| key.is_empty() || *weight <= 0) {
            fault(&mut faults, "review.rubric", "各项权重须大于 0，合计为 100", "weights are above 0 and sum to 100");
        }
        in_range(&mut faults, "review.min_scores", policy.review.min_scores, 0, 20);
        in_range(&mut faults, "review.min_mean", policy.review.min_mean, 0, 100);
        in_range(&mut faults, "expansion.requests_per_project", policy.expansion.requests_per_project, 0, 100);
        in_range(&mut faults, "expansion.max_percent", policy.expansion.max_percent, 0, 1_000);
        if faults.is_empty() { Ok(policy) } else { Err(faults) }
    }
}

fn fault(faults: &mut Vec<PolicyFault>, key: &str, zh: impl Into<String>, en: impl Into<String>) {
    faults.push(PolicyFault { key: key.to_owned(), zh: zh.into(), en: en.into() });
}

fn in_range(faults: &mut Vec<PolicyFault>, key: &str, value: i64, least: i64, most: i64) {
    if !(least..=most).contains(&value) {
        fault(faults, key, format!("应在 {least} 至 {most} 之间"), format!("from {least} to {most}"));
    }
}

#[cfg(test)]
mod tests {
    use chassis::Policy as _;

    use super::*;

    fn read(text: &str) -> Result<Policy, Vec<String>> {
        let document: toml::Table = text.parse().expect("TOML");
        Policy::parse(&document).map_err(|faults| faults.into_iter().map(|fault| fault.key).collect())
    }

    #[test]
    fn what_is_absent_has_the_designs_defaults() {
        let policy = read("[round2]\nexpired_may_select = true").expect("a policy");
        assert_eq!(policy, Policy::default());
        assert_eq!((policy.review.min_scores, policy.review.min_mean), (2, 60));
        assert_eq!((policy.expansion.requests_per_project, policy.expansion.max_percent), (1, 50));
    }

    #[test]
    fn a_rubric_of_its_own() {
        let policy = read("[review]\nmin_mean = 70\n[review.rubric]\ncontent = 100").expect("a policy");
        assert_eq!(policy.review.rubric, BTreeMap::from([("content".to_owned(), 100)]));
        assert_eq!((policy.review.min_scores, policy.review.min_mean), (2, 70));
    }

    #[test]
    fn the_codes_are_shared_with_the_roster() {
        let policy = read("[codes]\nstages = ['primary']\nposts = ['teaching']").expect("a policy");
        assert_eq!(policy.codes, Codes { stages: vec!["primary".into()], ..Codes::default() });
    }

    #[test]
    fn every_fault_at_once() {
        let faults = read("[review]\nmin_mean = 101\nrubric = { content = 99 }\n[expansion]\nmax_percent = -1");
        assert_eq!(faults, Err(vec!["review.rubric".into(), "review.min_mean".into(), "expansion.max_percent".into()]));
        assert_eq!(read("[review]\nminimum = 3"), Err(vec!["review.minimum".into()]));
    }
}
