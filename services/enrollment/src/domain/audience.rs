//! The one match function: where a teacher differs from those a project is meant for.

use serde::Deserialize;

use super::{policy::Matching, teacher::Teacher};

/// Whom a project is for. An empty list admits everyone in its dimension.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audience {
    /// Stages (学段).
    pub stages: Vec<String>,
    /// Subjects (学科).
    pub subjects: Vec<String>,
    /// Tiers (层次).
    pub tiers: Vec<String>,
    /// Categories (类别).
    pub categories: Vec<String>,
    /// Teachers of schools under these only.
    pub organizations: Vec<String>,
}

/// A dimension of an audience.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// 层次
    Tier,
    /// 类别
    Category,
    /// 学段
    Stage,
    /// 学科
    Subject,
    /// The school's place in the tree.
    Organization,
}

impl Dimension {
    /// As in the policy and in messages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tier => "tier",
            Self::Category => "category",
            Self::Stage => "stage",
            Self::Subject => "subject",
            Self::Organization => "organization",
        }
    }
}

/// The dimensions in which `teacher` is not of `audience`. Of several stages or subjects any one will do. What does not apply
/// to the teacher (an empty field) matches.
#[must_use]
pub fn differences(teacher: &Teacher, audience: &Audience) -> Vec<Dimension> {
    let any = |list: &[String], values: &[String]| {
        list.is_empty() || values.is_empty() || values.iter().any(|value| list.contains(value))
    };
    let admits = |list: &[String], value: &String| value.is_empty() || any(list, std::slice::from_ref(value));
    let under = |list: &[String]| list.is_empty() || list.iter().any(|one| teacher.path.contains(one));
    [
        (Dimension::Tier, admits(&audience.tiers, &teacher.tier)),
        (Dimension::Category, admits(&audience.categories, &teacher.category)),
        (Dimension::Stage, any(&audience.stages, &teacher.stages)),
        (Dimension::Subject, any(&audience.subjects, &teacher.subjects)),
        (Dimension::Organization, under(&audience.organizations)),
    ]
    .into_iter()
    .filter_map(|(dimension, agrees)| (!agrees).then_some(dimension))
    .collect()
}

/// Whether the project fits the teacher in the dimensions of policy `match.dimensions`.
#[must_use]
pub fn matches(teacher: &Teacher, audience: &Audience, policy: &Matching) -> bool {
    !differences(teacher, audience).iter().any(|dimension| policy.dimensions.contains(dimension))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_lists_admit_and_what_does_not_apply_matches() {
        let teacher =
            Teacher { tier: "novice".to_owned(), path: vec!["organizations/c".to_owned()], ..Teacher::default() };
        let mut audience = Audience::default();
        assert!(differences(&teacher, &audience).is_empty());
        audience.subjects = vec!["music".to_owned()];
        assert!(differences(&teacher, &audience).is_empty(), "the teacher has no subject");
        let several = Teacher { subjects: vec!["art".to_owned(), "music".to_owned()], ..teacher.clone() };
        assert!(differences(&several, &audience).is_empty(), "one of his subjects");
        let other = Teacher { subjects: vec!["art".to_owned(), "chinese".to_owned()], ..teacher.clone() };
        assert_eq!(differences(&other, &audience), [Dimension::Subject]);
        audience.tiers = vec!["leader".to_owned()];
        audience.organizations = vec!["organizations/d".to_owned()];
        assert_eq!(differences(&teacher, &audience), [Dimension::Tier, Dimension::Organization]);
        assert!(!matches(&teacher, &audience, &Matching::default()));
        let stages_only = Matching { dimensions: vec![Dimension::Stage], ..Matching::default() };
        assert!(matches(&teacher, &audience, &stages_only));
    }
}
