//! Skew of keys and the rounding of key groups.
//!
//! Place in the flow: says how much of the load the busiest subtask has, which is what limits a keyed operator. Invariant: the share of
//! the busiest subtask is at least that of the hottest key and at least 1/parallelism.

use crate::rng::mix;

/// Keys that are hashed one by one, the hottest first; all others are taken to spread evenly.
///
/// # Source
/// Guess: the 8,192nd key of a million at exponent 1 has one record in 118,000, which no subtask notices.
const HASHED_KEYS_MAX: u64 = 8_192;

/// Terms of the harmonic sum that are added one by one; the rest is integrated.
///
/// # Source
/// The error of the rest is below the square of the last term.
const SUMMED_TERMS_MAX: u64 = 10_000;

/// The generalised harmonic number: the sum of `i^-exponent` over `i` from 1 to `keys`.
#[expect(
    clippy::cast_precision_loss,
    reason = "validated to far below 2^53 keys"
)]
pub fn harmonic(keys: u64, exponent: f64) -> f64 {
    let summed = keys.min(SUMMED_TERMS_MAX);
    let term = |i: f64| libm::pow(i, -exponent);
    // The smallest terms first, so that none is lost in rounding.
    let head: f64 = (1..=summed).rev().map(|i| term(i as f64)).sum();
    if keys == summed {
        return head;
    }
    let (from, to) = (summed as f64, keys as f64);
    let area = if (exponent - 1.0).abs() < 1e-9 {
        libm::log(to / from)
    } else {
        (libm::pow(to, 1.0 - exponent) - libm::pow(from, 1.0 - exponent)) / (1.0 - exponent)
    };
    // Euler-Maclaurin: the area, half of the difference at the ends, and the first correction.
    let slope = |i: f64| exponent * libm::pow(i, -exponent - 1.0);
    head + area + (term(to) - term(from)) / 2.0 + (slope(from) - slope(to)) / 12.0
}

/// The share of the hottest of so many keys under Zipf's law.
pub fn hottest_key_share(keys: u64, exponent: f64) -> f64 {
    1.0 / harmonic(keys, exponent)
}

/// How much more key groups the fullest subtask has than the mean.
///
/// # Source
/// Flink gives subtask `i` the key groups from `i * groups / parallelism`.
pub fn key_group_imbalance(key_groups: u32, parallelism: u32) -> f64 {
    let fullest = key_groups.div_ceil(parallelism);
    f64::from(fullest) * f64::from(parallelism) / f64::from(key_groups)
}

/// The load of each key group, as shares that add up to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyGroupLoads {
    /// Share of each key group.
    shares: Vec<f64>,
}

impl KeyGroupLoads {
    /// The loads of so many keys under Zipf's law.
    ///
    /// # Shape
    /// Which group a hot key falls into is decided by a hash: another set of keys has other loads of the same kind.
    #[expect(
        clippy::cast_precision_loss,
        reason = "validated to far below 2^53 keys"
    )]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the remainder of a division by a 32-bit number of groups fits"
    )]
    pub fn new(keys: u64, exponent: f64, key_groups: u32) -> Self {
        let total = harmonic(keys, exponent);
        let mut shares = vec![0.0; key_groups as usize];
        let mut hashed = 0.0;
        for key in 1..=keys.min(HASHED_KEYS_MAX) {
            let share = libm::pow(key as f64, -exponent) / total;
            let group = (mix(key) % u64::from(key_groups)) as usize;
            shares[group] += share;
            hashed += share;
        }
        if keys > HASHED_KEYS_MAX {
            let rest = (1.0 - hashed).max(0.0) / f64::from(key_groups);
            for share in &mut shares {
                *share += rest;
            }
        }
        Self { shares }
    }

    /// The share of the busiest subtask.
    pub fn busiest_share(&self, parallelism: u32) -> f64 {
        let parallelism = parallelism.max(1) as usize;
        let groups = self.shares.len();
        let mut loads = vec![0.0; parallelism.min(groups)];
        let subtasks = loads.len();
        for (group, share) in self.shares.iter().enumerate() {
            loads[group * subtasks / groups] += share;
        }
        loads.into_iter().fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys and exponent; then the hottest key's share and the speed-up at 4, 16 and 64 subtasks of one simulated set of keys.
    ///
    /// # Source
    /// Computed independently; the speed-ups with another hash.
    const VECTORS: [(u64, f64, f64, [f64; 3]); 12] = [
        (1_000, 0.0, 0.001, [3.76, 13.1, 38.07]),
        (1_000, 0.5, 0.016_18, [3.57, 11.92, 28.83]),
        (1_000, 0.8, 0.064_64, [3.35, 8.11, 12.55]),
        (1_000, 1.0, 0.133_59, [2.81, 5.14, 6.8]),
        (1_000, 1.2, 0.230_64, [2.19, 3.72, 4.07]),
        (1_000, 1.5, 0.392_29, [1.87, 2.29, 2.52]),
        (100_000, 0.8, 0.021_95, [3.71, 12.1, 26.4]),
        (100_000, 1.0, 0.082_71, [3.13, 7.28, 10.24]),
        (100_000, 1.2, 0.1964, [2.51, 3.93, 4.74]),
        (1_000_000, 0.8, 0.013_37, [3.77, 12.88, 34.84]),
        (1_000_000, 1.0, 0.069_48, [3.25, 8.14, 12.18]),
        (1_000_000, 1.5, 0.383_09, [1.95, 2.38, 2.53]),
    ];

    #[test]
    fn the_hottest_key_has_the_share_of_the_vectors() {
        for (keys, exponent, share, _) in VECTORS {
            let found = hottest_key_share(keys, exponent);
            assert!((found - share).abs() <= 5.1e-6, "{keys} {exponent} {found}");
        }
    }

    #[test]
    fn speed_ups_are_near_those_of_another_hash() {
        for (keys, exponent, share, speed_ups) in VECTORS {
            let loads = KeyGroupLoads::new(keys, exponent, 128);
            for (parallelism, expected) in [4, 16, 64].into_iter().zip(speed_ups) {
                let found = 1.0 / loads.busiest_share(parallelism);
                assert!(found <= 1.0 / share * 1.001, "the hottest key is a limit");
                assert!(found <= f64::from(parallelism) * 1.000_001);
                let error = (found / expected).max(expected / found);
                assert!(error < 1.3, "{keys} {exponent} {parallelism}: {found}");
            }
        }
    }

    #[test]
    fn key_groups_round_up() {
        for (groups, parallelism, expected) in [
            (128, 3, 1.0078),
            (128, 7, 1.0391),
            (128, 24, 1.125),
            (128, 50, 1.1719),
            (128, 96, 1.5),
            (128, 100, 1.5625),
            (720, 7, 1.0014),
            (720, 48, 1.0),
            (720, 96, 1.0667),
            (720, 100, 1.1111),
        ] {
            let found = key_group_imbalance(groups, parallelism);
            assert!((found - expected).abs() <= 5.1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn long_harmonic_sums_agree_with_adding_up() {
        for exponent in [0.0, 0.5, 1.0, 1.5] {
            let added: f64 = (1..=200_000u32)
                .rev()
                .map(|i| f64::from(i).powf(-exponent))
                .sum();
            let found = harmonic(200_000, exponent);
            assert!((found / added - 1.0).abs() < 1e-10, "{exponent}");
        }
    }

    #[test]
    fn loads_add_up() {
        let loads = KeyGroupLoads::new(1_000_000, 1.1, 128);
        assert!((loads.busiest_share(1) - 1.0).abs() < 1e-9);
    }
}
