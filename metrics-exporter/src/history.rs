//! The snapshots of the last minutes.
//!
//! Place in the flow: the server pushes each snapshot; scrapes ask for the newest and for the one a minute before. Invariant: in
//! order of time, and bounded.

use std::collections::VecDeque;
use std::sync::Arc;

use weir_model::meter::Snapshot;

/// Milliseconds in a minute.
const MINUTE_MS: i64 = 60_000;

/// Furthest that the age of [`History::minute_ago`] may be from a minute, milliseconds.
///
/// # Source
/// Three intervals of the meter: a delta over 45 to 75 seconds is still worth showing, one over ten minutes is not.
const TOLERANCE_MS: u64 = 15_000;

/// The last snapshots.
#[derive(Debug, Clone)]
pub struct History {
    /// Oldest first.
    snapshots: VecDeque<Arc<Snapshot>>,
    /// How many are kept.
    keep: usize,
}

impl History {
    /// An empty history of so many snapshots, at least one.
    ///
    /// # Units
    /// A snapshot each [`weir_model::meter::INTERVAL_SECONDS`]: 13 reach back one minute, 90 the seven minutes and more that pages
    /// stamped with five minutes ago need.
    pub fn new(keep: usize) -> Self {
        Self {
            snapshots: VecDeque::new(),
            keep: keep.max(1),
        }
    }

    /// Adds the newest snapshot and drops the oldest one too many.
    ///
    /// A clock that went back makes the snapshots of its future useless: they are dropped.
    pub fn push(&mut self, snapshot: Snapshot) {
        while self
            .snapshots
            .back()
            .is_some_and(|last| last.at_ms >= snapshot.at_ms)
        {
            self.snapshots.pop_back();
        }
        if self.snapshots.len() == self.keep {
            self.snapshots.pop_front();
        }
        self.snapshots.push_back(Arc::new(snapshot));
    }

    /// The newest snapshot.
    pub fn latest(&self) -> Option<Arc<Snapshot>> {
        self.snapshots.back().cloned()
    }

    /// The newest snapshot at or before an instant.
    ///
    /// # Units
    /// Epoch milliseconds.
    pub fn before(&self, ms: i64) -> Option<Arc<Snapshot>> {
        let after = self
            .snapshots
            .partition_point(|snapshot| snapshot.at_ms <= ms);
        self.snapshots.get(after.checked_sub(1)?).cloned()
    }

    /// The snapshot whose age against the newest is nearest to a minute, for [`crate::confluent::export`].
    ///
    /// None when there is none between 45 and 75 seconds: the history is too young, or has a gap.
    pub fn minute_ago(&self) -> Option<Arc<Snapshot>> {
        let latest_ms = self.snapshots.back()?.at_ms;
        let off_by =
            |snapshot: &Snapshot| snapshot.at_ms.abs_diff(latest_ms.saturating_sub(MINUTE_MS));
        self.snapshots
            .iter()
            .min_by_key(|snapshot| off_by(snapshot))
            .filter(|snapshot| off_by(snapshot) <= TOLERANCE_MS)
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(at_ms: i64) -> Snapshot {
        Snapshot {
            at_ms,
            ..Snapshot::default()
        }
    }

    fn time(snapshot: Option<Arc<Snapshot>>) -> Option<i64> {
        snapshot.map(|snapshot| snapshot.at_ms)
    }

    #[test]
    fn finds_the_newest_at_or_before() {
        let mut history = History::new(3);
        assert_eq!(time(history.latest()), None);
        assert_eq!(time(history.before(i64::MAX)), None);
        for at_ms in [10, 20, 30, 40] {
            history.push(at(at_ms));
        }
        assert_eq!(time(history.latest()), Some(40));
        assert_eq!(time(history.before(40)), Some(40));
        assert_eq!(time(history.before(39)), Some(30));
        assert_eq!(time(history.before(20)), Some(20));
        assert_eq!(time(history.before(19)), None, "10 has been dropped");
    }

    #[test]
    fn finds_the_snapshot_of_a_minute_ago_in_spite_of_jitter() {
        let mut history = History::new(20);
        for tick in 0..9 {
            assert!(history.minute_ago().is_none());
            history.push(at(1_000_000 + tick * 5_000 + tick % 2));
        }
        for tick in 9..13 {
            history.push(at(1_000_000 + tick * 5_000 + tick % 2));
        }
        assert_eq!(time(history.minute_ago()), Some(1_000_000));
        history.push(at(1_064_900));
        assert_eq!(time(history.minute_ago()), Some(1_005_001));
    }

    #[test]
    fn a_gap_has_no_minute_ago() {
        let mut history = History::new(5);
        history.push(at(0));
        history.push(at(100_000));
        assert_eq!(time(history.minute_ago()), None);
    }

    #[test]
    fn a_clock_that_goes_back_starts_over() {
        let mut history = History::new(5);
        for at_ms in [1_000, 6_000, 500] {
            history.push(at(at_ms));
        }
        assert_eq!(time(history.latest()), Some(500));
        assert_eq!(time(history.before(10_000)), Some(500));
    }
}
