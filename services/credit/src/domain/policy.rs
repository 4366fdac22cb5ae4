//! The sections of the term's policy that credit reads: `[cycle]`, `[requirements]`, and `[match].dimensions`.

use chassis::{
    Policy as Read, PolicyFault,
    policy::{Section, section},
};
use proto::Credit;
use serde::{Deserialize, de::IgnoredAny};

use super::matching::Dimension;

/// What credit reads of the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// `cycle.years`
    pub cycle_years: i16,
    /// `requirements.cycle_credits`: of a teacher in a cycle.
    pub cycle_credits: Credit,
    /// `requirements.year_mean`: mean of a school's teachers in a year.
    pub year_mean: Credit,
    /// `requirements.year_each`: of each teacher in a year.
    pub year_each: Credit,
    /// `requirements.intensive_base`: base credits from which an intensive training counts as one, and from which any
    /// participation counts in the share that matches.
    pub intensive_base: Credit,
    /// `requirements.restricted_elective_percent`
    pub restricted_elective_percent: i64,
    /// `requirements.match_percent`
    pub match_percent: i64,
    /// `requirements.school_based_cap`: what counts in a cycle.
    pub school_based_cap: Credit,
    /// `requirements.probation_credits`: of a new teacher in the probation year.
    pub probation_credits: Credit,
    /// `requirements.probation_practice`: of these, by practice.
    pub probation_practice: Credit,
    /// `requirements.principal_credits`: of a new principal.
    pub principal_credits: Credit,
    /// `requirements.principal_intensive`: of a new principal, base credit of intensive training.
    pub principal_intensive: Credit,
    /// `requirements.principal_years`: how long a principal is a new one. The deployment's, not regulation.
    pub principal_years: i16,
    /// `requirements.full_time`: forms of employment that count in rates; empty: all.
    pub full_time: Vec<String>,
    /// `match.dimensions`
    pub dimensions: Vec<Dimension>,
}

impl Default for Policy {
    fn default() -> Self {
        from_sections(&CycleSection::default(), RequirementsSection::default(), MatchSection::default())
    }
}

impl Policy {
    /// Whether this form of employment counts in rates.
    #[must_use]
    pub fn is_full_time(&self, employment: &str) -> bool {
        self.full_time.is_empty() || self.full_time.iter().any(|known| known == employment)
    }

