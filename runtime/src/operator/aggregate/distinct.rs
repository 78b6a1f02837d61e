//! `DISTINCT` around any aggregate.
//!
//! Place in the flow: passes on only the first copy of a value in a group, and only the retraction of its last. Invariant: the
//! inner accumulator sees each value of a group at most once at any time.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, BooleanArray};

use crate::batch::RowKind;
use crate::error::Result;
use crate::operator::aggregate::list::Nulls;
use crate::operator::aggregate::sequence::Sequences;
use crate::operator::aggregate::{Accumulator, Merged, Rows, same};
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
    /// The values that the inner aggregate has, in their order; absent where it does not depend on that.
    order: Option<Sequences>,
    /// Bytes of all encoded values, with [`ENTRY_BYTES`] for each.
    values_bytes: usize,
}

/// Whether the order of values counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// It does.
    Kept,
    /// It does not.
    Any,
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
        (nulls, order): (Nulls, Order),
    ) -> Result<Self> {
        Ok(Self {
            inner,
            codec: KeyCodec::new(arguments.iter().copied())?,
            nulls,
            copies: Vec::new(),
            order: (order == Order::Kept).then(Sequences::default),
            values_bytes: 0,
        })
    }

    /// Changes how often a value is there, and tells what the inner aggregate must see of it.
    fn change(&mut self, group: usize, value: &[u8], change: i64) -> Option<RowKind> {
        let copies = &mut self.copies[group];
        let (before, after) = if let Some(count) = copies.get_mut(value) {
            let before = *count;
            *count += change;
            (before, *count)
        } else {
            copies.insert(value.into(), change);
            self.values_bytes += entry_bytes(value);
            (0, change)
        };
        if after == 0 {
            copies.remove(value);
            self.values_bytes -= entry_bytes(value);
        }
        let kind = match (before > 0, after > 0) {
            (false, true) => RowKind::Insert,
            (true, false) => RowKind::Delete,
            (true, true) | (false, false) => return None,
        };
        if let Some(order) = &mut self.order {
            order.add(group, value, kind.is_retraction());
        }
        Some(kind)
    }

    /// The values of a group with their copies, in the order in which they are added elsewhere.
    fn ordered(&self, group: u32) -> Vec<(&[u8], i64)> {
        let copies = &self.copies[group as usize];
        let all = copies.iter().map(|(value, count)| (&**value, *count));
        let Some(order) = &self.order else {
            let mut all: Vec<_> = all.collect();
            all.sort_unstable();
            return all;
        };
        let mut missing: Vec<_> = all.filter(|(_, count)| *count <= 0).collect();
        missing.sort_unstable();
        let values = order.of(group).iter();
        let present = values.filter_map(|value| Some((value, *copies.get(value)?)));
        present.chain(missing).collect()
    }
}

impl Accumulator for Distinct {
    fn resize(&mut self, groups: usize) {
        column::resize_with(&mut self.copies, groups, HashMap::default);
        if let Some(order) = &mut self.order {
            order.resize(groups);
        }
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
            let change = if is_retraction { -1 } else { 1 };
            passes[row] = self.change(group, keys.key(row), change).is_some();
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

    fn can_merge(&self) -> bool {
        self.inner.can_merge()
    }

    fn merge(&mut self, other: &dyn Accumulator, groups: &[Merged]) -> Result<()> {
        let other: &Self = same(other)?;
        // What all groups share is known before their values come.
        self.inner.merge(&*other.inner, &[])?;
        let (mut values, mut passed, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
        for Merged { into, from } in groups {
            for (value, change) in other.ordered(*from) {
                if let Some(kind) = self.change(*into as usize, value, change) {
                    values.push(value);
                    passed.push(*into);
                    kinds.push(kind);
                }
            }
        }
        let arguments = self.codec.decode(values.into_iter())?;
        let further: Vec<&ArrayRef> = arguments.iter().skip(1).collect();
        self.inner.update(Rows {
            groups: &passed,
            argument: arguments.first(),
            further: &further,
            selection: None,
            kinds: Some(&kinds.into()),
        })
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        self.inner.evaluate(groups)
    }

    fn clear(&mut self, group: u32) {
        let copies = std::mem::take(&mut self.copies[group as usize]);
        self.values_bytes -= copies.keys().map(|value| entry_bytes(value)).sum::<usize>();
        if let Some(order) = &mut self.order {
            order.clear(group);
        }
        self.inner.clear(group);
    }

    fn write(&self, group: u32, out: &mut Vec<u8>) {
        let copies = self.ordered(group);
        out.put_u32(u32::try_from(copies.len()).unwrap_or(u32::MAX));
        for (value, count) in copies {
            out.put_bytes(value);
            out.put_i64(count);
        }
        self.inner.write(group, out);
    }

    fn read(&mut self, group: u32, input: &mut Reader<'_>) -> Result<()> {
        for _ in 0..input.u32()? {
            let value = input.bytes()?;
            self.change(group as usize, value, input.i64()?);
        }
        self.inner.read(group, input)
    }

    fn memory_bytes(&self) -> usize {
        self.values_bytes
            + self.copies.capacity() * size_of::<HashMap<Box<[u8]>, i64>>()
            + self.order.as_ref().map_or(0, Sequences::memory_bytes)
            + self.inner.memory_bytes()
    }

    fn heap_bytes(&self) -> usize {
        let order_bytes = self.order.as_ref().map_or(0, Sequences::heap_bytes);
        self.values_bytes + order_bytes + self.inner.heap_bytes()
    }
}
