//! The structure of what a teacher selects (选课结构): the shares that kinds of projects should have of it, with the deviation
//! that is allowed (偏差性). Source: DESIGN §5; the table is the deployment's, policy `[structure]`.

use proto::common::v1::Reason;
use serde::Deserialize;

use super::{Ground, policy::Consequence, project::Project, teacher::Teacher};

/// A kind of project. One project may be of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Held as intensive training (集中培训).
    Intensive,
    /// 线上
    Online,
    /// 混合
    Blended,
    /// 限定选修
    RestrictedElective,
    /// For teachers of some subjects, not of all.
    Subject,
    /// 省级
    Province,
    /// 市级
    City,
    /// 县级
    County,
}

impl Kind {
    /// As in the policy and in messages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Intensive => "intensive",
            Self::Online => "online",
            Self::Blended => "blended",
            Self::RestrictedElective => "restricted_elective",
            Self::Subject => "subject",
            Self::Province => "province",
            Self::City => "city",
            Self::County => "county",
        }
    }
}

/// `[structure]` of the policy.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Structure {
    /// `structure.consequence`: of a selection that moves a share further from what is wanted.
    pub consequence: Consequence,
    /// `structure.from_selections`: live selections of the term from which shares are judged; fewer have no structure.
    pub from_selections: i64,
    /// `structure.shares`: the table.
    pub shares: Vec<Share>,
}

impl Default for Structure {
    fn default() -> Self {
        Self { consequence: Consequence::Warn, from_selections: 2, shares: Vec::new() }
    }
}

/// `[[structure.shares]]`: what a kind of project should have of the base credits that such a teacher selects in the term. An
/// empty list is everybody; what does not apply to a teacher is not of a list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// 层次
    #[serde(default)]
    pub tiers: Vec<String>,
    /// 类别
    #[serde(default)]
    pub categories: Vec<String>,
    /// 学科: any one of a teacher's several.
    #[serde(default)]
    pub subjects: Vec<String>,
    /// 学段: any one of a teacher's several.
    #[serde(default)]
    pub stages: Vec<String>,
    /// The kind of project.
    pub kind: Kind,
    /// The wanted share, in percent.
    pub percent: i64,
    /// Percentage points that a share may lie below or above it.
    pub deviation: i64,
}

impl Share {
    /// Whether the line of the table is about this teacher.
    #[must_use]
    pub fn is_for(&self, teacher: &Teacher) -> bool {
        let any = |list: &[String], has: &[String]| list.is_empty() || has.iter().any(|code| list.contains(code));
        any(&self.tiers, std::slice::from_ref(&teacher.tier))
            && any(&self.categories, std::slice::from_ref(&teacher.category))
            && any(&self.subjects, &teacher.subjects)
            && any(&self.stages, &teacher.stages)
    }

    /// Whether `part` of `whole` lies further from the wanted share than is allowed: above it for what is of the kind, below it
    /// for what is not. A selection is never held against what it makes better.
    const fn is_left_by(&self, of_kind: bool, part: i64, whole: i64) -> bool {
        let percent = part.saturating_mul(100);
        if of_kind {
            percent > whole.saturating_mul(self.percent.saturating_add(self.deviation))
        } else {
            percent < whole.saturating_mul(self.percent.saturating_sub(self.deviation))
        }
    }
}

