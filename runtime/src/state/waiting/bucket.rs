//! Buckets of time.
//!
//! Place in the flow: [`super::WaitingRows`] and the interval join keep the rows of each bucket in a namespace. Invariant: two buckets are apart, or one lies
//! within the other; a bucket is told by its namespace alone, and namespaces are in the order of the buckets' middles.
//!
//! The width of a bucket is a power of two of milliseconds, from one to [`LEVEL_MAX`] doublings. It follows how dense the rows are, so that
//! neither a million rows of one second nor a million seconds with a row each are slow.

/// Rows that a bucket is to hold: many times what a bucket costs, few times what comes between two watermarks (guess, unmeasured).
const ROWS_WANTED: usize = 32 << 10;

/// Rows of the bucket in which the watermark lies past which narrower ones are made of it: a factor of those wanted (guess, unmeasured).
const NARROW_FACTOR: usize = 4;

/// How far a bucket may be from that, a factor, before the next ones get another width.
const TOLERANCE: usize = 2;

/// Buckets over which the rows are counted before the next ones become wider: a burst of times must not widen them (guess).
const OPENED_MIN: usize = 4;

/// Buckets over which the rows are counted at most, so that what was long ago does not matter (guess).
const OPENED_MAX: usize = 16;

/// The width of the first bucket: 2^7 ms (guess, unmeasured).
const LEVEL_FIRST: u32 = 7;

/// The greatest width: 2^26 ms, 18 hours.
pub const LEVEL_MAX: u32 = 26;

/// Times past this lie in the last bucket, and those before its negative in the first: twice a time has to fit into a namespace.
const TIME_MAX: i64 = 1 << 61;

/// Some milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Its first millisecond.
    pub start_ms: i64,
    /// How often a millisecond is doubled.
    pub level: u32,
}

impl Bucket {
    /// The bucket of a width in which a time lies.
    pub fn of(time_ms: i64, level: u32) -> Self {
        let time_ms = clamp(time_ms);
        Self {
            start_ms: time_ms >> level << level,
            level,
        }
    }

    /// The bucket that a namespace tells.
    pub fn from_namespace(namespace: i64) -> Self {
        let level = namespace.trailing_zeros().min(LEVEL_MAX);
        Self {
            start_ms: (namespace - (1 << level)) >> 1,
            level,
        }
    }

    /// Its namespace: twice its middle, whose lowest bit tells the width.
    pub fn namespace(self) -> i64 {
        (self.start_ms << 1) + (1 << self.level)
    }

    /// Its last millisecond; for ever in the last one.
    pub fn last_ms(self) -> i64 {
        let last_ms = self.start_ms + ((1 << self.level) - 1);
        if last_ms >= TIME_MAX - 1 {
            i64::MAX
        } else {
            last_ms
        }
    }
}

/// A time that fits into a namespace.
pub fn clamp(time_ms: i64) -> i64 {
    time_ms.clamp(-TIME_MAX, TIME_MAX - 1)
}

/// How wide the next bucket is.
#[derive(Debug)]
pub(super) struct Width {
    /// How often a millisecond is doubled.
    pub(super) level: u32,
    /// Rows since the width has changed.
    rows: usize,
    /// Buckets opened since.
    opened: usize,
}

impl Default for Width {
    fn default() -> Self {
        Self {
            level: LEVEL_FIRST,
            rows: 0,
            opened: 0,
        }
    }
}

impl Width {
    /// Rows are added.
    pub(super) fn add(&mut self, rows: usize) {
        self.rows += rows;
    }

    /// Makes buckets narrower than one with so many rows, if there are too many; whether it did.
    pub(super) fn narrow(&mut self, bucket: Bucket, rows: usize) -> bool {
        if rows <= ROWS_WANTED * NARROW_FACTOR || bucket.level == 0 {
            return false;
        }
        let levels = (rows / ROWS_WANTED).ilog2();
        *self = Self {
            level: self.level.min(bucket.level.saturating_sub(levels)),
            ..Self::default()
        };
        true
    }

    /// A bucket is about to be opened.
    pub(super) fn next(&mut self) {
        let wanted = self.opened.max(1) * ROWS_WANTED;
        let change = if self.rows > wanted * TOLERANCE {
            let levels = (self.rows / wanted).ilog2();
            Some(self.level.saturating_sub(levels))
        } else if self.opened >= OPENED_MIN && self.rows < wanted / TOLERANCE {
            let levels = (wanted / self.rows.max(1)).ilog2().min(2);
            Some((self.level + levels).min(LEVEL_MAX))
        } else {
            None
        };
        if let Some(level) = change {
            *self = Self {
                level,
                ..Self::default()
            };
        }
        if self.opened >= OPENED_MAX {
            self.opened /= 2;
            self.rows /= 2;
        }
        self.opened += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_tells_its_bucket() {
        for time_ms in [0, 1, -1, 12_345, -9_999_999, 1 << 50, i64::MAX, i64::MIN] {
            for level in 0..=LEVEL_MAX {
                let bucket = Bucket::of(time_ms, level);
                assert_eq!(Bucket::from_namespace(bucket.namespace()), bucket);
                assert!(bucket.start_ms <= clamp(time_ms) && time_ms <= bucket.last_ms());
            }
        }
        assert!(Bucket::of(15, 4).namespace() < Bucket::of(16, 0).namespace());
    }

    #[test]
    fn the_width_follows_the_rows() {
        let mut width = Width::default();
        // A row in each millisecond, then a thousand, then one in each second.
        for (time_step, rows, end_ms) in [
            (1, 1, 5_000_000),
            (1, 1_000, 5_000_000),
            (1_000, 1, 99_000_000),
        ] {
            let (mut time_ms, mut opened) = (0, 0);
            while time_ms < end_ms {
                width.next();
                let last_ms = Bucket::of(time_ms, width.level).last_ms();
                let added = (last_ms + 1 - time_ms) / time_step * rows;
                width.add(usize::try_from(added).unwrap());
                time_ms = last_ms + 1;
                opened += 1;
            }
            let per_bucket = end_ms / time_step * rows / opened;
            assert!((1_000..200_000).contains(&per_bucket), "{per_bucket} rows");
        }
    }

    #[test]
    fn a_bucket_of_too_many_rows_makes_the_next_ones_narrow() {
        let mut width = Width {
            level: 20,
            ..Width::default()
        };
        let bucket = Bucket::of(5, 20);
        assert!(!width.narrow(bucket, ROWS_WANTED * NARROW_FACTOR));
        assert!(width.narrow(bucket, ROWS_WANTED * 8));
        assert_eq!(width.level, 17);
        assert!(!width.narrow(Bucket::of(5, 0), ROWS_WANTED * 8));
    }
}
