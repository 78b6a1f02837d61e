//! Alignment of the watermarks of a job's sources.
//!
//! Place in the flow: the source subtasks of a job share one [`WatermarkAlignment`] and ask it, before each read, how far they may be
//! ahead. Invariant: what is slowest is never held back, so that somebody always goes on; subtasks without a watermark hold back
//! nobody.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::time::EpochMillis;

/// How often a source that is held back looks again.
///
/// # Source
/// Confluent: watermarks are emitted every 200 ms.
pub(super) const ALIGNMENT_INTERVAL: Duration = Duration::from_millis(200);

/// The watermarks of the source subtasks of a job.
///
/// # Source
/// Flink: watermark alignment of sources, in one group per statement as in Confluent Cloud.
#[derive(Debug)]
pub(super) struct WatermarkAlignment {
    /// How far a split may be ahead of the slowest, milliseconds.
    drift_ms: i64,
    /// The slowest active split of each subtask; absent when it holds back nobody.
    slowest: Mutex<Vec<Option<EpochMillis>>>,
}

impl WatermarkAlignment {
    /// The alignment of a job that allows this drift.
    pub(super) fn new(drift: Duration) -> Self {
        Self {
            drift_ms: i64::try_from(drift.as_millis()).unwrap_or(i64::MAX),
            slowest: Mutex::default(),
        }
    }

    /// The number of another subtask.
    pub(super) fn join(&self) -> usize {
        let mut slowest = self.slowest.lock().unwrap_or_else(PoisonError::into_inner);
        slowest.push(None);
        slowest.len() - 1
    }

    /// Notes how far a subtask has come and says up to which watermark splits may be read; absent for all.
    pub(super) fn limit_ms(
        &self,
        member: usize,
        slowest_ms: Option<EpochMillis>,
    ) -> Option<EpochMillis> {
        let mut slowest = self.slowest.lock().unwrap_or_else(PoisonError::into_inner);
        slowest[member] = slowest_ms;
        let least = slowest.iter().flatten().min();
        least.map(|least| least.saturating_add(self.drift_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_of_all_subtasks_decides() {
        let alignment = WatermarkAlignment::new(Duration::from_millis(100));
        let (first, second) = (alignment.join(), alignment.join());
        assert_eq!(alignment.limit_ms(first, None), None);
        assert_eq!(alignment.limit_ms(first, Some(50)), Some(150));
        assert_eq!(alignment.limit_ms(second, Some(20)), Some(120));
        assert_eq!(alignment.limit_ms(first, Some(150)), Some(120));
        assert_eq!(alignment.limit_ms(second, None), Some(250));
    }
}
