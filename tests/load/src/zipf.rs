//! Popularity: the k-th most popular of many is chosen in proportion to 1 / k^1.1.

const EXPONENT: f64 = 1.1;

/// Cumulative shares.
#[derive(Debug, Clone)]
pub struct Zipf(Vec<f64>);

impl Zipf {
    /// Over `count` things.
    #[must_use]
    pub fn new(count: usize) -> Self {
        let weight = |k: usize| (k as f64).powf(-EXPONENT);
        let total: f64 = (1..=count).map(weight).sum();
        let mut sum = 0.0;
        let shares = (1..=count).map(|k| {
            sum += weight(k) / total;
            sum
        });
        Self(shares.collect())
    }

    /// The index, from 0, that a number from 0 to 1 falls on.
    #[must_use]
    pub fn draw(&self, unit: f64) -> usize {
        self.0.partition_point(|share| *share <= unit).min(self.0.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_chosen_the_most() {
        let zipf = Zipf::new(500);
        assert_eq!((zipf.draw(0.0), zipf.draw(1.0)), (0, 499));
        let mut counts = vec![0; 500];
        for n in 0..100_000 {
            counts[zipf.draw(f64::from(n) / 100_000.0)] += 1;
        }
        assert!(counts.is_sorted_by(|one, other| one + 1 >= *other));
        let ratio = f64::from(counts[0]) / f64::from(counts[9]);
        assert!((ratio - 10_f64.powf(1.1)).abs() < 0.1, "{ratio}");
    }
}
