//! Watermarks of a source: per split, merged, with idleness.
//!
//! Place in the flow: the source subtask tells it the rowtime of every batch and asks for the merged watermark. Invariant: pure; the
//! merged watermark is the minimum over active splits and never goes back.

use std::time::Duration;

use crate::time::EpochMillis;

/// Out-of-orderness that `SOURCE_WATERMARK()` tolerates, milliseconds.
///
/// # Source
/// Confluent release notes, 2 March 2026.
pub(super) const SOURCE_WATERMARK_DELAY_MS: i64 = 180;

/// When a split without input stops holding back the watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdleTimeout {
    /// Ten seconds, growing with the age of the statement to five minutes: Confluent's default since March 2026. The slope, a
    /// tenth of the age, is a guess: Confluent publishes only the two ends.
    #[default]
    Progressive,
    /// Always this long.
    Fixed(Duration),
    /// Never.
    Disabled,
}

/// Least progressive timeout (Confluent release notes, 2 March 2026).
const PROGRESSIVE_MIN: Duration = Duration::from_secs(10);

/// Largest progressive timeout (Confluent documentation of idleness).
const PROGRESSIVE_MAX: Duration = Duration::from_mins(5);

/// The age is divided by this to give the progressive timeout (guess, unmeasured).
const PROGRESSIVE_DIVISOR: u32 = 10;

impl IdleTimeout {
    /// The timeout of a statement of this age; absent when splits never become idle.
    fn at(self, age: Duration) -> Option<Duration> {
        match self {
            Self::Progressive => {
                Some((age / PROGRESSIVE_DIVISOR).clamp(PROGRESSIVE_MIN, PROGRESSIVE_MAX))
            }
            Self::Fixed(timeout) => Some(timeout),
            Self::Disabled => None,
        }
    }
}

/// The watermarks of a source subtask.
#[derive(Debug)]
pub(super) struct SourceWatermarks {
    /// One per split.
    splits: Vec<Split>,
    /// The merged watermark last emitted.
    merged_ms: EpochMillis,
    /// When splits become idle.
    timeout: IdleTimeout,
    /// Monotonic time of the start.
    started: Duration,
    /// Whether all splits are idle.
    is_idle: bool,
}

/// How far a split has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reached {
    /// Its watermark; absent before the first.
    pub(super) watermark_ms: Option<EpochMillis>,
    /// What its rows alone allow, where that is less.
    pub(super) rows_watermark_ms: Option<EpochMillis>,
}

/// The watermark of one split.
#[derive(Debug, Clone)]
struct Split {
    /// Its watermark.
    watermark_ms: EpochMillis,
    /// The watermark that its rows alone allow.
    rows_watermark_ms: EpochMillis,
    /// Largest rowtime seen.
    rowtime_max_ms: EpochMillis,
    /// Monotonic time of the last input.
    active_at: Duration,
    /// Whether it does not hold back the watermark.
    is_idle: bool,
    /// Whether it has ended.
    has_ended: bool,
    /// Whether it is too far ahead of others to be read.
    is_paused: bool,
}

/// What has changed for consumers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// A source that was idle is active again; goes out before the rows.
    pub(super) became_active: bool,
    /// The merged watermark has advanced.
    pub(super) watermark_ms: Option<EpochMillis>,
    /// All splits have become idle.
    pub(super) became_idle: bool,
}

impl SourceWatermarks {
    /// Splits with the watermarks of a checkpoint, if any.
    pub(super) fn new(restored: &[Reached], timeout: IdleTimeout, now: Duration) -> Self {
        let splits = restored
            .iter()
            .map(|reached| Split {
                watermark_ms: reached.watermark_ms.unwrap_or(EpochMillis::MIN),
                rows_watermark_ms: reached
                    .rows_watermark_ms
                    .or(reached.watermark_ms)
                    .unwrap_or(EpochMillis::MIN),
                rowtime_max_ms: EpochMillis::MIN,
                active_at: now,
                is_idle: false,
                has_ended: false,
                is_paused: false,
            })
            .collect();
        Self {
            splits,
            merged_ms: EpochMillis::MIN,
            timeout,
            started: now,
            is_idle: false,
        }
    }

    /// The watermark of a split; absent before the first.
    pub(super) fn split(&self, split: usize) -> Option<EpochMillis> {
        self.splits
            .get(split)
            .map(|split| split.watermark_ms)
            .filter(|watermark_ms| *watermark_ms != EpochMillis::MIN)
    }

    /// What the rows of a split alone allow; absent before the first.
    pub(super) fn of_rows(&self, split: usize) -> Option<EpochMillis> {
        let split = self.splits.get(split)?;
        Some(split.rows_watermark_ms).filter(|watermark_ms| *watermark_ms != EpochMillis::MIN)
    }

