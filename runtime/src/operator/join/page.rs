//! A batch on its way through a join, and what one step of it works on.
//!
//! Place in the flow: between the look-ups of [`super::meeting`] and what [`super::changes`] makes of them. Invariant: positions of a page
//! are places in the batch that arrived and in the rows decoded for the step, and outlive neither.

use arrow::array::{ArrayRef, NullArray, UInt32Array, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;

use super::changes::{Changes, NO_ROW};
use super::meeting::Run;
use super::side::{JoinKey, KeyChange, RowPlace};
use crate::batch::Batch;
use crate::error::Result;
use crate::graph::key_group::key_group;
use crate::state::{ChunkKeys, EncodedKeys};
use crate::time::EpochMillis;

/// A batch of one input with its join keys.
#[derive(Debug)]
pub(super) struct Arrived {
    /// Which input it came from.
    pub(super) input: usize,
    /// Its rows.
    pub(super) batch: Batch,
    /// Their join keys.
    pub(super) keys: EncodedKeys,
    /// Those of the chunks 0 that have rows of their join keys.
    pub(super) chunk_keys: ChunkKeys,
    /// Rows without a NULL among their keys; absent when all are.
    pub(super) valid: Option<NullBuffer>,
    /// When it came, in the time of the state's TTL.
    pub(super) now_ms: EpochMillis,
    /// What its rows did to their keys, by row, when rows of the other side need to know.
    pub(super) changes: Vec<KeyChange>,
    /// Its rows, encoded, when they are kept with the number of their matches.
    pub(super) rows: Option<EncodedKeys>,
}

/// What a step works on.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Rows of the other side, decoded.
    pub(super) theirs: Vec<ArrayRef>,
    /// How many there are.
    pub(super) stored: usize,
    /// Who meets whom.
    pub(super) runs: Vec<Run>,
    /// Where rows of the other side lie and how many matches they have, when that is kept.
    pub(super) places: Vec<RowPlace>,
    /// Their matches.
    pub(super) matches: Vec<u64>,
}

impl Arrived {
    /// Whether a row has no NULL among its keys that equals nothing.
    pub(super) fn is_valid(&self, row: usize) -> bool {
        self.valid.as_ref().is_none_or(|valid| valid.is_valid(row))
    }

    /// The join key of a row.
    pub(super) fn key(&self, row: usize, key_groups: u32) -> JoinKey<'_> {
        JoinKey {
            bytes: self.keys.key(row),
            key_group: key_group(self.keys.hashes[row], key_groups),
        }
    }

    /// Notes what the next row did to its key. An update of a key's only row changes nothing for others.
    pub(super) fn note(&mut self, row: usize, change: KeyChange) {
        let comes_back = change == KeyChange::Opened
            && self.changes.last() == Some(&KeyChange::Closed)
            && self.keys.key(row - 1) == self.keys.key(row);
        if comes_back {
            self.changes[row - 1] = KeyChange::Same;
            self.changes.push(KeyChange::Same);
        } else {
            self.changes.push(change);
        }
    }
}

impl Page {
    /// The pairs of the runs, left columns and then right columns; of those that are not asked for only their places.
    pub(super) fn pairs(&self, arrived: &Arrived, wanted: &[usize]) -> Result<Batch> {
        let rows = self.runs.len();
        let mut changes = Changes::default();
        changes.extend_runs(&self.runs);
        let own = (&arrived.batch.columns, UInt32Array::from(changes.own));
        let theirs = (&self.theirs, UInt32Array::from(changes.theirs));
        let (left, right) = if arrived.input == 0 {
            (own, theirs)
        } else {
            (theirs, own)
        };
        let left = left.0.iter().map(|column| (column, &left.1));
        let right = right.0.iter().map(|column| (column, &right.1));
        let columns = left
            .chain(right)
            .enumerate()
            .map(|(index, (column, rows_of))| {
                Ok(if wanted.contains(&index) {
                    arrow::compute::take(column, rows_of, None)?
                } else {
                    std::sync::Arc::new(NullArray::new(rows)) as ArrayRef
                })
            });
        Ok(Batch {
            columns: columns.collect::<Result<_>>()?,
            rows,
            kinds: None,
        })
    }
}

/// The rows at `indices` of columns of `rows` rows, with NULLs for [`NO_ROW`].
pub(super) fn pick(
    (columns, rows): (&[ArrayRef], usize),
    types: &[DataType],
    indices: &[u32],
) -> Result<Vec<ArrayRef>> {
    if rows == 0 {
        let nulls = |ty: &DataType| new_null_array(ty, indices.len());
        return Ok(types.iter().map(nulls).collect());
    }
    let is_everything = indices.len() == rows && (0u32..).zip(indices).all(|(a, b)| a == *b);
    if is_everything {
        return Ok(columns.to_vec());
    }
    let indices = if indices.contains(&NO_ROW) {
        let row = |index: &u32| (*index != NO_ROW).then_some(*index);
        indices.iter().map(row).collect()
    } else {
        UInt32Array::from(indices.to_vec())
    };
    columns
        .iter()
        .map(|column| Ok(arrow::compute::take(column, &indices, None)?))
        .collect()
}
