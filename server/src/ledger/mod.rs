//! The ledger: exact slot time per statement, pool and UTC minute, and what it costs.
//!
//! Enters: slot time of running statements at every tick and transition. Leaves: usage by statement, pool or minute. Invariant:
//! one row per (statement, pool, minute), its slot time only grows, and a row exists exactly for minutes in which the statement
//! was RUNNING or DEGRADED while the server was up.

mod usage;

use std::collections::BTreeMap;
use std::time::Duration;

use weir_model::cfu::MINUTE_MS;

pub use usage::{GroupBy, Usage, UsageRow, UsageTotal, group};

/// Slot time to be added to one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// Statement uid.
    pub uid: String,
    /// Statement name, for reports after it is gone.
    pub name: String,
    /// Pool id.
    pub pool_id: String,
    /// Minutes since the epoch.
    pub minute: i64,
    /// Slot-milliseconds; 0 only marks the minute as one in which the statement ran.
    pub slot_ms: u64,
}

/// Slot time of `slots` slots held for `elapsed` up to the wall time `now_ms`, split by UTC minute.
///
/// The length comes from a clock that never jumps and only the minutes from the wall clock, so the sum is exact whatever the
/// wall clock does.
pub fn split_minutes(now_ms: i64, elapsed: Duration, slots: u32) -> Vec<(i64, u64)> {
    let length = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
    let minute_ms = MINUTE_MS.cast_signed();
    let mut from = now_ms.saturating_sub(length);
    let mut parts = Vec::new();
    loop {
        let minute = from.div_euclid(minute_ms);
        let end = (minute + 1).saturating_mul(minute_ms).min(now_ms);
        let part = end.saturating_sub(from).max(0).cast_unsigned();
        parts.push((minute, part * u64::from(slots)));
        // An end on the minute belongs to the minute that has passed.
        if end >= now_ms {
            return parts;
        }
        from = end;
    }
}

/// Billed totals kept in step with the stored rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Billed CFU-milliseconds by statement uid.
    pub statements: BTreeMap<String, u64>,
    /// Billed CFU-milliseconds by pool.
    pub pools: BTreeMap<String, u64>,
}

impl Totals {
    /// Adds what rows grew by.
    pub fn add(&mut self, uid: &str, pool_id: &str, billed_ms: u64) {
        *self.statements.entry(uid.to_owned()).or_default() += billed_ms;
        *self.pools.entry(pool_id.to_owned()).or_default() += billed_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_split_at_minutes_and_nothing_is_lost() {
        let parts = split_minutes(3 * 60_000 + 500, Duration::from_millis(61_500), 2);
        assert_eq!(parts, vec![(1, 2000), (2, 120_000), (3, 1000)]);
    }

    #[test]
    fn no_time_marks_the_minute() {
        assert_eq!(split_minutes(60_000, Duration::ZERO, 3), vec![(1, 0)]);
    }

    #[test]
    fn an_end_on_the_minute_opens_no_new_one() {
        assert_eq!(
            split_minutes(120_000, Duration::from_mins(1), 1),
            vec![(1, 60_000)]
        );
    }

    proptest::proptest! {
        #[test]
        fn the_parts_add_up(now in -10_000_000i64..10_000_000_000, length in 0u64..1_000_000, slots in 1u32..50) {
            let parts = split_minutes(now, Duration::from_millis(length), slots);
            let sum: u64 = parts.iter().map(|(_, ms)| ms).sum();
            proptest::prop_assert_eq!(sum, length * u64::from(slots));
            proptest::prop_assert!(parts.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0));
        }
    }
}
