//! `COUNT`.
//!
//! Place in the flow: an accumulator of the aggregations. Invariant: never NULL; retractions subtract; a row with NULL among the
//! arguments does not count.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array};
use arrow::buffer::NullBuffer;

use crate::error::Result;
use crate::operator::aggregate::{Accumulator, Merged, Rows, same};
use crate::state::codec::{Reader, Writer};
use crate::state::column;

/// Rows, or arguments that are not NULL.
#[derive(Debug, Default)]
pub(super) struct Count {
    /// Count of each group.
    counts: Vec<i64>,
}

impl Accumulator for Count {
    fn resize(&mut self, groups: usize) {
        column::resize(&mut self.counts, groups, 0);
    }

    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let counts = &mut self.counts;
        let further = rows.further.iter().copied();
        let nulls = further.filter_map(Array::logical_nulls);
        let nulls: Vec<NullBuffer> = nulls.collect();
        rows.for_each(|row, group, is_retraction| {
            if nulls.iter().all(|nulls| nulls.is_valid(row)) {
                counts[group] += if is_retraction { -1 } else { 1 };
            }
        });
        Ok(())
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn merge(&mut self, other: &dyn Accumulator, groups: &[Merged]) -> Result<()> {
        let other: &Self = same(other)?;
        for Merged { into, from } in groups {
            self.counts[*into as usize] += other.counts[*from as usize];
        }
        Ok(())
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from_iter_values(
            groups.iter().map(|group| self.counts[*group as usize]),
        )))
    }

    fn clear(&mut self, group: u32) {
        self.counts[group as usize] = 0;
    }

    fn reset(&mut self) -> bool {
        self.counts.clear();
        true
    }

    fn write(&self, group: u32, out: &mut Vec<u8>) {
        out.put_i64(self.counts[group as usize]);
    }

    fn read(&mut self, group: u32, input: &mut Reader<'_>) -> Result<()> {
        self.counts[group as usize] = input.i64()?;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.counts.capacity() * size_of::<i64>()
    }
}
