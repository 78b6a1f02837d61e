//! What `datagen` and `faker` share: pacing, row numbers and columns of generated values.
//!
//! Place in the flow: both connectors give it one [`Column`] per read column. Invariant: row `n` is generated exactly once, whatever
//! the parallelism before and after a restart: it is of lane n % [`LANES`], and lane l belongs to subtask l % parallelism.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::time::Duration;

use arrow::array::ArrayRef;

use crate::batch::Batch;
use crate::connector::source::{Poll, ReaderContext, SourceReader, SplitInfo, SplitPosition};
use crate::error::{Error, Result};
use crate::sql::catalog::TableDef;
use crate::time::SharedClock;

/// Shortest pause between two batches, so that a slow table does not wake its slot for every row (guess, unmeasured).
const PAUSE: Duration = Duration::from_millis(20);

/// Lanes that rows are dealt out to. More subtasks than that have nothing to do; Confluent Cloud gives a statement 50 at most.
const LANES: u64 = 64;

/// Generates the values of one column.
pub(super) trait Column: Send + Debug {
    /// Values of the rows with these numbers; `now_ms` is the wall time.
    ///
    /// # Errors
    /// `Internal` when values do not fit the column's type.
    fn generate(&mut self, rows: &[u64], now_ms: i64) -> Result<ArrayRef>;
}

/// A random number of a row: splitmix64.
///
/// # Source
/// Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014.
pub(super) fn random(seed: u64, row: u64) -> u64 {
    let mut z = seed.wrapping_add(row.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A uniform number in [0, 1).
#[expect(
    clippy::cast_precision_loss,
    reason = "53 bits are kept, which a double holds exactly"
)]
pub(super) fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1u64 << 53) as f64
}

/// A uniform integer between both, inclusive, by multiply-shift.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the offset is below the span, which fits 65 bits, of an i64 range"
)]
pub(super) fn uniform(random: u64, min: i64, max: i64) -> i64 {
    let span = (i128::from(max) - i128::from(min) + 1).cast_unsigned();
    let offset = (u128::from(random) * span) >> 64;
    (i128::from(min) + offset.cast_signed()) as i64
}

/// How many rows, and how fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pacing {
    /// Rows a second over all subtasks.
    pub(super) rows_per_second: u64,
    /// Rows in all; absent means without end.
    pub(super) number_of_rows: Option<u64>,
}

impl Pacing {
    /// Reads `rows-per-second` and `number-of-rows`.
    ///
    /// # Errors
    /// `Invalid` for values that are not numbers or not positive.
    pub(super) fn parse(table: &TableDef, rows_per_second_default: u64) -> Result<Self> {
        let number = |key: &str| -> Result<Option<u64>> {
            let parse = |text: &str| {
                text.parse::<u64>().map_err(|_| {
                    Error::option(format!(
                        "option '{key}': \"{text}\" is not a number of rows"
                    ))
                })
            };
            table.option(key).map(parse).transpose()
        };
        let rows_per_second = number("rows-per-second")?.unwrap_or(rows_per_second_default);
        if rows_per_second == 0 {
            return Err(Error::option("option 'rows-per-second' must be at least 1"));
        }
        Ok(Self {
            rows_per_second,
            number_of_rows: number("number-of-rows")?,
        })
    }
}

/// Reads generated rows.
#[derive(Debug)]
pub(super) struct Generator {
    /// One per read column.
    columns: Vec<Box<dyn Column>>,
    /// How many rows, and how fast.
    pacing: Pacing,
    /// Which subtask it is, for the name of its split.
    subtask: usize,
    /// The next row of each lane of this subtask, ascending.
    lanes: VecDeque<u64>,
    /// Rows made since the start.
    made: u64,
    /// Monotonic time of the start.
    started: Duration,
    /// Whether no more rows are wanted.
    is_drained: bool,
    /// Time.
    clock: SharedClock,
    /// Name of the split.
    table: String,
}

impl Generator {
    /// A reader of generated columns.
    pub(super) fn new(
        columns: Vec<Box<dyn Column>>,
        pacing: Pacing,
        table: &str,
        context: &ReaderContext,
    ) -> Self {
        let restored = |lane: u64| {
            let position = context.restored.iter().flatten().find(|position| {
                u64::try_from(position.offset).is_ok_and(|next| next % LANES == lane)
            });
            position.and_then(|position| u64::try_from(position.offset).ok())
        };
        let lanes = (0..LANES).skip(context.subtask_index);
        let mut lanes: Vec<u64> = lanes
            .step_by(context.parallelism)
            .map(|lane| restored(lane).unwrap_or(lane))
            .collect();
        lanes.sort_unstable();
        Self {
            columns,
            pacing,
            subtask: context.subtask_index,
            lanes: lanes.into(),
            made: 0,
            started: context.clock.monotonic(),
            is_drained: false,
            clock: context.clock.clone(),
            table: table.to_owned(),
        }
    }

    /// The rows that this subtask makes next, ascending.
    fn take_rows(&mut self, count: u64) -> Vec<u64> {
        let end = self.pacing.number_of_rows.unwrap_or(u64::MAX);
        let mut rows = Vec::new();
        for _ in 0..count {
            let Some(row) = self.lanes.pop_front_if(|row| *row < end) else {
                break;
            };
            rows.push(row);
            let next = row + LANES;
            // Lanes differ only after a restart, so this looks at the last one only.
            let behind = self
                .lanes
                .iter()
                .rev()
                .take_while(|lane| **lane > next)
                .count();
            self.lanes.insert(self.lanes.len() - behind, next);
        }
        rows
    }