    /// What a checkpoint keeps of a split.
    pub(super) fn reached(&self, split: usize) -> Reached {
        let rows = self.splits.get(split).map(|split| split.rows_watermark_ms);
        let watermark_ms = self.split(split);
        Reached {
            watermark_ms,
            rows_watermark_ms: rows.filter(|_| self.of_rows(split) != watermark_ms),
        }
    }

    /// Whether a split is idle.
    pub(super) fn is_idle(&self, split: usize) -> bool {
        self.splits.get(split).is_some_and(|split| split.is_idle)
    }

    /// Rows of a split have come: `watermark_ms` is what they allow, `rowtime_max_ms` their largest rowtime.
    pub(super) fn observe(
        &mut self,
        split: usize,
        watermark_ms: Option<EpochMillis>,
        rowtime_max_ms: Option<EpochMillis>,
        now: Duration,
    ) -> Change {
        let state = &mut self.splits[split];
        state.active_at = now;
        state.is_idle = false;
        state.watermark_ms = state
            .watermark_ms
            .max(watermark_ms.unwrap_or(EpochMillis::MIN));
        state.rows_watermark_ms = state
            .rows_watermark_ms
            .max(watermark_ms.unwrap_or(EpochMillis::MIN));
        state.rowtime_max_ms = state
            .rowtime_max_ms
            .max(rowtime_max_ms.unwrap_or(EpochMillis::MIN));
        let became_active = std::mem::replace(&mut self.is_idle, false);
        Change {
            became_active,
            ..self.merge()
        }
    }

    /// The slowest split that others are aligned with; absent when none has a watermark.
    pub(super) fn slowest_ms(&self) -> Option<EpochMillis> {
        let active = self
            .splits
            .iter()
            .filter(|split| !split.is_idle && !split.has_ended);
        let watermarks = active.map(|split| split.watermark_ms);
        watermarks.filter(|ms| *ms != EpochMillis::MIN).min()
    }

    /// Pauses splits whose watermark is above a limit, and lets others go on. Whether anything has changed.
    pub(super) fn align(&mut self, limit_ms: Option<EpochMillis>, now: Duration) -> bool {
        let mut has_changed = false;
        for split in &mut self.splits {
            let is_paused =
                !split.has_ended && limit_ms.is_some_and(|limit_ms| split.watermark_ms > limit_ms);
            if split.is_paused != is_paused {
                split.is_paused = is_paused;
                has_changed = true;
                // Time in which it was not read does not make it idle.
                split.active_at = now;
            }
        }
        has_changed
    }

    /// Which splits are not to be read.
    pub(super) fn paused(&self) -> Vec<bool> {
        self.splits.iter().map(|split| split.is_paused).collect()
    }

    /// Whether some split is paused.
    pub(super) fn is_paused(&self) -> bool {
        self.splits.iter().any(|split| split.is_paused)
    }

    /// Whether no split is left to be read for now.
    pub(super) fn is_all_paused(&self) -> bool {
        let mut present = self.splits.iter().filter(|split| !split.has_ended);
        self.is_paused() && present.all(|split| split.is_paused)
    }

    /// A split has ended.
    pub(super) fn end(&mut self, split: usize) -> Change {
        self.splits[split].has_ended = true;
        self.merge()
    }

    /// Time has passed without input.
    pub(super) fn tick(&mut self, now: Duration) -> Change {
        let Some(timeout) = self.timeout.at(now.saturating_sub(self.started)) else {
            return Change::default();
        };
        let mut has_changed = false;
        for split in self
            .splits
            .iter_mut()
            .filter(|split| !split.is_idle && !split.has_ended && !split.is_paused)
        {
            if now.saturating_sub(split.active_at) >= timeout {
                split.is_idle = true;
                // An idle split forwards its latest event time, so that what it holds back is released.
                split.watermark_ms = split.watermark_ms.max(split.rowtime_max_ms);
                has_changed = true;
            }
        }
        if has_changed {
            self.merge()
        } else {
            Change::default()
        }
    }

    /// When [`Self::tick`] would next find an idle split, in monotonic time.
    pub(super) fn deadline(&self, now: Duration) -> Option<Duration> {
        let timeout = self.timeout.at(now.saturating_sub(self.started))?;
        let waiting = self
            .splits
            .iter()
            .filter(|split| !split.is_idle && !split.has_ended && !split.is_paused);
        waiting.map(|split| split.active_at + timeout).min()
    }

