//! A batch on its way through the other input's rows.
//!
//! Place in the flow: the interval join searches for some rows of it at a time. Invariant: a step finds at most [`EMIT_ROWS_MAX`]
//! rows, and the next one goes on behind them: the rows that a row of the batch meets stay the same and in the same order until it is
//! through.

use std::ops::ControlFlow;

use arrow::array::{Array, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Int64Type;

use super::lists::GONE;
use super::timed::{Hit, Place, TimedRows, Wanted};
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::graph::key_group::key_group;
use crate::operator::EMIT_ROWS_MAX;
use crate::state::{EncodedKeys, PartitionKey};
use crate::time::EpochMillis;

/// A batch and how far it has come.
#[derive(Debug)]
pub(super) struct Backlog {
    /// The batch.
    pub(super) arrived: Arrived,
    /// For each row, whether it has met one.
    pub(super) met: Vec<bool>,
    /// What comes next.
    pub(super) next: Cursor,
}

/// A batch of one input.
#[derive(Debug)]
pub(super) struct Arrived {
    /// Which input it came from.
    pub(super) input: usize,
    /// Its rows.
    pub(super) batch: Batch,
    /// Their join keys.
    pub(super) keys: EncodedKeys,
    /// Their stored form.
    pub(super) rows: EncodedKeys,
    /// Rows without a NULL among the keys where it equals nothing; absent when all are.
    pub(super) valid: Option<NullBuffer>,
    /// Their times.
    pub(super) times_ms: PrimitiveArray<Int64Type>,
    /// Where the clock of the join stood.
    pub(super) now_ms: EpochMillis,
}

/// A place on the way of a batch.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// Row of the batch.
    pub(super) row: usize,
    /// How many rows it has met in earlier steps.
    met: usize,
}

/// What one step has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Rows of the batch, once for each row met.
    pub(super) own: Vec<u32>,
    /// The rows met.
    pub(super) rows: EncodedKeys,
    /// Where they lie.
    pub(super) places: Vec<Place>,
    /// Where rows lie that were taken away.
    pub(super) swept: Vec<Place>,
    /// Lists of the keys of some rows of the batch, kept for their memory.
    hits: Vec<Hit>,
    /// Between which times rows are that some rows of the batch meet, kept for their memory.
    ranges_ms: Vec<(EpochMillis, EpochMillis)>,
    /// Where expired rows lie that a row has looked through, kept for their memory.
    expired: Vec<Place>,
}

/// Rows that are looked up at once: enough that the processor waits for many keys together, and few enough to be looked up again in
/// the next step when this one has found too many (guess, unmeasured).
const LOOK_UP_ROWS: usize = 2048;

/// The times that a row meets which meets none.
pub(super) const NO_RANGE: (EpochMillis, EpochMillis) = (EpochMillis::MAX, EpochMillis::MIN);

impl Arrived {
    /// Whether a row can equal others.
    pub(super) fn is_valid(&self, row: usize) -> bool {
        self.valid.as_ref().is_none_or(|valid| valid.is_valid(row))
    }

    /// The time of a row; absent when it is NULL.
    pub(super) fn time_of(&self, row: usize) -> Option<EpochMillis> {
        let is_there = self.times_ms.is_valid(row);
        is_there.then(|| self.times_ms.value(row))
    }

    /// The join key of a row.
    pub(super) fn key(&self, row: usize, key_groups: u32) -> PartitionKey<'_> {
        PartitionKey {
            bytes: self.keys.key(row),
            key_group: key_group(self.keys.hashes[row], key_groups),
        }
    }
}

impl Cursor {
    /// Goes on with another row.
    fn go_to(&mut self, row: usize) {
        if self.row != row {
            *self = Self { row, met: 0 };
        }
    }
}

impl Found {
    /// Forgets what was found.
    pub(super) fn clear(&mut self) {
        self.own.clear();
        self.rows.bytes.clear();
        self.rows.ends.clear();
        self.places.clear();
        self.swept.clear();
    }

    /// Looks up what the next rows of a batch meet, as many as there is room for. A row that has looked through expired rows takes them
    /// away, so that the next one does not meet them.
    pub(super) fn search(
        &mut self,
        other: &mut TimedRows,
        (arrived, next): (&Arrived, &mut Cursor),
        range_ms: impl Fn(usize) -> (EpochMillis, EpochMillis),
    ) -> Result<()> {
        let mut hits = std::mem::take(&mut self.hits);
        let mut has_room = true;
        while has_room && next.row < arrived.batch.rows {
            let first = next.row;
            let end = arrived.batch.rows.min(first + LOOK_UP_ROWS);
            self.ranges_ms.clear();
            self.ranges_ms.extend((first..end).map(&range_ms));
            let wanted = Wanted {
                rows: first..end,
                ranges_ms: &self.ranges_ms,
                now_ms: arrived.now_ms,
            };
            other.find(&arrived.keys, &wanted, &mut hits)?;
            for run in hits.chunk_by(|left, right| left.row == right.row) {
                next.go_to(run[0].row);
                let range_ms = self.ranges_ms[next.row - first];
                has_room = self.meet(other, (arrived, next), run, range_ms)?;
                if !has_room {
                    break;
                }
            }
            if has_room {
                next.go_to(end);
            }
        }
        self.hits = hits;
        Ok(())
    }

    /// Finds what a row meets in the lists of its key; true when there was room for all.
    fn meet(
        &mut self,
        other: &mut TimedRows,
        (arrived, next): (&Arrived, &mut Cursor),
        lists: &[Hit],
        range_ms: (EpochMillis, EpochMillis),
    ) -> Result<bool> {
        let own = u32::try_from(next.row).map_err(|_| Error::internal("a batch of 4 G rows"))?;
        let expired_ms = other.expired_ms(arrived.now_ms);
        let mut skip = next.met;
        self.expired.clear();
        for hit in lists {
            let key = arrived.key(next.row, other.key_groups());
            let visited = other.visit((key, *hit), range_ms, arrived.now_ms, |place, row| {
                if row.time_ms <= expired_ms {
                    self.expired.push(place);
                }
                if row.time_ms < range_ms.0 || row.time_ms > range_ms.1 {
                    return ControlFlow::Continue(());
                }
                if skip > 0 {
                    skip -= 1;
                    return ControlFlow::Continue(());
                }
                if self.own.len() >= EMIT_ROWS_MAX {
                    return ControlFlow::Break(());
                }
                next.met += 1;
                self.own.push(own);
                self.rows.bytes.extend_from_slice(row.bytes);
                self.rows.ends.push(self.rows.bytes.len());
                self.places.push(place);
                ControlFlow::Continue(())
            })?;
            if visited.is_break() {
                return Ok(false);
            }
        }
        for place in &self.expired {
            other.mark(*place, GONE);
        }
        self.swept.append(&mut self.expired);
        Ok(true)
    }
}
