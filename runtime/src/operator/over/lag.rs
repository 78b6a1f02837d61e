//! `LAG`.
//!
//! Place in the flow: beside the accumulators of an OVER aggregation. Invariant: a partition holds the values of as many rows as LAG looks
//! back, and one more.

use std::collections::VecDeque;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type};

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::plan::AggregateCall;
use crate::state::KeyCodec;
use crate::state::codec::{Reader, Writer};
use crate::state::column;
use crate::types::FlinkType;

/// Rows that LAG may look back: so many values are kept for each partition (guess, unmeasured).
const OFFSET_MAX: i64 = 1 << 20;

/// Values that LAG looks back at.
#[derive(Debug, Default)]
struct Past {
    /// How many rows back.
    offset: usize,
    /// Encoded values, oldest first.
    values: VecDeque<Box<[u8]>>,
    /// The encoded value where no row is so far back; absent for NULL.
    default: Option<Box<[u8]>>,
}

impl Past {
    /// Bytes of its values.
    fn bytes(&self) -> usize {
        let values = self.values.iter().chain(&self.default);
        values
            .map(|value| value.len() + size_of::<Box<[u8]>>())
            .sum()
    }
}

/// The values of all partitions for one call.
#[derive(Debug)]
pub(super) struct Lag {
    /// Column of the value.
    value: usize,
    /// Column of the offset.
    offset: Option<usize>,
    /// Column of the default.
    default: Option<usize>,
    /// Encodes values.
    codec: KeyCodec,
    /// An encoded NULL.
    null: Vec<u8>,
    /// Values by partition.
    pasts: Vec<Past>,
    /// Bytes of all values.
    heap_bytes: usize,
}

impl Lag {
    /// No values of a call over columns of some types.
    ///
    /// # Errors
    /// `Unsupported` for values without storage; `Internal` without an argument.
    pub(super) fn new(call: &AggregateCall, types: &[FlinkType]) -> Result<Self> {
        let value = call
            .argument
            .ok_or_else(|| Error::internal("LAG without an argument"))?;
        Ok(Self {
            value,
            offset: call.further.first().copied(),
            default: call.further.get(1).copied(),
            codec: KeyCodec::for_rows([&types[value]])?,
            null: vec![0],
            pasts: Vec::new(),
            heap_bytes: 0,
        })
    }

    /// Adds rows to their partitions.
    ///
    /// # Errors
    /// `Data` for an offset that is negative or too large.
    pub(super) fn update(&mut self, batch: &Batch, groups: &[u32]) -> Result<()> {
        let values = self
            .codec
            .encode_rows(&[&batch.columns[self.value]], batch.rows)?;
        let defaults = match self.default {
            Some(column) => Some(
                self.codec
                    .encode_rows(&[&batch.columns[column]], batch.rows)?,
            ),
            None => None,
        };
        for (row, group) in groups.iter().enumerate() {
            let offset = match self.offset {
                Some(column) => offset(&batch.columns[column], row)?,
                None => 1,
            };
            let past = &mut self.pasts[*group as usize];
            self.heap_bytes -= past.bytes();
            past.offset = offset;
            if let Some(defaults) = &defaults {
                past.default = Some(defaults.key(row).into());
            }
            past.values.push_back(values.key(row).into());
            while past.values.len() > offset + 1 {
                past.values.pop_front();
            }
            self.heap_bytes += past.bytes();
        }
        Ok(())
    }

    /// The results of some partitions.
    ///
    /// # Errors
    /// `Corrupt` only.
    pub(super) fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let values = groups.iter().map(|group| {
            let past = &self.pasts[*group as usize];
            let value = if past.values.len() > past.offset {
                past.values.front()
            } else {
                past.default.as_ref()
            };
            value.map_or(self.null.as_slice(), |value| value)
        });
        let mut columns = self.codec.decode(values)?;
        columns
            .pop()
            .ok_or_else(|| Error::internal("a value without a column"))
    }

    /// As of [`crate::state::Values`].
    pub(super) fn resize(&mut self, len: usize) {
        column::resize_with(&mut self.pasts, len, Past::default);
    }

    /// As of [`crate::state::Values`].
    pub(super) fn clear(&mut self, id: u32) {
        let past = std::mem::take(&mut self.pasts[id as usize]);
        self.heap_bytes -= past.bytes();
    }

    /// As of [`crate::state::Values`].
    pub(super) fn write(&self, id: u32, out: &mut Vec<u8>) {
        let past = &self.pasts[id as usize];
        out.put_u32(u32::try_from(past.offset).unwrap_or(u32::MAX));
        out.put_u8(u8::from(past.default.is_some()));
        if let Some(default) = &past.default {
            out.put_bytes(default);
        }
        out.put_u32(u32::try_from(past.values.len()).unwrap_or(u32::MAX));
        past.values.iter().for_each(|value| out.put_bytes(value));
    }

    /// As of [`crate::state::Values`].
    ///
    /// # Errors
    /// `Corrupt` when the bytes end early.
    pub(super) fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        let mut past = Past {
            offset: input.u32()? as usize,
            ..Past::default()
        };
        if input.u8()? != 0 {
            past.default = Some(input.bytes()?.into());
        }
        for _ in 0..input.u32()? {
            past.values.push_back(input.bytes()?.into());
        }
        self.heap_bytes += past.bytes();
        self.pasts[id as usize] = past;
        Ok(())
    }

    /// Memory held, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.pasts.capacity() * size_of::<Past>() + self.heap_bytes
    }

    /// Memory of the values, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        self.heap_bytes
    }
}

/// The offset in a row.
fn offset(column: &ArrayRef, row: usize) -> Result<usize> {
    let value = match column.data_type() {
        _ if column.is_null(row) => None,
        DataType::Int32 => Some(i64::from(column.as_primitive::<Int32Type>().value(row))),
        DataType::Int64 => Some(column.as_primitive::<Int64Type>().value(row)),
        _ => None,
    };
    value
        .filter(|value| (0..=OFFSET_MAX).contains(value))
        .and_then(|value| usize::try_from(value).ok())
        .ok_or_else(|| {
            Error::arithmetic(format!(
                "LAG looks back 0 to {OFFSET_MAX} rows, not {value:?}"
            ))
        })
}