/// Every share that the selection of `project` moves further from the table than is allowed, beside the `others` that the
/// teacher has selected in the term.
#[must_use]
pub fn deviations<'a>(
    teacher: &Teacher,
    project: &'a Project,
    others: impl IntoIterator<Item = &'a Project>,
    structure: &Structure,
) -> Vec<Ground> {
    if structure.shares.is_empty() {
        return Vec::new();
    }
    let selected: Vec<&Project> = std::iter::once(project).chain(others).collect();
    let whole: i64 = selected.iter().map(|project| project.base_credit.0).sum();
    if i64::try_from(selected.len()).unwrap_or(i64::MAX) < structure.from_selections || whole <= 0 {
        return Vec::new();
    }
    let told = structure.shares.iter().filter(|share| share.is_for(teacher)).filter_map(|share| {
        let of_kind = selected.iter().filter(|selected| selected.kinds.contains(&share.kind));
        let part: i64 = of_kind.map(|selected| selected.base_credit.0).sum();
        share.is_left_by(project.kinds.contains(&share.kind), part, whole).then(|| {
            Ground::new(Reason::StructureDeviates)
                .with("kind", share.kind.word())
                .with("share", part.saturating_mul(100) / whole)
                .with("wanted", share.percent)
                .with("deviation", share.deviation)
        })
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::Credit;

    use super::*;

    fn project(credits: i64, kinds: &[Kind]) -> Project {
        Project { base_credit: Credit::whole(credits), kinds: kinds.to_vec(), ..Project::default() }
    }

    fn share(kind: Kind, percent: i64, deviation: i64) -> Share {
        let (tiers, categories, subjects, stages) = Default::default();
        Share { tiers, categories, subjects, stages, kind, percent, deviation }
    }

    fn table(shares: Vec<Share>) -> Structure {
        Structure { shares, ..Structure::default() }
    }

    fn kinds(grounds: &[Ground]) -> Vec<&str> {
        grounds.iter().map(|ground| ground.metadata["kind"].as_str()).collect()
    }

    #[test]
    fn a_share_may_deviate_so_far_and_no_further() {
        let structure = table(vec![share(Kind::Online, 30, 20)]);
        let teacher = Teacher::default();
        let online = project(24, &[Kind::Online]);
        let judge = |project: &Project, others: &[Project]| deviations(&teacher, project, others, &structure);
        assert!(judge(&online, &[]).is_empty(), "one selection has no structure");
        assert!(judge(&online, &[project(24, &[])]).is_empty(), "50 % are allowed");
        let grounds = judge(&online, &[project(23, &[])]);
        assert_eq!(kinds(&grounds), ["online"]);
        assert_eq!(grounds[0].metadata["share"], "51");
        // Too little of it: said of what is not of the kind.
        assert!(judge(&project(216, &[]), std::slice::from_ref(&online)).is_empty(), "10 % are allowed");
        assert_eq!(kinds(&judge(&project(217, &[]), std::slice::from_ref(&online))), ["online"]);
    }

    #[test]
    fn a_line_is_for_whom_it_names() {
        let mut line = share(Kind::Online, 0, 0);
        line.tiers = vec!["novice".to_owned()];
        line.subjects = vec!["music".to_owned(), "art".to_owned()];
        let mut teacher = Teacher { tier: "novice".to_owned(), ..Teacher::default() };
        assert!(!line.is_for(&teacher), "without a subject he is of none");
        teacher.subjects = vec!["chinese".to_owned(), "art".to_owned()];
        assert!(line.is_for(&teacher));
        teacher.tier = "leader".to_owned();
        assert!(!line.is_for(&teacher));
        assert!(share(Kind::Online, 0, 0).is_for(&teacher));
    }

    const KINDS: [Kind; 3] = [Kind::Online, Kind::Blended, Kind::Intensive];

    fn any_project() -> impl Strategy<Value = Project> {
        (1_i64..200, 0_usize..3).prop_map(|(credits, kind)| project(credits, &[KINDS[kind]]))
    }

    proptest! {
        /// Against the definition: each share recounted in fractions.
        #[test]
        fn only_what_moves_a_share_further_away_is_told(
            chosen in any_project(), others in prop::collection::vec(any_project(), 0..4),
            lines in prop::collection::vec((0_usize..3, 0_i64..=100, 0_i64..=50), 0..5),
        ) {
            let shares: Vec<_> = lines.iter().map(|(kind, percent, deviation)| share(KINDS[*kind], *percent, *deviation)).collect();
            let structure = table(shares.clone());
            let told = deviations(&Teacher::default(), &chosen, &others, &structure);
            let credits = |of: &dyn Fn(&Project) -> bool| -> f64 {
                others.iter().chain([&chosen]).filter(|one| of(one)).map(|one| one.base_credit.0 as f64).sum()
            };
            let mut expected = Vec::new();
            for line in &shares {
                let has = credits(&|one| one.kinds.contains(&line.kind)) * 100.0 / credits(&|_| true);
                let too_much = has - line.percent as f64 > line.deviation as f64 + 1e-9;
                let too_little = line.percent as f64 - has > line.deviation as f64 + 1e-9;
                let is_of_it = chosen.kinds.contains(&line.kind);
                if !others.is_empty() && ((is_of_it && too_much) || (!is_of_it && too_little)) {
                    expected.push(line.kind.word());
                }
            }
            prop_assert_eq!(kinds(&told), expected);
        }
    }
}