    /// Merges the splits.
    fn merge(&mut self) -> Change {
        let present = || self.splits.iter().filter(|split| !split.has_ended);
        let active = present()
            .filter(|split| !split.is_idle)
            .map(|split| split.watermark_ms)
            .min();
        let became_idle = active.is_none() && present().next().is_some() && !self.is_idle;
        self.is_idle |= became_idle;
        let merged = active.or_else(|| present().map(|split| split.watermark_ms).max());
        let watermark_ms = merged.filter(|merged| *merged > self.merged_ms);
        self.merged_ms = self.merged_ms.max(merged.unwrap_or(EpochMillis::MIN));
        Change {
            became_active: false,
            watermark_ms,
            became_idle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds as monotonic time.
    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_slowest_active_split_decides() {
        let mut watermarks =
            SourceWatermarks::new(&[Reached::default(); 2], IdleTimeout::Fixed(at(5)), at(0));
        assert_eq!(
            watermarks.observe(0, Some(100), Some(101), at(1)),
            Change::default()
        );
        assert_eq!(
            watermarks
                .observe(1, Some(50), Some(51), at(2))
                .watermark_ms,
            Some(50)
        );
        assert_eq!(watermarks.deadline(at(2)), Some(at(6)));
        assert_eq!(
            watermarks.tick(at(6)),
            Change::default(),
            "split 0 is idle, split 1 still decides"
        );
        assert_eq!(
            watermarks.tick(at(7)),
            Change {
                watermark_ms: Some(101),
                became_idle: true,
                became_active: false
            }
        );
        let back = watermarks.observe(1, Some(60), Some(61), at(8));
        assert_eq!(
            back,
            Change {
                became_active: true,
                watermark_ms: None,
                became_idle: false
            }
        );
        assert_eq!(
            watermarks
                .observe(1, Some(200), Some(201), at(9))
                .watermark_ms,
            Some(200)
        );
    }

    #[test]
    fn what_an_idle_split_forwards_is_told_from_what_its_rows_allow() {
        let timeout = IdleTimeout::Fixed(at(5));
        let mut watermarks = SourceWatermarks::new(&[Reached::default()], timeout, at(0));
        watermarks.observe(0, Some(20), Some(200), at(1));
        assert_eq!(watermarks.reached(0).rows_watermark_ms, None);
        assert_eq!(watermarks.tick(at(6)).watermark_ms, Some(200));
        let reached = watermarks.reached(0);
        let expected = Reached {
            watermark_ms: Some(200),
            rows_watermark_ms: Some(20),
        };
        assert_eq!(reached, expected);
        let restored = SourceWatermarks::new(&[reached], timeout, at(0));
        assert_eq!(
            (restored.split(0), restored.of_rows(0)),
            (Some(200), Some(20))
        );
    }

    #[test]
    fn a_split_that_is_too_far_ahead_is_paused_and_does_not_become_idle() {
        let timeout = IdleTimeout::Fixed(at(5));
        let mut watermarks = SourceWatermarks::new(&[Reached::default(); 3], timeout, at(0));
        watermarks.observe(0, Some(100), Some(100), at(1));
        assert_eq!(watermarks.slowest_ms(), Some(100));
        watermarks.observe(1, Some(500), Some(500), at(1));
        assert!(watermarks.align(Some(200), at(1)));
        assert_eq!(watermarks.paused(), [false, true, false]);
        assert!(!watermarks.align(Some(200), at(2)));
        assert!(!watermarks.is_all_paused(), "the third has no watermark");
        watermarks.tick(at(7));
        assert!(watermarks.is_idle(0) && !watermarks.is_idle(1) && watermarks.is_idle(2));
        assert_eq!(watermarks.slowest_ms(), Some(500));
        watermarks.end(0);
        watermarks.end(2);
        assert!(watermarks.is_all_paused());
        assert!(watermarks.align(None, at(8)) && !watermarks.is_paused());
        assert_eq!(watermarks.deadline(at(8)), Some(at(13)));
    }

    #[test]
    fn an_ended_split_does_not_hold_back() {
        let restored = Reached {
            watermark_ms: Some(10),
            rows_watermark_ms: None,
        };
        let splits = [Reached::default(), restored];
        let mut watermarks = SourceWatermarks::new(&splits, IdleTimeout::Disabled, at(0));
        assert_eq!(watermarks.end(0).watermark_ms, Some(10));
        assert_eq!(watermarks.tick(at(1000)), Change::default());
    }

    #[test]
    fn the_progressive_timeout_grows_between_its_ends() {
        assert_eq!(IdleTimeout::Progressive.at(at(0)), Some(at(10)));
        assert_eq!(IdleTimeout::Progressive.at(at(1000)), Some(at(100)));
        assert_eq!(IdleTimeout::Progressive.at(at(100_000)), Some(at(300)));
    }
}
