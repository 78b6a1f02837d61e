//! `COLLECT`.
//!
//! Place in the flow: an accumulator of the aggregations. Invariant: elements stand in their own order, so that equal multisets are
//! equal values, whatever came first; NULLs are left out.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array};
use arrow::datatypes::DataType;

use crate::error::Result;
use crate::operator::aggregate::multiset::{Multiset, Multisets};
use crate::operator::aggregate::ordered::{from_ordered_bytes, ordered_bytes};
use crate::operator::aggregate::values::{decode, multisets, offsets};
use crate::operator::aggregate::{Accumulator, Merged, Rows, same};
use crate::state::KeyCodec;
use crate::state::codec::Reader;
use crate::types::FlinkType;

/// The multisets of all groups.
#[derive(Debug)]
struct Collections {
    /// Encoded elements of each group.
    elements: Multisets<[u8]>,
    /// How elements are encoded.
    form: Form,
    /// Result type.
    ty: DataType,
}

/// How elements are encoded.
#[derive(Debug)]
enum Form {
    /// In their order.
    Ordered(DataType),
    /// As keys are, for those without an order.
    Encoded(KeyCodec),
}

/// The accumulator of `COLLECT` over an argument type.
///
/// # Errors
/// `Unsupported` for arguments without storage.
pub(super) fn accumulator(
    argument: &FlinkType,
    result: &FlinkType,
) -> Result<Box<dyn Accumulator>> {
    let ty = argument.to_arrow()?;
    let form = if ty.is_nested() || ty == DataType::Null {
        Form::Encoded(KeyCodec::for_rows([argument])?)
    } else {
        Form::Ordered(ty)
    };
    Ok(Box::new(Collections {
        elements: Multisets::default(),
        form,
        ty: result.to_arrow()?,
    }))
}

impl Accumulator for Collections {
    fn resize(&mut self, groups: usize) {
        self.elements.resize(groups);
    }

    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let elements = &mut self.elements;
        let change = |is_retraction: bool| if is_retraction { -1 } else { 1 };
        match &self.form {
            Form::Ordered(_) => {
                let encode = ordered_bytes(rows.argument()?)?;
                let mut element = Vec::new();
                rows.for_each(|row, group, is_retraction| {
                    element.clear();
                    encode(row, &mut element);
                    elements.add(group, &element, change(is_retraction));
                });
            }
            Form::Encoded(codec) => {
                let encoded = rows.encoded(codec)?;
                rows.for_each(|row, group, is_retraction| {
                    elements.add(group, encoded.key(row), change(is_retraction));
                });
            }
        }
        Ok(())
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn merge(&mut self, other: &dyn Accumulator, groups: &[Merged]) -> Result<()> {
        let other: &Self = same(other)?;
        for Merged { into, from } in groups {
            self.elements.merge(*into, other.elements.of(*from));
        }
        Ok(())
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "counts of a MULTISET are INT, which wrap as in Flink"
    )]
    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let sets = groups.iter().map(|group| self.elements.of(*group));
        let offsets = offsets(sets.clone().map(Multiset::len))?;
        let entries = sets.flat_map(Multiset::iter);
        let counts = entries.clone().map(|(_, count)| count as i32);
        let counts = Int32Array::from_iter_values(counts);
        let elements = entries.map(|(element, _)| element);
        let elements = match &self.form {
            Form::Ordered(ty) => from_ordered_bytes(ty, elements.map(Some))?,
            Form::Encoded(codec) => decode(codec, elements)?,
        };
        multisets(&self.ty, offsets, (elements, Arc::new(counts)))
    }

    fn clear(&mut self, group: u32) {
        self.elements.clear(group);
    }

    fn write(&self, group: u32, out: &mut Vec<u8>) {
        self.elements.write(group, out);
    }

    fn read(&mut self, group: u32, input: &mut Reader<'_>) -> Result<()> {
        self.elements.read(group, input)
    }

    fn memory_bytes(&self) -> usize {
        self.elements.memory_bytes()
    }

    fn heap_bytes(&self) -> usize {
        self.elements.heap_bytes()
    }
}