    /// What stored standings depend on: once it differs, they are drawn up anew.
    #[must_use]
    pub fn basis(&self) -> String {
        let Self { cycle_years, principal_years, school_based_cap: Credit(cap), intensive_base: Credit(base), .. } =
            self;
        let full_time = self.full_time.join(" ");
        format!("{cycle_years} years, new {principal_years}, cap {cap}, base {base}, full-time {full_time}")
    }
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CycleSection {
    years: i16,
}

impl Default for CycleSection {
    fn default() -> Self {
        Self { years: 5 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RequirementsSection {
    cycle_credits: i64,
    year_mean: i64,
    year_each: i64,
    intensive_base: i64,
    restricted_elective_percent: i64,
    match_percent: i64,
    school_based_cap: i64,
    probation_credits: i64,
    probation_practice: i64,
    principal_credits: i64,
    principal_intensive: i64,
    principal_years: i16,
    full_time: Vec<String>,
}

impl Default for RequirementsSection {
    fn default() -> Self {
        Self {
            cycle_credits: 360,
            year_mean: 72,
            year_each: 24,
            intensive_base: 90,
            restricted_elective_percent: 21,
            match_percent: 75,
            school_based_cap: 120,
            probation_credits: 180,
            probation_practice: 80,
            principal_credits: 300,
            principal_intensive: 90,
            principal_years: 1,
            full_time: Vec::new(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct MatchSection {
    dimensions: Vec<Dimension>,
    /// Enrollment's business; named here so that a misspelt key is found.
    #[serde(rename = "consequence")]
    _consequence: Option<IgnoredAny>,
}

impl Default for MatchSection {
    fn default() -> Self {
        Self { dimensions: vec![Dimension::Tier, Dimension::Category], _consequence: None }
    }
}

fn from_sections(cycle: &CycleSection, requirements: RequirementsSection, matching: MatchSection) -> Policy {
    Policy {
        cycle_years: cycle.years,
        cycle_credits: Credit::whole(requirements.cycle_credits),
        year_mean: Credit::whole(requirements.year_mean),
        year_each: Credit::whole(requirements.year_each),
        intensive_base: Credit::whole(requirements.intensive_base),
        restricted_elective_percent: requirements.restricted_elective_percent,
        match_percent: requirements.match_percent,
        school_based_cap: Credit::whole(requirements.school_based_cap),
        probation_credits: Credit::whole(requirements.probation_credits),
        probation_practice: Credit::whole(requirements.probation_practice),
        principal_credits: Credit::whole(requirements.principal_credits),
        principal_intensive: Credit::whole(requirements.principal_intensive),
        principal_years: requirements.principal_years,
        full_time: requirements.full_time,
        dimensions: matching.dimensions,
    }
}

impl Read for Policy {
    fn parse(document: &toml::Table) -> Result<Self, Vec<PolicyFault>> {
        let mut faults = Vec::new();
        let cycle: CycleSection = section(document, Section::Cycle, &mut faults);
        let requirements: RequirementsSection = section(document, Section::Requirements, &mut faults);
        let matching: MatchSection = section(document, Section::Match, &mut faults);
        let mut within = |key: &str, value: i64, lowest: i64, highest: i64| {
            if !(lowest..=highest).contains(&value) {
                faults.push(PolicyFault {
                    key: key.to_owned(),
                    zh: format!("应在 {lowest} 与 {highest} 之间"),
                    en: format!("must lie between {lowest} and {highest}"),
                });
            }
        };
        within("cycle.years", cycle.years.into(), 1, 20);
        within("requirements.principal_years", requirements.principal_years.into(), 1, 20);
        for (key, credits) in [
            ("requirements.cycle_credits", requirements.cycle_credits),
            ("requirements.year_mean", requirements.year_mean),
            ("requirements.year_each", requirements.year_each),
            ("requirements.intensive_base", requirements.intensive_base),
            ("requirements.school_based_cap", requirements.school_based_cap),
            ("requirements.probation_credits", requirements.probation_credits),
            ("requirements.probation_practice", requirements.probation_practice),
            ("requirements.principal_credits", requirements.principal_credits),
            ("requirements.principal_intensive", requirements.principal_intensive),
        ] {
            within(key, credits, 0, 10_000);
        }
        within("requirements.restricted_elective_percent", requirements.restricted_elective_percent, 0, 100);
        within("requirements.match_percent", requirements.match_percent, 0, 100);
        let employments = document.get("codes").and_then(|codes| codes.get("employments")?.as_array());
        for (index, code) in requirements.full_time.iter().enumerate() {
            if employments.is_some_and(|known| !known.iter().any(|known| known.as_str() == Some(code))) {
                faults.push(PolicyFault {
                    key: format!("requirements.full_time[{index}]"),
                    zh: format!("“{code}”不在 codes.employments 中"),
                    en: format!("{code:?} is not in codes.employments"),
                });
            }
        }
        if faults.is_empty() { Ok(from_sections(&cycle, requirements, matching)) } else { Err(faults) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Policy, Vec<String>> {
        Policy::parse(&text.parse().unwrap()).map_err(|faults| faults.into_iter().map(|fault| fault.key).collect())
    }

    #[test]
    fn an_empty_document_means_the_defaults() {
        assert_eq!(parse(""), Ok(Policy::default()));
        assert_eq!(parse("[attendance]\nmin_percent = 90"), Ok(Policy::default()));
    }

    #[test]
    fn values_are_whole_credits() {
        let policy =
            parse("[requirements]\ncycle_credits = 100\n[match]\ndimensions = ['stage']\nconsequence = 'warn'");
        let policy = policy.unwrap();
        assert_eq!(policy.cycle_credits, Credit(10_000));
        assert_eq!(policy.dimensions, [Dimension::Stage]);
        // Every dimension that the policy's document names.
        let all = parse("[match]\ndimensions = ['tier', 'category', 'stage', 'subject', 'organization']");
        assert_eq!(all.map(|policy| policy.dimensions.len()), Ok(5));
    }

    #[test]
    fn who_counts_in_rates_is_of_the_codes() {
        let policy = |full_time: &str| {
            parse(&format!("[codes]\nemployments = ['permanent']\n[requirements]\nfull_time = ['{full_time}']"))
        };
        assert_eq!(policy("permanent").map(|policy| policy.full_time), Ok(vec!["permanent".to_owned()]));
        assert_eq!(policy("contract"), Err(vec!["requirements.full_time[0]".to_owned()]));
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let faults = parse("[cycle]\nyears = 0\n[requirements]\nmatch_percent = 101\nyear_each = -1\n[match]\nfoo = 1");
        assert_eq!(
            faults,
            Err(["match.foo", "cycle.years", "requirements.year_each", "requirements.match_percent"]
                .map(str::to_owned)
                .to_vec())
        );
        assert_eq!(parse("[match]\ndimensions = ['height']"), Err(vec!["match.dimensions[0]".to_owned()]));
    }
}
