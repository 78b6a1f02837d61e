//! Aggregate functions over dense group ids.
//!
//! Enters: group ids and an argument column. Leaves: one result column. Accumulators are columns indexed by group id, one loop
//! per aggregate and batch; all of them take retractions.

mod average;
mod bitmap;
mod collect;
mod count;
mod distinct;
mod extreme;
mod first_last;
mod json_object;
mod list;
mod make;
mod moments;
mod multiset;
mod ordered;
mod packed;
mod percentile;
mod sequence;
mod single_value;
mod sum;
mod values;

pub use make::missing;

use std::any::Any;
use std::fmt::Debug;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};

use crate::batch::{Batch, RowKinds};
use crate::error::{Error, Result};
use crate::operator::aggregate::packed::{Field, Packed};
use crate::plan::AggregateCall;
use crate::state::Values;
use crate::state::codec::Reader;
use crate::types::FlinkType;

/// Rows for an accumulator.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// Group of each row.
    pub groups: &'a [u32],
    /// The argument, absent for `COUNT(*)`.
    pub argument: Option<&'a ArrayRef>,
    /// Further arguments.
    pub further: &'a [&'a ArrayRef],
    /// Rows that count; absent means all. Argument NULLs are the accumulator's business.
    pub selection: Option<&'a BooleanArray>,
    /// Kinds; absent means inserts.
    pub kinds: Option<&'a RowKinds>,
}

impl Rows<'_> {
    /// Whether a row counts.
    fn is_selected(&self, row: usize) -> bool {
        self.selection
            .is_none_or(|mask| mask.is_valid(row) && mask.value(row))
    }

    /// Whether a row is taken away.
    fn is_retraction(&self, row: usize) -> bool {
        self.kinds.is_some_and(|kinds| kinds[row].is_retraction())
    }

    /// Calls `f` with the index of each row that counts, its group and whether it is taken away; rows whose argument is NULL
    /// are left out.
    fn for_each(&self, mut f: impl FnMut(usize, usize, bool)) {
        let nulls = self.argument.and_then(|argument| argument.nulls());
        if nulls.is_none() && self.selection.is_none() && self.kinds.is_none() {
            for (row, group) in self.groups.iter().enumerate() {
                f(row, *group as usize, false);
            }
            return;
        }
        for (row, group) in self.groups.iter().enumerate() {
            if nulls.is_none_or(|nulls| nulls.is_valid(row)) && self.is_selected(row) {
                f(row, *group as usize, self.is_retraction(row));
            }
        }
    }

    /// As [`Self::for_each`], with the rows whose argument is NULL.
    fn for_each_row(&self, mut f: impl FnMut(usize, usize, bool)) {
        for (row, group) in self.groups.iter().enumerate() {
            if self.is_selected(row) {
                f(row, *group as usize, self.is_retraction(row));
            }
        }
    }
}

/// A group and the group of other accumulators that is added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    /// The group that grows.
    pub into: u32,
    /// The group that is added, which stays as it is.
    pub from: u32,
}

/// The accumulators of one aggregate, indexed by group id.
pub trait Accumulator: Any + Send + Sync + Debug {
    /// Makes room for `groups` groups; new ones are empty.
    fn resize(&mut self, groups: usize);

