//! What `datagen` and `faker` share: pacing, row numbers and columns of generated values.
//!
//! Place in the flow: both connectors give it one [`Column`] per read column. Invariant: row `n` is generated exactly once over all
//! subtasks: subtask i makes the rows n with n % parallelism = i, and a restored reader goes on at its next row.

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
    /// Which rows this subtask makes.
    subtask: u64,
    /// Subtasks.
    parallelism: u64,
    /// Rows that this subtask has made.
    made: u64,
    /// Rows that this subtask had made when it started.
    made_at_start: u64,
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
        let partition = i32::try_from(context.subtask_index).unwrap_or(i32::MAX);
        let restored = context
            .restored
            .iter()
            .flatten()
            .find(|position| position.partition == partition);
        let made = restored.map_or(0, |position| u64::try_from(position.offset).unwrap_or(0));
        Self {
            columns,
            pacing,
            subtask: context.subtask_index as u64,
            parallelism: context.parallelism as u64,
            made,
            made_at_start: made,
            started: context.clock.monotonic(),
            is_drained: false,
            clock: context.clock.clone(),
            table: table.to_owned(),
        }
    }

    /// Rows that this subtask makes in all.
    fn total(&self) -> Option<u64> {
        let rows = self.pacing.number_of_rows?;
        Some(rows / self.parallelism + u64::from(self.subtask < rows % self.parallelism))
    }

    /// Rows that this subtask may have made by now.
    fn allowed(&self, now: Duration) -> u64 {
        let elapsed_us = now.saturating_sub(self.started).as_micros();
        let rows = elapsed_us * u128::from(self.pacing.rows_per_second)
            / (1_000_000 * u128::from(self.parallelism));
        self.made_at_start + u64::try_from(rows).unwrap_or(u64::MAX) + 1
    }

    /// When the next row is allowed, in monotonic time, at least [`PAUSE`] away.
    fn next_at(&self, now: Duration) -> Duration {
        let rows = u128::from(self.made - self.made_at_start);
        let us = rows * 1_000_000 * u128::from(self.parallelism)
            / u128::from(self.pacing.rows_per_second);
        let due = self.started + Duration::from_micros(u64::try_from(us).unwrap_or(u64::MAX));
        due.max(now + PAUSE)
    }
}

impl SourceReader for Generator {
    fn poll(&mut self, rows_max: usize) -> Result<Poll> {
        let total = self.total();
        if self.is_drained || total.is_some_and(|total| self.made >= total) {
            return Ok(Poll::EndOfInput);
        }
        let now = self.clock.monotonic();
        let until = self.allowed(now).min(total.unwrap_or(u64::MAX));
        if until <= self.made {
            return Ok(Poll::Later(self.next_at(now)));
        }
        let count = (until - self.made).min(rows_max as u64);
        let rows: Vec<u64> = (self.made..self.made + count)
            .map(|row| row * self.parallelism + self.subtask)
            .collect();
        let now_ms = self.clock.now_ms();
        let columns = self
            .columns
            .iter_mut()
            .map(|column| column.generate(&rows, now_ms))
            .collect::<Result<_>>()?;
        self.made += count;
        Ok(Poll::Rows {
            split: 0,
            batch: Batch::inserts(columns, rows.len()),
        })
    }

    fn splits(&self) -> Vec<SplitInfo> {
        vec![SplitInfo {
            topic: self.table.clone(),
            partition: i32::try_from(self.subtask).unwrap_or(i32::MAX),
            pending_records: Some(
                self.total()
                    .map_or(0, |total| total.saturating_sub(self.made)),
            ),
        }]
    }

    fn positions(&self) -> Vec<SplitPosition> {
        vec![SplitPosition {
            topic: self.table.clone(),
            partition: i32::try_from(self.subtask).unwrap_or(i32::MAX),
            offset: i64::try_from(self.made).unwrap_or(i64::MAX),
        }]
    }

    fn drain(&mut self) -> Result<()> {
        self.is_drained = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
