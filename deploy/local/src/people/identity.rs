//! Identity numbers of nobody: right in form (GB 11643), of a region that was never assigned.

use std::collections::BTreeMap;

use jiff::civil::Date;

const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const CHECKS: [char; 11] = ['1', '0', 'X', '9', '8', '7', '6', '5', '4', '3', '2'];

/// Gives out identity numbers, each once.
pub struct Numbers {
    region: String,
    taken: BTreeMap<(Date, bool), u16>,
}

impl Numbers {
    /// Of a region: six digits.
    pub fn of(region: &str) -> Self {
        Self { region: region.to_owned(), taken: BTreeMap::new() }
    }

    /// The next number of someone born on `born` or, where that day's 500 are used up, the first day after with one left.
    pub fn next(&mut self, mut born: Date, woman: bool) -> String {
        loop {
            let taken = self.taken.entry((born, woman)).or_insert(0);
            let next_day = born.tomorrow();
            if *taken < 500 || next_day.is_err() {
                // The order is odd for men, even for women.
                let order = (*taken % 500) * 2 + u16::from(!woman);
                *taken = taken.saturating_add(1);
                return self.number(born, order);
            }
            born = next_day.unwrap_or(born);
        }
    }

    fn number(&self, born: Date, order: u16) -> String {
        let body = format!("{}{:04}{:02}{:02}{order:03}", self.region, born.year(), born.month(), born.day());
        let check = check(&body);
        format!("{body}{check}")
    }
}

/// The check character of the first 17 digits (ISO 7064, MOD 11-2).
fn check(body: &str) -> char {
    let sum: u32 =
        body.chars().filter_map(|digit| digit.to_digit(10)).zip(WEIGHTS).map(|(digit, weight)| digit * weight).sum();
    CHECKS.get((sum % 11) as usize).copied().unwrap_or('X')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_character_is_the_standards() {
        // The worked examples of GB 11643-1999.
        assert_eq!(check("11010519491231002"), 'X');
        assert_eq!(check("44052418800101001"), '4');
    }

    #[test]
    fn a_day_that_is_used_up_gives_way_to_the_next() {
        let born = jiff::civil::date(1980, 5, 4);
        let mut numbers = Numbers::of("700001");
        let drawn: std::collections::BTreeSet<String> = (0..600).map(|_| numbers.next(born, true)).collect();
        assert_eq!(drawn.len(), 600);
        assert_eq!(drawn.iter().filter(|number| number.contains("19800504")).count(), 500);
    }
}
