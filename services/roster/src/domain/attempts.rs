//! Failed logins: after a few, each next try has to wait longer.

/// Failures without a pause.
pub const FREE: i64 = 5;
/// The first pause, in seconds; each further failure doubles it.
const FIRST_PAUSE: i64 = 5;
/// The longest pause, in seconds.
const LONGEST_PAUSE: i64 = 900;
/// Failures count until there was none for so long, in microseconds: a day.
pub const FORGOTTEN_AFTER: i64 = 86_400_000_000;

/// How long, in microseconds, the next try has to wait after so many failures.
#[must_use]
pub fn pause(failures: i64) -> i64 {
    let over = failures.saturating_sub(FREE);
    if over < 0 {
        return 0;
    }
    let doubled = u32::try_from(over).ok().and_then(|n| 2_i64.checked_pow(n)).unwrap_or(i64::MAX);
    FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE).saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_and_longer_up_to_a_limit() {
        assert_eq!((pause(0), pause(FREE - 1)), (0, 0));
        assert_eq!((pause(FREE), pause(FREE + 1), pause(FREE + 2)), (5_000_000, 10_000_000, 20_000_000));
        assert_eq!(pause(i64::MAX), 900_000_000);
    }

    proptest::proptest! {
        #[test]
        fn never_shrinks(failures in 0_i64..10_000) {
            proptest::prop_assert!(pause(failures) <= pause(failures + 1));
        }
    }
}
