//! A batch on its way through the other input's rows.
//!
//! Place in the flow: the interval join searches for some rows of it at a time. Invariant: a step finds at most [`EMIT_ROWS_MAX`]
//! rows, and goes on behind them, whatever the step has marked in between.

use std::ops::ControlFlow;

use arrow::array::{Array, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Int64Type;

use super::timed::TimedRows;
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::graph::key_group::key_group;
use crate::operator::EMIT_ROWS_MAX;
use crate::state::{ChunkKeys, EncodedKeys, Head, PartitionKey};
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
    /// Those under which rows with these keys are kept.
    pub(super) chunk_keys: ChunkKeys,
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
    /// The last row that it has met in an earlier step: its time, and its number among those of the time, from 1 on.
    met: Option<(EpochMillis, usize)>,
}

/// What one step has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Rows of the batch, once for each row met.
    pub(super) own: Vec<u32>,
    /// The rows met, in the form in which they are stored.
    pub(super) rows: EncodedKeys,
    /// Their times.
    pub(super) times_ms: Vec<EpochMillis>,
    /// What the other input has under the keys of some rows of the batch.
    heads: Vec<Option<Head>>,
    /// The first of these rows.
    heads_from: usize,
}

/// Keys that are looked up at once: enough that the processor waits for many of them together, and few enough to be looked up again
/// after each row that takes expired ones away.
const LOOK_UP_ROWS: usize = 64;

/// How a search for one row has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Searched {
    /// There was no room for all.
    Partly,
    /// All was found; the earliest row of the key has this time.
    Wholly(Option<EpochMillis>),
}

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
    /// Goes on with the next row.
    pub(super) fn finish_row(&mut self) {
        self.row += 1;
        self.met = None;
    }
}

impl Found {
    /// Forgets what was found.
    pub(super) fn clear(&mut self) {
        self.own.clear();
        self.rows.bytes.clear();
        self.rows.ends.clear();
        self.times_ms.clear();
        self.heads.clear();
    }

    /// What the other input has under the key of a row.
    pub(super) fn head(
        &mut self,
        other: &mut TimedRows,
        arrived: &Arrived,
        row: usize,
    ) -> Result<Option<Head>> {
        let looked_up = self.heads_from..self.heads_from + self.heads.len();
        if !looked_up.contains(&row) {
            let end = arrived.batch.rows.min(row + LOOK_UP_ROWS);
            other.find_all((&arrived.chunk_keys, row..end), &mut self.heads)?;
            self.heads_from = row;
        }
        Ok(self.heads[row - self.heads_from])
    }

    /// Looks up what is left for a row among the rows of its key with times in a range.
    pub(super) fn search(
        &mut self,
        other: &mut TimedRows,
        key: (PartitionKey<'_>, Head),
        (from_ms, to_ms): (EpochMillis, EpochMillis),
        next: &mut Cursor,
    ) -> Result<Searched> {
        let row = u32::try_from(next.row).map_err(|_| Error::internal("a batch of 4 G rows"))?;
        let met = next.met;
        let (mut time_ms, mut number) = (EpochMillis::MIN, 0);
        let mut is_full = false;
        let from_ms = met.map_or(from_ms, |(met_ms, _)| met_ms);
        let earliest_ms = other.visit(key, (from_ms, to_ms), |row_ms, stored| {
            number = if row_ms == time_ms { number + 1 } else { 1 };
            time_ms = row_ms;
            if met.is_some_and(|met| (time_ms, number) <= met) {
                return ControlFlow::Continue(());
            }
            if self.own.len() >= EMIT_ROWS_MAX {
                is_full = true;
                return ControlFlow::Break(());
            }
            next.met = Some((time_ms, number));
            self.own.push(row);
            self.rows.bytes.extend_from_slice(stored);
            self.rows.ends.push(self.rows.bytes.len());
            self.times_ms.push(time_ms);
            ControlFlow::Continue(())
        })?;
        Ok(if is_full {
            Searched::Partly
        } else {
            Searched::Wholly(earliest_ms)
        })
    }
}
