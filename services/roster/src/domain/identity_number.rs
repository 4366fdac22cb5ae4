//! Identity numbers (公民身份号码), GB 11643: 6 digits of region, 8 of birth date, 3 of order, 1 check character.

use jiff::civil::Date;

use super::fault::Defect;

/// A well-formed identity number. It has no `Debug`, so that it cannot reach a log by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct IdentityNumber {
    text: String,
    born_on: Date,
}

/// The weight of each of the first 17 digits: 2^(17 − i) mod 11.
const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
/// The check character of each remainder (ISO 7064, MOD 11-2).
const CHECKS: [char; 11] = ['1', '0', 'X', '9', '8', '7', '6', '5', '4', '3', '2'];
/// Nobody on a roster was born before.
const EARLIEST: Date = jiff::civil::date(1900, 1, 1);

impl IdentityNumber {
    /// Reads a number; a lower-case x counts as X. `today` bounds the birth date.
    ///
    /// # Errors
    /// What is wrong with it: absent, malformed, an impossible birth date, or a check digit that does not fit.
    pub fn parse(text: &str, today: Date) -> Result<Self, Defect> {
        let text = text.to_ascii_uppercase();
        if text.is_empty() {
            return Err(Defect::Required);
        }
        let characters: Vec<char> = text.chars().collect();
        let Some((&check, body)) = characters.split_last() else { return Err(Defect::Malformed) };
        let digits: Vec<u32> = body.iter().map_while(|c| c.to_digit(10)).collect();
        if digits.len() != WEIGHTS.len() || body.len() != WEIGHTS.len() || !(check.is_ascii_digit() || check == 'X') {
            return Err(Defect::Malformed);
        }
        let born_on = birth_date(&digits).filter(|day| (EARLIEST..=today).contains(day)).ok_or(Defect::BirthDate)?;
        if check_character(&digits) != Some(check) {
            return Err(Defect::CheckDigit);
        }
        Ok(Self { text, born_on })
    }

    /// The 18 characters.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The birth date.
    #[must_use]
    pub const fn born_on(&self) -> Date {
        self.born_on
    }
}

/// The check character of 17 digits; none where there are not 17.
#[must_use]
pub fn check_character(digits: &[u32]) -> Option<char> {
    if digits.len() != WEIGHTS.len() {
        return None;
    }
    let sum: u32 = digits.iter().zip(WEIGHTS).map(|(digit, weight)| digit.saturating_mul(weight)).sum();
    CHECKS.get(usize::try_from(sum % 11).ok()?).copied()
}

fn birth_date(digits: &[u32]) -> Option<Date> {
    let number = |from: usize, to: usize| digits.get(from..to).map(|part| part.iter().fold(0, |n, d| n * 10 + d));
    let year = i16::try_from(number(6, 10)?).ok()?;
    let month = i8::try_from(number(10, 12)?).ok()?;
    let day = i8::try_from(number(12, 14)?).ok()?;
    Date::new(year, month, day).ok()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    const TODAY: Date = date(2019, 6, 17);

    fn with_check(body: &str) -> String {
        let digits: Vec<u32> = body.chars().filter_map(|c| c.to_digit(10)).collect();
        format!("{body}{}", check_character(&digits).unwrap())
    }

    #[test]
    fn takes_the_example_of_the_standard() {
        // GB 11643-1999, appendix: both of its worked numbers.
        assert!(IdentityNumber::parse("11010519491231002X", TODAY).is_ok());
        assert!(IdentityNumber::parse("440524188001010014", TODAY).is_err_and(|d| d == Defect::BirthDate));
        assert_eq!(
            IdentityNumber::parse("11010519491231002x", TODAY).map(|n| n.text).ok().as_deref(),
            Some("11010519491231002X")
        );
    }

    #[test]
    fn names_what_is_wrong() {
        let defect = |text: &str| IdentityNumber::parse(text, TODAY).err();
        assert_eq!(defect(""), Some(Defect::Required));
        assert_eq!(defect("110105491231002"), Some(Defect::Malformed));
        assert_eq!(defect("1101051949123100XX"), Some(Defect::Malformed));
        assert_eq!(defect("110105194912310021"), Some(Defect::CheckDigit));
        assert_eq!(defect("110105194913310021"), Some(Defect::BirthDate));
        assert_eq!(defect(&with_check("11010520190618001")), Some(Defect::BirthDate), "born tomorrow");
    }

    proptest! {
        #[test]
        fn takes_every_number_with_its_check_digit(
            region in 100_000_u32..=999_999, days in 0_i64..43_000, order in 0_u32..=999,
        ) {
            let born = EARLIEST.checked_add(jiff::Span::new().days(days)).unwrap();
            let text = with_check(&format!("{region}{:04}{:02}{:02}{order:03}", born.year(), born.month(), born.day()));
            let number = IdentityNumber::parse(&text, TODAY);
            prop_assert_eq!(number.as_ref().ok().map(|n| n.born_on), Some(born));
        }

        // The check character finds every single wrong digit and every swap of neighbours.
        #[test]
        fn finds_a_wrong_digit_and_a_swap(
            region in 100_000_u32..=999_999, days in 0_i64..43_000, order in 0_u32..=999, at in 0_usize..17, other in 0_u8..10,
        ) {
            let born = EARLIEST.checked_add(jiff::Span::new().days(days)).unwrap();
            let text = with_check(&format!("{region}{:04}{:02}{:02}{order:03}", born.year(), born.month(), born.day()));
            let mut wrong = text.clone().into_bytes();
            wrong[at] = b'0' + other;
            let wrong = String::from_utf8(wrong).unwrap();
            prop_assert_eq!(IdentityNumber::parse(&wrong, TODAY).is_ok(), wrong == text);
            let mut swapped = text.clone().into_bytes();
            if at + 1 < 17 { swapped.swap(at, at + 1); }
            let swapped = String::from_utf8(swapped).unwrap();
            prop_assert_eq!(IdentityNumber::parse(&swapped, TODAY).is_ok(), swapped == text);
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,24}") {
            let _ = IdentityNumber::parse(&text, TODAY);
        }
    }
}
