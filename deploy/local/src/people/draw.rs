//! Drawing from a seed.

use rand::distr::{Distribution as _, weighted::WeightedIndex};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Chance for one subject: what one part draws does not move another's draws.
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// The stream of `part` under `seed`.
    pub fn of(seed: u64, part: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(part);
        Self(rng)
    }

    /// A number from `low` to `high`, both inclusive; `low` where there is nothing between.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        if high <= low { low } else { self.0.random_range(low..=high) }
    }

    /// An index below `length`; 0 of nothing.
    pub fn index(&mut self, length: usize) -> usize {
        if length < 2 { 0 } else { self.0.random_range(0..length) }
    }

    /// True in `percent` of cases.
    pub fn percent(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    /// A number in [0, 1).
    pub fn unit(&mut self) -> f64 {
        self.0.random_range(0.0..1.0)
    }

    /// One of the items, all alike.
    pub fn one<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.index(items.len()))
    }

    /// One of the items, in proportion to its weight; none where no weight is positive.
    pub fn weighted<T>(&mut self, items: impl Iterator<Item = (T, f64)> + Clone) -> Option<T> {
        let total: f64 = items.clone().map(|(_, weight)| weight.max(0.0)).sum();
        let mut left = self.unit() * total;
        let mut last = None;
        for (item, weight) in items.filter(|(_, weight)| *weight > 0.0) {
            left -= weight;
            last = Some(item);
            if left < 0.0 {
                break;
            }
        }
        last
    }

    /// The place of one of many, in proportion to the weights that the index was made of: a look-up, however many there are.
    pub fn of_index(&mut self, index: &WeightedIndex<f64>) -> usize {
        index.sample(&mut self.0)
    }

    /// The items in a drawn order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let other = self.0.random_range(0..=end);
            items.swap(end, other);
        }
    }
}
