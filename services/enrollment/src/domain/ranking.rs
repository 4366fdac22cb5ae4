//! Ranking by need (按需排序), with its reasons.

use std::cmp::Reverse;

use jiff::civil::Date;
use proto::Credit;

/// What a rank is made of, as fixed when the round opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The selection.
    pub selection: String,
    /// No intensive training in the cycle yet.
    pub lacks_intensive: bool,
    /// Tier and category match.
    pub matched: bool,
    /// End of the cycle; unknown is last.
    pub cycle_ends_on: Option<Date>,
    /// Credit in the cycle.
    pub cycle_credit: Credit,
    /// Microseconds since the epoch.
    pub submitted_at: i64,
}

/// Orders by need: an unmet 90-credit requirement, a match, the nearest end of the cycle, the fewest credits, the earliest
/// submission, the name. Source: DESIGN §5, allocation.
pub fn rank(needs: &mut [Need]) {
    needs.sort_by(|a, b| key(a).cmp(&key(b)));
}

type Key<'a> = (Reverse<bool>, Reverse<bool>, Date, Credit, i64, &'a str);

fn key(need: &Need) -> Key<'_> {
    let ends = need.cycle_ends_on.unwrap_or(Date::MAX);
    (Reverse(need.lacks_intensive), Reverse(need.matched), ends, need.cycle_credit, need.submitted_at, &need.selection)
}

/// Those of `chosen` for whose sake somebody ranked above them is passed over while there are not places for all. `ranked` are
/// the undecided in order.
#[must_use]
pub fn passing_over<'a>(ranked: &'a [String], chosen: &[&str], free: i32) -> Vec<&'a str> {
    if i32::try_from(ranked.len()).is_ok_and(|all| all <= free) {
        return Vec::new();
    }
    let is_chosen = |name: &&str| chosen.contains(name);
    ranked.iter().map(String::as_str).skip_while(is_chosen).filter(is_chosen).collect()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn need(name: &str) -> Need {
        Need {
            selection: name.to_owned(),
            lacks_intensive: false,
            matched: false,
            cycle_ends_on: Some(date(2020, 12, 31)),
            cycle_credit: Credit::whole(100),
            submitted_at: 10,
        }
    }

    #[test]
    fn each_criterion_breaks_the_tie_of_the_one_before() {
        let worst = need("z");
        let ladder = [
            Need { selection: "a".to_owned(), ..worst.clone() },
            Need { submitted_at: 9, ..worst.clone() },
            Need { cycle_credit: Credit::whole(99), ..worst.clone() },
            Need { cycle_ends_on: Some(date(2020, 12, 30)), ..worst.clone() },
            Need { matched: true, cycle_ends_on: None, ..worst.clone() },
            Need { lacks_intensive: true, cycle_ends_on: None, ..worst },
        ];
        for pair in ladder.windows(2) {
            let mut both = vec![pair[0].clone(), pair[1].clone()];
            rank(&mut both);
            assert_eq!(both, [pair[1].clone(), pair[0].clone()]);
        }
    }

    #[test]
    fn deviating_is_passing_someone_over_while_places_are_short() {
        let ranked: Vec<_> = ["a", "b", "c"].map(str::to_owned).into();
        assert!(passing_over(&ranked, &["a", "b"], 2).is_empty());
        assert_eq!(passing_over(&ranked, &["b"], 2), ["b"]);
        assert_eq!(passing_over(&ranked, &["a", "c"], 2), ["c"]);
        assert!(passing_over(&ranked, &["c"], 3).is_empty(), "there is room for all");
        assert!(passing_over(&ranked, &[], 1).is_empty());
    }

    proptest! {
        #[test]
        fn the_order_does_not_depend_on_the_order_given(
            rows in proptest::collection::vec((any::<bool>(), any::<bool>(), 0..3_i64, 0..3_i64), 0..20),
        ) {
            let mut needs: Vec<_> = rows
                .iter()
                .enumerate()
                .map(|(index, (lacks_intensive, matched, credit, at))| Need {
                    lacks_intensive: *lacks_intensive,
                    matched: *matched,
                    cycle_credit: Credit::whole(*credit),
                    submitted_at: *at,
                    ..need(&format!("{index:02}"))
                })
                .collect();
            let mut other = needs.clone();
            other.reverse();
            rank(&mut needs);
            rank(&mut other);
            prop_assert_eq!(needs, other);
        }
    }
}
