//! Encoded rows back to back, and changes made of them.
//!
//! Place in the flow: operators that keep encoded rows look at some of them together, and emit changes made of such rows. Invariant:
//! changes leave in the order in which they were pushed, about [`EMIT_ROWS_MAX`] at once.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType};

use crate::batch::{Batch, RowKind};
use crate::error::{Error, Result};
use crate::operator::{Collector, EMIT_ROWS_MAX};
use crate::state::KeyCodec;
use crate::time::EpochMillis;

/// Rows with their sort keys, in order.
#[derive(Debug, Default)]
pub struct SortedRows {
    /// Sort key and row, one after the other.
    bytes: Vec<u8>,
    /// For each row where its sort key and where itself ends.
    ends: Vec<(usize, usize)>,
}

impl SortedRows {
    /// Forgets all rows.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds a row behind all others.
    pub fn push(&mut self, sort: &[u8], row: &[u8]) {
        self.bytes.extend_from_slice(sort);
        let end = self.bytes.len();
        self.bytes.extend_from_slice(row);
        self.ends.push((end, self.bytes.len()));
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Sort key and row at a place.
    pub fn get(&self, place: usize) -> Option<(&[u8], &[u8])> {
        let (middle, end) = *self.ends.get(place)?;
        let start = match place {
            0 => 0,
            place => self.ends[place - 1].1,
        };
        Some((&self.bytes[start..middle], &self.bytes[middle..end]))
    }
}

/// Changes that wait to be emitted.
#[derive(Debug, Default)]
pub struct Changes {
    /// Rows back to back.
    bytes: Vec<u8>,
    /// Where each row ends.
    ends: Vec<usize>,
    /// What each change is.
    kinds: Vec<RowKind>,
    /// A number that follows the columns of each row; empty without one.
    numbers: Vec<i64>,
    /// Changes that were emitted.
    emitted: usize,
}

impl Changes {
    /// Adds a change.
    pub fn push(&mut self, kind: RowKind, row: &[u8]) {
        self.bytes.extend_from_slice(row);
        self.ends.push(self.bytes.len());
        self.kinds.push(kind);
    }

    /// Adds a change of a row that a number follows; either all have one or none.
    pub fn push_numbered(&mut self, kind: RowKind, row: &[u8], number: i64) {
        self.push(kind, row);
        self.numbers.push(number);
    }

    /// Changes that wait.
    pub fn len(&self) -> usize {
        self.ends.len() - self.emitted
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Emits the next changes.
    ///
    /// # Errors
    /// `Corrupt` when a row is not of the codec.
    pub fn emit(&mut self, codec: &KeyCodec, out: &mut Collector) -> Result<()> {
        let rows = self.len().min(EMIT_ROWS_MAX);
        if rows == 0 {
            return Ok(());
        }
        let range = self.emitted..self.emitted + rows;
        let (bytes, ends) = (&self.bytes, &self.ends);
        let encoded = range.clone().map(|row| {
            let start = if row == 0 { 0 } else { ends[row - 1] };
            &bytes[start..ends[row]]
        });
        let mut columns = codec.decode(encoded)?;
        if !self.numbers.is_empty() {
            let numbers = self.numbers[range.clone()].iter().copied();
            columns.push(Arc::new(Int64Array::from_iter_values(numbers)) as ArrayRef);
        }
        let kinds = &self.kinds[range];
        let all_inserts = kinds.iter().all(|kind| *kind == RowKind::Insert);
        out.emit(Batch {
            columns,
            rows,
            kinds: (!all_inserts).then(|| kinds.into()),
        });
        self.emitted += rows;
        if self.is_empty() {
            self.bytes.clear();
            self.ends.clear();
            self.kinds.clear();
            self.numbers.clear();
            self.emitted = 0;
        }
        Ok(())
    }
}

/// The times of rows, epoch milliseconds.
///
/// # Errors
/// `Data` when one is NULL.
pub fn event_times(column: &ArrayRef) -> Result<Vec<EpochMillis>> {
    if column.null_count() > 0 {
        return Err(Error::deserialization(
            "the rowtime column holds a NULL, which has no place in an order by time; filter such rows out",
        ));
    }
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            let times = column.as_primitive::<TimestampMillisecondType>();
            Ok(times.values().to_vec())
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let times = column.as_primitive::<TimestampMicrosecondType>().values();
            Ok(times.iter().map(|time| time.div_euclid(1000)).collect())
        }
        other => Err(Error::internal(format!("a rowtime of type {other}"))),
    }
}

/// The bytes of a time in the order of times.
pub fn time_bytes(time_ms: EpochMillis) -> [u8; 8] {
    (time_ms.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}
