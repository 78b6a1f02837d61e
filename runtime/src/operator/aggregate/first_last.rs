//! `FIRST_VALUE` and `LAST_VALUE`.
//!
//! Place in the flow: an accumulator of the aggregations. Invariant: NULLs are left out, as in Flink; over an append-only input only the
//! value that counts is kept.

use arrow::array::ArrayRef;

use crate::error::Result;
use crate::operator::aggregate::extreme::{Side, native};
use crate::operator::aggregate::list::{Lists, Nulls, Output};
use crate::operator::aggregate::values::{NULL, decode};
use crate::operator::aggregate::{Accumulator, Merged, Rows, same};
use crate::state::KeyCodec;
use crate::state::codec::{Reader, Writer};
use crate::state::column;
use crate::types::FlinkType;

/// The accumulator of `FIRST_VALUE` or `LAST_VALUE` over an argument type.
///
/// # Errors
/// `Unsupported` for arguments without storage.
///
/// # Source
/// Flink 2.3: `FirstValueAggFunction`, `FirstValueWithRetractAggFunction` and those of the last value: the order is that of arrival.
pub(super) fn accumulator(
    argument: &FlinkType,
    side: Side,
    retracts: bool,
) -> Result<Box<dyn Accumulator>> {
    if retracts {
        let output = match side {
            Side::Last => Output::Last,
            Side::First | Side::Min | Side::Max => Output::First,
        };
        return Ok(Box::new(Lists::new(argument, output, Nulls::Skip)?));
    }
    if let Some(native) = native(side, &argument.to_arrow()?) {
        return Ok(native);
    }
    Ok(Box::new(Singles {
        values: Vec::new(),
        codec: KeyCodec::for_rows([argument])?,
        side,
        values_bytes: 0,
    }))
}

/// One value of each group, of any type.
#[derive(Debug)]
struct Singles {
    /// Encoded value of each group; empty before the first.
    values: Vec<Vec<u8>>,
    /// Encodes values.
    codec: KeyCodec,
    /// Which value is kept.
    side: Side,
    /// Memory of all values, bytes.
    values_bytes: usize,
}

impl Singles {
    /// Gives a group a later value, if it is one.
    fn offer(&mut self, group: usize, value: &[u8]) {
        let is_wanted = self.side == Side::Last || self.values[group].is_empty();
        if is_wanted && !value.is_empty() {
            self.put(group, value);
        }
    }

    /// Puts a value into a group.
    fn put(&mut self, group: usize, value: &[u8]) {
        let held = &mut self.values[group];
        let before = held.capacity();
        held.clear();
        held.reserve_exact(value.len());
        held.extend_from_slice(value);
        self.values_bytes = self.values_bytes + held.capacity() - before;
    }
}

impl Accumulator for Singles {
    fn resize(&mut self, groups: usize) {
        column::resize_with(&mut self.values, groups, Vec::new);
    }

    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let values = rows.encoded(&self.codec)?;
        rows.for_each(|row, group, _| self.offer(group, values.key(row)));
        Ok(())
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn merge(&mut self, other: &dyn Accumulator, groups: &[Merged]) -> Result<()> {
        let other: &Self = same(other)?;
        for Merged { into, from } in groups {
            let value = &other.values[*from as usize];
            self.offer(*into as usize, value);
        }
        Ok(())
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let values = groups.iter().map(|group| {
            let value = self.values[*group as usize].as_slice();
            if value.is_empty() { NULL } else { value }
        });
        decode(&self.codec, values)
    }

    fn clear(&mut self, group: u32) {
        let value = std::mem::take(&mut self.values[group as usize]);
        self.values_bytes -= value.capacity();
    }

    fn write(&self, group: u32, out: &mut Vec<u8>) {
        out.put_bytes(&self.values[group as usize]);
    }

    fn read(&mut self, group: u32, input: &mut Reader<'_>) -> Result<()> {
        let value = input.bytes()?;
        self.put(group as usize, value);
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.values_bytes + self.values.capacity() * size_of::<Vec<u8>>()
    }

    fn heap_bytes(&self) -> usize {
        self.values_bytes
    }
}
