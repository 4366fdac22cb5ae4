//! The lists of codes: the fixed ones of the national standards, and the deployment's own (policy section `[codes]`).

use std::collections::BTreeSet;

use serde::Deserialize;

use super::field::Field;

/// Sex, GB/T 2261.1: unknown, male, female, not stated.
pub const SEXES: [&str; 4] = ["0", "1", "2", "9"];
/// Education, GB/T 4658: doctor, master's, bachelor's, junior college, secondary vocational, senior secondary.
pub const EDUCATIONS: [&str; 6] = ["11", "14", "21", "31", "41", "61"];
/// Titles, GB/T 8561: secondary school 052–055 (senior, first, second, third class), primary school 413–416.
pub const TITLES: [&str; 8] = ["052", "053", "054", "055", "413", "414", "415", "416"];

/// The deployment's closed lists; each key of policy section `[codes]` replaces its default list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Codes {
    /// `codes.stages`: stages (学段).
    pub stages: Vec<String>,
    /// `codes.subjects`: subjects (学科).
    pub subjects: Vec<String>,
    /// `codes.tiers`: tiers (层次).
    pub tiers: Vec<String>,
    /// `codes.categories`: categories (类别).
    pub categories: Vec<String>,
    /// `codes.employments`: employment types (用工形式).
    pub employments: Vec<String>,
    /// `codes.posts`: posts (岗位).
    pub posts: Vec<String>,
    /// `codes.titles`: titles beside GB/T 8561's, for the unified titles after 2015.
    pub titles: Vec<String>,
}

impl Default for Codes {
    /// The lists of a county in China.
    fn default() -> Self {
        let list = |codes: &[&str]| codes.iter().map(ToString::to_string).collect();
        Self {
            stages: list(&["preschool", "primary", "junior", "senior", "vocational", "special"]),
            subjects: list(&[
                "chinese",
                "mathematics",
                "english",
                "ethics",
                "politics",
                "history",
                "geography",
                "physics",
                "chemistry",
                "biology",
                "science",
                "information_technology",
                "technology",
                "physical_education",
                "music",
                "art",
                "psychology",
                "labor",
                "comprehensive_practice",
                "preschool_education",
                "special_education",
                "vocational",
                "other",
            ]),
            tiers: list(&["novice", "competent", "backbone", "leader"]),
            categories: list(&["subject_teacher", "head_teacher", "principal", "counselor"]),
            employments: list(&["permanent", "contract", "temporary", "rehired"]),
            posts: list(&["teaching", "management", "auxiliary", "logistics"]),
            titles: list(&[
                "unified_full_senior",
                "unified_senior",
                "unified_first",
                "unified_second",
                "unified_third",
            ]),
        }
    }
}

impl Codes {
    /// Whether a code may stand in a field, or in its list. Fields without a list take anything.
    #[must_use]
    pub fn allows(&self, field: Field, code: &str) -> bool {
        let listed = |codes: &[String]| codes.iter().any(|known| known == code);
        match field {
            Field::Sex => SEXES.contains(&code),
            Field::Education => EDUCATIONS.contains(&code),
            Field::Title => TITLES.contains(&code) || listed(&self.titles),
            Field::Stages => listed(&self.stages),
            Field::Subjects => listed(&self.subjects),
            Field::Tier => listed(&self.tiers),
            Field::Category => listed(&self.categories),
            Field::Employment => listed(&self.employments),
            Field::Post => listed(&self.posts),
            Field::DisplayName
            | Field::IdentityNumber
            | Field::Phone
            | Field::TeacherNumber
            | Field::EmployedOn
            | Field::PlatformEnteredOn
            | Field::PrincipalAppointedOn => true,
        }
    }

    /// The deployment's lists: the field that each is of, its policy key, its codes.
    fn lists(&self) -> [(Field, &'static str, &[String]); 7] {
        [
            (Field::Stages, "codes.stages", &self.stages),
            (Field::Subjects, "codes.subjects", &self.subjects),
            (Field::Tier, "codes.tiers", &self.tiers),
            (Field::Category, "codes.categories", &self.categories),
            (Field::Employment, "codes.employments", &self.employments),
            (Field::Post, "codes.posts", &self.posts),
            (Field::Title, "codes.titles", &self.titles),
        ]
    }

    /// The codes in use that are in no list: with the policy key of the list.
    #[must_use]
    pub fn unlisted(&self, in_use: BTreeSet<(Field, String)>) -> Vec<(&'static str, String)> {
        let lists = self.lists();
        let key = |field| lists.iter().find_map(|(of, key, _)| (*of == field).then_some(*key));
        let unlisted = in_use.into_iter().filter(|(field, code)| !self.allows(*field, code));
        unlisted.filter_map(|(field, code)| Some((key(field)?, code))).collect()
    }

    /// The policy keys whose list is empty (`codes.titles` may be), and those with what is no code: key and code.
    #[must_use]
    pub fn faults(&self) -> (Vec<&'static str>, Vec<(&'static str, &str)>) {
        let lists = self.lists();
        let empty =
            lists.iter().filter(|(field, _, list)| list.is_empty() && *field != Field::Title).map(|(_, key, _)| *key);
        let wrong = lists
            .iter()
            .flat_map(|(_, key, list)| list.iter().filter(|code| !is_code(code)).map(|code| (*key, code.as_str())));
        (empty.collect(), wrong.collect())
    }
}

/// 1 to 40 lower-case letters, digits and underscores.
fn is_code(text: &str) -> bool {
    (1..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_the_standards_and_the_local_ones() {
        let codes = Codes::default();
        assert!(codes.allows(Field::Title, "052"));
        assert!(codes.allows(Field::Title, "416"));
        assert!(codes.allows(Field::Title, "unified_first"));
        assert!(!codes.allows(Field::Title, "056"));
        assert!(!codes.allows(Field::Title, ""));
        assert!(!codes.allows(Field::Sex, "3"));
        assert!(!codes.allows(Field::Education, "12"));
        assert!(!codes.allows(Field::Stages, "tertiary"));
    }
}
