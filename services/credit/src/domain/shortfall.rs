//! What falls short of what a school must reach on average: the mean of credit and the share of restricted electives. It warns,
//! and refuses nothing (DESIGN §5).

use proto::common::v1::Reason;

use super::{
    policy::Policy,
    requirement::{RESTRICTED_ELECTIVE_21, RESTRICTED_ELECTIVE_YEAR, Requirement, YEAR_24, YEAR_MEAN_72},
};

/// What falls short, in hundredths of credit or of percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortfall {
    /// Why it warns.
    pub reason: Reason,
    /// What there is.
    pub value: i64,
    /// What should be.
    pub required: i64,
}

/// Why falling short of a school's, district's or bureau's requirement warns; `None`: it does not.
#[must_use]
pub fn reason(key: &str) -> Option<Reason> {
    match key {
        YEAR_MEAN_72 => Some(Reason::YearMeanShort),
        RESTRICTED_ELECTIVE_21 => Some(Reason::RestrictedElectiveShort),
        _ => None,
    }
}

/// Where a teacher's year is below what his school must reach, by his own requirements. Who is on probation counts in no rate.
#[must_use]
pub fn of_teacher(requirements: &[Requirement], policy: &Policy) -> Vec<Shortfall> {
    let find = |key: &str| requirements.iter().find(|requirement| requirement.key == key && requirement.applicable);
    let Some(year) = find(YEAR_24) else { return Vec::new() };
    let credits = (year.value < policy.year_mean.0).then_some(Shortfall {
        reason: Reason::YearMeanShort,
        value: year.value,
        required: policy.year_mean.0,
    });
    let elective = find(RESTRICTED_ELECTIVE_YEAR).filter(|elective| !elective.met).map(|elective| Shortfall {
        reason: Reason::RestrictedElectiveMissing,
        value: elective.value,
        required: elective.required,
    });
    credits.into_iter().chain(elective).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_is_held_against_the_mean_and_one_elective() {
        let policy = Policy::default();
        let told = |credits: i64, electives: i64, counts: bool| {
            let year = Requirement::credits(YEAR_24, credits, 2_400);
            let year = if counts { year } else { year.not_applicable() };
            let requirements = [year, Requirement::times(RESTRICTED_ELECTIVE_YEAR, electives, 1)];
            of_teacher(&requirements, &policy).into_iter().map(|short| short.reason).collect::<Vec<_>>()
        };
        assert_eq!(told(7_199, 0, true), [Reason::YearMeanShort, Reason::RestrictedElectiveMissing]);
        assert_eq!(told(7_200, 1, true), []);
        assert_eq!(told(0, 0, false), [], "on probation");
        assert_eq!(reason(YEAR_24), None);
    }
}
