//! A requirement and how it stands, of one teacher or of many.

/// 360 credits in a cycle.
pub const CYCLE_360: &str = "cycle_360";
/// 24 credits a year, each teacher.
pub const YEAR_24: &str = "year_24";
/// Mean of 72 credits a year.
pub const YEAR_MEAN_72: &str = "year_mean_72";
/// An intensive training in a cycle.
pub const INTENSIVE_90: &str = "intensive_90";
/// Restricted electives: the mean over the cycle's elapsed years.
pub const RESTRICTED_ELECTIVE_21: &str = "restricted_elective_21";
/// Restricted electives in the single year: shown, not judged.
pub const RESTRICTED_ELECTIVE_YEAR: &str = "restricted_elective_year";
/// Intensive participations that match.
pub const MATCH_75: &str = "match_75";
/// The probation year of a new teacher.
pub const PROBATION_180: &str = "probation_180";
/// Of that, practice.
pub const PROBATION_PRACTICE_80: &str = "probation_practice_80";
/// A new principal, all in all.
pub const NEW_PRINCIPAL_300: &str = "new_principal_300";
/// A new principal, intensive training.
pub const NEW_PRINCIPAL_INTENSIVE_90: &str = "new_principal_intensive_90";

/// How a requirement stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// One of this file's keys.
    pub key: &'static str,
    /// Whether there is anything to judge.
    pub applicable: bool,
    /// Whether it is met; never when not applicable.
    pub met: bool,
    /// Hundredths of credit, or a count.
    pub numerator: i64,
    /// Of what.
    pub denominator: i64,
    /// In hundredths of credit, of percent, or of one.
    pub required: i64,
    /// The quotient, in the unit of `required`.
    pub value: i64,
}

impl Requirement {
    /// `part` of `whole`, as `part × unit ÷ whole`; met if that quotient, not rounded, reaches `required`.
    #[must_use]
    pub fn quotient(key: &'static str, part: i64, whole: i64, unit: i64, required: i64) -> Self {
        let applicable = whole > 0;
        let scaled = i128::from(part) * i128::from(unit);
        let value = if applicable { scaled / i128::from(whole) } else { 0 };
        Self {
            key,
            applicable,
            met: applicable && scaled >= i128::from(required) * i128::from(whole),
            numerator: part,
            denominator: whole,
            required,
            value: i64::try_from(value).unwrap_or(i64::MAX),
        }
    }

    /// A share in percent.
    #[must_use]
    pub fn share(key: &'static str, part: i64, whole: i64, percent: i64) -> Self {
        Self::quotient(key, part, whole, 100 * 100, percent.saturating_mul(100))
    }

    /// An amount of credit, in hundredths.
    #[must_use]
    pub fn credits(key: &'static str, amount: i64, required: i64) -> Self {
        Self::quotient(key, amount, 1, 1, required)
    }

    /// So many times.
    #[must_use]
    pub fn times(key: &'static str, count: i64, required: i64) -> Self {
        Self::quotient(key, count, 1, 100, required.saturating_mul(100))
    }

    /// The same, but there is nothing to judge.
    #[must_use]
    pub fn not_applicable(self) -> Self {
        Self { applicable: false, met: false, ..self }
    }
}
