//! Whether a project fits a teacher: the one match function (DESIGN §5, policy `match.dimensions`).

use serde::Deserialize;

use super::teacher::Profile;

/// A dimension in which audience and teacher must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
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
}

/// Whom a project is for; an empty list admits everyone in that dimension.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audience {
    /// 层次
    pub tiers: Vec<String>,
    /// 类别
    pub categories: Vec<String>,
    /// 学段
    pub stages: Vec<String>,
    /// 学科
    pub subjects: Vec<String>,
}

/// Whether teacher and audience agree in all dimensions. What does not apply matches: a list that is empty, a code that
/// the teacher does not have.
#[must_use]
pub fn matches(dimensions: &[Dimension], audience: &Audience, profile: &Profile) -> bool {
    dimensions.iter().all(|dimension| {
        let (wanted, has) = match dimension {
            Dimension::Tier => (&audience.tiers, &profile.tier),
            Dimension::Category => (&audience.categories, &profile.category),
            Dimension::Stage => (&audience.stages, &profile.stage),
            Dimension::Subject => (&audience.subjects, &profile.subject),
        };
        wanted.is_empty() || has.is_empty() || wanted.contains(has)
    })
}
