//! `SINGLE_VALUE`, which sub-queries in place of a value use.
//!
//! Place in the flow: an accumulator of the aggregations. Invariant: a group with more than one row has no result but an error. It is
//! looked for when a result is wanted, so that rows that replace one another within a batch may come in any order.

use arrow::array::ArrayRef;

use crate::error::{Error, Result};
use crate::operator::aggregate::multiset::Multisets;
use crate::operator::aggregate::values::{NULL, decode};
use crate::operator::aggregate::{Accumulator, Merged, Rows, same};
use crate::state::KeyCodec;
use crate::state::codec::Reader;
use crate::types::FlinkType;

/// The values of all groups.
#[derive(Debug)]
pub(super) struct SingleValues {
    /// Encoded values of each group, NULLs as well.
    values: Multisets<[u8]>,
    /// Encodes values.
    codec: KeyCodec,
}

impl SingleValues {
    /// No values yet.
    ///
    /// # Errors
    /// `Unsupported` for arguments without storage.
    pub(super) fn new(argument: &FlinkType) -> Result<Self> {
        Ok(Self {
            values: Multisets::default(),
            codec: KeyCodec::for_rows([argument])?,
        })
    }

    /// The encoded value of a group.
    fn value(&self, group: u32) -> Result<&[u8]> {
        let mut present = self.values.of(group).iter().filter(|(_, n)| *n > 0);
        match (present.next(), present.next()) {
            (None, _) => Ok(NULL),
            (Some((value, 1)), None) => Ok(value),
            _ => Err(Error::arithmetic(
                "SINGLE_VALUE or a sub-query in place of a value has more than one row; take one of them with MAX, MIN or LIMIT 1",
            )),
        }
    }
}

impl Accumulator for SingleValues {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups);
    }

    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let encoded = rows.encoded(&self.codec)?;
        let values = &mut self.values;
        rows.for_each_row(|row, group, is_retraction| {
            values.add(group, encoded.key(row), if is_retraction { -1 } else { 1 });
        });
        Ok(())
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn merge(&mut self, other: &dyn Accumulator, groups: &[Merged]) -> Result<()> {
        let other: &Self = same(other)?;
        for Merged { into, from } in groups {
            self.values.merge(*into, other.values.of(*from));
        }
        Ok(())
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let values = groups.iter().map(|group| self.value(*group));
        let values = values.collect::<Result<Vec<&[u8]>>>()?;
        decode(&self.codec, values.into_iter())
    }

    fn clear(&mut self, group: u32) {
        self.values.clear(group);
    }

    fn write(&self, group: u32, out: &mut Vec<u8>) {
        self.values.write(group, out);
    }

    fn read(&mut self, group: u32, input: &mut Reader<'_>) -> Result<()> {
        self.values.read(group, input)
    }

    fn memory_bytes(&self) -> usize {
        self.values.memory_bytes()
    }

    fn heap_bytes(&self) -> usize {
        self.values.heap_bytes()
    }
}
