//! Random choices.
//!
//! Place in the flow: the generator, the source and the run draw from it. Invariant: the same seed gives the same choices.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

/// A source of choices.
#[derive(Debug)]
pub(crate) struct Random(StdRng);

impl Random {
    /// The choices of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0.random_range(0..limit)
    }

    /// A number of a range, both ends included.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        self.0.random_range(low..=high)
    }

    /// True once in `n` times.
    pub(crate) fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of several.
    pub(crate) fn pick<T: Copy>(&mut self, options: &[T]) -> T {
        options[self.below(options.len())]
    }

    /// Some of the numbers below `count`, in any order: at least `least` if there are so many.
    pub(crate) fn some_of(&mut self, count: usize, least: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..count).collect();
        all.shuffle(&mut self.0);
        let least = least.min(count);
        all.truncate(least + self.below((count - least).min(2) + 1));
        all
    }

    /// Any 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0.random()
    }
}
