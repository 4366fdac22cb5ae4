//! Expert review (专家评审): the rubric, and when scores are enough. Policy section `[review]`.

use std::collections::BTreeMap;

use super::{Fault, policy::Review};

/// An expert on a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// "accounts/…"
    pub expert: String,
    /// He stepped back: his score does not count.
    pub recused: bool,
    /// The score that he gave last.
    pub score: Option<Scored>,
}

/// A score as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scored {
    /// Points by criterion.
    pub criteria: Vec<(String, i32)>,
    /// Weighted sum, in hundredths.
    pub total_hundredths: i64,
    /// What the expert says of it.
    pub comment: String,
}

/// The totals that count.
#[must_use]
pub fn totals(assignments: &[Assignment]) -> Vec<i64> {
    let counting = assignments.iter().filter(|assignment| !assignment.recused);
    counting.filter_map(|assignment| assignment.score.as_ref().map(|score| score.total_hundredths)).collect()
}

/// The weighted sum of `criteria` (key, points from 0 to 100), in hundredths: 0 to 10 000. Every criterion of the
/// rubric is scored once.
///
/// # Errors
/// Every fault: criteria missing, unknown, twice, or out of range.
pub fn total(review: &Review, criteria: &[(String, i32)]) -> Result<i64, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut points = BTreeMap::new();
    for (index, (key, value)) in criteria.iter().enumerate() {
        let field = format!("criteria[{index}]");
        if !review.rubric.contains_key(key) {
            faults.push(Fault::new(&field, "评分标准中没有此项", "the rubric has no such criterion"));
        } else if points.insert(key, i64::from(*value)).is_some() {
            faults.push(Fault::new(&field, "此项重复评分", "this criterion is scored twice"));
        }
        if !(0..=100).contains(value) {
            faults.push(Fault::new(field, "分值应在 0 至 100 之间", "points are from 0 to 100"));
        }
    }
    let missing: Vec<&str> = review.rubric.keys().filter(|key| !points.contains_key(key)).map(String::as_str).collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        faults.push(Fault::new("criteria", format!("缺少评分项：{missing}"), format!("criteria missing: {missing}")));
    }
    if faults.is_empty() {
        let weighted = points.iter().map(|(key, points)| points * review.rubric.get(*key).copied().unwrap_or(0));
        Ok(weighted.sum())
    } else {
        Err(faults)
    }
}

/// Why scores alone do not carry an approval; the bureau's reason does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortfall {
    /// Too few experts have scored.
    Count {
        /// Scores there are.
        have: i64,
        /// Scores that the policy asks for.
        need: i64,
    },
    /// The mean is too low.
    Mean {
        /// In hundredths, rounded down.
        mean: i64,
        /// In whole points.
        need: i64,
    },
}

/// Whether the totals (in hundredths) of the experts who did not step back carry an approval.
///
/// # Errors
/// What they lack.
pub fn approval(review: &Review, totals: &[i64]) -> Result<(), Shortfall> {
    let have = i64::try_from(totals.len()).unwrap_or(i64::MAX);
    if have < review.min_scores {
        return Err(Shortfall::Count { have, need: review.min_scores });
    }
    let sum: i64 = totals.iter().fold(0, |sum, total| sum.saturating_add(*total));
    let needed = review.min_mean.saturating_mul(100).saturating_mul(have);
    if sum < needed {
        return Err(Shortfall::Mean { mean: sum.checked_div(have).unwrap_or(0), need: review.min_mean });
    }
    Ok(())
}

/// Hundredths as people read them: 5950 is "59.50".
#[must_use]
pub fn decimal(hundredths: i64) -> String {
    format!("{}.{:02}", hundredths / 100, (hundredths % 100).abs())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn review() -> Review {
        Review {
            rubric: BTreeMap::from([("content".into(), 70), ("teachers".into(), 30)]),
            min_scores: 2,
            min_mean: 60,
        }
    }

    fn criteria(points: &[(&str, i32)]) -> Vec<(String, i32)> {
        points.iter().map(|(key, points)| ((*key).to_owned(), *points)).collect()
    }

    #[test]
    fn the_total_is_weighted() {
        assert_eq!(total(&review(), &criteria(&[("teachers", 50), ("content", 80)])), Ok(7_100));
    }

    #[test]
    fn all_faults_of_a_score_at_once() {
        let given = criteria(&[("content", 101), ("content", 1), ("venue", 5)]);
        let fields: Vec<String> = match total(&review(), &given) {
            Ok(total) => panic!("scored {total}"),
            Err(faults) => faults.into_iter().map(|fault| fault.field).collect(),
        };
        assert_eq!(fields, ["criteria[0]", "criteria[1]", "criteria[2]", "criteria"]);
    }

    #[test]
    fn two_scores_of_sixty_suffice_and_no_less() {
        assert_eq!(approval(&review(), &[9_000]), Err(Shortfall::Count { have: 1, need: 2 }));
        assert_eq!(approval(&review(), &[5_999, 6_000]), Err(Shortfall::Mean { mean: 5_999, need: 60 }));
        assert_eq!(approval(&review(), &[5_000, 7_000]), Ok(()));
        assert_eq!(decimal(5_999), "59.99");
    }

    #[test]
    fn without_a_minimum_no_score_is_needed() {
        let lenient = Review { min_scores: 0, ..review() };
        assert_eq!(approval(&lenient, &[]), Ok(()));
    }

    #[test]
    fn who_stepped_back_does_not_count() {
        let scored = |recused, total_hundredths| Assignment {
            expert: format!("accounts/{total_hundredths}"),
            recused,
            score: Some(Scored { criteria: Vec::new(), total_hundredths, comment: String::new() }),
        };
        let unscored = Assignment { expert: "accounts/late".into(), recused: false, score: None };
        assert_eq!(totals(&[scored(false, 7_000), scored(true, 100), unscored]), [7_000]);
    }

    proptest! {
        #[test]
        fn totals_stay_within_the_scale(content in 0..=100_i32, teachers in 0..=100_i32) {
            let given = criteria(&[("content", content), ("teachers", teachers)]);
            let low = i64::from(content.min(teachers)) * 100;
            let high = i64::from(content.max(teachers)) * 100;
            prop_assert!(total(&review(), &given).is_ok_and(|total| (low..=high).contains(&total)));
        }
    }
}
