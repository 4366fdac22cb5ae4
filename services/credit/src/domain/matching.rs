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
    /// The school's place in the tree.
    Organization,
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
    /// Teachers of schools under these.
    pub organizations: Vec<String>,
}

/// Whether teacher and audience agree in all dimensions; of several stages or subjects any one will do. What does not apply
/// matches: a list that is empty, a code that the teacher does not have. `path` is the school's ancestors and itself.
#[must_use]
pub fn matches(dimensions: &[Dimension], audience: &Audience, profile: &Profile, path: &[String]) -> bool {
    dimensions.iter().all(|dimension| {
        let (wanted, has) = match dimension {
            Dimension::Tier => (&audience.tiers, std::slice::from_ref(&profile.tier)),
            Dimension::Category => (&audience.categories, std::slice::from_ref(&profile.category)),
            Dimension::Stage => (&audience.stages, profile.stages.as_slice()),
            Dimension::Subject => (&audience.subjects, profile.subjects.as_slice()),
            Dimension::Organization => (&audience.organizations, path),
        };
        let mut has = has.iter().filter(|code| !code.is_empty()).peekable();
        wanted.is_empty() || has.peek().is_none() || has.any(|code| wanted.contains(code))
    })
}
