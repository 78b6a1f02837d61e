//! Key groups: the unit in which keyed state is partitioned, checkpointed and rescaled.
//!
//! Place in the flow: exchanges route by it, state is snapshotted by it. Invariant: the key group of a key never changes, as
//! checkpoints depend on it; `docs/formats/key-encoding.md` has the vectors.

use std::ops::Range;

/// Key groups of a statement.
///
/// # Source
/// Design section 3, "State"; Flink's default `max-parallelism` lower bound is also 128.
pub const KEY_GROUPS_DEFAULT: u32 = 128;

/// The key group of a key with this hash (xxh3-64 of its canonical encoding).
pub fn key_group(hash: u64, key_groups: u32) -> u32 {
    u32::try_from(rest(hash, u64::from(key_groups))).unwrap_or_default()
}

/// The rest of a division, without one when the divisor is a power of two, which it is as a rule: a division takes as long as a hash.
fn rest(number: u64, divisor: u64) -> u64 {
    if divisor.is_power_of_two() {
        number & (divisor - 1)
    } else {
        number % divisor
    }
}

/// The subtask that owns a key group.
///
/// # Source
/// Flink's `KeyGroupRangeAssignment`: `keyGroup * parallelism / maxParallelism`.
pub fn subtask_of(key_group: u32, parallelism: usize, key_groups: u32) -> usize {
    key_group as usize * parallelism / key_groups as usize
}

/// The key groups that a subtask owns.
pub fn range_of(subtask: usize, parallelism: usize, key_groups: u32) -> Range<u32> {
    let groups = key_groups as usize;
    let first = |subtask: usize| {
        u32::try_from((subtask * groups).div_ceil(parallelism)).unwrap_or(key_groups)
    };
    first(subtask)..first(subtask + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_agree_with_the_assignment_of_single_groups() {
        for parallelism in 1..=128 {
            for subtask in 0..parallelism {
                for group in range_of(subtask, parallelism, KEY_GROUPS_DEFAULT) {
                    assert_eq!(subtask_of(group, parallelism, KEY_GROUPS_DEFAULT), subtask);
                }
            }
            let total: usize = (0..parallelism)
                .map(|subtask| range_of(subtask, parallelism, KEY_GROUPS_DEFAULT).len())
                .sum();
            assert_eq!(total, KEY_GROUPS_DEFAULT as usize);
        }
    }
}
