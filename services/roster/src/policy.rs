//! The roster's sections of a term's policy: `[codes]`, and `[retention]`, which it checks for all.

use chassis::policy::{PolicyFault, Retention, Section, section};

use crate::domain::codes::Codes;

/// What the roster reads of the policy document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Section `[codes]`.
    pub codes: Codes,
    /// Section `[retention]`.
    pub retention: Retention,
}

impl chassis::policy::Policy for Policy {
    fn parse(document: &toml::Table) -> Result<Self, Vec<PolicyFault>> {
        let mut faults = Vec::new();
        let codes: Codes = section(document, Section::Codes, &mut faults);
        let (empty, wrong) = codes.faults();
        faults.extend(empty.into_iter().map(|key| PolicyFault {
            key: key.to_owned(),
            zh: "至少列出一个代码".to_owned(),
            en: "list at least one code".to_owned(),
        }));
        faults.extend(wrong.into_iter().map(|(key, code)| PolicyFault {
            key: key.to_owned(),
            zh: format!("“{code}”不是代码：只用小写字母、数字和下划线"),
            en: format!("{code:?} is no code: use lower-case letters, digits and underscores"),
        }));
        let retention = Retention::read(document, &mut faults);
        if faults.is_empty() { Ok(Self { codes, retention }) } else { Err(faults) }
    }
}

#[cfg(test)]
mod tests {
    use chassis::policy::Policy as _;

    use super::*;

    fn parse(text: &str) -> Result<Policy, Vec<String>> {
        Policy::parse(&text.parse().unwrap()).map_err(|faults| faults.into_iter().map(|fault| fault.key).collect())
    }

    #[test]
    fn an_empty_document_means_the_defaults() {
        assert_eq!(parse(""), Ok(Policy::default()));
        assert_eq!(parse("[round2]\nexpired_may_select = true"), Ok(Policy::default()));
    }

    #[test]
    fn a_list_replaces_its_default_and_faults_are_all_told() {
        assert_eq!(parse("[codes]\ntiers = ['one']").map(|policy| policy.codes.tiers), Ok(vec!["one".to_owned()]));
        assert_eq!(
            parse("[codes]\ntiers = []\nposts = ['A b']"),
            Err(vec!["codes.tiers".into(), "codes.posts".into()])
        );
        assert_eq!(parse("[codes]\ncolours = []"), Err(vec!["codes.colours".to_owned()]));
    }

    #[test]
    fn how_long_persons_are_kept_has_bounds() {
        let faults = parse("[retention]\nretired_years = 0\nreply_days = 40000");
        assert_eq!(faults, Err(vec!["retention.retired_years".into(), "retention.reply_days".into()]));
        assert_eq!(parse("[retention]\nmonths = 3"), Err(vec!["retention.months".to_owned()]));
        assert_eq!(parse("[retention]\ninbox_days = 1").map(|policy| policy.retention.inbox_days), Ok(1));
    }
}