    /// Rows that this subtask has still to make, if there is an end.
    fn left(&self) -> Option<u64> {
        let end = self.pacing.number_of_rows?;
        let of_lane = |next: &u64| end.saturating_sub(*next).div_ceil(LANES);
        Some(self.lanes.iter().map(of_lane).sum())
    }

    /// Rows that this subtask may have made by now.
    fn allowed(&self, now: Duration) -> u64 {
        let elapsed_us = now.saturating_sub(self.started).as_micros();
        let rows = elapsed_us * u128::from(self.pacing.rows_per_second) * self.lanes.len() as u128
            / (1_000_000 * u128::from(LANES));
        u64::try_from(rows).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// When the next row is allowed, in monotonic time, at least [`PAUSE`] away.
    fn next_at(&self, now: Duration) -> Duration {
        let us = u128::from(self.made) * 1_000_000 * u128::from(LANES)
            / (u128::from(self.pacing.rows_per_second) * self.lanes.len().max(1) as u128);
        let due = self.started + Duration::from_micros(u64::try_from(us).unwrap_or(u64::MAX));
        due.max(now + PAUSE)
    }
}

impl SourceReader for Generator {
    fn poll(&mut self, rows_max: usize) -> Result<Poll> {
        if self.is_drained || self.lanes.is_empty() || self.left() == Some(0) {
            return Ok(Poll::EndOfInput);
        }
        let now = self.clock.monotonic();
        let allowed = self.allowed(now).saturating_sub(self.made);
        if allowed == 0 {
            return Ok(Poll::Later(self.next_at(now)));
        }
        let rows = self.take_rows(allowed.min(rows_max as u64));
        let now_ms = self.clock.now_ms();
        let columns = self
            .columns
            .iter_mut()
            .map(|column| column.generate(&rows, now_ms))
            .collect::<Result<_>>()?;
        self.made += rows.len() as u64;
        Ok(Poll::Rows {
            split: 0,
            batch: Batch::inserts(columns, rows.len()),
        })
    }

    fn splits(&self) -> Vec<SplitInfo> {
        vec![SplitInfo {
            topic: self.table.clone(),
            partition: i32::try_from(self.subtask).unwrap_or(i32::MAX),
            pending_records: Some(self.left().unwrap_or(0)),
        }]
    }

    /// One per lane; the offset is the next row.
    fn positions(&self) -> Vec<SplitPosition> {
        let position = |next: &u64| SplitPosition {
            topic: self.table.clone(),
            partition: i32::try_from(next % LANES).unwrap_or(i32::MAX),
            offset: i64::try_from(*next).unwrap_or(i64::MAX),
        };
        self.lanes.iter().map(position).collect()
    }

    fn drain(&mut self) -> Result<()> {
        self.is_drained = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows that `parallelism` readers make in batches of `rows_max` until each has polled `polls` times, and their positions.
    fn run(
        parallelism: usize,
        restored: Option<&[SplitPosition]>,
        (polls, rows_max): (usize, usize),
    ) -> (Vec<u64>, Vec<SplitPosition>) {
        let pacing = Pacing {
            rows_per_second: u64::MAX / 1_000_000,
            number_of_rows: Some(10_000),
        };
        let (mut rows, mut positions) = (Vec::new(), Vec::new());
        for subtask_index in 0..parallelism {
            let context = ReaderContext {
                subtask_index,
                parallelism,
                restored: restored.map(<[SplitPosition]>::to_vec),
                waker: crate::task::Waker::default(),
                clock: crate::time::SystemClock::shared(),
            };
            let mut generator = Generator::new(Vec::new(), pacing, "t", &context);
            for _ in 0..polls + subtask_index {
                rows.extend(generator.take_rows(rows_max as u64));
            }
            positions.extend(generator.positions());
        }
        (rows, positions)
    }

    #[test]
    fn every_row_is_made_once_at_changing_parallelism() {
        let (mut rows, mut positions) = run(2, None, (3, 700));
        for (parallelism, polls) in [(3, 2), (1, 1), (70, 1), (5, 1000)] {
            let (more, after) = run(parallelism, Some(&positions), (polls, 701));
            rows.extend(more);
            positions = after;
        }
        rows.sort_unstable();
        assert_eq!(rows, (0..10_000).collect::<Vec<_>>());
    }

    #[test]
    fn one_subtask_makes_rows_in_order() {
        let (rows, _) = run(1, None, (3, 1000));
        assert!(rows.is_sorted());
        assert_eq!(rows.len(), 3000);
    }

    #[test]
    fn uniform_covers_its_range_and_nothing_else() {
        let values: Vec<i64> = (0..1000)
            .map(|row| uniform(random(7, row), -1, 1))
            .collect();
        assert!(values.iter().all(|value| (-1..=1).contains(value)));
        assert!([-1, 0, 1].iter().all(|wanted| values.contains(wanted)));
        assert_eq!(uniform(u64::MAX, i64::MIN, i64::MAX), i64::MAX);
        assert_eq!(uniform(0, i64::MIN, i64::MAX), i64::MIN);
    }
}