    /// Adds and takes away rows.
    ///
    /// # Errors
    /// `Data` for values that the aggregate refuses; `Internal` when an argument has another type than declared.
    fn update(&mut self, rows: Rows<'_>) -> Result<()>;

    /// Whether [`Self::merge`] can be asked for. Where it cannot, windows that overlap are kept one by one, and there are no sessions.
    fn can_merge(&self) -> bool {
        false
    }

    /// Adds groups of `other`, which are the accumulators of the same call in another table, to groups of this one. Groups are added in
    /// the order of time.
    ///
    /// # Errors
    /// `Internal` when `other` is of another call, or when these cannot be merged.
    fn merge(&mut self, other: &dyn Accumulator, groups: &[Merged]) -> Result<()> {
        let _ = (other, groups);
        Err(Error::internal("an aggregate that cannot be merged"))
    }

    /// The results of some groups.
    ///
    /// # Errors
    /// `Data` when the values of a group have no result.
    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef>;

    /// Empties a group.
    fn clear(&mut self, group: u32);

    /// Forgets all groups and keeps their memory for others; false when it cannot, and then this is not used again.
    fn reset(&mut self) -> bool {
        false
    }

    /// Appends a group's accumulator to a snapshot.
    fn write(&self, group: u32, out: &mut Vec<u8>);

    /// Reads a group's accumulator from a snapshot.
    ///
    /// # Errors
    /// `Corrupt` when the bytes end early.
    fn read(&mut self, group: u32, input: &mut Reader<'_>) -> Result<()>;

    /// Memory held, in bytes. Called about once per batch, so it does not walk over groups.
    fn memory_bytes(&self) -> usize;

    /// Memory of values apart from their columns, in bytes: it does not double when columns do.
    fn heap_bytes(&self) -> usize {
        0
    }
}

/// The accumulators of all aggregates of an operator.
#[derive(Debug, Default)]
pub struct Aggregates {
    /// The calls in order, each with what keeps it.
    calls: Vec<(AggregateCall, Kept)>,
    /// Calls that are kept side by side.
    packed: Packed,
}

/// What keeps a call.
#[derive(Debug)]
enum Kept {
    /// A field of those that are side by side.
    Packed(Field),
    /// An accumulator of its own.
    Apart(Box<dyn Accumulator>),
}

impl Aggregates {
    /// Empty accumulators for `calls` over an input with these column types.
    ///
    /// `retracts` tells whether rows can be taken away, which costs some aggregates every value.
    ///
    /// # Errors
    /// `Unsupported` for argument types that an aggregate does not take.
    pub fn new(calls: &[AggregateCall], input: &[FlinkType], retracts: bool) -> Result<Self> {
        let (packed, fields) = Packed::new(calls, input);
        let calls = calls.iter().zip(fields).map(|(call, field)| {
            let kept = match field {
                Some(field) => Kept::Packed(field),
                None => Kept::Apart(make::accumulator(call, input, retracts)?),
            };
            Ok((call.clone(), kept))
        });
        Ok(Self {
            calls: calls.collect::<Result<_>>()?,
            packed,
        })
    }

    /// Adds and takes away the rows of a batch.
    ///
    /// # Errors
    /// `Data` for values that an aggregate refuses; `Internal` when a column has another type than declared.
    pub fn update(&mut self, batch: &Batch, groups: &[u32]) -> Result<()> {
        let mut further = Vec::new();
        for (call, kept) in &mut self.calls {
            further.clear();
            further.extend(call.further.iter().map(|column| &batch.columns[*column]));
            let rows = Rows {
                groups,
                argument: call.argument.map(|column| &batch.columns[column]),
                further: &further,
                selection: call.filter.map(|column| batch.columns[column].as_boolean()),
                kinds: batch.kinds.as_ref(),
            };
            match kept {
                Kept::Packed(field) => self.packed.update(*field, rows)?,
                Kept::Apart(accumulator) => accumulator.update(rows)?,
            }
        }
        Ok(())
    }

    /// Whether groups can be added to groups.
    pub fn can_merge(&self) -> bool {
        let mut apart = self.apart();
        apart.all(Accumulator::can_merge)
    }

    /// Adds groups of other accumulators of the same calls to groups of these.
    ///
    /// # Errors
    /// `Internal` when they are of other calls.
    pub fn merge(&mut self, other: &Self, groups: &[Merged]) -> Result<()> {
        self.packed.merge(&other.packed, groups);
        for (accumulator, other) in self.apart_mut().zip(other.apart()) {
            accumulator.merge(other, groups)?;
        }
        Ok(())
    }

    /// The results of some groups, one column per call.
    ///
    /// # Errors
    /// `Data` when the values of a group have no result.
    pub fn evaluate(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let columns = self.calls.iter().map(|(_, kept)| match kept {
            Kept::Packed(field) => Ok(self.packed.evaluate(*field, groups)),
            Kept::Apart(accumulator) => accumulator.evaluate(groups),
        });
        columns.collect()
    }

    /// The accumulators of their own.
    fn apart(&self) -> impl Iterator<Item = &dyn Accumulator> {
        self.calls.iter().filter_map(|(_, kept)| match kept {
            Kept::Packed(_) => None,
            Kept::Apart(accumulator) => Some(&**accumulator),
        })
    }

    /// As [`Self::apart`], to be changed.
    fn apart_mut(&mut self) -> impl Iterator<Item = &mut Box<dyn Accumulator>> {
        self.calls.iter_mut().filter_map(|(_, kept)| match kept {
            Kept::Packed(_) => None,
            Kept::Apart(accumulator) => Some(accumulator),
        })
    }
}

impl Values for Aggregates {
    fn resize(&mut self, len: usize) {
        self.packed.resize(len);
        self.apart_mut()
            .for_each(|accumulator| accumulator.resize(len));
    }

    fn clear(&mut self, id: u32) {
        self.packed.clear(id);
        self.apart_mut()
            .for_each(|accumulator| accumulator.clear(id));
    }

    fn reset(&mut self) -> bool {
        self.packed.reset();
        self.apart_mut().all(|accumulator| accumulator.reset())
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        for (_, kept) in &self.calls {
            match kept {
                Kept::Packed(field) => self.packed.write(*field, id, out),
                Kept::Apart(accumulator) => accumulator.write(id, out),
            }
        }
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        for (_, kept) in &mut self.calls {
            match kept {
                Kept::Packed(field) => self.packed.read(*field, id, input)?,
                Kept::Apart(accumulator) => accumulator.read(id, input)?,
            }
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let apart: usize = self.apart().map(Accumulator::memory_bytes).sum();
        apart + self.packed.memory_bytes()
    }

    fn heap_bytes(&self) -> usize {
        self.apart().map(Accumulator::heap_bytes).sum()
    }
}

/// The accumulators of another table as what they are.
fn same<A: Accumulator>(other: &dyn Accumulator) -> Result<&A> {
    let other: &dyn Any = other;
    let same = other.downcast_ref();
    same.ok_or_else(|| Error::internal("aggregates of different calls cannot be merged"))
}

#[cfg(test)]
mod tests;
