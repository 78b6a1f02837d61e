//! Lists of the parts of a bucket's time.
//!
//! Place in the flow: [`super::timed::TimedRows`] gives the rows of a key to such lists once the list before is full. Invariant: a part is
//! told by its number alone; the parts of a list are apart, and together they are its time.

use crate::state::bucket::{Bucket, clamp};
use crate::time::EpochMillis;

/// How often the time of a list is halved for its parts: 16 of them, a bit each.
const PART_LEVELS: u32 = 4;

/// Bits of the number of a part that tell which one it is among those of its width, which are 2^26 at most; those above tell the width.
const INDEX_BITS: u32 = 27;

/// A list and the time that it is of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// The id.
    pub(super) id: u32,
    /// The first millisecond, and the width.
    pub(super) time: Bucket,
}

impl Part {
    /// The width of its parts.
    fn level(self) -> u32 {
        self.time.level.saturating_sub(PART_LEVELS)
    }

    /// The time of one of its parts.
    pub(super) fn time_of(self, index: u32) -> Bucket {
        let level = self.level();
        Bucket {
            start_ms: self.time.start_ms + (i64::from(index) << level),
            level,
        }
    }

    /// The part that a time is in.
    pub(super) fn index_of(self, time_ms: EpochMillis) -> u32 {
        let index = (clamp(time_ms) - self.time.start_ms) >> self.level();
        u32::try_from(index).unwrap_or_default()
    }
}

/// The number of a part of a bucket among all of them.
pub(super) fn number_of(part: Bucket, bucket: Bucket) -> u32 {
    let index = (part.start_ms - bucket.start_ms) >> part.level;
    (part.level << INDEX_BITS) | u32::try_from(index).unwrap_or_default()
}

/// Whether a bucket has a time between two, both included.
pub(super) fn meets(bucket: Bucket, (from_ms, to_ms): (EpochMillis, EpochMillis)) -> bool {
    bucket.start_ms <= clamp(to_ms) && from_ms <= bucket.last_ms()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Checks the parts of a part, and theirs.
    fn check(part: Part, bucket: Bucket, numbers: &mut BTreeSet<u32>) {
        if part.time.level == 0 {
            return;
        }
        let mut next_ms = part.time.start_ms;
        while next_ms <= part.time.last_ms() {
            let index = part.index_of(next_ms);
            let time = part.time_of(index);
            assert!(index < u16::BITS && time.start_ms == next_ms);
            assert!(numbers.insert(number_of(time, bucket)), "{time:?}");
            assert_eq!(part.index_of(time.last_ms()), index);
            check(Part { time, ..part }, bucket, numbers);
            next_ms = time.last_ms() + 1;
        }
    }

    #[test]
    fn the_parts_of_a_list_are_its_time_and_have_numbers_of_their_own() {
        for (time_ms, level) in [(-5, 0), (77, 3), (-9_999, 7), (123_456_789, 13)] {
            let time = Bucket::of(time_ms, level);
            check(Part { id: 0, time }, time, &mut BTreeSet::new());
        }
    }
}
