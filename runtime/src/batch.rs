//! What travels between operators: batches of rows and in-band control.
//!
//! Place in the flow: sources produce [`StreamElement`]s, operators transform them, sinks consume them. Invariant: all
//! columns of a [`Batch`] have `rows` entries, and a batch without row kinds holds inserts only.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// The kind of change a row stands for, with Flink's short names.
///
/// # Source
/// The numbers are those of Confluent's statement results and of the `op` header of retract topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum RowKind {
    /// `+I`.
    Insert = 0,
    /// `-U`.
    UpdateBefore = 1,
    /// `+U`.
    UpdateAfter = 2,
    /// `-D`.
    Delete = 3,
}

impl RowKind {
    /// Flink's short name.
    pub fn short_name(self) -> &'static str {
        match self {
            Self::Insert => "+I",
            Self::UpdateBefore => "-U",
            Self::UpdateAfter => "+U",
            Self::Delete => "-D",
        }
    }

    /// Whether the row is taken away: `-U` and `-D`.
    pub fn is_retraction(self) -> bool {
        matches!(self, Self::UpdateBefore | Self::Delete)
    }
}

/// One kind per row.
pub type RowKinds = Arc<[RowKind]>;

/// Rows as columns.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Arrow arrays, in the order of the operator's schema.
    pub columns: Vec<ArrayRef>,
    /// Rows; kept apart because a batch may have no columns.
    pub rows: usize,
    /// Kinds of the rows; `None` means all inserts.
    pub kinds: Option<RowKinds>,
}

impl Batch {
    /// A batch of inserts.
    pub fn inserts(columns: Vec<ArrayRef>, rows: usize) -> Self {
        debug_assert!(
            columns.iter().all(|column| column.len() == rows),
            "columns of one batch have one length"
        );
        Self {
            columns,
            rows,
            kinds: None,
        }
    }

    /// The kind of a row.
    pub fn kind(&self, row: usize) -> RowKind {
        self.kinds
            .as_ref()
            .map_or(RowKind::Insert, |kinds| kinds[row])
    }

    /// The rows that are not what others were before their updates.
    ///
    /// # Errors
    /// `Internal` only.
    pub fn without_update_before(&self) -> Result<Self> {
        match &self.kinds {
            Some(kinds) => {
                let is_kept = |kind: &RowKind| Some(*kind != RowKind::UpdateBefore);
                self.filter(&kinds.iter().map(is_kept).collect())
            }
            None => Ok(self.clone()),
        }
    }

    /// The rows for which `mask` is true; NULL counts as false.
    ///
    /// # Errors
    /// `Internal` when the mask has another length.
    pub fn filter(&self, mask: &BooleanArray) -> Result<Self> {
        let predicate = arrow::compute::FilterBuilder::new(mask).optimize().build();
        let rows = predicate.count();
        if rows == self.rows {
            return Ok(self.clone());
        }
        let columns = self
            .columns
            .iter()
            .map(|column| predicate.filter(column).map_err(Into::into))
            .collect::<Result<_>>()?;
        let keep = |row: usize| mask.is_valid(row) && mask.value(row);
        let kinds = self.kinds.as_ref().map(|kinds| {
            (0..self.rows)
                .filter(|row| keep(*row))
                .map(|row| kinds[row])
                .collect()
        });
        Ok(Self {
            columns,
            rows,
            kinds,
        })
    }

    /// The rows at `indices`, in that order.
    ///
    /// # Errors
    /// `Internal` when an index is out of range.
    pub fn take(&self, indices: &UInt32Array) -> Result<Self> {
        let columns = self
            .columns
            .iter()
            .map(|column| arrow::compute::take(column, indices, None).map_err(Into::into))
            .collect::<Result<_>>()?;
        let kinds = self.kinds.as_ref().map(|kinds| {
            indices
                .values()
                .iter()
                .map(|index| kinds[*index as usize])
                .collect()
        });
        Ok(Self {
            columns,
            rows: indices.len(),
            kinds,
        })
    }

    /// A part of the rows, without copying.
    #[must_use]
    pub fn slice(&self, offset: usize, rows: usize) -> Self {
        Self {
            columns: self
                .columns
                .iter()
                .map(|column| column.slice(offset, rows))
                .collect(),
            rows,
            kinds: self
                .kinds
                .as_ref()
                .map(|kinds| kinds[offset..offset + rows].into()),
        }
    }

    /// Memory held, in bytes; shared buffers are counted in full.
    pub fn memory_bytes(&self) -> usize {
        self.columns
            .iter()
            .map(arrow::array::Array::get_array_memory_size)
            .sum::<usize>()
            + self.kinds.as_ref().map_or(0, |kinds| kinds.len())
    }
}

/// What travels on an edge of the job graph.
#[derive(Debug, Clone)]
pub enum StreamElement {
    /// Rows.
    Batch(Batch),
    /// No row at or before this event time follows, in milliseconds since the epoch.
    Watermark(i64),
    /// Everything before belongs to this epoch.
    Barrier(u64),
    /// The sender has no input and must not hold back the watermark.
    Idle,
    /// The sender has input again.
    Active,
    /// Nothing follows.
    EndOfInput,
}
