//! `DISTINCT` around any aggregate.
//!
//! Place in the flow: passes on only the first copy of a value in a group, and only the retraction of its last. Invariant: the
//! inner accumulator sees each value of a group at most once at any time.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, BooleanArray};

use crate::error::Result;
use crate::operator::aggregate::list::Nulls;
use crate::operator::aggregate::{Accumulator, Rows};
use crate::state::KeyCodec;
use crate::state::codec::{Reader, Writer};
use crate::state::column;
use crate::types::FlinkType;

/// An aggregate over distinct values.
#[derive(Debug)]
pub(super) struct Distinct {
    /// What is aggregated.
    inner: Box<dyn Accumulator>,
    /// Encodes the arguments of a row.
    codec: KeyCodec,
    /// Whether NULL is a value of the inner aggregate.
    nulls: Nulls,
    /// Copies of each encoded value, per group.
    copies: Vec<HashMap<Box<[u8]>, i64, foldhash::fast::RandomState>>,
    /// Bytes of all encoded values, with [`ENTRY_BYTES`] for each.
    values_bytes: usize,
}

/// Memory of a map entry beside the value's bytes: pointer, length, count and bucket (guess, unmeasured).
const ENTRY_BYTES: usize = 48;

/// Memory of a value in a map.
fn entry_bytes(value: &[u8]) -> usize {
    value.len() + ENTRY_BYTES
}

impl Distinct {
    /// Wraps an aggregate with these arguments.
    ///
    /// # Errors
    /// `Unsupported` for arguments without storage.
    pub(super) fn new(
        inner: Box<dyn Accumulator>,
        arguments: &[&FlinkType],
        nulls: Nulls,
    ) -> Result<Self> {
        Ok(Self {
            inner,
            codec: KeyCodec::new(arguments.iter().copied())?,
            nulls,
            copies: Vec::new(),
            values_bytes: 0,
        })
    }

    /// Counts a copy and tells whether the inner aggregate must see the row.
    fn count(&mut self, group: usize, value: &[u8], is_retraction: bool) -> bool {
        let copies = &mut self.copies[group];
        if let Some(count) = copies.get_mut(value) {
            *count += if is_retraction { -1 } else { 1 };
            let is_gone = *count == 0;
            if is_gone {
                copies.remove(value);
                self.values_bytes -= entry_bytes(value);
            }
            // An insertion that ends at zero was taken away before it came.
            return is_gone && is_retraction;
        }
        copies.insert(value.into(), if is_retraction { -1 } else { 1 });
        self.values_bytes += entry_bytes(value);
        !is_retraction
    }
}

impl Accumulator for Distinct {
    fn resize(&mut self, groups: usize) {
        column::resize_with(&mut self.copies, groups, HashMap::default);
        self.inner.resize(groups);
    }

    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let argument = rows.argument()?;
        let arguments: Vec<&ArrayRef> = [argument]
            .into_iter()
            .chain(rows.further.to_vec())
            .collect();
        let keys = self.codec.encode_rows(&arguments, argument.len())?;
        let nulls = self.nulls;
        let mut passes = vec![false; rows.groups.len()];
        let pass = |row: usize, group, is_retraction| {
            passes[row] = self.count(group, keys.key(row), is_retraction);
        };
        match nulls {
            Nulls::Keep => rows.for_each_row(pass),
            Nulls::Skip => rows.for_each(pass),
        }
        let selection = BooleanArray::from(passes);
        self.inner.update(Rows {
            selection: Some(&selection),
            ..rows
        })
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        self.inner.evaluate(groups)
    }

    fn clear(&mut self, group: u32) {
        let copies = std::mem::take(&mut self.copies[group as usize]);
        self.values_bytes -= copies.keys().map(|value| entry_bytes(value)).sum::<usize>();
        self.inner.clear(group);
    }

    fn write(&self, group: u32, out: &mut Vec<u8>) {
        let mut copies: Vec<_> = self.copies[group as usize].iter().collect();
        copies.sort_unstable();
        out.put_u32(u32::try_from(copies.len()).unwrap_or(u32::MAX));
        for (value, count) in copies {
            out.put_bytes(value);
            out.put_i64(*count);
        }
        self.inner.write(group, out);
    }

    fn read(&mut self, group: u32, input: &mut Reader<'_>) -> Result<()> {
        for _ in 0..input.u32()? {
            let value = input.bytes()?;
            let count = input.i64()?;
            self.values_bytes += entry_bytes(value);
            self.copies[group as usize].insert(value.into(), count);
        }
        self.inner.read(group, input)
    }

    fn memory_bytes(&self) -> usize {
        self.values_bytes
            + self.copies.capacity() * size_of::<HashMap<Box<[u8]>, i64>>()
            + self.inner.memory_bytes()
    }

    fn heap_bytes(&self) -> usize {
        self.values_bytes + self.inner.heap_bytes()
    }
}
